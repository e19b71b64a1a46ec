"""What is accepted as a series, and how what is not is refused."""

import datetime
import enum
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.errors import DetectionError
from detector.series.options import ChangePointOptions, DetectorChoice, Options
from detector.series.series import ChangePointSeries, Series
from detector.series.timestamps import _of_index, _parsed, read_plain, read_timestamps
from detector.univariate import detection


def points(n: int = 20, start: str = "2024-01-01") -> list[dict[str, Any]]:
    days = pd.date_range(start, periods=n, freq="D")
    return [
        {"timestamp": day.strftime("%Y-%m-%dT%H:%M:%SZ"), "value": float(place % 5)}
        for place, day in enumerate(days)
    ]


def refusal(body: Any, **arguments: Any) -> DetectionError:
    with pytest.raises(DetectionError) as caught:
        Series.from_request(body, **arguments)
    return caught.value


def daily(**options: Any) -> dict[str, Any]:
    return {"series": points(), "granularity": "daily", **options}


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ({"granularity": "fortnightly"}, "InvalidGranularity"),
        ({"granularity": 3}, "InvalidGranularity"),
        ({"customInterval": 0}, "InvalidCustomInterval"),
        ({"customInterval": 1.5}, "InvalidCustomInterval"),
        ({"customInterval": True}, "InvalidCustomInterval"),
        ({"customInterval": "2"}, "InvalidCustomInterval"),
        ({"period": -1}, "InvalidPeriod"),
        ({"period": 2.5}, "InvalidPeriod"),
        ({"period": math.nan}, "InvalidPeriod"),
        ({"alpha": 0}, "InvalidModelArgument"),
        ({"maxAnomalyRatio": 0}, "InvalidModelArgument"),
        ({"maxAnomalyRatio": 1}, "InvalidModelArgument"),
        ({"maxAnomalyRatio": 0.5}, "InvalidModelArgument"),
        ({"maxAnomalyRatio": math.inf}, "InvalidModelArgument"),
        ({"sensitivity": 200}, "InvalidModelArgument"),
        ({"sensitivity": -1}, "InvalidModelArgument"),
        ({"sensitivity": 95.5}, "InvalidModelArgument"),
        ({"threshold": "high"}, "InvalidModelArgument"),
        ({"imputeMode": "guess"}, "InvalidImputeMode"),
        ({"imputeMode": "fixed"}, "InvalidImputeFixedValue"),
        ({"imputeMode": "fixed", "imputeFixedValue": "8"}, "InvalidImputeFixedValue"),
        ({"imputeMode": "fixed", "imputeFixedValue": math.nan}, "InvalidImputeFixedValue"),
        ({"boundaryVersion": "V9"}, "InvalidBoundaryVersion"),
        ({"detector": {"name": "hbos"}}, "MissingDetectorParameters"),
        ({"detector": {"name": "hbos", "parameters": 1}}, "InvalidDetectorParameters"),
        ({"detector": {"parameters": {}}}, "MissingDetectorName"),
        ({"detector": {"name": "oracle", "parameters": {}}}, "InvalidDetector"),
        ({"detector": {"name": "hbos", "parameters": {}}}, "InvalidDetector"),
        ({"period": 10}, "InvalidModelArgument"),
    ],
)
def test_wrong_option_is_refused_with_the_code_of_the_service(
    option: dict[str, Any], code: str
) -> None:
    assert refusal(daily(**option)).code == code


