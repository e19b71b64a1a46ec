"""Requests about many variables: what is refused and what is tolerated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

MODELS = "/anomalydetector/v1.1/multivariate/models"
PREVIEW = "/anomalydetector/v1.1-preview.1/multivariate"


def changed(place: int, **fields: Any) -> Callable[[dict[str, Any]], Any]:
    def change(request: dict[str, Any]) -> Any:
        request["variables"][place].update(fields)
        return request

    return change


def with_lists(place: int, field: str, change: Callable[[list[Any]], list[Any]]) -> Any:
    def make(request: dict[str, Any]) -> Any:
        variable = request["variables"][place]
        variable[field] = change(variable[field])
        return request

    return make


def with_variables(change: Callable[[list[Any]], Any]) -> Any:
    return lambda request: request | {"variables": change(request["variables"])}


REFUSED_LATEST: list[tuple[str, str, Callable[[dict[str, Any]], Any]]] = [
    ("InvalidJsonFormat", "Invalid JSON format", lambda r: b""),
    ("InvalidJsonFormat", "Invalid Json Format", lambda r: b"{"),
    ("InvalidJsonFormat", "Invalid JSON format", lambda r: [r]),
    ("BadArgument", "'variables' field must be a list", lambda r: {}),
    ("BadArgument", "'variables' field must be a list", with_variables(lambda v: [])),
    (
        "BadArgument",
        "'variables' field must have an object at index 1",
        with_variables(lambda v: [v[0], "speed"]),
    ),
    ("BadArgument", "must have a name in 'variable' at index 0", changed(0, variable=7)),
    ("BadArgument", "a list in 'values' of the variable 'pressure'", changed(0, values="1")),
    (
        "BadArgument",
        "has 28 'timestamps' and 27 'values'",
        with_lists(2, "values", lambda v: v[1:]),
    ),
    (
        "BadArgument",
        "'topContributorCount' field must be a whole number from 1 to 30",
        lambda r: r | {"topContributorCount": 31},
    ),
    (
        "InvalidTimestampFormat",
        "'yesterday' is not a valid format",
        with_lists(1, "timestamps", lambda t: [*t[:5], "yesterday", *t[6:]]),
    ),
    (
        "InvalidTimestampFormat",
        "20260101 is not a valid format",
        with_lists(1, "timestamps", lambda t: [20260101, *t[1:]]),
    ),
    (
        "MergeDataFailed",
        "2026-01-01T04:32:00Z is there more than once",
        with_lists(0, "timestamps", lambda t: [t[0], *t[:-1]]),
    ),
    (
        "VariableParseError",
        "index 3 of the variable 'speed' is 'fast'",
        with_lists(1, "values", lambda v: [*v[:3], "fast", *v[4:]]),
    ),
    (
        "VariableParseError",
        "index 3 of the variable 'speed' is 1e+101",
        with_lists(1, "values", lambda v: [*v[:3], 1e101, *v[4:]]),
    ),
    ("DuplicatedVariables", "'torque'", with_variables(lambda v: [*v, v[2]])),
    (
        "DataExceedsLimit",
        "at most 300 variables; it has 301",
        with_variables(lambda v: v[:1] * 301),
    ),
    ("DataExceedsLimit", "are 2881; there may be at most 2880", changed(0, values=[1] * 2881)),
    (
        "NotEnoughInput",
        "The length of data is 27",
        with_variables(
            lambda v: [each | {n: each[n][1:] for n in ("timestamps", "values")} for each in v]
        ),
    ),
    (
        "NoData",
        "there is not one timestamp",
        with_variables(lambda v: [each | {"timestamps": [], "values": []} for each in v]),
    ),
    ("ColumnNotFound", "lacks 'torque'", with_variables(lambda v: v[:2])),
    (
        "NumColumnsMismatch",
        "does not know 'heat'",
        with_variables(lambda v: [*v, v[0] | {"variable": "heat"}]),
    ),
]


@pytest.mark.parametrize(
    ("code", "message", "make"),
    [pytest.param(*case, id=f"{case[0]}-{place}") for place, case in enumerate(REFUSED_LATEST)],
)
def test_bad_values_for_detect_last_are_refused(
    factory: Any, model_id: str, kit: Any, code: str, message: str, make: Any
) -> None:
    answer = factory.call(f"{MODELS}/{model_id}:detect-last", make(kit.latest()))
    assert (answer.status, answer.json["code"]) == (400, code), answer.content
    assert answer.headers["x-ms-error-code"] == code
    assert message in answer.json["message"]


@pytest.mark.parametrize("points", [0, 11, 2.5, "three", True])
def test_only_one_to_ten_points_are_detected_at_once(
    factory: Any, model_id: str, kit: Any, points: Any
) -> None:
    request = kit.latest(37, detectingPoints=points)
    answer = factory.call(f"{PREVIEW}/models/{model_id}/last/detect", request)
    assert (answer.status, answer.json["code"]) == (400, "BadArgument")
    assert "'detectingPoints' field must be a whole number from 1 to 10" in answer.json["message"]


def without(*names: str) -> Callable[[dict[str, Any]], Any]:
    return lambda request: {name: of for name, of in request.items() if name not in names}


def policy(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda request: request | {"alignPolicy": fields}


def given(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda request: request | fields


REFUSED_TRAINING: list[tuple[str, str, Callable[[dict[str, Any]], Any]]] = [
    ("InvalidJsonFormat", "Invalid JSON format", lambda r: b" "),
    ("InvalidJsonFormat", "Invalid JSON format", lambda r: "text"),
    ("RequiredSource", "The 'dataSource' field is required in the request", without("dataSource")),
    ("RequiredSource", "The 'dataSource' field is required in the request", given(dataSource=" ")),
    ("RequiredStartTime", "The 'startTime' field is required", without("startTime")),
    ("RequiredEndTime", "The 'endTime' field is required", given(endTime=None)),
    ("InvalidTimestampFormat", "In 'startTime' 'now' is not a valid", given(startTime="now")),
    ("InvalidTimestampFormat", "In 'endTime' 0 is not a valid", given(endTime=0)),
    ("InvalidTimestampFormat", "Invalid timestamp format", given(startTime="0001-01-01T00:00:00Z")),
    ("BadArgument", "must not lie before the 'startTime'", given(endTime="2025-12-31T00:00:00Z")),
    ("InvalidSlidingWindow", "must be an integer between 28 and 2880", given(slidingWindow=27)),
    ("InvalidSlidingWindow", "must be an integer between 28 and 2880", given(slidingWindow=2881)),
    ("InvalidSlidingWindow", "must be an integer between 28 and 2880", given(slidingWindow="x")),
    ("InvalidSlidingWindow", "must be an integer between 28 and 2880", given(slidingWindow=True)),
    (
        "InvalidAlignMode",
        "must be one of the following: 'Inner' or 'Outer'",
        policy(alignMode="outer"),
    ),
    (
        "InvalidFillNAMethod",
        "must be one of the following: 'Previous'",
        policy(fillNAMethod="Mean"),
    ),
    ("InvalidFillNAMethod", "cannot be 'NotFill' when", policy(fillNAMethod="NotFill")),
    ("RequiredPaddingValue", "field is required in the request", policy(fillNAMethod="Fixed")),
    ("RequiredPaddingValue", "must be a number", policy(fillNAMethod="Fixed", paddingValue="x")),
    ("BadArgument", "'alignPolicy' field must be an object", given(alignPolicy="Outer")),
    ("BadArgument", "'displayName' field must have at most 24", given(displayName="a" * 25)),
    ("BadArgument", "'displayName' field must have at most 24", given(displayName="a\x00")),
    (
        "BadArgument",
        "'dataSchema' field must be one of 'OneTable' or 'MultiTable'",
        given(dataSchema="onetable"),
    ),
    ("InvalidBlobURL", "", given(dataSource="ftp://data.example.com/machine.csv")),
    ("InvalidBlobURL", "", given(dataSource="../machine.csv")),
    ("InvalidBlobURL", "", given(dataSource="https://data.example.com/machine.csv?sig=secret")),
    ("FileNotExist", "nothing.csv", given(dataSource="nothing.csv")),
    ("InvalidBlobURL", "at most 4096 characters", given(dataSource="a" * 5000)),
    ("InvalidBlobURL", "all printable", given(dataSource="a\ud800")),
]


@pytest.mark.parametrize(
    ("code", "message", "make"),
    [pytest.param(*case, id=f"{case[0]}-{place}") for place, case in enumerate(REFUSED_TRAINING)],
)
def test_what_cannot_be_trained_on_is_refused(
    factory: Any, kit: Any, code: str, message: str, make: Any
) -> None:
    answer = factory.call(MODELS, make(kit.training()))
    assert (answer.status, answer.json["code"]) == (400, code), answer.content
    assert answer.headers["x-ms-error-code"] == code
    assert message in answer.json["message"]


@pytest.mark.parametrize(
    "code", ["RequiredSource", "RequiredStartTime", "InvalidBlobURL", "BadArgument"]
)
def test_a_batch_is_refused_for_the_same_reasons(
    factory: Any, model_id: str, kit: Any, code: str
) -> None:
    make = next(make for known, _, make in REFUSED_TRAINING if known == code)
    answer = factory.call(f"{MODELS}/{model_id}:detect-batch", make(kit.training()))
    assert (answer.status, answer.json["code"]) == (400, code)


def test_strings_nulls_nan_and_other_keys_are_tolerated(
    factory: Any, model_id: str, kit: Any
) -> None:
    path = f"{MODELS}/{model_id}:detect-last"
    plain = factory.call(path, kit.latest()).json
    request = kit.latest(topContributorCount=None, detectingPoints=77, needed={})
    for each in request["variables"]:
        each["name"] = each.pop("variable")
        each["values"] = [repr(value) for value in each["values"]]
    assert factory.call(path, request, headers={"Content-Type": "x"}).json == plain
    for missing in (None, float("nan"), "NaN"):
        request = kit.latest()
        request["variables"][1]["values"][5] = missing
        answer = factory.call(path, request)
        assert answer.status == 200, answer.content
        (state,) = [s for s in answer.json["variableStates"] if s["effectiveCount"] == 27]
        assert state["variable"] == "speed"
        assert state["filledNARatio"] == pytest.approx(1 / 28)


@pytest.mark.parametrize(
    "query", ["skip=-1", "top=0", "top=1001", "$top=ten", "top=", "$skip=1.5", "skip=" + "9" * 40]
)
def test_a_page_that_cannot_be_is_refused(factory: Any, query: str) -> None:
    answer = factory.call(f"{MODELS}?{query}")
    assert (answer.status, answer.json["code"]) == (400, "InvalidRequestParameterError")
    assert answer.json["message"].startswith("Invalid values for $skip or $top.")
