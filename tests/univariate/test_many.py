"""Many series of one table, each answered as if it were alone."""

from __future__ import annotations

from typing import Any

import kernels
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import detector
from detector import DetectionError
from detector.univariate import many


def fleet(count: int = 5, points: int = 40) -> pd.DataFrame:
    """Return daily series with a season of 7 and one outlier each, by their name."""
    noise = np.random.default_rng(count)
    days = pd.date_range("2024-01-01", periods=points, freq="D")
    frames = []
    for place in range(count):
        values = 50 + 10 * np.sin(2 * np.pi * np.arange(points) / 7) + noise.normal(size=points)
        values[9 + place] += 30
        frames.append(pd.DataFrame({"series": f"s{place}", "timestamp": days, "value": values}))
    return pd.concat(frames, ignore_index=True)


def alone(frame: pd.DataFrame, mode: str = "entire", **options: Any) -> pd.DataFrame:
    """Return what a plain loop finds."""
    detect = {
        "entire": detector.detect_entire,
        "latest": detector.detect_latest,
        "change_points": detector.detect_change_points,
    }[mode]
    parts = []
    for name, series in frame.groupby("series", sort=False):
        found = detect(series[["timestamp", "value"]], **options).to_frame()
        parts.append(found.assign(series=name))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("mode", ["entire", "latest", "change_points"])
@pytest.mark.parametrize("threads", [1, 3])
def test_answers_are_those_of_each_series_alone(
    mode: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that there are several pieces of work.
    monkeypatch.setattr(many, "_AT_ONCE", 60)
    frame = fleet(9)
    found = detector.detect_many(
        frame, by="series", mode=mode, threads=threads, granularity="daily"
    )
    expected = alone(frame, mode, granularity="daily")
    assert found["error"].isna().all()
    pd.testing.assert_frame_equal(found[expected.columns], expected, check_exact=True)


def test_rows_may_lie_apart_and_keys_be_several_columns() -> None:
    frame = fleet(4)
    shuffled = frame.sort_values(["timestamp", "series"], ascending=[True, False])
    shuffled = shuffled.assign(plant=shuffled["series"].isin(["s0", "s1"]), line=7)
    found = detector.detect_many(shuffled, by=["plant", "line", "series"], granularity="daily")
    assert found["series"].drop_duplicates().tolist() == ["s3", "s2", "s1", "s0"]
    expected = alone(frame, granularity="daily")
    by_series = found.sort_values(["series", "timestamp"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(by_series[expected.columns], expected, check_exact=True)
    assert found.columns[:5].tolist() == ["plant", "line", "series", "timestamp", "value"]


@pytest.mark.parametrize("mode", ["entire", "latest", "change_points"])
def test_a_bad_series_has_its_error_and_the_others_are_answered(mode: str) -> None:
    frame = fleet(5).astype({"value": object})
    frame.loc[45, "value"] = None
    frame.loc[81, "timestamp"] = pd.Timestamp("2023-01-01")
    frame = frame.drop(range(125, 160))
    found = detector.detect_many(frame, by="series", mode=mode, granularity="daily")
    errors = found.groupby("series")["error"].first()
    assert errors["s0"] is None
    assert errors["s4"] is None
    assert errors["s1"].startswith("BadArgument: The 'series' field cannot have none values.")
    assert errors["s2"].startswith("InvalidSeries: The 'series' field must be sorted")
    assert errors["s3"].startswith("InvalidSeries: The 'series' field must have at least 12")
    wrong = found[found["error"].notna()]
    assert len(wrong) == (3 if mode == "latest" else 40 + 40 + 5)
    flag = "is_change_point" if mode == "change_points" else "is_anomaly"
    assert not wrong[flag].any()
    assert found[flag].dtype == bool
    good = frame[frame["series"].isin(["s0", "s4"])].astype({"value": float})
    expected = alone(good, mode, granularity="daily")
    answered = found[found["error"].isna()].reset_index(drop=True).astype({"value": float})
    pd.testing.assert_frame_equal(answered[expected.columns], expected, check_exact=True)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(lambda at: at.strftime("%Y-%m-%dT%H:%M:%SZ"), id="as clients write it"),
        pytest.param(lambda at: at.strftime("%m/%d/%Y %H:%M:%S"), id="in another notation"),
        pytest.param(lambda at: at.tz_localize("Europe/Berlin"), id="with a zone"),
    ],
)
def test_timestamps_are_read_in_any_form(written: Any) -> None:
    frame = fleet(3)
    frame["timestamp"] = written(pd.DatetimeIndex(frame["timestamp"]))
    found = detector.detect_many(frame, by="series", granularity="daily")
    expected = alone(frame, granularity="daily")
    assert found["timestamp"].tolist() == frame["timestamp"].tolist()
    pd.testing.assert_series_equal(found["expected_value"], expected["expected_value"])


def test_without_a_granularity_there_need_be_no_timestamps() -> None:
    frame = fleet(3).drop(columns="timestamp").rename(columns={"value": "load"})
    found = detector.detect_many(frame, by="series", value="load", period=7)
    assert "timestamp" not in found
    whole = detector.detect_entire(frame["load"][:40].to_numpy(), period=7)
    assert found["expected_value"][:40].tolist() == whole.expected.tolist()


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    st.lists(
        st.lists(
            st.sampled_from([0.0, 1.0, 2.5, -7.0, 1e9, 1e101, float("nan"), float("inf")]),
            min_size=1,
            max_size=30,
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["entire", "latest", "change_points"]),
)
def test_no_series_stops_the_others(series: list[list[float]], mode: str) -> None:
    frame = pd.concat(
        [pd.DataFrame({"series": place, "value": each}) for place, each in enumerate(series)]
    )
    options = {"granularity": "none"}
    found = detector.detect_many(frame, by="series", mode=mode, **options)
    detect = {
        "entire": detector.detect_entire,
        "latest": detector.detect_latest,
        "change_points": detector.detect_change_points,
    }[mode]
    for place, values in enumerate(series):
        rows = found[found["series"] == place]
        found_alone = kernels.outcome(detect, values, **options)
        if isinstance(found_alone, tuple):
            assert set(rows["error"]) == {": ".join(found_alone)}
            continue
        assert rows["error"].isna().all()
        expected = found_alone.to_frame().drop(columns="timestamp")
        assert rows[expected.columns].to_numpy().tolist() == expected.to_numpy().tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "pump"}, "The table must have one column 'pump', and has the columns 'series'"),
        ({"by": "value"}, "'by' names the column 'value', which has another meaning"),
        ({"by": "series", "mode": "all"}, "The 'mode' must be one of entire, latest"),
        ({"by": "series", "threads": 0}, "'threads' must be at least 1, not 0"),
        ({"by": "series", "granularity": "dayly"}, "The 'granularity' field can only be one of"),
        ({"by": "series", "granularity": "daily", "timestamp": "day"}, "one column 'day'"),
    ],
)
def test_what_is_wrong_for_all_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DetectionError) as caught:
        detector.detect_many(fleet(2), **options)
    assert message in str(caught.value)