@pytest.mark.parametrize("option", ["granularity", "sensitivity", "maxAnomalyRatio", "imputeMode"])
def test_message_names_the_field_and_the_value(option: str) -> None:
    message = refusal(daily(**{option: "wrong"})).message
    assert f"'{option}'" in message
    assert "'wrong'" in message


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ({"granularity": "fortnightly"}, "InvalidGranularity"),
        ({"interval": 0}, "InvalidCustomInterval"),
        ({"period": -1}, "InvalidPeriod"),
        ({"alpha": 0}, "InvalidModelArgument"),
        ({"max_anomaly_ratio": 0.5}, "InvalidModelArgument"),
        ({"sensitivity": None}, "InvalidModelArgument"),
        ({"threshold": "high"}, "InvalidModelArgument"),
        ({"impute_mode": "guess"}, "InvalidImputeMode"),
        ({"impute_mode": "fixed", "impute_fixed_value": math.nan}, "InvalidImputeFixedValue"),
        ({"boundary_version": "V9"}, "InvalidBoundaryVersion"),
    ],
)
def test_options_are_checked_when_they_are_made(option: dict[str, Any], code: str) -> None:
    with pytest.raises(DetectionError) as caught:
        Options(**option)
    assert caught.value.code == code
    assert f"'{list(option)[-1]}' field" in caught.value.message


@pytest.mark.parametrize("option", [{"threshold": 1}, {"stable_trend_window": 2}, {"interval": 0}])
def test_change_point_options_are_checked_when_they_are_made(option: dict[str, Any]) -> None:
    with pytest.raises(DetectionError, match=f"'{next(iter(option))}' field"):
        ChangePointOptions(granularity="daily", **option)


def test_detector_choice_is_checked_when_it_is_made() -> None:
    with pytest.raises(DetectionError, match="'detector' field can only be"):
        DetectorChoice("oracle", None, 0.05, 3.5, 0.25)
    with pytest.raises(DetectionError, match="'max_anomaly_ratio' field"):
        DetectorChoice("seasonal_series", None, 0.05, 3.5, 0.5)


def test_only_detectors_that_can_be_had_are_offered() -> None:
    message = refusal(daily(detector={"name": "hbos", "parameters": {}})).message
    assert message == (
        "The 'name' field of 'detector' can only be one of the following: spectral_residual, "
        "seasonal_series, dynamic_threshold. It is 'hbos'."
    )


def test_older_names_are_those_of_the_message() -> None:
    assert "'fillUpMode' field" in refusal(daily(fillUpMode="guess")).message
    assert "'fixedValue' field" in refusal(daily(fillUpMode="fixed")).message


def test_made_options_hold_plain_numbers() -> None:
    options = Options(sensitivity=95.0, threshold=3, impute_mode="zero")  # type: ignore[arg-type]
    assert repr((options.sensitivity, options.threshold)) == "(95, 3.0)"
    assert (options.impute_mode, options.impute_fixed_value) == ("fixed", 0.0)


def test_options_are_looked_at_in_the_order_of_the_service() -> None:
    wrong = {
        "granularity": "x",
        "customInterval": 0,
        "period": -1,
        "alpha": 0,
        "maxAnomalyRatio": 1,
        "sensitivity": 200,
        "threshold": "x",
        "imputeMode": "x",
    }
    seen = []
    while wrong:
        seen.append(refusal({"series": [], **wrong}).message)
        wrong.pop(next(iter(wrong)))
    named = [next(name for name in seen_order if f"'{name}'" in text) for text in seen]
    assert named == list(seen_order)


seen_order = (
    "granularity",
    "customInterval",
    "period",
    "alpha",
    "maxAnomalyRatio",
    "sensitivity",
    "threshold",
    "imputeMode",
)


@pytest.mark.parametrize("body", [None, {}, [], "series", 7])
def test_no_json_object_is_refused(body: Any) -> None:
    assert refusal(body).code == "InvalidJsonFormat"


def test_series_is_required() -> None:
    assert refusal({"granularity": "daily"}).code == "RequiredSeries"


@pytest.mark.parametrize("missing", [{}, {"granularity": None}])
def test_a_missing_granularity_is_none(missing: dict[str, Any]) -> None:
    request = {"series": [{"value": float(place)} for place in range(20)]} | missing
    assert Series.from_request(request).options.granularity == "none"
    found = ChangePointSeries.from_request(request)
    assert (found.options.granularity, found.options.threshold) == ("none", 0.9)


def in_pascal_case(record: dict[str, Any]) -> dict[str, Any]:
    return {name[0].upper() + name[1:]: value for name, value in record.items()}


