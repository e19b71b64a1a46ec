"""What the most costly series takes that a search finds, beside the usual one of its length.

    python tests/bench/worst_case.py [--quick] [--points 180 1000 4000 8640] [--examples 400]

Draws series, gaps and options of every kind, and lets hypothesis climb towards those that take the
processor longest. Prints a Markdown table, and beneath it what made the worst of each operation;
ends with 1 where one takes half a second, or ten times the usual one of its length and a tenth of
a second. Its length is that of its grid, gaps counted, up to 8640 points. Writes
``build/bench-worst-case.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2] / folder) for folder in ("app", "tests")]

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings, target
from hypothesis import strategies as st

from detector.errors import DetectionError
from detector.series.options import DETECTORS, GRANULARITIES, IMPUTE_MODES
from detector.series.series import ChangePointSeries, Series
from detector.univariate import changepoint, detection

BUILD = Path(__file__).parents[2] / "build"
SEED = 20261126
LENGTHS = (180, 1000, 4000, 8640)
OPERATIONS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "changepoint": (ChangePointSeries, changepoint.change_points),
    "entire": (Series, detection.entire),
    "last": (Series, detection.latest),
}
# Milliseconds between points, and the last moment that pandas knows.
STEPS = {
    "weekly": 604_800_000,
    "daily": 86_400_000,
    "hourly": 3_600_000,
    "minutely": 60_000,
    "secondly": 1000,
    "microsecond": 1,
}
FIRST, LAST = np.datetime64("1700-01-01", "ms"), np.datetime64("2260-01-01", "ms")
MOST_SECONDS, MOST_TIMES, LEAST_SECONDS = 0.5, 10, 0.1
# A recipe: by name, what a series and its options are made from.
Recipe = dict[str, Any]


def wave(shape: str, place: Any, period: float, noise: np.random.Generator) -> Any:
    """Return one part of a series."""
    n = len(place)
    turn = place / period % 1
    if shape == "walk":
        return np.cumsum(noise.normal(size=n)) / math.sqrt(n)
    if shape == "levels":
        return noise.normal(size=int(place[-1] / period) + 1)[(place / period).astype(int)]
    if shape == "chirp":
        return np.sin(2 * np.pi * (place / period) * (1 + place / n))
    return {
        "sine": np.sin(2 * np.pi * turn),
        "square": np.where(turn < 0.5, 1.0, 0.0),
        "saw": turn,
        "triangle": np.abs(turn - 0.5),
        "impulse": (np.floor(place) % max(round(period), 1) == 0) * 1.0,
        "none": np.zeros(n),
    }[shape]


def index_of(recipe: Recipe, n: int, noise: np.random.Generator) -> Any:
    """Return where on the grid the points stand."""
    gaps, share = recipe["gaps"], recipe["gap_share"]
    grid = min(round(n / (1 - share)), 2 * 8640 + recipe["beyond"])
    if gaps == "none" or grid <= n:
        return np.arange(n)
    if gaps == "every":
        return np.floor(np.linspace(0, grid - 1, n)).astype(int)
    if gaps == "random":
        inner = noise.choice(np.arange(1, grid - 1), n - 2, replace=False)
        return np.concatenate([[0], np.sort(inner), [grid - 1]])
    if gaps == "blocks":
        length = 1 + round(recipe["block"] * n / 4)
        steps = np.ones(n, dtype=int)
        places = np.arange(length, n, length)
        if len(places):
            steps[places] += (grid - n) // len(places)
        return np.cumsum(steps) - 1
    at = round(recipe["block"] * (n - 2)) + 1
    return np.concatenate([np.arange(at), np.arange(at, n) + grid - n])


def make(recipe: Recipe, n: int) -> tuple[Any, Any, dict[str, Any]]:
    """Return the values, the timestamps or None, and the options of a recipe."""
    noise = np.random.default_rng(recipe["seed"])
    index = index_of(recipe, n, noise)
    values = np.zeros(n)
    for shape, period, height in recipe["waves"]:
        length = 2 * (n / 2) ** period
        values += height * wave(shape, index.astype(float), length, noise)
    values += recipe["trend"] * index / n
    kind = recipe["noise_kind"]
    drawn = noise.standard_cauchy(n) if kind == "heavy" else noise.normal(size=n)
    values += recipe["noise"] * (np.sign(drawn) if kind == "signs" else drawn)
    spikes = noise.integers(0, n, round(recipe["spikes"] * n))
    values[spikes] += recipe["spike"] * noise.normal(size=len(spikes))
    if recipe["digits"] is not None:
        values = np.round(values, recipe["digits"])
    values = values * recipe["scale"] + recipe["offset"]
    if recipe["grows"]:
        values = values * np.exp(3 * index / index[-1])
    options = {name: value for name, value in recipe["options"].items() if value is not None}
    fraction = recipe["period"]
    if isinstance(fraction, float):
        count = len(index) if options["granularity"] == "none" else int(index[-1]) + 1
        options["period"] = max(2, min(round(2 * (count / 4) ** fraction), (count - 1) // 2))
    elif fraction is not None:
        options["period"] = fraction
    if "detector" in options:
        parameters = {name: options[name] for name in ("alpha", "threshold") if name in options}
        name = options["detector"]
        if name == "dynamic_threshold":
            parameters["period"] = 0
        options["detector"] = {"name": name, "parameters": parameters}
    if "stableTrendWindow" in options:
        window = round(3 * ((n - 1) / 6) ** options["stableTrendWindow"])
        options["stableTrendWindow"] = max(3, min(window, (n - 1) // 2))
    return values, times_of(options, index), options


def times_of(options: dict[str, Any], index: Any) -> Any:
    """Return the timestamps, of a finer granularity where these would reach too far."""
    for _ in range(2):
        granularity, interval = options["granularity"], options.get("customInterval", 1)
        if granularity == "none":
            return None
        if granularity in ("monthly", "yearly"):
            months = index * interval * (12 if granularity == "yearly" else 1)
            times = (FIRST.astype("datetime64[M]") + months).astype("datetime64[ms]")
        else:
            times = FIRST + index * interval * STEPS[granularity]
        if times[-1] < LAST:
            break
        options["granularity"] = "hourly"
        options.pop("customInterval", None)
    return times.astype("datetime64[ns]")


PERIODS = st.floats(0, 1) | st.sampled_from([0.0, 0.1, 0.15, 0.25, 0.3, 0.5, 0.75, 0.9, 1.0])
SHAPES = ("sine", "sine", "square", "saw", "triangle", "impulse", "levels", "chirp", "walk", "none")
SIZES = (0.0, 1e-12, 1e-9, 1e-6, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)


def recipes(operation: str) -> st.SearchStrategy[Recipe]:
    """Return what draws recipes for an operation."""
    options: dict[str, Any] = {
        "granularity": st.sampled_from(GRANULARITIES),
        "customInterval": st.sampled_from([None, None, 2, 5, 7, 30, 1440]),
    }
    if operation == "changepoint":
        options |= {
            "stableTrendWindow": st.none() | PERIODS,
            "threshold": st.sampled_from([None, 0.01, 0.5, 0.9, 0.99]),
        }
    else:
        options |= {
            "sensitivity": st.sampled_from([None, 0, 50, 99, 100]),
            "maxAnomalyRatio": st.sampled_from([None, 0.01, 0.49]),
            "imputeMode": st.sampled_from([None, *IMPUTE_MODES]),
            "imputeFixedValue": st.sampled_from([0.0, 1.0, 1e6]),
            "boundaryVersion": st.sampled_from([None, "V1", "V2"]),
            "alpha": st.sampled_from([None, 1e-6, 0.05, 0.2, 1.0]),
            "threshold": st.sampled_from([None, 0.0, 1.0, 6.0]),
            "detector": st.sampled_from([None, None, None, *DETECTORS]),
        }
    return st.fixed_dictionaries(
        {
            "seed": st.integers(0, 9),
            "waves": st.lists(
                st.tuples(st.sampled_from(SHAPES), PERIODS, st.sampled_from([1.0, 0.1, 10.0])),
                min_size=1,
                max_size=2,
            ),
            "trend": st.sampled_from([0.0, 0.0, 1.0, -100.0]),
            "noise": st.sampled_from(SIZES),
            "noise_kind": st.sampled_from(["normal", "heavy", "signs"]),
            "spikes": st.sampled_from([0.0, 0.0, 0.001, 0.1, 0.4]),
            "spike": st.sampled_from(SIZES) | st.just(1e6),
            "digits": st.sampled_from([None, None, 0, 2]),
            "scale": st.sampled_from([1.0, 1.0, 1e-12, 1e6, 1e90]),
            "offset": st.sampled_from([0.0, 0.0, 1.0, 1e3, 1e9]),
            "grows": st.booleans(),
            "gaps": st.sampled_from(["none", "every", "random", "blocks", "one"]),
            "gap_share": st.sampled_from([0.0, 0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99]),
            "beyond": st.sampled_from([0, 0, 10**5]),
            "block": PERIODS,
            "period": st.none() | st.sampled_from([0, 1]) | PERIODS,
            "options": st.fixed_dictionaries(options),
        }
    )


def usual(n: int) -> Recipe:
    """Return the recipe of a noisy hourly series with a season of a day and an outlier or more."""
    return {
        "seed": 1,
        "waves": [("sine", math.log(12) / math.log(n / 2), 10.0)],
        "trend": 1.0,
        "noise": 1.0,
        "noise_kind": "normal",
        "spikes": 0.01,
        "spike": 30.0,
        "digits": 3,
        "scale": 1.0,
        "offset": 100.0,
        "grows": False,
        "gaps": "none",
        "gap_share": 0.0,
        "beyond": 0,
        "block": 0.0,
        "period": None,
        "options": {"granularity": "hourly"},
    }


def seconds(operation: str, recipe: Recipe, n: int, calls: int) -> float:
    """Return the least processor time of some calls, from arrays to the result.

    Raises
    ------
    DetectionError
        For a recipe that makes no legal request.
    """
    kind, detect = OPERATIONS[operation]
    values, times, options = make(recipe, n)
    taken = []
    for _ in range(calls):
        started = time.process_time()
        detect(kind.from_arrays(values, times, options))
        taken.append(time.process_time() - started)
    return min(taken)


def search(operation: str, n: int, examples: int, chosen_seed: int) -> tuple[float, Recipe]:
    """Return what the worst recipe found takes, and that recipe."""
    found: list[tuple[float, Recipe]] = []

    @seed(chosen_seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.target],
        suppress_health_check=list(HealthCheck),
    )
    @given(recipes(operation))
    def climb(recipe: Recipe) -> None:
        try:
            taken = seconds(operation, recipe, n, 1)
        except DetectionError:
            return
        found.append((taken, recipe))
        target(taken)

    climb()
    found.sort(key=lambda each: -each[0])
    # Something else may have run when the worst of them was measured.
    again = [(seconds(operation, recipe, n, 3), recipe) for _, recipe in found[:5]]
    return max(again, key=lambda each: each[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the longest series, 60 examples")
    parser.add_argument("--points", type=int, nargs="+", default=None, help="lengths of series")
    parser.add_argument("--examples", type=int, default=None, help="for each length, 400")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", choices=list(OPERATIONS), help="one operation")
    options = parser.parse_args()
    lengths = options.points or (LENGTHS[-1:] if options.quick else LENGTHS)
    examples = options.examples or (60 if options.quick else 400)
    report = []
    missed = 0
    print("| points | operation | length | usual, ms | worst, ms | times | |")
    print("|---:|---|---:|---:|---:|---:|---|")
    for n in lengths:
        for operation in OPERATIONS:
            if options.only not in (None, operation):
                continue
            worst, recipe = search(operation, n, examples, options.seed)
            values, times_given, given_options = make(recipe, n)
            series = OPERATIONS[operation][0].from_arrays(values, times_given, given_options)
            length = min(series.grid_length, LENGTHS[-1])
            plain = statistics.median(
                seconds(operation, usual(length), length, 1) for _ in range(7)
            )
            times = worst / plain
            held = worst < MOST_SECONDS and (times <= MOST_TIMES or worst < LEAST_SECONDS)
            missed += not held
            print(
                f"| {n} | {operation} | {length} | {plain * 1e3:.1f} | {worst * 1e3:.1f} | "
                f"{times:.1f} | {'holds' if held else 'MISSED'} |",
                flush=True,
            )
            report.append(
                {"points": n, "operation": operation, "usual": plain, "worst": worst}
                | {"recipe": recipe}
            )
    print()
    for each in report:
        print(f"{each['points']} {each['operation']}: {json.dumps(each['recipe'])}")
    BUILD.mkdir(exist_ok=True)
    (BUILD / "bench-worst-case.json").write_text(json.dumps(report, indent=1) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
