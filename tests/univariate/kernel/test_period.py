"""The search for a period and for a trend beside the package's own."""

from functools import cache

import numpy as np
import pytest
from anomaly_detector.univariate.period import period_detection
from anomaly_detector.univariate.util import Granularity
from anomaly_detector.univariate.util import fit_trend as upstream_trend
from scipy.signal import welch

from detector.univariate.kernel.period import (
    _best_period,
    _bounds,
    _close_bounds,
    _correlated_lags,
    _products,
    _significant_lags,
    find_period,
)
from detector.univariate.kernel.trend import _mean_spectrum, fit_trend
from detector.univariate.kernel.upstream import compiled


def series_of(kind: str, n: int, season: int) -> np.ndarray:
    noise = np.random.default_rng(n + season)
    t = np.arange(n)
    wave = np.sin(2 * np.pi * t / season) * 5
    return {
        "exact": wave,
        "noisy": wave + noise.normal(size=n),
        "trended": wave + noise.normal(size=n) + 0.2 * t,
        "pulses": (t % season == 0) * 9.0 + noise.normal(size=n) * 0.1,
        "noise": noise.normal(size=n),
        "walk": np.cumsum(noise.normal(size=n)),
        "impulse": (t == n // 3) * 20.0,
        "constant": np.full(n, 0.1),
    }[kind]


@cache
def package_period(kind: str, n: int, season: int, granularity: str, interval: int) -> int:
    """Return the period that the package finds: it is asked once for both kernels."""
    values = series_of(kind, n, season).tolist()
    found: int = period_detection(values, granularity=Granularity[granularity], interval=interval)
    return found


@cache
def package_trend(kind: str, n: int, period: int | None) -> np.ndarray:
    return np.asarray(upstream_trend(series_of(kind, n, 7), kind="spline", period=period))


KINDS = ["exact", "noisy", "trended", "pulses", "noise", "walk", "impulse", "constant"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "season"), [(12, 4), (40, 7), (100, 12), (200, 24), (700, 31)])
@pytest.mark.filterwarnings("ignore")
def test_period_is_that_of_the_package(kind: str, n: int, season: int) -> None:
    values = series_of(kind, n, season)
    for granularity, interval in (("daily", 1), ("hourly", 1), ("minutely", 60), ("none", 1)):
        theirs = package_period(kind, n, season, granularity, interval)
        assert find_period(values, granularity, interval) == theirs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [12, 13, 50, 333, 1700])
@pytest.mark.parametrize("period", [None, 0, 5])
@pytest.mark.filterwarnings("ignore")
def test_trend_is_that_of_the_package(kind: str, n: int, period: int | None) -> None:
    theirs = package_trend(kind, n, period)
    assert np.array_equal(fit_trend(series_of(kind, n, 7), period), theirs)


@pytest.mark.parametrize(("n", "length"), [(12, 6), (411, 205), (1842, 921), (1500, 998)])
@pytest.mark.parametrize("kind", ["impulse", "noise"])
def test_spectrum_is_that_of_scipy(kind: str, n: int, length: int) -> None:
    values = series_of(kind, n, 7)
    theirs = welch(values, nperseg=length, scaling="spectrum")[1]
    assert np.array_equal(_mean_spectrum(values, length), theirs)


@pytest.mark.parametrize("kind", ["exact", "noisy", "pulses", "noise"])
def test_best_period_is_that_of_the_package(kind: str) -> None:
    values = series_of(kind, 900, 12)
    periods = np.arange(5, 299)
    error, seasons = compiled().max_gcv(values, periods.astype("i"))
    assert _best_period(values, periods) == (len(seasons), error)