def test_names_of_fields_may_be_in_any_case() -> None:
    usual = daily(sensitivity=80, maxAnomalyRatio=0.1, imputeMode="fixed", imputeFixedValue=7)
    usual["detector"] = {"name": "seasonal_series", "parameters": {"period": 5, "alpha": 0.1}}
    pascal = in_pascal_case(usual)
    pascal["Series"] = [in_pascal_case(point) for point in usual["series"]]
    pascal["Detector"] = {"NAME": "seasonal_series", "Parameters": {"Period": 5, "ALPHA": 0.1}}
    read = [Series.from_request(body) for body in (usual, pascal)]
    assert read[0].options == read[1].options
    assert read[0].timestamps == read[1].timestamps
    np.testing.assert_array_equal(read[0].values, read[1].values)


def test_some_points_may_be_written_otherwise_than_the_rest() -> None:
    series = points()
    series[3] = in_pascal_case(series[3])
    series[4] = {"TIMESTAMP": series[4]["timestamp"], "value": series[4]["value"]}
    read = Series.from_request({"series": series, "granularity": "daily"})
    assert read.values.tolist() == [point["value"] for point in points()]


def test_of_a_field_in_several_spellings_the_usual_one_counts() -> None:
    def sensitivity(**given: Any) -> int:
        return Options.from_request(given).sensitivity

    assert sensitivity(Sensitivity=1, sensitivity=2, SENSITIVITY=3) == 2
    # Also where it is null, and so has the default.
    assert sensitivity(Sensitivity=1, sensitivity=None) == 99
    assert sensitivity(Sensitivity=1, SENSITIVITY=3) == 3
    series = [{"Value": 1.0, "value": float(place), "VALUE": 2.0} for place in range(20)]
    assert Series.from_request({"series": series}).values.tolist() == list(range(20))


def test_a_message_names_the_field_as_usual() -> None:
    refused = refusal({"Series": points(), "Granularity": "daily", "CustomInterval": 0})
    assert refused.message.startswith("The 'customInterval' field")
    series = [*points(12), {"Timestamp": "2024-01-13T00:00:00Z", "Worth": 1}]
    refused = refusal({"Series": series, "Granularity": "daily"})
    assert "index 12" in refused.message
    assert "an object with a 'value'" in refused.message


@pytest.mark.parametrize(
    ("series", "code", "says"),
    [
        (None, "BadArgument", "cannot be empty"),
        ([], "BadArgument", "cannot be empty"),
        ({"timestamp": []}, "BadArgument", "must be array/list type"),
        ("1,2,3", "BadArgument", "must be array/list type"),
        (points(11), "InvalidSeries", "at least 12 points. It has 11"),
        (points(20)[:1] * 8641, "InvalidSeries", "more than 8640 points. It has 8641"),
        ([7.0] * 20, "BadArgument", "index 0"),
        ([{"timestamp": "2024-01-01"}] * 20, "BadArgument", "index 0"),
    ],
)
def test_wrong_series_is_refused(series: Any, code: str, says: str) -> None:
    refused = refusal({"series": series, "granularity": "daily"})
    assert refused.code == code
    assert says in refused.message


@pytest.mark.parametrize(
    ("value", "code", "says"),
    [
        (None, "BadArgument", "none values"),
        (math.nan, "BadArgument", "none values"),
        ("nan", "BadArgument", "none values"),
        ("many", "BadArgument", "malformed"),
        ([1], "BadArgument", "malformed"),
        (math.inf, "InvalidSeries", "magnitude"),
        (-1e101, "InvalidSeries", "magnitude"),
        (10**400, "InvalidSeries", "magnitude"),
    ],
)
def test_wrong_value_is_refused_with_its_index(value: Any, code: str, says: str) -> None:
    body = daily()
    body["series"][4]["value"] = value
    refused = refusal(body)
    assert refused.code == code
    assert says in refused.message
    assert "index 4" in refused.message


@pytest.mark.parametrize("timestamp", [None, "", "tomorrow", 1704067200, "2024-13-01", math.nan])
def test_wrong_timestamp_is_refused_with_its_index(timestamp: Any) -> None:
    body = daily()
    body["series"][4]["timestamp"] = timestamp
    refused = refusal(body)
    assert refused.code == "BadArgument"
    assert "index 4" in refused.message


