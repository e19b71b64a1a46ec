"""STL beside the package's own, to the last bit."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from rstl import STL

from detector.univariate.kernel.stl import decompose, moving_average

SHAPES = [
    (12, 2),
    (13, 3),
    (20, 4),
    (25, 12),
    (29, 7),
    (41, 20),
    (47, 7),
    (100, 13),
    (181, 7),
    (400, 101),
    (720, 168),
    (999, 450),
    (1000, 12),
]


def series_of(kind: str, n: int, period: int) -> np.ndarray:
    noise = np.random.default_rng(n)
    t = np.arange(n)
    wave = 100 + 10 * np.sin(2 * np.pi * t / period) + 0.01 * t
    spikes = noise.integers(0, n, 3)
    match kind:
        case "exact":
            return wave
        case "noisy":
            return wave + noise.normal(size=n)
        case "rounded":
            values = np.round(wave + 3 * noise.normal(size=n))
            values[spikes] *= 50
            return values
        case "constant":
            values = np.full(n, 3.3)
            values[spikes] = 0
            return values
        case "saw":
            return (t % period).astype(float)
        case "pulses":
            values = (t % period == 0).astype(float)
            values[spikes] = 7
            return values
    values = noise.normal(size=n) * 1e-8
    values[5] = 1e12
    return values


@cache
def package_parts(kind: str, n: int, period: int) -> Any:
    """Return the parts that the package finds; it takes its time."""
    with np.errstate(all="ignore"):
        return STL(series_of(kind, n, period), period, "periodic", robust=True)


@pytest.mark.parametrize("kind", ["exact", "noisy", "rounded", "constant", "saw", "pulses", "wide"])
@pytest.mark.parametrize(("n", "period"), SHAPES)
def test_parts_are_those_of_the_package(n: int, period: int, kind: str) -> None:
    ours, theirs = decompose(series_of(kind, n, period), period), package_parts(kind, n, period)
    assert np.array_equal(ours.seasonal, theirs.seasonal)
    assert np.array_equal(ours.trend, theirs.trend)
    assert np.array_equal(ours.remainder, theirs.remainder)


def test_one_plan_serves_many_series() -> None:
    first = decompose(series_of("noisy", 60, 7), 7)
    decompose(series_of("rounded", 60, 7), 7)
    assert np.array_equal(decompose(series_of("noisy", 60, 7), 7).trend, first.trend)


def test_series_is_not_changed() -> None:
    series = series_of("noisy", 60, 7)
    before = series.copy()
    decompose(series, 7)
    assert np.array_equal(series, before)


def test_moving_average_is_that_of_each_window() -> None:
    values = np.random.default_rng(0).normal(size=30)
    plain = [values[start : start + 7].mean() for start in range(24)]
    assert moving_average(values, 7) == pytest.approx(plain)