@pytest.mark.parametrize("seed", range(12))
def test_best_period_is_that_of_the_package_where_single_precision_decides(seed: int) -> None:
    # The multiples of the season explain the same but for noise near the precision of float32.
    noise = np.random.default_rng(seed)
    t = np.arange(1200)
    values = 0.5 * np.sin(2 * np.pi * t / 12) + noise.normal(size=1200) * 10 ** -(2 + seed % 4 / 2)
    periods = noise.permutation(np.arange(5, 400))
    error, seasons = compiled().max_gcv(values, periods.astype("i"))
    assert _best_period(values, periods) == (len(seasons), error)


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-3])
def test_bounds_of_the_error_hold(scale: float) -> None:
    noise = np.random.default_rng(4)
    values = 0.5 * np.sin(2 * np.pi * np.arange(1500) / 12) + noise.normal(size=1500) * scale
    periods = np.arange(5, 500)
    errors, slack = _bounds(values, periods)
    exact = np.array([compiled().gcv(values, int(period))[0] for period in periods]) * 1500
    assert (np.abs(errors - exact) <= slack + 1e-8 * 1500).all()
    # Their width is what lets few candidates through: it must stay small beside the errors.
    assert (slack < 0.02 * np.sum(np.square(values))).all()


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e-5, 0.0])
def test_close_bounds_of_the_error_hold_and_are_close(scale: float) -> None:
    noise = np.random.default_rng(4)
    values = 0.5 * np.sin(2 * np.pi * np.arange(1500) / 12) + noise.normal(size=1500) * scale
    periods = np.arange(5, 500)
    errors, slack = _close_bounds(values, periods)
    exact = np.array([compiled().gcv(values, int(period))[0] for period in periods]) * 1500
    counted = np.abs(errors) > 1.01e-8 * 1500
    assert (np.abs(errors - exact) <= slack)[counted].all()
    assert (exact[~counted] <= 1.02e-8 * 1500).all()
    assert (slack < 4e-5 * np.abs(errors) + 1e-6).all()


@pytest.mark.parametrize("kind", KINDS[:-1])
@pytest.mark.parametrize("n", [600, 601, 2016, 8640])
def test_lags_are_those_of_all_products(kind: str, n: int) -> None:
    for season in (12, 24, 31, 168):
        values = series_of(kind, n, season)
        products = _products(values - values.mean(), np.arange(int(n / 3.0) + 1))
        assert np.array_equal(_correlated_lags(values), _significant_lags(products, n)[0])


@pytest.mark.parametrize("n", [*range(12, 70), 127, 128, 129, 180, 599, 600])
def test_products_are_those_of_numpy(n: int) -> None:
    values = series_of("noise", n, 7)
    theirs = np.correlate(values, values, "full")[n - 1 :]
    assert np.array_equal(_products(values, np.arange(n)), theirs)


def test_estimates_leave_lags_at_the_bound_to_all_products() -> None:
    n = 900
    values = series_of("walk", n, 7)
    products = _products(values - values.mean(), np.arange(301))
    assert _significant_lags(products, n)[1]
    correlation = products / products[0]
    places = np.flatnonzero(correlation > 0.1)[1:]
    bound = 1.6448536269514722 * np.sqrt((1 + 2 * np.cumsum(correlation[1:-1] ** 2)) / n)
    lag = int(places[-1])
    products[lag] = (bound[lag - 2] + 1e-10) * products[0]
    assert not _significant_lags(products, n)[1]
    assert not _significant_lags(products * np.nan, n)[1]


@pytest.mark.parametrize("waves", [(2, 1e-4), (5, 1e-4), (5, 0.0), (12, 1e-7)])
def test_best_of_many_periods_that_explain_the_same_is_that_of_the_package(
    waves: tuple[int, float],
) -> None:
    season, size = waves
    noise = np.random.default_rng(season)
    values = np.sin(2 * np.pi * (np.arange(2400) + 0.5) / season) + noise.normal(size=2400) * size
    periods = noise.permutation(np.arange(5, 799))
    error, seasons = compiled().max_gcv(values, periods.astype("i"))
    assert _best_period(values, periods) == (len(seasons), error)