def test_point_without_timestamp_is_refused_under_a_granularity() -> None:
    body = daily()
    del body["series"][4]["timestamp"]
    assert "index 4 has no 'timestamp'" in refusal(body).message


def test_unsorted_timestamps_are_refused_with_both_places() -> None:
    body = daily()
    body["series"][4], body["series"][5] = body["series"][5], body["series"][4]
    refused = refusal(body)
    assert refused.code == "InvalidSeries"
    assert "ascending" in refused.message
    assert "index 5 (2024-01-05T00:00:00Z)" in refused.message


def test_duplicated_timestamp_is_refused() -> None:
    body = daily()
    body["series"][4]["timestamp"] = body["series"][3]["timestamp"]
    refused = refusal(body)
    assert refused.code == "InvalidSeries"
    assert "index 3 and 4 are both 2024-01-04T00:00:00Z" in refused.message


def test_timestamp_off_the_grid_is_refused_in_the_words_of_the_service() -> None:
    body = daily()
    body["series"][4]["timestamp"] = "2024-01-05T00:00:01Z"
    refused = refusal(body)
    assert refused.code == "InvalidSeries"
    assert refused.message.startswith(
        "The 'timestamp' at index 4 is invalid in daily granularity with 1 gran as interval."
    )
    assert "2024-01-05T00:00:01Z" in refused.message


def test_two_points_of_one_month_are_refused() -> None:
    series = points(12, "2024-01-31")
    stamps = [f"2024-{month:02d}-28" for month in range(2, 12)]
    for point, stamp in zip(series, ["2023-02-28", "2023-03-28", *stamps], strict=True):
        point["timestamp"] = stamp
    series[1]["timestamp"], series[2]["timestamp"] = "2023-03-28", "2023-03-31"
    assert refusal({"series": series, "granularity": "monthly"}).code == "InvalidSeries"


@pytest.mark.parametrize(
    ("granularity", "timestamps"),
    [
        ("monthly", pd.date_range("2020-01-31", periods=20, freq="ME")),
        ("monthly", pd.date_range("2020-01-15", periods=20, freq="MS")),
        ("yearly", pd.date_range("1980-01-01", periods=20, freq="YS")),
        ("weekly", pd.date_range("1980-01-01", periods=20, freq="7D")),
        ("hourly", pd.date_range("1980-01-01", periods=20, freq="D")),
        ("secondly", pd.date_range("1980-01-01", periods=20, freq="s")),
        ("microsecond", pd.date_range("1980-01-01", periods=20, freq="ms")),
        ("microsecond", pd.date_range("1980-01-01", periods=20, freq="us")),
    ],
)
def test_points_on_the_grid_are_accepted(granularity: str, timestamps: pd.DatetimeIndex) -> None:
    frame = pd.DataFrame({"timestamp": timestamps, "value": range(20)})
    series = Series.from_frame(frame, {"granularity": granularity})
    step = 24 if granularity == "hourly" else 1
    assert series.index.tolist() == list(range(0, 20 * step, step))


def test_gap_leaves_its_place_in_the_index() -> None:
    body = daily()
    del body["series"][3:5]
    series = Series.from_request(body)
    assert series.index.tolist() == [0, 1, 2, *range(5, 20)]
    assert series.grid_length == 20


def test_months_are_counted_by_the_clock_they_were_written_by() -> None:
    months = pd.date_range("2024-01-01", periods=15, freq="MS")
    series = [{"timestamp": f"{day:%Y-%m-%d}T00:00:00+02:00", "value": 1} for day in months]
    found = Series.from_request({"series": series, "granularity": "monthly"})
    assert found.index.tolist() == list(range(15))


