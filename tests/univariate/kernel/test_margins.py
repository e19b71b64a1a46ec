"""Margins, flags and severity beside the package's own."""

import numpy as np
import pandas as pd
import pytest
from anomaly_detector.univariate.util import BoundaryVersion, ModelType
from anomaly_detector.univariate.util.refine import get_margins

from detector.univariate.kernel.margins import Margins, Points, compute_v1, compute_v2


@pytest.fixture(autouse=True)
def kernel() -> None:
    """Test once: nothing here is compiled."""


def points_of(seed: int) -> Points:
    noise = np.random.default_rng(seed)
    n = 60
    expected = noise.normal(size=n) * 10.0 ** noise.integers(-2, 4)
    values = expected + noise.normal(size=n) * 10.0 ** noise.integers(-6, 3, n)
    values[:3] = expected[:3]
    flagged = noise.random(n) < 0.3
    negative = expected > values
    scores = np.clip(noise.normal(size=n), 0, 1)
    trend = expected + noise.normal(size=n) if seed % 4 else np.zeros(n)
    return Points(values, expected, flagged, flagged & ~negative, flagged & negative, trend, scores)


def upstream(points: Points, sensitivity: int, version: str, model: ModelType, last: bool) -> tuple:
    table = pd.DataFrame(
        {
            "Value": points.values,
            "expected_value": points.expected,
            "is_anomaly": points.is_anomaly,
            "is_positive_anomaly": points.is_positive,
            "is_negative_anomaly": points.is_negative,
            "Trend": points.trend,
            "Score": points.scores,
        }
    )
    return get_margins(table, sensitivity, model, BoundaryVersion[version], last)


def assert_same(ours: Margins, theirs: tuple) -> None:
    _, upper, lower, negative, positive, anomaly, severity, _, _ = theirs
    assert np.array_equal(ours.upper, np.atleast_1d(upper))
    assert np.array_equal(ours.lower, np.atleast_1d(lower))
    assert np.array_equal(ours.is_negative, np.atleast_1d(negative))
    assert np.array_equal(ours.is_positive, np.atleast_1d(positive))
    assert np.array_equal(ours.is_anomaly, np.atleast_1d(anomaly))
    assert np.array_equal(ours.severity, np.atleast_1d(severity))


SENSITIVITIES = [0, 1, 30, 55, 85, 95, 98, 99, 100]


@pytest.mark.parametrize("sensitivity", SENSITIVITIES)
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.filterwarnings("ignore")
def test_margins_of_version_1_are_those_of_the_package(seed: int, sensitivity: int) -> None:
    for by_score, model in ((False, ModelType.AnomalyDetector), (True, ModelType.SpectralResidual)):
        points = points_of(seed)
        theirs = upstream(points_of(seed), sensitivity, "V1", model, False)
        assert_same(compute_v1(points, sensitivity, by_score=by_score), theirs)


@pytest.mark.parametrize("sensitivity", SENSITIVITIES)
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("last", [False, True])
def test_margins_of_version_2_are_those_of_the_package(
    seed: int, sensitivity: int, last: bool
) -> None:
    points = points_of(seed)
    theirs = upstream(points_of(seed), sensitivity, "V2", ModelType.AnomalyDetector, last)
    assert_same(compute_v2(points, sensitivity, last_only=last), theirs)


def test_points_are_not_changed() -> None:
    points = points_of(1)
    compute_v1(points, 80, by_score=False)
    compute_v2(points, 80, last_only=False)
    assert np.array_equal(points.is_anomaly, points_of(1).is_anomaly)
