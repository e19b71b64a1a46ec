"""How long it takes to count what each sensitivity flags, against a detection with each.

    python tests/bench/tuning.py

2016 points five minutes apart with a daily season, noise and faults; the same without a season.
Prints a Markdown table of medians; ends with 1 where a count differs.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2] / "app")]

import numpy as np
import pandas as pd

from detector.series.series import Series
from detector.univariate import detection
from detector.univariate.tuning import tune

POINTS, TIMES = 2016, 7


def series(season: float, boundary: str) -> Series:
    """Make a series whose one point in a hundred is a fault."""
    noise = np.random.default_rng(POINTS)
    values = 100 + season * np.sin(2 * np.pi * np.arange(POINTS) / 288) + noise.normal(size=POINTS)
    faults = noise.choice(POINTS, POINTS // 100, replace=False)
    values[faults] += noise.uniform(4, 30, len(faults))
    times = pd.date_range("2026-01-01", periods=POINTS, freq="5min")
    options = {"granularity": "minutely", "customInterval": 5, "boundaryVersion": boundary}
    return Series.from_arrays(values, times, options)


def one_by_one(data: Series) -> list[int]:
    """Detect with each sensitivity."""
    chosen = [replace(data.options, sensitivity=sensitivity) for sensitivity in range(100)]
    found = [detection.entire(replace(data, options=options)) for options in chosen]
    return [int(each.is_anomaly.sum()) for each in found]


def milliseconds(work: Callable[[Series], Any], data: Series) -> float:
    """Return the median of several runs."""
    taken = []
    for _ in range(TIMES):
        started = time.perf_counter()
        work(data)
        taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken)


def main() -> int:
    """Print the table."""
    print("| boundary | period | 100 detections | tune | |\n|---|---:|---:|---:|---:|")
    same = True
    for boundary in ("V1", "V2"):
        for season in (10.0, 0.0):
            data = series(season, boundary)
            same &= one_by_one(data) == tune(data).anomalies.tolist()
            slow, fast = milliseconds(one_by_one, data), milliseconds(tune, data)
            period = detection.entire(data).period
            times = f"{slow / fast:.0f}x"
            print(f"| {boundary} | {period} | {slow:.0f} ms | {fast:.1f} ms | {times} |")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