@pytest.mark.parametrize(
    "write",
    [
        lambda day: day.strftime("%Y-%m-%d"),
        lambda day: day.strftime("%Y-%m-%dT%H:%M:%S"),
        lambda day: day.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        lambda day: day.strftime("%Y-%m-%dT%H:%M:%S.0000000Z"),
        lambda day: day.strftime("%Y-%m-%d %H:%M:%S+00:00"),
        lambda day: day.strftime("%Y-%m-%dT%H:%M:%S-08:00"),
        lambda day: day.to_pydatetime(),
        lambda day: day.to_pydatetime().replace(tzinfo=datetime.UTC),
        lambda day: day.to_datetime64(),
        lambda day: day.date(),
    ],
)
def test_timestamps_of_all_forms_are_accepted(write: Any) -> None:
    days = pd.date_range("2024-01-01", periods=20, freq="D")
    series = [{"timestamp": write(day), "value": 1.0} for day in days]
    found = Series.from_request({"series": series, "granularity": "daily"})
    assert found.index.tolist() == list(range(20))
    assert found.timestamps == [point["timestamp"] for point in series]


def test_forms_may_be_mixed() -> None:
    body = daily()
    body["series"][1]["timestamp"] = "2024-01-02T00:00:00.000Z"
    body["series"][2]["timestamp"] = "2024-01-03T02:00:00+02:00"
    assert Series.from_request(body).index.tolist() == list(range(20))


@pytest.mark.parametrize("values", [["32858923"] * 20, [5] * 20, np.arange(20, dtype="float32")])
def test_numbers_of_all_forms_are_accepted(values: Any) -> None:
    assert Series.from_arrays(values).values.dtype == float


def test_null_options_keep_their_defaults_and_unknown_keys_are_ignored() -> None:
    empty = {"period": None, "sensitivity": None, "imputeMode": None, "needDetectorId": True}
    assert Options.from_request(empty) == Options()


def test_whole_floats_pass_for_integers_and_integers_for_floats() -> None:
    options = Options.from_request(
        {"sensitivity": 95.0, "period": 7.0, "customInterval": 2.0, "threshold": 3, "alpha": 1}
    )
    assert (options.sensitivity, options.period, options.interval) == (95, 7, 2)
    assert isinstance(options.sensitivity, int)
    assert isinstance(options.threshold, float)


def test_numpy_numbers_pass_for_numbers() -> None:
    given = {"sensitivity": np.int64(95), "maxAnomalyRatio": np.float32(0.25)}
    assert Options.from_request(given).sensitivity == 95


def test_granularity_may_be_an_enumeration_of_strings() -> None:
    class Granularity(str, enum.Enum):  # noqa: UP042 - as those of the SDKs are
        DAILY = "daily"

    assert Options.from_request({"granularity": Granularity.DAILY}).granularity == "daily"


def test_zero_is_the_fixed_value_nought() -> None:
    options = Options.from_request({"imputeMode": "zero"})
    assert (options.impute_mode, options.impute_fixed_value) == ("fixed", 0.0)


def test_older_names_of_imputation_are_known() -> None:
    options = Options.from_request({"fillUpMode": "fixed", "fixedValue": 8})
    assert (options.impute_mode, options.impute_fixed_value) == ("fixed", 8.0)


def test_input_is_never_changed() -> None:
    body = daily(sensitivity=95, detector=None)
    before = repr(body)
    series = Series.from_request(body)
    series.values[:] = 0
    assert repr(body) == before


def test_frame_is_never_changed(weekly_season: pd.DataFrame) -> None:
    before = weekly_season.copy()
    series = Series.from_frame(weekly_season, {"granularity": "daily"})
    detection.entire(series)
    series.values[:] = 0
    pd.testing.assert_frame_equal(weekly_season, before)


@pytest.mark.parametrize(
    "frame",
    [
        None,
        [],
        pd.DataFrame(),
        pd.DataFrame({"timestamp": [], "value": []}),
        pd.DataFrame({"timestamp": range(20)}),
        pd.DataFrame({"value": range(20)}),
        pd.DataFrame(np.ones((20, 2)), columns=["value", "value"]),
    ],
)
def test_wrong_frame_is_refused(frame: Any) -> None:
    with pytest.raises(DetectionError) as caught:
        Series.from_frame(frame, {"granularity": "daily"})
    assert caught.value.code == "BadArgument"


