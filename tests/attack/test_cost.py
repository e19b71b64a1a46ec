"""Series made to take the processor long."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from detector.series.series import ChangePointSeries, Series
from detector.univariate import changepoint, detection

POINTS = 8640
PLACE = np.arange(POINTS)
NOISE = np.random.default_rng(20261126).normal(size=POINTS)
SPIKES = np.where(PLACE % 211 == 0, 30.0, 0.0)
OPERATIONS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "changepoint": (ChangePointSeries, changepoint.change_points),
    "entire": (Series, detection.entire),
    "last": (Series, detection.latest),
}


def wave(period: float, apart: int = 1) -> Any:
    return np.sin(2 * np.pi * apart * PLACE / period)


def hours(apart: int) -> Any:
    return np.datetime64("2000-01-01", "ns") + PLACE * apart * np.timedelta64(3600 * 10**9, "ns")


def seconds(operation: str, values: Any, apart: int, **options: Any) -> float:
    """Return the least processor time of three detections in points so many hours apart."""
    kind, detect = OPERATIONS[operation]
    series = kind.from_arrays(values, hours(apart), {"granularity": "hourly", **options})
    taken = []
    for _ in range(3):
        started = time.process_time()
        detect(series)
        taken.append(time.process_time() - started)
    return min(taken)


@functools.cache
def usual_seconds(operation: str, apart: int) -> float:
    return seconds(operation, 100 + 10 * wave(24, apart) + NOISE + SPIKES, apart)


@pytest.mark.parametrize(
    ("operation", "values", "apart", "options"),
    [
        # Breaks without end: in a curve each piece may be cut again.
        pytest.param("changepoint", wave(3000), 1, {"stableTrendWindow": 3}, id="curve"),
        pytest.param(
            "changepoint", wave(3000, 2), 2, {"stableTrendWindow": 3}, id="curve with gaps"
        ),
        pytest.param("changepoint", wave(24), 1, {}, id="smooth season"),
        pytest.param(
            "changepoint",
            np.round(np.cumsum(NOISE), 0),
            2,
            {"stableTrendWindow": 3, "period": 2, "threshold": 0.01},
            id="steps of a walk",
        ),
        # All the multiples of a season explain the same.
        pytest.param("entire", PLACE % 2.0, 1, {"imputeMode": "fixed"}, id="every second"),
        pytest.param("entire", wave(5, 2) + NOISE / 10**4, 2, {}, id="near-equal periods"),
        # Every value has to be tested, and none is an outlier.
        pytest.param(
            "entire",
            wave(800, 2) / 10,
            2,
            {"imputeMode": "fixed", "imputeFixedValue": 1e6, "alpha": 0.2, "period": 5}
            | {"maxAnomalyRatio": 0.49},
            id="two heaps",
        ),
        # Eight decompositions, of a grid of twice the points.
        pytest.param("last", wave(5, 2) + NOISE / 5 + SPIKES, 2, {"period": 5}, id="spikes"),
    ],
)
def test_no_series_takes_ten_times_the_usual_one_of_its_length(
    operation: str, values: Any, apart: int, options: dict[str, Any]
) -> None:
    if options.get("imputeMode") == "fixed":
        options = {"imputeFixedValue": 0.0} | options
    usual = usual_seconds(operation, apart)
    # `bench/worst_case.py` measures both; what is refused here took seconds.
    assert seconds(operation, values, apart, **options) < max(10 * usual, 0.5)
