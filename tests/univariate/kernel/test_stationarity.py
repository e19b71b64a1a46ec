"""The tests of stationarity beside those of arch, as the package uses them."""

from functools import cache

import numpy as np
import pytest
from arch.unitroot import ADF, KPSS

from detector.univariate.kernel.stationarity import _best_lags, _dickey_fuller, is_stationary


def series_of(kind: str, n: int, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=n)
    t = np.arange(n)
    values: np.ndarray = {
        "noise": noise,
        "walk": np.cumsum(noise),
        "line": t * 0.5,
        "noisy line": t * 0.5 + noise,
        "constant": np.full(n, 4.0),
        "step": (t > n // 2) * 5 + noise,
        "sine": np.sin(t / (seed + 2)),
        "huge": 1e12 + np.cumsum(noise) * 1e9,
    }[kind]
    return values


@cache
def upstream(kind: str, n: int, seed: int) -> bool:
    """Return what arch says: it is asked once for both kernels."""
    values = series_of(kind, n, seed)
    try:
        return bool(ADF(values.tolist()).pvalue < 0.05 or KPSS(values.tolist()).pvalue >= 0.05)
    except Exception:  # noqa: BLE001 - the package takes whatever fails for stationary
        return True


@pytest.mark.parametrize("n", [12, 13, 20, 31, 60, 150, 500])
@pytest.mark.parametrize(
    "kind", ["noise", "walk", "line", "noisy line", "constant", "step", "sine", "huge"]
)
@pytest.mark.filterwarnings("ignore")
def test_verdict_is_that_of_arch(kind: str, n: int) -> None:
    for seed in range(6):
        assert is_stationary(series_of(kind, n, seed)) == upstream(kind, n, seed)


@pytest.mark.parametrize("n", [30, 199, 200, 500, 2000])
@pytest.mark.parametrize("kind", ["noise", "walk", "drift", "counts", "large", "twice", "growing"])
@pytest.mark.filterwarnings("ignore")
def test_lags_and_statistic_are_those_of_arch(kind: str, n: int) -> None:
    noise = np.random.default_rng(n).normal(size=n)
    values = {
        "noise": noise,
        "walk": np.cumsum(noise),
        "drift": np.cumsum(noise + 1),
        "counts": np.round(noise * 2),
        "large": 3e7 + np.cumsum(noise) * 1e6,
        "twice": np.cumsum(np.cumsum(noise)),
        "growing": np.exp(np.cumsum(noise) / 10),
    }[kind]
    theirs = ADF(values)
    lags = _best_lags(values)
    assert lags == theirs.lags
    assert _dickey_fuller(values, lags) == pytest.approx(theirs.stat, rel=1e-8)
