"""Detection on arrays: what differs from the upstream package because that is wrong there."""

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.dates import num2date

from detector.errors import DetectionError
from detector.series.series import Series
from detector.univariate import detection


def with_gap(weekly_season: pd.DataFrame, **options: object) -> Series:
    frame = weekly_season.drop(index=[20, 21]).reset_index(drop=True)
    return Series.from_frame(frame, {"granularity": "daily", **options})


def test_fixed_imputation_puts_the_value_where_points_are_missing(
    weekly_season: pd.DataFrame,
) -> None:
    by_gap = detection.entire(
        with_gap(weekly_season, imputeMode="fixed", imputeFixedValue=800.0, period=7)
    )
    filled = weekly_season.copy()
    filled.loc[[20, 21], "value"] = 800.0
    whole = detection.entire(Series.from_frame(filled, {"granularity": "daily", "period": 7}))
    kept = np.delete(np.arange(60), [20, 21])
    assert by_gap.expected.tolist() == whole.expected[kept].tolist()


def test_zero_imputation_is_fixed_imputation_with_nought(weekly_season: pd.DataFrame) -> None:
    zero = detection.entire(with_gap(weekly_season, imputeMode="zero"))
    fixed = detection.entire(with_gap(weekly_season, imputeMode="fixed", imputeFixedValue=0))
    assert zero.expected.tolist() == fixed.expected.tolist()


@pytest.mark.parametrize("mode", ["auto", "previous", "linear", "zero", "notFill"])
def test_answer_has_one_entry_for_each_point_sent(weekly_season: pd.DataFrame, mode: str) -> None:
    found = detection.entire(with_gap(weekly_season, imputeMode=mode))
    assert len(found.expected) == len(found.is_anomaly) == len(found.severity) == 58


def test_missing_half_of_a_seasonal_series_is_refused(weekly_season: pd.DataFrame) -> None:
    frame = weekly_season.iloc[[*range(0, 20), 59]]
    series = Series.from_frame(frame, {"granularity": "daily", "period": 7})
    with pytest.raises(DetectionError, match="at least 30 points, but got 21") as caught:
        detection.entire(series)
    assert caught.value.code == "InvalidSeries"


def test_two_seasons_are_required_without_a_granularity_too() -> None:
    series = Series.from_arrays(np.arange(14.0) % 7, request={"period": 7})
    with pytest.raises(DetectionError) as caught:
        detection.latest(series)
    assert caught.value.code == "InvalidModelArgument"


def test_values_beyond_single_precision_without_a_period_are_refused() -> None:
    values = np.random.default_rng(0).normal(size=40)
    values[20] = 40
    with pytest.raises(DetectionError, match=r"3\.4e38") as caught:
        detection.entire(Series.from_arrays(values * 1e90, request={"period": 0}))
    assert caught.value.code == "InvalidSeries"


@pytest.mark.parametrize(
    ("name", "period"),
    [("seasonal_series", 0), ("seasonal_series", 1), ("dynamic_threshold", 7)],
)
def test_detector_that_does_not_fit_the_period_is_refused(name: str, period: int) -> None:
    request = {"detector": {"name": name, "parameters": {"period": period}}}
    series = Series.from_arrays(np.arange(40.0) % 7, request=request)
    with pytest.raises(DetectionError) as caught:
        detection.entire(series)
    assert caught.value.code == "InvalidDetector"


def test_detector_without_any_period_is_refused() -> None:
    request = {"detector": {"name": "spectral_residual", "parameters": {}}}
    with pytest.raises(DetectionError, match="needs a period"):
        detection.entire(Series.from_arrays(np.arange(40.0) % 7, request=request))


@pytest.mark.parametrize("period", [7, 0])
def test_suggested_window_is_four_seasons_or_that_of_the_granularity(
    weekly_season: pd.DataFrame, period: int
) -> None:
    series = Series.from_frame(weekly_season, {"granularity": "daily", "period": period})
    assert detection.latest(series).suggested_window == 29


