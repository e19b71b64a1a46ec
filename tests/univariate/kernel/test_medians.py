"""Medians beside the package's compiled filter and scipy's slopes."""

import numpy as np
import pytest
from scipy.stats import theilslopes

from detector.univariate.kernel.medians import median_slope, moving_median
from detector.univariate.kernel.upstream import compiled


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize(("n", "window"), [(12, 7), (40, 8), (100, 168), (300, 23), (2000, 301)])
@pytest.mark.parametrize("kind", ["normal", "ties", "scaled"])
def test_moving_median_is_that_of_the_package(n: int, window: int, ends: bool, kind: str) -> None:
    noise = np.random.default_rng(n)
    values = noise.normal(size=n)
    if kind == "ties":
        values = np.round(values)
    elif kind == "scaled":
        # Values that float32 rounds up make the package drop the wrong one at the end.
        values = (values - values.min()) / (values.max() - values.min())
    theirs = np.asarray(compiled().median_filter(values, window, ends))
    assert np.array_equal(moving_median(values, window, ends=ends), theirs)


@pytest.mark.parametrize("n", [2, 3, 12, 63, 64, 65, 66, 300, 511, 1023])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_median_slope_is_that_of_scipy(n: int, dtype: type) -> None:
    noise = np.random.default_rng(n)
    for values in (noise.normal(size=n), np.round(noise.normal(size=n)), np.arange(n) * 0.1):
        values = values.astype(dtype)
        assert median_slope(values) == theilslopes(values)[0]


def test_median_slope_of_values_whose_sample_misleads() -> None:
    values = np.where(np.arange(901) % 2, 0.0, np.arange(901) ** 2.0)
    assert median_slope(values) == theilslopes(values)[0]
