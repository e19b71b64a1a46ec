"""The outlier tests beside the package's compiled ones."""

import math
from functools import cache
from typing import Any

import kernels
import numpy as np
import pytest
from anomaly_detector.univariate.detectors import ESD, ZScoreDetector
from anomaly_detector.univariate.model.detect import detect
from anomaly_detector.univariate.util import Direction, get_verified_majority_value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas import Series

from detector.univariate.kernel import outliers


def sample_of(kind: str, n: int) -> np.ndarray:
    noise = np.random.default_rng(n)
    values = {
        "normal": lambda: noise.normal(size=n),
        "heavy": lambda: noise.standard_t(2, size=n),
        "ties": lambda: np.round(noise.normal(size=n) * 2),
        "both sides": lambda: np.r_[noise.normal(size=n - 2), 50, -60],
        "majority": lambda: np.r_[np.full(n - 4, 2.0), 1, 3, 9, -4],
        "sparse": lambda: (noise.random(n) < 0.1).astype(float),
        "narrow": lambda: np.r_[noise.normal(size=n - 1) * 1e-7, 1],
        "constant": lambda: np.full(n, 0.1),
    }[kind]()
    spread = values.max() - values.min()
    return (values - values.min()) / spread if spread else values


@cache
def upstream(kind: str, n: int, alpha: float, ratio: float, last: bool) -> list[int]:
    """Return what the package finds: it is asked once for both kernels."""
    ordered = Series(sample_of(kind, n)).sort_values()
    most = min(max(math.ceil(n * ratio), 1), n // 2 - 1)
    majority = get_verified_majority_value(ordered, n)
    detectors = [
        ESD(series=ordered, alpha=alpha, max_outliers=most, majority_value=majority),
        ZScoreDetector(series=ordered, max_outliers=most),
    ]
    found = detect(
        directions=[Direction.upper_tail, Direction.lower_tail],
        detectors=detectors,
        max_outliers=most,
        num_obs=n,
        last_value={} if last else None,
    )
    return sorted(found.index)


KINDS = ["normal", "heavy", "ties", "both sides", "majority", "sparse", "narrow", "constant"]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("n", [12, 13, 30, 101, 500])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_outliers_are_those_of_the_package(kind: str, n: int, last: bool) -> None:
    sample = sample_of(kind, n)
    for alpha, ratio in ((0.05, 0.25), (0.05, 0.49), (0.2, 0.1)):
        ours = outliers.vote(
            [outliers.Ordered.of(sample)], alpha=alpha, ratio=ratio, last_only=last
        )
        assert ours.tolist() == upstream(kind, n, alpha, ratio, last)


def test_critical_values_beyond_the_table_are_those_of_the_formula() -> None:
    table = outliers._critical(0.05, 8640, 100)
    formula = outliers._critical(0.0500011, 8640, 100)
    assert formula == pytest.approx(table, rel=1e-4)


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("width", [1.0, 1e-2, 1e-4, 1e-6, 1e-8, 0.0])
def test_distance_from_the_mean_is_known_as_well_as_it_says(width: float, upper: bool) -> None:
    noise = np.random.default_rng(8)
    values = np.sort(0.7 + width * 0.05 * noise.normal(size=3000))
    values[[0, -1]] = 0, 1
    singles = values[:: -1 if upper else 1].astype(np.float32)
    tested = np.arange(700)
    least, most = outliers._mean_distance(singles, tested, upper)
    exact = []
    for first in tested:
        rest = singles[first:]
        away = rest[0] - np.mean(rest) if upper else np.mean(rest) - rest[0]
        exact.append(away / max(np.std(rest), np.float32(1e-8)))
    assert (least <= np.array(exact)).all()
    assert (np.array(exact) <= most).all()
    # Behind the outlier no value is in need of the definition, however close together they lie.
    assert (most[1:] < np.array(exact)[1:] + 1.2 + 0.02 * np.abs(exact)[1:]).all()


@st.composite
def nasty_samples(draw: st.DrawFn) -> np.ndarray:
    """Draw what rounding, ties and magnitudes make hard."""
    n = draw(st.one_of(st.integers(12, 300), st.sampled_from([127, 128, 129, 1025, 8191, 8640])))
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["normal", "heavy", "ties", "few", "close", "steps", "one"]))
    values = {
        "normal": lambda: noise.normal(size=n),
        "heavy": lambda: noise.standard_t(1, size=n),
        "ties": lambda: np.round(noise.normal(size=n) * draw(st.sampled_from([0.4, 2, 9]))),
        "few": lambda: (noise.random(n) < draw(st.sampled_from([0.02, 0.2, 0.5]))).astype(float),
        "close": lambda: 1 + noise.normal(size=n) * draw(st.sampled_from([1e-4, 1e-7, 1e-9])),
        "steps": lambda: noise.integers(0, 4, n) ** 9.0,
        "one": lambda: np.full(n, draw(st.sampled_from([0.0, 0.1, 1e-300, 1e16, 2.5e38, 1e100]))),
    }[kind]()
    for _ in range(draw(st.integers(0, 5))):
        place = draw(st.one_of(st.integers(0, n - 1), st.just(n - 1)))
        values[place] = draw(st.sampled_from([-3.0, 1.5, 4.0, 60.0, 1e5, -1e12]))
    spread = values.max() - values.min()
    if spread and draw(st.integers(0, 4)):
        return (values - values.min()) / spread
    return values * draw(st.sampled_from([1, 1e-20, 1e30, -1e80]))


