"""What Spark reads series from and writes results to, with no connector to install.

``docs/spark.md`` says what each reads and writes, and lists its options.
"""

from pyspark.sql import SparkSession

from detector.spark.sources.s3 import S3
from detector.spark.sources.sql import Sql

__all__ = ["S3", "Sql", "register"]


def register(spark: SparkSession) -> None:
    """Let a session read and write the formats ``s3`` and ``sql``."""
    spark.dataSource.register(S3)
    spark.dataSource.register(Sql)
