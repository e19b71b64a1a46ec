"""The outlier tests beside the package's compiled ones."""

import math

import numpy as np
import pytest
from anomaly_detector.univariate.detectors import ESD, ZScoreDetector
from anomaly_detector.univariate.model.detect import detect
from anomaly_detector.univariate.util import Direction, get_verified_majority_value
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


def upstream(sample: np.ndarray, alpha: float, ratio: float, last: bool) -> list[int]:
    ordered = Series(sample).sort_values()
    n = len(sample)
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
        assert ours.tolist() == upstream(sample, alpha, ratio, last)


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
