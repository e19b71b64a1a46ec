"""How well change points are found: in generated series, and in series that people annotated.

python tests/bench/change_points.py                  generated series, every break known
python tests/bench/change_points.py --tcpd FOLDER    also series of the Turing Change Point Dataset

FOLDER holds its series as JSON and its ``annotations.json``: G. van den Burg, C. Williams, "An
Evaluation of Change Point Detection Algorithms" (2020), which also defines F1 and covering. The
last lines sum up all flags and all scores: where two versions print the same, they answered alike.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "app"))

from detector.series.options import STABLE_TREND_WINDOWS
from detector.series.series import ChangePointSeries
from detector.univariate.changepoint import ChangePoints, change_points

FREQUENCIES = {"yearly": "YS", "monthly": "MS", "weekly": "7D", "daily": "D", "hourly": "h"}
# Granularity, points, period, and how many series of each sort.
KINDS = [
    ("daily", 60, 0, 200),
    ("daily", 60, 7, 200),
    ("daily", 365, 7, 50),
    ("weekly", 150, 0, 100),
    ("monthly", 72, 12, 100),
    ("yearly", 60, 0, 200),
    ("hourly", 240, 24, 50),
    ("hourly", 1000, 168, 20),
]
SORTS = ("shift", "trend", "spike before a shift", "none")
MEMORIES = (0.0, 0.3)
# A change point so far from an annotated one is right.
MARGIN = 5


class Case(NamedTuple):
    """A generated series, and where it breaks."""

    series: ChangePointSeries
    breaks: list[int]


def series_of(values: Any, granularity: str, **options: Any) -> ChangePointSeries:
    times = pd.date_range("1700-01-01", periods=len(values), freq=FREQUENCIES[granularity])
    return ChangePointSeries.from_arrays(values, times, {"granularity": granularity, **options})


def generated(sort: str, memory: float) -> Iterator[Case]:
    """Yield series with at most one break, of 6 to 12 standard deviations of their noise."""
    for granularity, n, period, count in KINDS:
        window = STABLE_TREND_WINDOWS[granularity]
        for seed in range(count):
            random = np.random.default_rng([seed, n, period])
            margin = max(3 * window, n // 5)
            at = int(random.integers(margin, n - margin))
            size = 6 * random.uniform(1, 2) * random.choice([-1, 1])
            after = np.arange(n) - at
            values = random.normal(size=n)
            for place in range(1, n):
                values[place] += memory * values[place - 1]
            if period:
                values += 10 * np.sin(np.arange(n) * 2 * np.pi / period)
            if sort == "trend":
                values += size * np.maximum(after, 0) / window
            elif sort != "none":
                values += size * (after >= 0)
            if sort == "spike before a shift":
                length = int(random.integers(1, window))
                values[at - length : at] -= size * random.uniform(0.5, 1.5)
            yield Case(
                series_of(values, granularity, period=period), [] if sort == "none" else [at]
            )


def flagged(found: ChangePoints) -> list[int]:
    return [int(place) for place in np.flatnonzero(found.is_change_point)]


def f1(found: list[int], annotated: list[list[int]]) -> float:
    """Return F1 of a series, its first point being a change point to all."""
    ours = [0, *found]
    theirs = [[0, *places] for places in annotated]
    everyone = sorted({place for places in theirs for place in places})
    precision = matched(everyone, ours) / len(ours)
    recall = float(np.mean([matched(places, ours) / len(places) for places in theirs]))
    return 2 * precision * recall / (precision + recall)


def matched(annotated: list[int], ours: list[int]) -> int:
    """Return how many of `annotated` are near one of ours, each of which counts once."""
    left = sorted(ours)
    count = 0
    for place in annotated:
        near = [each for each in left if abs(each - place) <= MARGIN]
        if near:
            left.remove(min(near, key=lambda each: abs(each - place)))
            count += 1
    return count


def covering(found: list[int], annotated: list[list[int]], n: int) -> float:
    """Return how much of an annotated piece the best of ours covers, weighted by its length."""
    ours = list(pairwise([0, *found, n]))
    shares = []
    for places in annotated:
        share = 0.0
        for start, stop in pairwise([0, *places, n]):
            best = max(
                max(0, min(stop, end) - max(start, begin)) / (max(stop, end) - min(start, begin))
                for begin, end in ours
            )
            share += (stop - start) / n * best
        shares.append(share)
    return float(np.mean(shares))


def annotated_series(folder: Path) -> Iterator[tuple[str, ChangePointSeries, list[list[int]]]]:
    annotations = json.loads((folder / "annotations.json").read_text())
    for path in sorted(folder.glob("*.json")):
        if path.stem not in annotations:
            continue
        content = json.loads(path.read_text())
        if len(content["series"]) != 1:
            continue
        values = pd.Series(content["series"][0]["raw"], dtype=float).interpolate().to_numpy()
        form = content["time"].get("format", "")
        granularity = {"%Y": "yearly", "%Y-%m": "monthly"}.get(form)
        if granularity:
            series = series_of(values, granularity)
        else:
            series = ChangePointSeries.from_arrays(values, request={"granularity": "none"})
        yield path.stem, series, [sorted(places) for places in annotations[path.stem].values()]


class Sum:
    """A digest of the answers so far."""

    def __init__(self) -> None:
        self._flags, self._scores = hashlib.sha256(), hashlib.sha256()

    def add(self, found: ChangePoints) -> ChangePoints:
        self._flags.update(found.is_change_point.tobytes())
        self._scores.update(np.round(found.confidence, 9).tobytes())
        return found

    def __str__(self) -> str:
        return f"flags  {self._flags.hexdigest()[:16]}\nscores {self._scores.hexdigest()[:16]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tcpd", type=Path, help="folder of annotated series")
    folder = parser.parse_args().tcpd
    answers = Sum()
    print(f"{'generated':30} {'memory':>6} {'series':>6} {'found':>7} {'false':>7}")
    for sort in SORTS:
        for memory in MEMORIES:
            cases = right = false = 0
            for series, breaks in generated(sort, memory):
                found = flagged(answers.add(change_points(series)))
                window = series.stable_trend_window
                hits = sum(any(abs(at - place) <= window for place in found) for at in breaks)
                cases, right, false = cases + 1, right + hits, false + len(found) - hits
            share = "" if sort == "none" else f"{right / cases:7.2%}"
            print(f"{sort:30} {memory:6} {cases:6} {share:>7} {false / cases:7.3f}")
    if folder:
        print(f"{'annotated':30} {'points':>6} {'flags':>6} {'F1':>7} {'cover':>7}")
        rows = []
        for name, series, annotated in annotated_series(folder):
            found = flagged(answers.add(change_points(series)))
            n = len(series.values)
            rows.append((f1(found, annotated), covering(found, annotated, n)))
            print(f"{name:30} {n:6} {len(found):6} {rows[-1][0]:7.3f} {rows[-1][1]:7.3f}")
        means = np.mean(rows, axis=0)
        print(f"{'mean':44} {means[0]:7.3f} {means[1]:7.3f}")
    print(answers)


if __name__ == "__main__":
    main()