def test_arrays_of_different_length_are_refused() -> None:
    with pytest.raises(DetectionError, match="19 timestamps for 20 values"):
        Series.from_arrays(range(20), pd.date_range("2024", periods=19), {"granularity": "daily"})


@pytest.mark.parametrize("granularity", ["daily", "monthly", "yearly", "microsecond"])
def test_interval_beyond_all_time_leaves_every_point_off_the_grid(granularity: str) -> None:
    refused = refusal(daily() | {"granularity": granularity, "customInterval": 10**30})
    assert refused.code == "InvalidSeries"


def test_integer_too_long_to_be_written_is_refused() -> None:
    body = daily()
    body["series"][4]["value"] = 10**5000
    assert "index 4 is an integer of 16610 bits" in refusal(body).message


@pytest.mark.parametrize("values", [None, 7, "text", np.ones((20, 2)), [[1.0]] * 20])
def test_arrays_must_have_one_dimension(values: Any) -> None:
    with pytest.raises(DetectionError) as caught:
        Series.from_arrays(values)
    assert caught.value.code == "BadArgument"


def test_options_must_be_an_object(weekly_season: pd.DataFrame) -> None:
    with pytest.raises(DetectionError, match="not \\['daily'\\]"):
        Series.from_frame(weekly_season, ["daily"])  # type: ignore[arg-type]


def refused_by(detect: Any) -> DetectionError | None:
    try:
        detect()
    except DetectionError as error:
        return error
    return None


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["daily", "fixed", "2024-01-01", "V2", 0.25, 7, 1e100, "1e400"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)
names = st.sampled_from(
    [
        "granularity",
        "customInterval",
        "period",
        "alpha",
        "maxAnomalyRatio",
        "sensitivity",
        "threshold",
        "imputeMode",
        "imputeFixedValue",
        "boundaryVersion",
        "detector",
        "extra",
    ]
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    options=st.dictionaries(names, anything, max_size=3),
    changes=st.lists(
        st.tuples(st.integers(0, 29), st.sampled_from(["timestamp", "value"]), anything),
        max_size=2,
    ),
    granularity=st.sampled_from(["daily", "hourly", "monthly", "none", "microsecond"]),
)
def test_fuzzed_requests_raise_nothing_but_detection_errors(
    options: dict[str, Any], changes: list[tuple[int, str, Any]], granularity: str
) -> None:
    series = points(30)
    for place, name, value in changes:
        series[place][name] = value
    body = {"series": series, "granularity": granularity, **options}
    for detect in (detection.entire, detection.latest):
        refused = refused_by(lambda detect=detect: detect(Series.from_request(body)))
        assert refused is None or (refused.code and refused.message.endswith("."))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    values=st.lists(
        st.floats(-1e100, 1e100) | st.sampled_from([0.0, 1.0, 1e-300, 5e-324, -1e100]),
        min_size=12,
        max_size=40,
    ),
    options=st.fixed_dictionaries(
        {
            "period": st.sampled_from([None, 0, 1, 2, 5]),
            "boundaryVersion": st.sampled_from(["V1", "V2"]),
            "granularity": st.sampled_from(["daily", "minutely"]),
        }
    ),
)
def test_numbers_of_any_size_raise_nothing_but_detection_errors(
    values: list[float], options: dict[str, Any]
) -> None:
    frequency = {"daily": "D", "minutely": "min"}[options["granularity"]]
    times = pd.date_range("2024-01-01", periods=len(values), freq=frequency)
    for detect in (detection.entire, detection.latest):
        refused = refused_by(
            lambda detect=detect: detect(Series.from_arrays(values, times, options))
        )
        assert refused is None or refused.code


@pytest.mark.parametrize("word", ["now", "today"])
def test_a_word_for_this_day_is_no_timestamp(word: str) -> None:
    with pytest.raises(DetectionError, match=f"index 5 is '{word}', and must be a date"):
        read_timestamps(["2024-01-01"] * 5 + [word] + ["2024-01-02"] * 3)


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_the_first_of_many_unreadable_timestamps_is_named(count: int) -> None:
    for place in range(count):
        timestamps = ["2024-01-01T00:00:00Z"] * place + ["no date"] * (count - place)
        with pytest.raises(DetectionError, match=f"index {place} is 'no date'"):
            read_timestamps(timestamps)