def test_lower_sensitivity_flags_no_more_points(weekly_season: pd.DataFrame) -> None:
    counts = []
    for sensitivity in (99, 90, 70, 30, 0):
        request = {"granularity": "daily", "sensitivity": sensitivity, "boundaryVersion": "V2"}
        found = detection.entire(Series.from_frame(weekly_season, request))
        counts.append(int(found.is_anomaly.sum()))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


COLUMNS = [
    "timestamp",
    "value",
    "expected_value",
    "upper_margin",
    "lower_margin",
    "is_anomaly",
    "is_positive_anomaly",
    "is_negative_anomaly",
    "severity",
    "period",
]


def test_detection_is_a_table_of_one_row_for_each_point(weekly_season: pd.DataFrame) -> None:
    found = detection.entire(with_gap(weekly_season))
    frame = found.to_frame()
    assert list(frame.columns) == COLUMNS
    assert frame["timestamp"].tolist() == found.timestamps
    assert frame["value"].tolist() == found.values.tolist()
    assert frame["is_positive_anomaly"].tolist() == found.is_positive.tolist()
    assert frame["is_negative_anomaly"].tolist() == found.is_negative.tolist()
    assert set(frame["period"]) == {7}


def test_latest_detection_is_a_table_of_the_last_point(weekly_season: pd.DataFrame) -> None:
    found = detection.latest(with_gap(weekly_season))
    frame = found.to_frame()
    assert list(frame.columns) == [*COLUMNS, "suggested_window"]
    (row,) = frame.to_dict("records")
    assert row["timestamp"] == weekly_season["timestamp"].iloc[-1]
    assert (row["expected_value"], row["suggested_window"]) == (found.expected, 29)


def drawn(axes: Any) -> tuple[list[Any], list[float]]:
    (anomalies,) = [kept for kept in axes.collections if "anomaly" in str(kept.get_label())]
    return [num2date(x).date() for x, _ in anomalies.get_offsets()], [
        float(y) for _, y in anomalies.get_offsets()
    ]


def test_picture_shows_the_anomalies(weekly_season: pd.DataFrame) -> None:
    # As a CSV file has them: strings.
    as_text = weekly_season.assign(timestamp=weekly_season["timestamp"].astype(str))
    request = {"granularity": "daily", "sensitivity": 60}
    picture = detection.entire(Series.from_frame(as_text, request)).plot(title="A week")
    (axes,) = picture.axes
    assert axes.get_title(loc="left") == "A week"
    assert drawn(axes) == ([datetime.date(2024, 2, 10)], [weekly_season["value"][40]])


@pytest.mark.parametrize("rise", [0, 90])
def test_picture_of_the_last_point_marks_no_other(weekly_season: pd.DataFrame, rise: float) -> None:
    frame = weekly_season.copy()
    frame.loc[59, "value"] += rise
    found = detection.latest(Series.from_frame(frame, {"granularity": "daily", "sensitivity": 60}))
    (axes,) = found.plot().axes
    assert len(drawn(axes)[0]) == found.is_anomaly == bool(rise)


def test_picture_of_a_series_without_timestamps_counts_its_points() -> None:
    (axes,) = detection.entire(Series.from_arrays(np.arange(40.0) % 7)).plot().axes
    assert axes.lines[0].get_xdata().tolist() == list(range(40))


def test_picture_of_timestamps_of_several_offsets_is_drawn(weekly_season: pd.DataFrame) -> None:
    times = [f"{day:%Y-%m-%d}T00:00:00Z" for day in weekly_season["timestamp"]]
    times[3] = "2024-01-04T02:00:00+02:00"
    series = Series.from_arrays(weekly_season["value"], times, {"granularity": "daily"})
    assert detection.entire(series).plot().axes[0].lines[0].get_xdata().shape == (60,)


def test_series_whose_every_point_is_an_outlier_is_answered() -> None:
    weeks = pd.date_range("2000-01-01", periods=90, freq="7D")
    request = {"granularity": "weekly", "maxAnomalyRatio": 0.49}
    found = detection.entire(Series.from_arrays([1, 0, 0, 0, 0] * 18, weeks, request))
    assert np.isfinite(found.expected).all()
