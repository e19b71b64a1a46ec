"""How fast we detect, beside the upstream package, in one run on the same series.

    python tests/bench/detection.py [--quick]

Times whole calls, from a DataFrame to the list of results, with the compiled kernel and without it,
and ends with 1 where any two differ. Prints a Markdown table and writes
``build/bench-detection.json``. ``--quick`` leaves out the slowest series.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import timeit
import unittest.mock
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2] / folder) for folder in ("app", "tests")]

import kernels
import numpy as np
import oracle
import pandas as pd
import recordings

from detector.series.series import Series
from detector.univariate import detection, gaps
from detector.univariate.kernel import stl

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build"
SEED = 20261122
SIZES = (
    (20, "monthly", 0),
    (47, "daily", 7),
    (180, "daily", 7),
    (180, "daily", 0),
    (720, "hourly", 168),
    (2016, "hourly", 168),
    (2016, "hourly", 0),
    (8640, "hourly", 168),
    (8640, "hourly", 0),
    (8640, "minutely", 1440),
)
SLOW = 3000
CALLS = 15
FREQUENCIES = {"monthly": "MS", "daily": "D", "hourly": "h", "minutely": "min"}

FIRST_DETECTION = """
import json, pathlib, resource, sys, time
started = time.perf_counter()
from detector.series.series import Series
from detector.univariate import detection
values = [float(place % 7) for place in range(49)]
detection.entire(Series.from_arrays(values, request={"period": 7}))
seconds = time.perf_counter() - started
# What getrusage says starts at the size of the process that started this one.
status = pathlib.Path("/proc/self/status")
if status.exists():
    kilobytes = int(status.read_text().split("VmHWM:")[1].split()[0])
