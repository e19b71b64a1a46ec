"""What finds the season and the trend, compiled: the same bits as numpy's."""

from __future__ import annotations

import kernels
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from detector.univariate.kernel import native, spectral_residual
from detector.univariate.kernel.medians import median_slope, moving_median
from detector.univariate.kernel.period import _best_period, _cut_spikes, _level_phases, find_period
from detector.univariate.kernel.stationarity import _Products, is_stationary
from detector.univariate.kernel.trend import _spline, fit_trend
from detector.univariate.kernel.upstream import compiled

pytestmark = kernels.BUILT
KINDS = (
    "noise",
    "walk",
    "rounded",
    "line",
    "season",
    "constant",
    "impulse",
    "two",
    "wide",
    "twice",
)
quickly = settings(
    max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


@st.composite
def series(draw: st.DrawFn, longest: int = 1100, largest: float = 1e100) -> np.ndarray:
    """Draw values of all kinds and sizes."""
    n = draw(
        st.one_of(st.integers(12, 70), st.integers(71, 400), st.sampled_from([128, 129, 257]))
        if draw(st.integers(0, 4))
        else st.integers(401, longest)
    )
    kind = draw(st.sampled_from(KINDS))
    values = values_of(kind, n, draw(st.integers(0, 999)))
    size = draw(st.sampled_from([1.0, 1.0, 1.0, 1e-300, 1e-40, 1e-6, 0.1, 1e9, 1e38, 3e38, 1e60]))
    values = values / max(np.abs(values).max(), 1) * size
    return values + draw(st.sampled_from([0.0, 0.0, 1.0, 1e6])) * min(size, largest / 1e7)


def values_of(kind: str, n: int, seed: int) -> np.ndarray:
    """Return one series of a kind."""
    draw = np.random.default_rng(seed)
    noise, t = draw.normal(size=n), np.arange(n)
    wave = np.sin(2 * np.pi * t / draw.integers(4, 40))
    return {
        "noise": noise,
        "walk": np.cumsum(noise),
        "rounded": np.round(noise * draw.integers(1, 4)),
        "line": 0.1 * t,
        "season": wave + noise * 10.0 ** draw.integers(-9, 1),
        "constant": np.full(n, 0.3),
        "impulse": (t == draw.integers(0, n)) * 5.0,
        "two": (draw.random(n) < 0.4) * 1.0,
        "wide": noise * 10.0 ** draw.integers(-60, 60, n),
        "twice": np.repeat(noise, 2)[:n] + np.where(t == n // 2, 30, 0),
    }[kind]


@quickly
@given(series(), st.integers(0, 1200), st.booleans())
def test_moving_median(values: np.ndarray, window: int, ends: bool) -> None:
    kernels.assert_same(moving_median, values, window % (len(values) + 2), ends=ends)


@pytest.mark.parametrize("window", [3, 24, 1440, 5760])
def test_moving_median_of_a_long_series(window: int) -> None:
    for kind in ("noise", "rounded", "line"):
        kernels.assert_same(moving_median, values_of(kind, 8640, 1), window, ends=True)
        # A window whose median lies at the end of all ranks, again and again.
        kernels.assert_same(moving_median, -np.abs(np.arange(8640) - 4000.0), window)


@quickly
@given(series(), st.booleans())
def test_median_slope(values: np.ndarray, single: bool) -> None:
    if single:
        with np.errstate(over="ignore"):
            values = values.astype(np.float32)
    kernels.assert_same(median_slope, values)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", KINDS)
def test_median_slope_of_the_longest_window(kind: str, dtype: type) -> None:
    for seed in range(3):
        with np.errstate(over="ignore"):
            kernels.assert_same(median_slope, values_of(kind, 1023, seed).astype(dtype))


@pytest.mark.parametrize("n", [12, 200])
def test_median_slope_of_what_is_no_number(n: int) -> None:
    values = values_of("noise", n, 0)
    for infinite in (1, n // 4, n // 2, n):
        values[:infinite] = np.inf
        kernels.assert_same(median_slope, values)
        kernels.assert_same(median_slope, np.where(np.arange(n) % 2, values, -values))


def test_median_slope_where_single_precision_overflows() -> None:
    for n, seed in ((196, 21), (183, 121), (495, 161)):
        values = values_of("walk", n, seed)
        kernels.assert_same(median_slope, np.float32(values / np.abs(values).max() * 3e38))


@quickly
@given(series(), st.data())
def test_error_of_a_period_is_that_of_upstream(values: np.ndarray, data: st.DataObject) -> None:
    period = data.draw(st.integers(4, len(values) // 2))
    theirs, _ = compiled().gcv(values.astype(object), period)
    found = native.period.unexplained(values, period)
    assert kernels.bits(found) == kernels.bits(theirs)


def test_a_single_period_has_no_error() -> None:
    for period in (7, 12, 13):
        for error in (compiled().gcv, native.period.unexplained):
            with pytest.raises(ZeroDivisionError):
                error(np.ones(12), period)


@quickly
@given(series())
@pytest.mark.filterwarnings("ignore")
def test_spikes(values: np.ndarray) -> None:
    kernels.assert_same(_cut_spikes, values)
    kernels.assert_same(_cut_spikes, values[::2])


@quickly
@given(series(largest=1.0), st.data())
@pytest.mark.filterwarnings("ignore")
def test_levels_of_phases(values: np.ndarray, data: st.DataObject) -> None:
    period = data.draw(st.integers(4, len(values) // 2))
    kernels.assert_same(_level_phases, values / max(np.abs(values).max(), 1e-300), period)
    kernels.assert_same(_level_phases, values, period)


@quickly
@given(series(largest=1.0), st.integers(0, 99))
def test_best_period(values: np.ndarray, seed: int) -> None:
    values = values / max(np.abs(values).max(), 1e-300)
    periods = np.arange(5, max(6, len(values) // 3))
    kernels.assert_same(_best_period, values, np.random.default_rng(seed).permutation(periods))


@quickly
@given(series())
@pytest.mark.filterwarnings("ignore")
def test_scores(values: np.ndarray) -> None:
    kernels.assert_same(spectral_residual.score_entire, values)
    kernels.assert_same(spectral_residual.score_latest, values, len(values) // 4)


@quickly
@given(st.lists(st.floats(0, allow_infinity=True), min_size=12, max_size=40))
@example([0.0, 5e-324, 1.7e308, 1.7e308, 5e-324, 0.0, np.inf, 0.0, np.inf, np.nan, 2.0, 1.0])
def test_running_geometric_mean(amplitude: list[float]) -> None:
    theirs = spectral_residual._running_geometric_mean(amplitude)
    found = native.spectral_residual.running_geometric_mean(np.array(amplitude))
    assert kernels.bits(found) == kernels.bits(theirs)


@quickly
@given(
    series(), st.sampled_from(["daily", "hourly", "minutely", "weekly", "none"]), st.integers(1, 90)
)
@pytest.mark.filterwarnings("ignore")
def test_period(values: np.ndarray, granularity: str, interval: int) -> None:
    kernels.assert_same(find_period, values, granularity, interval)


@quickly
@given(series(), st.sampled_from([None, 0]))
@pytest.mark.filterwarnings("ignore")
def test_trend(values: np.ndarray, period: int | None) -> None:
    kernels.assert_same(fit_trend, values, period)


@quickly
@given(series(), st.one_of(st.integers(2, 12), st.integers(13, 512)))
def test_spline(values: np.ndarray, period: int) -> None:
    # The windows and segments of fit_trend.
    for window in (2 * period - 1, min(len(values) // 3, 512)):
        kernels.assert_same(_spline, values, len(values) // (2 * window) + 1)


@pytest.mark.parametrize("n", [*range(6, 48), 8640, 17280])
def test_spline_of_every_number_of_segments(n: int) -> None:
    periods = range(2, n) if n < 48 else (2, 3, 12, 256, 511, 512)
    for segments in {n // (2 * window) + 1 for window in (n // 3, *(2 * p - 1 for p in periods))}:
        for kind in ("noise", "constant", "impulse", "wide"):
            kernels.assert_same(_spline, values_of(kind, n, segments), segments)
            kernels.assert_same(_spline, values_of(kind, n, segments) * 1e-300, segments)


def test_spline_of_what_is_no_number_or_overflows() -> None:
    kernels.assert_same(_spline, values_of("noise", 60, 1) * 5e307, 4)
    for place in (0, 31, 59):
        for value in (np.inf, -np.inf, np.nan):
            values = values_of("noise", 60, 1)
            values[place] = value
            kernels.assert_same(_spline, values, 4)


def test_spline_refuses_a_series_of_another_length() -> None:
    spline = native.trend.Spline(60, np.array([20.0, 40.0]))
    with pytest.raises(ValueError, match="59 points for a spline of 60"):
        spline.fit(np.zeros(59))


@quickly
@given(series())
@pytest.mark.filterwarnings("ignore")
def test_stationarity(values: np.ndarray) -> None:
    kernels.assert_same(is_stationary, values)
    if len(values) >= 60:
        kernels.assert_same(_Products.of, values, int(12 * (len(values) / 100) ** 0.25))


@pytest.mark.parametrize("n", [8193, 8230, 8640, 17280])
def test_sums_of_a_long_series(n: int) -> None:
    for kind in KINDS:
        kernels.assert_same(_cut_spikes, values_of(kind, n, 3))
        kernels.assert_same(_Products.of, values_of(kind, n, 3), 36)
