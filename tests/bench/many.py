"""How many series a second are detected in, on one thread and on all processors.

    python tests/bench/many.py [--against CHECKOUT]

`detect_many` over tables of series with a season and outliers, against a plain loop over
``EntireAnomalyDetector().predict``: of this checkout, and of another one in the same run. Prints a
Markdown table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / folder) for folder in ("app", "tests")]

import joblib
import numpy as np
import pandas as pd

import detector

ROOT = Path(__file__).parents[2]
# Points of a series, and how many series.
SIZES = ((47, 4000), (180, 2000), (2016, 200))
LOOP = """
import json, sys, time
import pandas as pd
from detector.models import EntireAnomalyDetector
frame = pd.read_parquet(sys.argv[1])
parts = [part[["timestamp", "value"]] for _, part in frame.groupby("series")]
started = time.perf_counter()
for part in parts:
    EntireAnomalyDetector().predict(None, part, {"granularity": "daily"})
print(json.dumps(len(parts) / (time.perf_counter() - started)))
"""


def fleet(points: int, count: int) -> pd.DataFrame:
    """Make series with a season of 7, noise, and an outlier in a hundred points."""
    noise = np.random.default_rng(points)
    values = (
        100 + 10 * np.sin(2 * np.pi * np.arange(points) / 7) + noise.normal(size=(count, points))
    )
    values += 30 * (noise.random((count, points)) < 0.01)
    days = pd.date_range("2020-01-01", periods=points, freq="D")
    return pd.DataFrame(
        {
            "series": np.repeat(np.arange(count), points),
            "timestamp": np.tile(days, count),
            "value": values.ravel(),
        }
    )


def looped(checkout: Path, path: Path) -> float:
    """Return the series a second of a plain loop, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOOP, str(path)],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(checkout / "app")},
        text=True,
    )
    return float(json.loads(done.stdout))


def rate(frame: pd.DataFrame, threads: int) -> float:
    """Return the series a second of `detect_many`: the best of three."""
    count = frame["series"].nunique()
    best = 0.0
    for _ in range(3):
        started = time.perf_counter()
        found = detector.detect_many(frame, by="series", granularity="daily", threads=threads)
        best = max(best, count / (time.perf_counter() - started))
        if found["error"].notna().any():
            raise SystemExit(found["error"].dropna().iloc[0])
    return best


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another one's plain loop")
    options = parser.parse_args()
    cores = joblib.cpu_count()
    titles = ["points", "plain loop", "1 thread", f"{cores} threads"]
    if options.against:
        titles.insert(1, "plain loop of the other checkout")
    print(f"| {' | '.join(titles)} | |\n|{'---:|' * (len(titles) + 1)}")
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    for points, count in SIZES:
        frame = fleet(points, count)
        path = folder / "bench-many.parquet"
        frame.to_parquet(path)
        rates = [looped(ROOT, path), rate(frame, 1), rate(frame, cores)]
        if options.against:
            rates.insert(0, looped(options.against.resolve(), path))
        path.unlink()
        cells = " | ".join(f"{each:,.0f}/s" for each in rates)
        print(f"| {points} | {cells} | {rates[-1] / rates[-2]:.2f}x |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
