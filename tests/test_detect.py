"""Detection from Python: the forms of data, the options by their Python names, the results."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector import (
    DetectionError,
    EntireAnomalyDetector,
    LatestAnomalyDetector,
    detect_change_points,
    detect_entire,
    detect_latest,
)

DAYS = pd.date_range("2024-01-01", periods=60, freq="D")


def forms(frame: pd.DataFrame) -> dict[str, Any]:
    times, values = frame["timestamp"], frame["value"]
    return {
        "frame": frame,
        "frame with more columns": frame.assign(other=1),
        "frame of text": frame.assign(timestamp=times.astype(str)),
        "frame by dates": frame.set_index("timestamp"),
        "frame by dates of another name": frame.set_axis(["day", "sales"], axis=1).set_index("day"),
        "frame by dates with more columns": frame.assign(other=1).set_index("timestamp"),
        "series": frame.set_index("timestamp")["value"],
        "records": frame.to_dict("records"),
        "arrays": (times.to_numpy(), values.to_numpy()),
        "lists": (times.tolist(), values.tolist()),
        "text and numbers": ([f"{day:%Y-%m-%d}" for day in times], values.tolist()),
    }


@pytest.mark.parametrize("form", list(forms(pd.DataFrame({"timestamp": DAYS, "value": 0.0}))))
def test_data_of_every_form_is_read(weekly_season: pd.DataFrame, form: str) -> None:
    expected = detect_entire(weekly_season, granularity="daily")
    data = forms(weekly_season)[form]
    found = detect_entire(data, granularity="daily")
    assert found.expected.tolist() == expected.expected.tolist()
    assert pd.DatetimeIndex(found.timestamps).equals(pd.DatetimeIndex(expected.timestamps))
    assert detect_latest(data, granularity="daily").period == 7
    assert detect_change_points(data, granularity="daily").period == 7


@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Series])
def test_values_alone_are_read_without_a_granularity(
    weekly_season: pd.DataFrame, kind: Any
) -> None:
    found = detect_entire(kind(weekly_season["value"].tolist()), period=7)
    assert found.is_anomaly[40]
    assert list(found.timestamps) == list(range(60))


@pytest.mark.parametrize("granularity", ["daily", "none"])
@pytest.mark.parametrize("data", [None, 7, "values", {}, [], (), pd.DataFrame(), [[1.0]] * 20])
def test_what_is_no_series_is_refused(data: Any, granularity: str) -> None:
    with pytest.raises(DetectionError) as caught:
        detect_entire(data, granularity=granularity)
    assert caught.value.code == "BadArgument"


def test_values_without_timestamps_are_refused_under_a_granularity() -> None:
    with pytest.raises(DetectionError, match="the granularity 'daily' needs timestamps"):
        detect_entire([1.0] * 20, granularity="daily")


def test_data_is_never_changed(weekly_season: pd.DataFrame) -> None:
    frame = weekly_season.set_index("timestamp")
    before = frame.copy()
    detect_entire(frame, granularity="daily").values[:] = 0
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize(
    "option",
    [
        {"granularity": "hour"},
        {"interval": 0},
        {"period": -1},
        {"max_anomaly_ratio": 0.5},
        {"sensitivity": 101},
        {"impute_mode": "guess"},
        {"impute_fixed_value": float("nan")},
        {"boundary_version": "V9"},
        {"alpha": 0},
        {"threshold": "high"},
        {"detector": "hbos"},
    ],
)
@pytest.mark.parametrize("detect", [detect_entire, detect_latest])
def test_message_names_an_option_as_python_does(detect: Any, option: dict[str, Any]) -> None:
    with pytest.raises(DetectionError, match=f"The '{next(iter(option))}' field"):
        detect((DAYS, [1.0] * 60), **{"granularity": "daily", "impute_mode": "fixed"} | option)


@pytest.mark.parametrize("window", [2, 30])
def test_message_names_the_window_as_python_does(window: int) -> None:
    with pytest.raises(DetectionError, match="The 'stable_trend_window' field"):
        detect_change_points((DAYS, [1.0] * 60), granularity="daily", stable_trend_window=window)


def test_change_points_refuse_what_is_no_granularity() -> None:
    with pytest.raises(DetectionError, match="InvalidGranularity"):
        detect_change_points([1.0] * 20, granularity=["daily"])  # type: ignore[arg-type]


def test_options_are_those_of_the_wire(weekly_season: pd.DataFrame) -> None:
    holed = weekly_season.drop(index=[20, 21])
    python = {
        "granularity": "hourly",
        "interval": 24,
        "period": 7,
        "max_anomaly_ratio": 0.1,
        "sensitivity": 70,
        "impute_mode": "fixed",
        "impute_fixed_value": 42.0,
        "boundary_version": "V2",
        "alpha": 0.01,
        "threshold": 3.0,
    }
    wire = {
        "granularity": "hourly",
        "customInterval": 24,
        "period": 7,
        "maxAnomalyRatio": 0.1,
        "sensitivity": 70,
        "imputeMode": "fixed",
        "imputeFixedValue": 42.0,
        "boundaryVersion": "V2",
        "alpha": 0.01,
        "threshold": 3.0,
    }
    answers = EntireAnomalyDetector().predict(None, holed, wire)
    found = detect_entire(holed, **python).to_frame()
    for name, column in found.drop(columns=["timestamp", "value"]).items():
        assert column.tolist() == [answer["result"][name] for answer in answers]
    (answer,) = LatestAnomalyDetector().predict(None, holed, wire)
    (row,) = detect_latest(holed, **python).to_frame().to_dict("records")
    assert {name: row[name] for name in answer["result"]} == answer["result"]


def test_named_detector_takes_the_options_of_the_call(weekly_season: pd.DataFrame) -> None:
    parameters = {"period": 7, "alpha": 0.01, "maxAnomalyRatio": 0.1}
    wire = {
        "granularity": "daily",
        "detector": {"name": "seasonal_series", "parameters": parameters},
    }
    answers = EntireAnomalyDetector().predict(None, weekly_season, wire)
    found = detect_entire(
        weekly_season,
        granularity="daily",
        detector="seasonal_series",
        period=7,
        alpha=0.01,
        max_anomaly_ratio=0.1,
    )
    assert found.expected.tolist() == [answer["result"]["expected_value"] for answer in answers]
    with pytest.raises(DetectionError, match="needs a period"):
        detect_entire(weekly_season, granularity="daily", detector="seasonal_series")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    pattern=st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.0]), min_size=2, max_size=15),
    points=st.sampled_from([12, 30, 90, 180]),
    granularity=st.sampled_from(["weekly", "daily", "hourly", "minutely", "secondly"]),
    ratio=st.sampled_from([0.01, 0.25, 0.4, 0.49]),
    period=st.sampled_from([None, 0, 1]),
)
def test_short_patterns_of_counts_are_answered_or_refused(
    pattern: list[float], points: int, granularity: str, ratio: float, period: int | None
) -> None:
    steps = {"weekly": "7D", "daily": "D", "hourly": "h", "minutely": "min", "secondly": "s"}
    times = pd.date_range("2000-01-01", periods=points, freq=steps[granularity])
    for detect in (detect_entire, detect_latest):
        data = (times, np.resize(pattern, points))
        found = detect(data, granularity=granularity, max_anomaly_ratio=ratio, period=period)
        assert np.isfinite(found.expected).all()
