"""The search for breaks, compiled: the same breaks, and the same bits of what it weighs them by."""

from __future__ import annotations

import kernels
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from detector.series.series import ChangePointSeries
from detector.univariate import segmentation
from detector.univariate.changepoint import change_points
from detector.univariate.segmentation import _LEVEL, _CompiledLines, _Lines, find_breaks

pytestmark = kernels.BUILT
KINDS = (
    "noise",
    "walk",
    "steps",
    "bends",
    "season",
    "period",
    "curve",
    "line",
    "constant",
    "impulse",
    "impulses",
    "two",
    "rounded",
    "wide",
)
quickly = settings(
    max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


def values_of(kind: str, n: int, seed: int) -> np.ndarray:
    """Return one series of a kind, from 0 to 1."""
    draw = np.random.default_rng(seed)
    noise, t, size = draw.normal(size=n), np.arange(n), int(draw.integers(2, 60))
    step = draw.normal(size=n // size + 1).repeat(size)[:n]
    values = {
        "noise": noise,
        "walk": np.cumsum(noise),
        "steps": step + 0.1 * noise,
        "bends": np.cumsum(step),
        "season": np.sin(2 * np.pi * t / size) + noise * 10.0 ** draw.integers(-9, 1),
        "period": t % size * 1.0,
        "curve": np.sin(2 * np.pi * t / n * size),
        "line": 0.1 * t,
        "constant": np.full(n, 0.3),
        "impulse": (t == n // 2) * 5.0,
        "impulses": (t % size == 0) * 1.0,
        "two": (draw.random(n) < 0.4) * 1.0,
        "rounded": np.round(noise * size / 9),
        "wide": noise * 10.0 ** draw.integers(-60, 60, n),
    }[kind]
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros(n)


def evidence(values: np.ndarray, shortest: int) -> list[object]:
    """Return what the search weighs the breaks by."""
    compiled = segmentation.native.segmentation is not None
    lines = (_CompiledLines if compiled else _Lines)(values, shortest)
    bound = 2 * np.log(len(values)) - np.log(_LEVEL)
    likely = lines.likely_breaks(bound)
    breaks = lines._refine(likely)
    edges = np.concatenate([[0], breaks, [len(values)]])
    middle, left = lines._one_for_two(edges[:-3], edges[3:])
    squares = lines._squares(edges[:-1], edges[1:])
    return [
        lines._noise,
        likely,
        breaks,
        middle,
        left,
        squares,
        lines._rest(edges),
        lines._memory_about(breaks),
        lines._searched,
        lines.keep(breaks, bound),
        lines._searched,
    ]


@quickly
# Two breaks have moved to the same place for a while, and are searched from there.
@example(n=956, kind="wide", shortest=8, seed=5053)
@given(
    n=st.one_of(st.integers(12, 70), st.integers(71, 700), st.sampled_from([128, 129, 257])),
    kind=st.sampled_from(KINDS),
    shortest=st.sampled_from([3, 4, 5, 9, 24]),
    seed=st.integers(0, 999),
)
def test_what_a_short_series_is_weighed_by(n: int, kind: str, shortest: int, seed: int) -> None:
    kernels.assert_same(evidence, values_of(kind, n, seed), min(shortest, n // 2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "shortest"), [(8193, 72), (8640, 24)])
def test_what_a_long_series_is_weighed_by(n: int, shortest: int, kind: str) -> None:
    kernels.assert_same(evidence, values_of(kind, n, 3), shortest)


@pytest.mark.parametrize("kind", ["walk", "steps", "bends", "period", "two"])
@pytest.mark.parametrize("searches", [0, 40, 300])
def test_the_same_searches_use_up_the_budget(
    kind: str, searches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmentation, "_MOST_SEARCHES", searches)
    for shortest in (3, 4, 9):
        kernels.assert_same(find_breaks, values_of(kind, 1500, 1), shortest)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("granularity", "frequency", "period"),
    [("minutely", "min", 0), ("minutely", "min", 1440), ("hourly", "h", 168), ("daily", "D", 7)],
)
def test_whole_calls(kind: str, granularity: str, frequency: str, period: int) -> None:
    for n in (47, 180, 8640):
        n = max(n, 3 * period)
        times = pd.date_range("2000-01-01", periods=n, freq=frequency)
        options = {"granularity": granularity, "period": period}
        series = ChangePointSeries.from_arrays(values_of(kind, n, 7), times, options)
        kernels.assert_same(change_points, series)
