"""The format ``s3``, on a store that runs on this machine."""

from __future__ import annotations

from pyspark.sql import SparkSession


def test_reads_what_was_written(sources: SparkSession, folder: str) -> None:
    frame = sources.range(1000).selectExpr(
        "id",
        "id / 3 AS `a value, of 100 %`",
        "timestamp_seconds(id) AS `a.time`",
        "string(id) AS s",
    )
    frame.write.format("s3").mode("append").save(folder)
    found = sources.read.format("s3").load(folder)
    assert found.dtypes == frame.dtypes
    assert sorted(found.collect()) == sorted(frame.collect())
