"""Filling gaps beside the package's own ways."""

import kernels
import numpy as np
import pytest
from anomaly_detector.univariate.filling_up import FillingUpProcess
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.univariate.kernel import imputation


def with_gaps(kind: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    noise = np.random.default_rng(n)
    values = np.sin(2 * np.pi * np.arange(n) / 12) * 5 + noise.normal(size=n) + 0.1 * np.arange(n)
    kept = np.ones(n, dtype=bool)
    if kind == "single":
        kept[n // 2] = False
    elif kind == "scattered":
        kept = noise.random(n) > 0.3
    elif kind == "long":
        kept[n // 3 : n // 3 + 40] = False
    elif kind == "both":
        kept = noise.random(n) > 0.1
        kept[n // 2 : n // 2 + 29] = False
    kept[[0, 1, -1]] = True
    return values[kept], np.flatnonzero(kept)


@pytest.mark.parametrize("kind", ["single", "scattered", "long", "both"])
@pytest.mark.parametrize("n", [100, 301])
def test_gaps_are_filled_as_by_the_package(kind: str, n: int) -> None:
    values, index = with_gaps(kind, n)
    process = FillingUpProcess(index.tolist(), values.tolist())
    for ours, theirs in (
        (imputation.hold_previous(values, index, n), process.fill_up(method="last")),
        (imputation.draw_line(values, index, n), process.fill_up(method="linear")),
        (
            imputation.hold_fixed(values, index, n, value=8.0),
            process.fill_up(method="constant", number=8.0),
        ),
        *(
            (
                imputation.follow_season(values, index, n, period=period),
                process.fill_up(method="auto", period=period),
            )
            for period in (0, 1, 4, 7, 12, 24, 40)
        ),
    ):
        assert np.array_equal(ours, theirs[0])


@pytest.mark.parametrize("period", [5, 7, 24])
def test_seasons_are_borrowed_with_weights_that_add_up(period: int) -> None:
    # From one season on either side to three, at the ends and behind long gaps.
    n = 20 * period
    place = np.arange(n)
    kept = (place % (3 * period) < period) | (place < 2 * period) | (place == n - 1)
    index = np.flatnonzero(kept)
    values = np.sin(place * 1.7)[index] + place[index] / 10
    process = FillingUpProcess(index.tolist(), values.tolist())
    theirs, _ = process.fill_up(method="auto", period=period)
    ours = imputation.follow_season(values, index, n, period=period)
    assert np.array_equal(ours, theirs)


@kernels.BUILT
@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(12, 600),
    period=st.integers(0, 60),
    share=st.sampled_from([0.01, 0.2, 0.5, 0.9]),
    scale=st.sampled_from([1e-300, 1.0, 1e100]),
    digits=st.sampled_from([0, 9]),
    block=st.integers(0, 100),
)
def test_compiled_filling_is_numpys(
    seed: int, n: int, period: int, share: float, scale: float, digits: int, block: int
) -> None:
    drawn = np.random.default_rng(seed)
    kept = drawn.random(n) >= share
    kept[n // 3 : n // 3 + block] = False
    kept[[0, 1, n // 2, -1]] = True
    index = np.flatnonzero(kept)
    values = np.round(drawn.uniform(-1, 1, len(index)), digits) * scale
    kernels.assert_same(imputation.follow_season, values, index, n, period=period)
    kernels.assert_same(imputation.hold_previous, values, index, n)
