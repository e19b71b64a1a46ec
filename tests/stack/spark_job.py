"""A program for the cluster: detects in made series, and prints one line of JSON that sums it up.

Tests and a benchmark run it in `spark-workspace`: ``python tests/stack/spark_job.py SERIES TASKS``.
"""

from __future__ import annotations

import json
import sys
import threading
import time

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

from detector.spark import detect, session

POINTS = 180


def made(spark: SparkSession, series: int, tasks: int) -> DataFrame:
    """Return hourly series with a season of a day, noise and rare outliers; always the same."""
    hour = F.col("id") % POINTS
    noise = (F.xxhash64("id") % 1000) / 1000
    outlier = F.when(F.xxhash64("id", F.lit(1)) % 97 == 0, 30.0).otherwise(0.0)
    return spark.range(series * POINTS, numPartitions=tasks).select(
        F.floor(F.col("id") / POINTS).alias("series"),
        F.timestamp_seconds(hour * 3600).alias("timestamp"),
        (10 * F.sin(hour * 6.283185 / 24) + noise + outlier).alias("value"),
    )


def summed(found: DataFrame) -> dict[str, int]:
    """Return counts of a result, and a number that every bit of it, but not its order, decides."""
    whole = F.xxhash64(*[column for column in found.columns if column != "detected_by"])
    each = found.groupBy("series").agg(
        F.count("*").alias("points"),
        F.countDistinct("timestamp").alias("moments"),
        F.sum(F.col("is_anomaly").cast("int")).alias("anomalies"),
        F.count("error").alias("errors"),
        F.bit_xor(whole).alias("digest"),
    )
    row = each.agg(
        F.count("*").alias("series"),
        F.min("points").alias("fewest"),
        F.max("points").alias("most"),
        F.min("moments").alias("moments"),
        F.sum("anomalies").alias("anomalies"),
        F.sum("errors").alias("errors"),
        F.bit_xor("digest").alias("digest"),
    ).first()
    assert row is not None
    return row.asDict()


def show_progress(spark: SparkSession, tasks: int, ended: threading.Event) -> None:
    """Print how many tasks of detection are done, when that changes."""
    tracker, last = spark.sparkContext.statusTracker(), 0
    while not ended.wait(0.1):
        for stage in tracker.getActiveStageIds():
            info = tracker.getStageInfo(stage)
            # The stage before it makes the series.
            if info and stage and info.numTasks == tasks and info.numCompletedTasks > last:
                last = info.numCompletedTasks
                print(f"detection: {last} of {tasks}", flush=True)


def main() -> None:
    series, tasks = map(int, sys.argv[1:])
    spark = session("test")
    spark.conf.set("spark.sql.shuffle.partitions", "4")
    ended = threading.Event()
    threading.Thread(target=show_progress, args=(spark, tasks, ended), daemon=True).start()
    start = time.perf_counter()
    found = detect(made(spark, series, tasks), by="series", granularity="hourly", partitions=tasks)
    result = summed(found)
    ended.set()
    print(json.dumps(result | {"seconds": round(time.perf_counter() - start, 1)}))
    spark.stop()


if __name__ == "__main__":
    main()
