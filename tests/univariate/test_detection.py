"""Detection on arrays: what differs from the upstream package because that is wrong there."""

import numpy as np
import pandas as pd
import pytest

from detector.errors import DetectionError
from detector.series.series import Series
from detector.univariate.detection import detect_entire, detect_latest


def with_gap(weekly_season: pd.DataFrame, **options: object) -> Series:
    frame = weekly_season.drop(index=[20, 21]).reset_index(drop=True)
    return Series.from_frame(frame, {"granularity": "daily", **options})


def test_fixed_imputation_puts_the_value_where_points_are_missing(
    weekly_season: pd.DataFrame,
) -> None:
    by_gap = detect_entire(
        with_gap(weekly_season, imputeMode="fixed", imputeFixedValue=800.0, period=7)
    )
    filled = weekly_season.copy()
    filled.loc[[20, 21], "value"] = 800.0
    whole = detect_entire(Series.from_frame(filled, {"granularity": "daily", "period": 7}))
    kept = np.delete(np.arange(60), [20, 21])
    assert by_gap.expected.tolist() == whole.expected[kept].tolist()


def test_zero_imputation_is_fixed_imputation_with_nought(weekly_season: pd.DataFrame) -> None:
    zero = detect_entire(with_gap(weekly_season, imputeMode="zero"))
    fixed = detect_entire(with_gap(weekly_season, imputeMode="fixed", imputeFixedValue=0))
    assert zero.expected.tolist() == fixed.expected.tolist()


@pytest.mark.parametrize("mode", ["auto", "previous", "linear", "zero", "notFill"])
def test_answer_has_one_entry_for_each_point_sent(weekly_season: pd.DataFrame, mode: str) -> None:
    found = detect_entire(with_gap(weekly_season, imputeMode=mode))
    assert len(found.expected) == len(found.is_anomaly) == len(found.severity) == 58


def test_missing_half_of_a_seasonal_series_is_refused(weekly_season: pd.DataFrame) -> None:
    frame = weekly_season.iloc[[*range(0, 20), 59]]
    series = Series.from_frame(frame, {"granularity": "daily", "period": 7})
    with pytest.raises(DetectionError, match="at least 30 points, but got 21") as caught:
        detect_entire(series)
    assert caught.value.code == "InvalidSeries"


def test_two_seasons_are_required_without_a_granularity_too() -> None:
    series = Series.from_arrays(np.arange(14.0) % 7, request={"period": 7})
    with pytest.raises(DetectionError) as caught:
        detect_latest(series)
    assert caught.value.code == "InvalidModelArgument"


def test_values_beyond_single_precision_without_a_period_are_refused() -> None:
    values = np.random.default_rng(0).normal(size=40)
    values[20] = 40
    with pytest.raises(DetectionError, match=r"3\.4e38") as caught:
        detect_entire(Series.from_arrays(values * 1e90, request={"period": 0}))
    assert caught.value.code == "InvalidSeries"


@pytest.mark.parametrize(
    ("name", "period"),
    [("seasonal_series", 0), ("seasonal_series", 1), ("dynamic_threshold", 7)],
)
def test_detector_that_does_not_fit_the_period_is_refused(name: str, period: int) -> None:
    request = {"detector": {"name": name, "parameters": {"period": period}}}
    series = Series.from_arrays(np.arange(40.0) % 7, request=request)
    with pytest.raises(DetectionError) as caught:
        detect_entire(series)
    assert caught.value.code == "InvalidDetector"


def test_detector_without_any_period_is_refused() -> None:
    request = {"detector": {"name": "spectral_residual", "parameters": {}}}
    with pytest.raises(DetectionError, match="needs a period"):
        detect_entire(Series.from_arrays(np.arange(40.0) % 7, request=request))


@pytest.mark.parametrize("period", [7, 0])
def test_suggested_window_is_four_seasons_or_that_of_the_granularity(
    weekly_season: pd.DataFrame, period: int
) -> None:
    series = Series.from_frame(weekly_season, {"granularity": "daily", "period": period})
    assert detect_latest(series).suggested_window == 29


def test_lower_sensitivity_flags_no_more_points(weekly_season: pd.DataFrame) -> None:
    counts = []
    for sensitivity in (99, 90, 70, 30, 0):
        request = {"granularity": "daily", "sensitivity": sensitivity, "boundaryVersion": "V2"}
        found = detect_entire(Series.from_frame(weekly_season, request))
        counts.append(int(found.is_anomaly.sum()))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]
