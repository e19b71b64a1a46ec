"""How many rows a second SimpleDetectAnomalies answers on one core, beside a plain loop.

    python tests/bench/synapse.py

500 series of 180 points, shuffled. The loop reads each series as the endpoint reads a request, and
detects in it. Prints a Markdown table: the best of five, by the clock, and the processor time of
Python in it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2] / folder) for folder in ("app", "tests")]

import numpy as np
import pandas as pd
import psutil

from detector.series.series import Series
from detector.spark.session import session
from detector.spark.synapse import SimpleDetectAnomalies
from detector.univariate import detection

SERIES, POINTS = 500, 180


def fleet() -> pd.DataFrame:
    """Make series with a season of 7, noise, and an outlier in a hundred points."""
    noise = np.random.default_rng(POINTS)
    values = 100 + 10 * np.sin(2 * np.pi * np.arange(POINTS) / 7)
    values = values + noise.normal(size=(SERIES, POINTS))
    values += 30 * (noise.random((SERIES, POINTS)) < 0.01)
    days = pd.date_range("2026-01-01", periods=POINTS).strftime("%Y-%m-%dT%H:%M:%SZ")
    return pd.DataFrame(
        {
            "pump": np.repeat(np.arange(SERIES), POINTS),
            "timestamp": np.tile(days, SERIES),
            "value": values.ravel(),
        }
    )


def best(work: Callable[[], Any], processor: Callable[[], float]) -> tuple[float, float]:
    """Return the least time by the clock, and the processor time of that run."""
    times = []
    for _ in range(5):
        started, used = time.perf_counter(), processor()
        work()
        times.append((time.perf_counter() - started, processor() - used))
    return min(times)


def of_workers() -> float:
    """Return the processor time of the Python workers of Spark."""
    processes = psutil.Process().children(recursive=True)
    python = [each for each in processes if "python" in each.name()]
    return sum(each.cpu_times().user + each.cpu_times().system for each in python)


def main() -> None:
    frame = fleet()
    parts = [part[["timestamp", "value"]].to_dict("records") for _, part in frame.groupby("pump")]

    def loop() -> None:
        for records in parts:
            request = {"series": records, "granularity": "daily", "boundaryVersion": "V1"}
            detection.entire(Series.from_request(request))

    loop()
    spark = session("bench", spark_master="local[1]")
    table = spark.createDataFrame(frame.sample(frac=1, random_state=0)).cache()
    stage = SimpleDetectAnomalies(groupbyCol="pump", granularity="daily", outputCol="found")

    def on_spark() -> None:
        stage.transform(table).write.format("noop").mode("overwrite").save()

    on_spark()
    print("| way | rows/s | Python's processor time, s |")
    print("|---|---|---|")
    for name, work, processor in (
        ("plain loop", loop, time.process_time),
        ("`SimpleDetectAnomalies`, `local[1]`", on_spark, of_workers),
    ):
        wall, used = best(work, processor)
        print(f"| {name} | {len(frame) / wall:,.0f} | {used:.2f} |")


if __name__ == "__main__":
    main()
