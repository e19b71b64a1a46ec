"""The count of flags of each sensitivity is that of a detection with it."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import oracle
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, seed, settings

from detector.errors import DetectionError
from detector.series.series import Series
from detector.univariate import detection
from detector.univariate.tuning import nearest_count, tune

SEED = 20261127


def counts_of_detections(series: Series) -> list[int]:
    return [
        int(np.count_nonzero(detection.entire(chosen).is_anomaly))
        for chosen in (
            replace(series, options=replace(series.options, sensitivity=sensitivity))
            for sensitivity in range(100)
        )
    ]


def faulty(n: int = 200, step: int = 7, **request: Any) -> Series:
    """Return a seasonal series with noise and faults of rising size."""
    noise = np.random.default_rng(SEED)
    values = 100 + 10 * np.sin(np.arange(n) * 2 * np.pi / step) + noise.normal(0, 1, n)
    places = np.arange(9, n, n // 10)
    values[places] += np.linspace(4, 90, len(places))
    times = pd.date_range("2024-01-01", periods=n, freq="D")
    return Series.from_arrays(values, times, {"granularity": "daily", **request})


@seed(SEED)
@settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(oracle.series(longest=200))
def test_generated_series_are_counted_as_detections_flag_them(
    drawn: tuple[str, pd.DataFrame, dict[str, Any]],
) -> None:
    _, frame, params = drawn
    try:
        series = Series.from_frame(frame, params)
        expected = counts_of_detections(series)
    except DetectionError as error:
        refusal = str(error)
        with pytest.raises(DetectionError, match=f"^{re.escape(refusal)}$"):
            tune(Series.from_frame(frame, params))
        return
    curve = tune(series, 0.05)
    assert curve.anomalies.tolist() == expected
    assert curve.sensitivity == nearest_count(np.array(expected), max(0.05 * len(frame), 1))


@pytest.mark.parametrize("boundary", ["V1", "V2"])
@pytest.mark.parametrize(
    "request_",
    [
        {"period": 7},
        {"period": 0},
        {"period": 7, "maxAnomalyRatio": 0.02},
        {"granularity": "minutely", "period": 0},
        {"detector": {"name": "spectral_residual", "parameters": {"period": 0}}},
        {"detector": {"name": "dynamic_threshold", "parameters": {"period": 0}}},
        {"detector": {"name": "seasonal_series", "parameters": {"period": 7}}},
    ],
    ids=["season", "trend", "few", "saliency", "residual", "threshold", "named season"],
)
def test_every_method_is_counted_as_it_flags(boundary: str, request_: dict[str, Any]) -> None:
    frequency = "min" if request_.get("granularity") == "minutely" else "D"
    values = faulty().values
    times = pd.date_range("2024-01-01", periods=len(values), freq=frequency)
    request = {"granularity": "daily", **request_, "boundaryVersion": boundary}
    series = Series.from_arrays(values, times, request)
    curve = tune(series)
    assert curve.anomalies.tolist() == counts_of_detections(series)
    assert curve.anomalies.max() > 0


def test_share_chooses_the_sensitivity_that_flags_it() -> None:
    series = faulty(boundaryVersion="V2")
    for share in (0.01, 0.02, 0.04):
        curve = tune(series, share)
        assert curve.anomalies[curve.sensitivity] == share * curve.points
    assert tune(series, 0.01).sensitivity < tune(series, 0.04).sensitivity


@pytest.mark.parametrize(
    ("counts", "wanted", "nearest"),
    [
        ([0, 0, 2, 2, 5], 2.4, 2),
        ([0, 0, 2, 2, 5], 0.4, 1),
        ([0, 0, 2, 2, 5], 1.0, 1),
        ([0, 0, 2, 2, 5], 3.5, 2),
        ([0, 0, 2, 2, 5], 90, 4),
        ([3, 3, 3], 1, 0),
        ([0, 0, 0], 1, 2),
    ],
    ids=["near", "less than one", "none or two", "two or five", "more", "always", "never"],
)
def test_lowest_of_equally_near_is_chosen_and_the_highest_that_flags_nothing(
    counts: list[int], wanted: float, nearest: int
) -> None:
    assert nearest_count(np.array(counts), wanted) == nearest


def test_share_of_less_than_a_point_is_one_point() -> None:
    curve = tune(faulty(40, boundaryVersion="V2"), 0.01)
    assert curve.anomalies[curve.sensitivity] == 1
    assert curve.anomalies[curve.sensitivity - 1] == 0


def test_sensitivity_of_the_options_is_not_looked_at() -> None:
    low, high = (tune(faulty(sensitivity=each)) for each in (0, 100))
    assert low.anomalies.tolist() == high.anomalies.tolist()


def test_calm_series_is_never_flagged() -> None:
    curve = tune(Series.from_arrays(np.tile([1.0, 2.0, 3.0], 20), request={"period": 3}))
    assert not curve.anomalies.any()
    assert curve.sensitivity == 99


def test_gaps_are_no_points() -> None:
    whole = faulty()
    kept = np.delete(np.arange(200), [20, 21])
    times = np.asarray(whole.timestamps)[kept]
    curve = tune(Series.from_arrays(whole.values[kept], times, {"granularity": "daily"}))
    assert curve.points == 198


@pytest.mark.parametrize("share", [0, -0.1, 0.5, "1%", None, True, float("nan")])
def test_share_that_is_none_is_refused_by_the_callers_name(share: Any) -> None:
    with pytest.raises(DetectionError, match="'anomalyShare' field must be") as caught:
        tune(faulty(), share)
    assert caught.value.code == "InvalidModelArgument"


def test_curve_is_a_table_and_a_picture() -> None:
    curve = tune(faulty(boundaryVersion="V2"), 0.02)
    frame = curve.to_frame()
    assert list(frame.columns) == ["sensitivity", "anomalies", "share"]
    assert len(frame) == 100
    assert frame["share"][curve.sensitivity] == 0.02
    (axes,) = curve.plot(title="Faults").axes
    assert axes.get_title(loc="left") == "Faults"
    drawn = [text.get_text() for text in axes.get_legend().get_texts()]
    assert f"sensitivity {curve.sensitivity}: 4 flagged" in drawn