def vote_of(samples: list[np.ndarray], alpha: float, ratio: float, last: bool) -> np.ndarray:
    ordered = [outliers.Ordered.of(sample) for sample in samples]
    return outliers.vote(ordered, alpha=alpha, ratio=ratio, last_only=last)


@kernels.BUILT
@settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    nasty_samples(),
    st.integers(0, 3),
    st.sampled_from([0.05, 0.05, 0.001, 0.3, 1.0]),
    st.sampled_from([0.001, 0.1, 0.25, 0.49]),
    st.booleans(),
)
def test_compiled_vote_is_that_of_numpy(
    sample: np.ndarray, other: int, alpha: float, ratio: float, last: bool
) -> None:
    second = [np.roll(sample, 1), sample[::-1].copy(), np.cumsum(sample)]
    samples = [sample, *second[other : other + 1]]
    kernels.assert_same(vote_of, samples, alpha, ratio, last)
    with np.errstate(all="ignore"):
        kernels.assert_same(outliers.Ordered.of, sample)


def distances(singles: np.ndarray, tested: np.ndarray, upper: bool) -> np.ndarray:
    """Return the greater of the distances from median and mean, in single precision."""
    found = []
    for place in tested:
        rest = singles[place:]
        mean = np.float32(np.add.reduce(rest) / len(rest))
        spread = np.sqrt(np.float32(np.add.reduce(np.square(rest - mean)) / len(rest)))
        found.append((rest[0] - mean if upper else mean - rest[0]) / max(spread, np.float32(1e-8)))
    return np.maximum(found, outliers._median_distance(singles, tested, upper))


@kernels.BUILT
@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("n", [12, 127, 130, 1025, 8195])
@pytest.mark.parametrize("kind", ["normal", "ties", "heavy"])
def test_last_bit_of_a_distance_decides(
    kind: str, n: int, upper: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = sample_of(kind, n)
    singles = np.sort(sample)[:: -1 if upper else 1].astype(np.float32)
    tested = np.arange(min(n // 2 - 1, 40))
    bounds = distances(singles, tested, upper)
    for lowered in (None, *tested[:: max(1, len(tested) // 8)]):
        critical = np.full(n, np.inf, dtype=np.float32)
        critical[tested] = bounds
        if lowered is not None:
            critical[lowered] = np.nextafter(critical[lowered], np.float32(-np.inf))

        def given_values(alpha: float, n: int, most: int, _given: Any = critical) -> np.ndarray:
            return _given[:most]

        monkeypatch.setattr(outliers, "_critical", given_values)
        kernels.assert_same(vote_of, [sample], 0.05, 0.49, False)
        kernels.assert_same(vote_of, [sample], 0.05, 0.49, True)


@kernels.BUILT
@pytest.mark.parametrize("missing", [np.nan, np.inf, -np.inf])
def test_compiled_vote_leaves_what_is_no_number_to_numpy(missing: float) -> None:
    sample = np.random.default_rng(4).normal(size=40)
    sample[[3, 39]] = missing, 30
    kernels.assert_same(vote_of, [sample], 0.05, 0.25, False)