def test_an_option_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match="sensitivty"):
        detector.detect_many(fleet(1), by="series", sensitivty=3)


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(DetectionError, match="at least one row"):
        detector.detect_many(pd.DataFrame({"series": [], "value": []}), by="series")


def test_a_failure_names_the_series_and_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "_AT_ONCE", 1)
    begun = []

    def fail(series: Any) -> Any:
        begun.append(series)
        raise ZeroDivisionError

    kind = many.MODES["entire"]
    monkeypatch.setitem(many.MODES, "entire", many.Mode(kind.series, fail, kind.nothing))
    with pytest.raises(ZeroDivisionError) as caught:
        detector.detect_many(fleet(30), by="series", threads=2, granularity="daily")
    assert caught.value.__notes__[0].startswith("In series ")
    assert len(begun) < 30


def test_progress_is_shown_of_what_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = fleet(20)
    detector.detect_many(frame, by="series", granularity="daily", progress=True)
    assert capsys.readouterr().err.strip() == ""
    monkeypatch.setattr(many, "_PATIENCE", 0.0)
    detector.detect_many(frame, by="series", granularity="daily", progress=True)
    assert "20/20" in capsys.readouterr().err


def test_data_is_not_changed() -> None:
    frame = fleet(2)
    before = frame.copy()
    detector.detect_many(frame, by="series", granularity="daily")
    pd.testing.assert_frame_equal(frame, before)