def test_a_period_that_no_number_of_the_wire_holds_is_refused() -> None:
    for period in (2**31, 1e20, 10**4300 - 1):
        with pytest.raises(DetectionError) as caught:
            Options(period=period)
        assert caught.value.code == "InvalidPeriod"
    assert Options(period=2**31 - 1).period == 2**31 - 1


clocks = st.datetimes(
    min_value=datetime.datetime(1600, 1, 1),
    max_value=datetime.datetime(2300, 1, 1),
).map(lambda moment: moment.replace(microsecond=0))


@st.composite
def written_timestamps(draw: st.DrawFn) -> list[Any]:
    """Draw timestamps of one notation, one of them now and then written a little wrong."""
    notations = [f"%Y-%m-%d{mark}%H:%M:%S{zone}" for mark in "T " for zone in ("", "Z")]
    others = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S.000Z", "%Y-%m-%dT%H:%M", "%m/%d/%Y"]
    notation = draw(st.sampled_from([*notations, *others]))
    texts: list[Any] = [f"{clock:{notation}}" for clock in draw(st.lists(clocks, min_size=1))]
    for _ in range(draw(st.integers(0, 2))):
        which = draw(st.integers(0, len(texts) - 1))
        text = texts[which]
        place = draw(st.integers(0, len(text)))
        other = draw(st.sampled_from("0123456789-:TZ +.tz/e\u0660\u00e9\0") | st.just(""))
        texts[which] = text[:place] + other + text[place + draw(st.integers(0, 1)) :]
    return texts


def read_in_general(timestamps: list[Any]) -> Any:
    times = _of_index(_parsed(timestamps))
    return times.elapsed.tolist(), times.wall.tolist()


@settings(max_examples=500, deadline=None, derandomize=True)
@given(timestamps=written_timestamps())
def test_plain_timestamps_are_read_as_in_the_general_way(timestamps: list[Any]) -> None:
    plain = read_plain(timestamps)
    if plain is not None:
        times = read_timestamps(timestamps)
        assert (times.elapsed.tolist(), times.wall.tolist()) == read_in_general(timestamps)


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-29",
        "1678-01-01 00:00:00",
        "2024-02-29T23:59:59",
        "2261-12-31T23:59:59Z",
        "2024-02-29 00:00:00Z",
    ],
)
def test_the_usual_notations_are_plain(text: str) -> None:
    assert read_plain([text] * 3) is not None


@pytest.mark.parametrize(
    "texts",
    [
        ["2023-02-29"],
        ["2024-01-01T24:00:00Z"],
        ["2024-01-01T00:00:60Z"],
        ["1677-12-31"],
        ["2262-01-01"],
        ["2024-01-01t00:00:00z"],
        ["2024-01-01", "2024-01-01T00:00:00Z"],
        ["2024-01-01T00:00:00", "2024-01-01 00:00:00"],
        ["2024-01-012", "024-01-01"],
        ["2024-01-01", None],
        ["\u0662024-01-01"],
        [""],
    ],
)
def test_what_is_not_plain_is_left_to_the_general_way(texts: list[Any]) -> None:
    assert read_plain(texts) is None


@pytest.mark.parametrize("unit", ["ns", "us", "s"])
@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Kolkata"])
def test_dates_of_any_unit_and_zone_are_read(unit: str, zone: str | None) -> None:
    dates = pd.date_range("2024-01-01", periods=20, freq="D", tz=zone).as_unit(unit)
    times = read_timestamps(pd.Series(dates))
    assert times.wall.equals(dates.tz_localize(None))
    assert times.elapsed[0] == dates[0].timestamp() * 1e6
    with pytest.raises(DetectionError, match="index 3 is missing"):
        read_timestamps(pd.Series([*dates[:3], pd.NaT]))