else:
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({
    "seconds": seconds,
    "megabytes": kilobytes / 1024,
    "torch loaded": "torch" in sys.modules,
}))
"""


def generated(n: int, granularity: str, period: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Make a noisy series of `period` with one outlier in a hundred points."""
    noise = np.random.default_rng(SEED)
    t = np.arange(n)
    values = 100 + noise.normal(size=n) + 0.001 * t
    if period:
        values += 10 * np.sin(2 * np.pi * t / period)
    values[noise.integers(0, n, max(1, n // 100))] += 30
    times = pd.date_range("2020-01-01", periods=n, freq=FREQUENCIES[granularity])
    return pd.DataFrame({"timestamp": times, "value": values}), {"granularity": granularity}


def seconds(
    detect: Any, mode: str, frame: pd.DataFrame, params: dict[str, Any], calls: int
) -> float:
    """Return the median time of a call."""
    taken = []
    for _ in range(calls):
        started = time.perf_counter()
        detect(mode, frame, params)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def compare(name: str, mode: str, frame: pd.DataFrame, params: dict[str, Any]) -> dict[str, Any]:
    """Time all on one series, ours after a first call that is not counted."""
    answers = oracle.ours(mode, frame, params)
    own = seconds(oracle.ours, mode, frame, params, CALLS)
    with kernels.kernel("numpy"):
        in_numpy = oracle.ours(mode, frame, params)
        own_in_numpy = seconds(oracle.ours, mode, frame, params, 5)
    if kernels.bits(in_numpy) != kernels.bits(answers):
        raise SystemExit(f"{name}, {mode}: numpy's kernel gives other bits")
    started = time.perf_counter()
    found = oracle.difference(answers, oracle.theirs(mode, frame, params))
    other = time.perf_counter() - started
    if found is not None:
        raise SystemExit(f"{name}, {mode}: {found}")
    if other < 1:
        # The longer a call takes, the less a second one would tell.
        other = min(other, seconds(oracle.theirs, mode, frame, params, 2))
    return {
        "name": name,
        "mode": mode,
        "points": len(frame),
        "period": answers[0]["result"]["period"],
        "ours_ms": own * 1e3,
        "numpy_ms": own_in_numpy * 1e3,
        "upstream_ms": other * 1e3,
        "ratio": other / own,
    }


def kernel_cases(quick: bool) -> list[dict[str, Any]]:
    """Time the cases of the package's own suite."""
    results = []
    cases = recordings.kernel_cases()
    for place, case in enumerate(cases, 1):
        if quick and len(case.points) > SLOW:
            continue
        progress(f"case {place} of {len(cases)}")
        results.append(compare(case.name, case.mode, case.frame, case.params))
    return results


def sizes(quick: bool) -> list[dict[str, Any]]:
    """Time both modes on generated series of growing size."""
    results = []
    for n, granularity, period in SIZES:
        if quick and n > SLOW:
            continue
        frame, params = generated(n, granularity, period)
        for mode in ("entire", "latest"):
            progress(f"{n} points, {granularity}, {mode}")
            results.append(compare(f"{n} {granularity}", mode, frame, params))
    return results


def parts(n: int, granularity: str, period: int) -> dict[str, float]:
    """Return where the time of a whole call goes, in milliseconds; the least of several calls."""
    frame, params = generated(n, granularity, period)
    series = Series.from_frame(frame, params)
    in_stl: list[float] = []
    decompose = stl.decompose

    def timed(*arguments: Any) -> Any:
        started = time.perf_counter()
        found = decompose(*arguments)
        in_stl.append(time.perf_counter() - started)
        return found

    def least(call: Any) -> float:
        call()
        return min(timeit.repeat(call, number=1, repeat=CALLS)) * 1e3

    with unittest.mock.patch.object(stl, "decompose", timed):
        detection.entire(series)
        runs = len(in_stl)
        detected = least(lambda: detection.entire(series))
        decomposed = sum(sorted(in_stl)[:runs]) * 1e3
    read = least(lambda: Series.from_frame(frame, params))
    season = least(lambda: gaps.find_season(series))
    whole = least(lambda: oracle.ours("entire", frame, params))
    return {
        "whole call": whole,
        "reading": read,
        "finding the season": season,
        f"STL, {runs} times": decomposed,
        "other detection": detected - season - decomposed,
        "answers": whole - read - detected,
    }


def first_detection() -> dict[str, Any]:
    """Measure a first detection in a fresh process: the median of three."""
    runs = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", FIRST_DETECTION],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "app")},
            text=True,
        )
        runs.append(json.loads(done.stdout))
    return sorted(runs, key=lambda run: run["seconds"])[1]


def machine() -> dict[str, Any]:
    model = "unknown"
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(
            (line.split(": ")[1] for line in lines if line.startswith("model name")), model
        )
    return {"processor": model, "cores": os.cpu_count(), "python": platform.python_version()}


def progress(what: str) -> None:
    print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


def table(timed: list[dict[str, Any]], cases: list[dict[str, Any]], first: dict[str, Any]) -> str:
    """Return the figures as a table of Markdown."""
    lines = [
        "| points | granularity | period | entire: package | numpy | ours | | latest: package | "
        "numpy | ours | |",
        "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for entire, latest in zip(timed[::2], timed[1::2], strict=True):
        n, granularity = entire["name"].split()
        cells = [n, granularity, str(entire["period"])]
        for run in (entire, latest):
            cells += [
                f"{run['upstream_ms']:.0f} ms",
                f"{run['numpy_ms']:.1f} ms",
                f"{run['ours_ms']:.2f} ms",
                f"{run['ratio']:.0f}x",
            ]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    other = sum(case["upstream_ms"] for case in cases) / 1e3
    own, in_numpy = (sum(case[name] for case in cases) / 1e3 for name in ("ours_ms", "numpy_ms"))
    ratios = sorted(case["ratio"] for case in cases)
    long = [c["ratio"] for c in cases if c["period"] > 1 and c["points"] >= 1000]
    lines.append(
        f"{len(cases)} cases of the package's own suite: {other:.1f} s, in numpy {in_numpy:.2f} s, "
        f"ours {own:.2f} s, {other / own:.0f}x. A case by itself: {ratios[0]:.1f}x to "
        f"{ratios[-1]:.0f}x"
        + (f"; seasonal with 1000 points or more, at least {min(long):.0f}x." if long else ".")
    )
    lines.append(
        f"A first detection in a fresh process takes {first['seconds']:.2f} s and "
        f"{first['megabytes']:.0f} MB; torch is {'' if first['torch loaded'] else 'not '}loaded."
    )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave out the slowest series")
    options = parser.parse_args()
    first = first_detection()
    timed = sizes(options.quick)
    shares = {
        f"{n} {granularity} {period}": parts(n, granularity, period)
        for n, granularity, period in SIZES
    }
    cases = kernel_cases(options.quick)
    progress("")
    print(table(timed, cases, first))
    print("\nWhere the time of a whole call goes, entire, ms:")
    for name, each in shares.items():
        print(f"{name}:", ", ".join(f"{what} {spent:.3f}" for what, spent in each.items()))
    BUILD.mkdir(exist_ok=True)
    path = BUILD / "bench-detection.json"
    report = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": {
            name: version(name)
            for name in ("time-series-anomaly-detector", "numpy", "pandas", "scipy", "mlflow")
        },
        "seed": SEED,
        "first detection": first,
        "sizes": timed,
        "kernel cases": cases,
        "parts": shares,
    }
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
