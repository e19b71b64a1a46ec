"""Sums of products, the same on any number of processors."""

import numpy as np
import pytest

from detector.univariate.kernel.products import dot


@pytest.fixture(autouse=True)
def kernel() -> None:
    """Test once: nothing here is compiled."""


@pytest.mark.parametrize("n", [1, 2, 100, 9999, 10_000])
def test_product_is_that_of_numpy(n: int) -> None:
    noise = np.random.default_rng(n)
    left, right = noise.normal(size=(2, n))
    assert dot(left, right) == np.dot(left, right)


@pytest.mark.parametrize("n", [10_001, 17_280])
def test_long_product_is_that_of_its_halves(n: int) -> None:
    noise = np.random.default_rng(n)
    left, right = noise.normal(size=(2, n))
    half = (n + 1) // 2
    assert dot(left, right) == left[:half] @ right[:half] + left[half:] @ right[half:]
    assert dot(left, right) == pytest.approx(np.dot(left, right), rel=1e-12)
