"""Programs written for the service, and its recorded requests: the same answers."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import recordings

# The SDKs are old: what they warn of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

BASE = "/anomalydetector/v1.1/timeseries"
FLAGGED = [3, 18, 21, 22, 23, 24, 25, 28, 29, 30, 31, 32, 35, 44]
NEGATIVE = [18, 28, 29, 30, 31, 32, 35, 44]


def places(flags: list[bool]) -> list[int]:
    return [place for place, flag in enumerate(flags) if flag]


def test_the_recorded_entire_request(service: Any) -> None:
    recording = recordings.read("azure/entire_daily47_live.json")
    answer = service.call(f"{BASE}/entire/detect", recording["request"])
    ours, theirs = answer.json, recording["response"]
    assert answer.status == 200
    assert answer.headers["model-id"] == "10"
    assert answer.headers["csp-billing-usage"] == recording["headers"].get(
        "csp-billing-usage", "CognitiveServices.AnomalyDetector.DataPoints=1"
    )
    assert set(ours) == set(theirs)
    assert ours["period"] == 7
    assert places(ours["isAnomaly"]) == FLAGGED
    assert places(ours["isNegativeAnomaly"]) == NEGATIVE
    for name in ("isAnomaly", "isNegativeAnomaly", "isPositiveAnomaly"):
        assert ours[name] == theirs[name]
    np.testing.assert_allclose(ours["expectedValues"], theirs["expectedValues"], rtol=1e-6)
    for name in ("upperMargins", "lowerMargins", "severity"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-3)


def test_the_recorded_last_request(service: Any) -> None:
    recording = recordings.read("azure/last_daily47_live.json")
    ours = service.call(f"{BASE}/last/detect", recording["request"]).json
    theirs = recording["response"]
    assert set(ours) == set(theirs)
    assert ours["severity"] == pytest.approx(theirs["severity"], rel=3e-3)
    for name in ("expectedValue", "upperMargin", "lowerMargin"):
        assert ours[name] == pytest.approx(theirs[name], rel=2e-5)
    for name in ("period", "suggestedWindow", "isAnomaly", "isNegativeAnomaly"):
        assert ours[name] == theirs[name]


def test_the_recorded_change_point_request(service: Any) -> None:
    recording = recordings.read("azure/changepoint_daily47_live.json")
    answer = service.call(f"{BASE}/changepoint/detect", recording["request"])
    assert answer.headers["model-id"] == "60"
    assert set(answer.json) == set(recording["response"])
    assert places(answer.json["isChangePoint"]) == [20, 27]
    assert answer.json["period"] == recording["response"]["period"]


@pytest.mark.parametrize("days", ["daily47", "js60"])
def test_change_points_and_their_scores_are_the_recorded_ones(service: Any, days: str) -> None:
    recording = recordings.read(f"azure/changepoint_{days}_live.json")
    ours = service.call(f"{BASE}/changepoint/detect", recording["request"]).json
    theirs = recording["response"]
    assert ours["isChangePoint"] == theirs["isChangePoint"]
    assert ours["confidenceScores"] == pytest.approx(theirs["confidenceScores"], rel=0, abs=1e-9)


def test_version_1_0_has_margins_of_one_percent_and_no_severity(service: Any) -> None:
    request = recordings.read("azure/entire_daily47_live.json")["request"]
    answer = service.call("/anomalydetector/v1.0/timeseries/entire/detect", request).json
    assert "severity" not in answer
    flags, expected = np.array(answer["isAnomaly"]), np.array(answer["expectedValues"])
    np.testing.assert_allclose(
        np.array(answer["upperMargins"])[flags], expected[flags] * 0.01, rtol=1e-9
    )
    last = service.call("/anomalydetector/v1.0/timeseries/last/detect", request).json
    assert "severity" not in last
    assert last["upperMargin"] == pytest.approx(last["expectedValue"] * 0.01)


def test_last_without_a_sensitivity_takes_95(service: Any, weeks: dict[str, Any]) -> None:
    weeks["series"][-1]["value"] += 30
    answers = [
        service.call(f"{BASE}/last/detect", weeks | given).json
        for given in ({}, {"sensitivity": 95}, {"sensitivity": None}, {"sensitivity": 99})
    ]
    assert answers[0] == answers[1] == answers[2]
    assert answers[3]["upperMargin"] < answers[0]["upperMargin"]


@pytest.mark.parametrize("version", ["v1.1", "v1.1-preview", "v1.1-preview.1"])
def test_later_versions_answer_with_severity(
    service: Any, weeks: dict[str, Any], version: str
) -> None:
    answer = service.call(f"/anomalydetector/{version}/timeseries/entire/detect", weeks).json
    assert answer["isAnomaly"][24]
    assert 0 < answer["severity"][24] <= 1


def changed(weeks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return copy.deepcopy(weeks) | fields


def with_points(change: Callable[[list[Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def make(weeks: dict[str, Any]) -> dict[str, Any]:
        request = copy.deepcopy(weeks)
        series = change(request["series"])
        return request | ({} if series is None else {"series": series})

    return make


# Every way to be refused that the service documented: its code, the start of its message, and a
# request (made from one that is fine) that is answered so.
REFUSED: list[tuple[str, str, str, Callable[[dict[str, Any]], Any]]] = [
    ("InvalidJsonFormat", "Invalid Json Format, input data is Empty", "entire", lambda r: b""),
    ("InvalidJsonFormat", "Invalid Json Format", "last", lambda r: b"{"),
    ("InvalidJsonFormat", "Invalid Json Format", "entire", lambda r: []),
    ("RequiredSeries", "The 'series' field is required", "entire", lambda r: {"period": 1}),
    (
        "InvalidGranularity",
        "The 'granularity' field can only be one of",
        "entire",
        lambda r: changed(r, granularity="daly"),
    ),
    (
        "InvalidCustomInterval",
        "The 'customInterval' field must be an integer > 0",
        "entire",
        lambda r: changed(r, customInterval=0),
    ),
    (
        "InvalidPeriod",
        "The 'period' field must be an integer >= 0",
        "last",
        lambda r: changed(r, period=-1),
    ),
    (
        "InvalidModelArgument",
        "The 'maxAnomalyRatio' field must be less than 50%",
        "entire",
        lambda r: changed(r, maxAnomalyRatio=0.5),
    ),
    (
        "InvalidModelArgument",
        "The 'sensitivity' field must be an integer between 0 and 99",
        "entire",
        lambda r: changed(r, sensitivity=101),
    ),
    (
        "InvalidModelArgument",
        "The 'threshold' field must be a float",
        "entire",
        lambda r: changed(r, threshold="high"),
    ),
    (
        "InvalidModelArgument",
        "The 'series' field must have more than 2 periods points",
        "entire",
        lambda r: changed(r, period=18),
    ),
    (
        "InvalidModelArgument",
        "The 'threshold' field must be an float between 0.01 and 0.99",
        "changepoint",
        lambda r: changed(r, threshold=1),
    ),
    (
        "InvalidModelArgument",
        "The 'stableTrendWindow' field must be an integer >= 3",
        "changepoint",
        lambda r: changed(r, stableTrendWindow=18),
    ),
    (
        "InvalidImputeMode",
        "The 'imputeMode' field is required and should be one of",
        "entire",
        lambda r: changed(r, imputeMode="guess"),
    ),
    (
        "InvalidImputeFixedValue",
        "The 'imputeFixedValue' field must be a number",
        "entire",
        lambda r: changed(r, imputeMode="fixed"),
    ),
    ("BadArgument", "The 'series' field cannot be empty", "entire", with_points(lambda s: [])),
    ("BadArgument", "The 'series' field must be array", "entire", lambda r: changed(r, series={})),
    (
        "BadArgument",
        "'timestamp' or 'value' is malformed",
        "entire",
        with_points(lambda s: s[3].update(timestamp="yesterday")),
    ),
    (
        "BadArgument",
        "The 'series' field cannot have none values",
        "entire",
        with_points(lambda s: s[3].update(value=None)),
    ),
    (
        "BadArgument",
        "The 'series' field cannot have none values",
        "entire",
        with_points(lambda s: s[3].update(value=float("nan"))),
    ),
    (
        "InvalidSeries",
        "The 'series' field must have at least 12 points",
        "last",
        with_points(lambda s: s[:11]),
    ),
    (
        "InvalidSeries",
        "The 'series' field cannot have more than 8640 points",
        "entire",
        with_points(lambda s: s * 250),
    ),
    (
        "InvalidSeries",
        "The 'series' field must be sorted by timestamp in ascending order",
        "entire",
        with_points(lambda s: s[::-1]),
    ),
    (
        "InvalidSeries",
        "The 'series' field cannot have duplicated timestamp",
        "changepoint",
        with_points(lambda s: [s[0], *s]),
    ),
    (
        "InvalidSeries",
        "The 'timestamp' at index 1 is invalid in daily granularity with 1 gran as interval",
        "entire",
        with_points(lambda s: s[1].update(timestamp="2024-01-02T01:00:00Z")),
    ),
    (
        "InvalidSeries",
        "The magnitude of data in 'value' in 'series' filed is too large",
        "entire",
        with_points(lambda s: s[3].update(value=1e101)),
    ),
    (
        "InvalidSeries",
        "Ratio of missing points should be less than 50%",
        "entire",
        lambda r: changed(r, granularity="hourly", period=7),
    ),
]
CASES = [pytest.param(*case, id=f"{case[0]}-{place}") for place, case in enumerate(REFUSED)]


@pytest.mark.parametrize(("code", "message", "operation", "make"), CASES)
def test_every_refusal_is_a_400_with_code_and_header(
    service: Any, weeks: dict[str, Any], code: str, message: str, operation: str, make: Any
) -> None:
    answer = service.call(f"{BASE}/{operation}/detect", make(weeks))
    assert answer.status == 400
    assert answer.headers["x-ms-error-code"] == code
    assert set(answer.json) == {"code", "message"}
    assert answer.json["code"] == code
    assert answer.json["message"].startswith(message)


@pytest.mark.parametrize("version", ["v1.0", "v1.1"])
def test_a_recorded_request_with_dates_for_people(service: Any, version: str) -> None:
    case = recordings.read("univariate/kernel-case-other-dates.json")
    path = f"/anomalydetector/{version}/timeseries/last/detect"
    answer = service.call(path, case["request"])
    assert answer.status == 200, answer.content
    assert answer.json["isAnomaly"] == case["response"]["isAnomaly"]
    expected = case["response"]["expectedValue"]
    assert answer.json["expectedValue"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("operation", ["entire", "last", "changepoint"])
def test_a_request_in_pascal_case_is_answered_in_both_cases(
    service: Any, weeks: dict[str, Any], operation: str
) -> None:
    usual = service.call(f"{BASE}/{operation}/detect", weeks).json
    pascal = {"Granularity": "daily", "Series": []}
    pascal["Series"] = [{"Timestamp": p["timestamp"], "Value": p["value"]} for p in weeks["series"]]
    answer = service.call(f"{BASE}/{operation}/detect", pascal).json
    assert {name: answer.pop(name) for name in usual} == usual
    assert answer == {name[0].upper() + name[1:]: value for name, value in usual.items()}


@pytest.mark.parametrize("operation", ["entire", "last", "changepoint"])
@pytest.mark.parametrize("version", ["v1.0", "v1.1", "v1.1-preview", "v1.1-preview.1"])
def test_a_missing_granularity_is_none(
    service: Any, weeks: dict[str, Any], version: str, operation: str
) -> None:
    path = f"/anomalydetector/{version}/timeseries/{operation}/detect"
    values = [{"value": point["value"]} for point in weeks["series"]]
    said = service.call(path, {"series": values, "granularity": "none"})
    assert said.status == 200
    for request in ({"series": values}, {"series": values, "granularity": None}):
        answer = service.call(path, request)
        assert (answer.status, answer.json) == (200, said.json)


@pytest.mark.parametrize("version", ["v1.1-preview", "v1.1-preview.1"])
def test_the_previews_answer_with_the_margins_of_boundary_v1_and_severity(
    service: Any, version: str
) -> None:
    # The requests and figures that the live service's answers of January 2022 agree with.
    recording = recordings.read("azure/spec_EntireDetect_monthly48.json")
    base = f"/anomalydetector/{version}/timeseries"
    entire = service.call(f"{base}/entire/detect", recording["request"]).json
    assert places(entire["isAnomaly"]) == [25]
    value, expected = recording["request"]["series"][25]["value"], entire["expectedValues"][25]
    assert entire["severity"][25] == pytest.approx(abs(value - expected) / expected)
    assert entire["upperMargins"][25] == pytest.approx(0.05 * expected)
    last = service.call(f"{base}/last/detect", recording["lastRequest"]).json
    assert (last["isAnomaly"], last["severity"]) == (False, 0)
    assert last["lowerMargin"] == pytest.approx(40.478, rel=1e-3)
    v1_0 = service.call("/anomalydetector/v1.0/timeseries/last/detect", recording["lastRequest"])
    assert {**v1_0.json, "severity": 0} == last


def test_last_of_the_previews_without_a_sensitivity_takes_99(
    service: Any, weeks: dict[str, Any]
) -> None:
    path = "/anomalydetector/v1.1-preview.1/timeseries/last/detect"
    answers = [service.call(path, weeks | given).json for given in ({}, {"sensitivity": 99})]
    assert answers[0] == answers[1]
    assert answers[0]["upperMargin"] == pytest.approx(answers[0]["expectedValue"] * 0.01)


def options(weeks: dict[str, Any], **changes: Any) -> Any:
    from azure.ai.anomalydetector.models import TimeSeriesPoint, UnivariateDetectionOptions

    points = [TimeSeriesPoint(**point) for point in weeks["series"]]
    return UnivariateDetectionOptions(**({"series": points, "granularity": "daily"} | changes))


def test_the_sdk_raises_what_it_raised(service: Any, guarded: Any, weeks: dict[str, Any]) -> None:
    from azure.ai.anomalydetector import AnomalyDetectorClient
    from azure.core.credentials import AzureKeyCredential
    from azure.core.exceptions import (
        ClientAuthenticationError,
        HttpResponseError,
        ResourceNotFoundError,
    )

    key = AzureKeyCredential("any")
    with pytest.raises(HttpResponseError, match=r"\(InvalidGranularity\) The 'granularity'") as e:
        AnomalyDetectorClient(service.url, key).detect_univariate_entire_series(
            options(weeks, granularity="daly")
        )
    assert e.value.status_code == 400
    assert e.value.error.code == "InvalidGranularity"
    with pytest.raises(ClientAuthenticationError, match=r"\(401\) Access denied due to invalid"):
        AnomalyDetectorClient(guarded.url, key).detect_univariate_last_point(options(weeks))
    with pytest.raises(ResourceNotFoundError, match=r"\(404\) .*there is no API version 'v7'"):
        AnomalyDetectorClient(service.url, key, api_version="v7").detect_univariate_last_point(
            options(weeks)
        )
    right = AnomalyDetectorClient(guarded.url + "/", AzureKeyCredential("the-second-key"))
    assert right.detect_univariate_entire_series(options(weeks)).is_anomaly[24]


def test_the_asynchronous_sdk(service: Any, weeks: dict[str, Any]) -> None:
    from azure.ai.anomalydetector.aio import AnomalyDetectorClient
    from azure.core.credentials import AzureKeyCredential
    from azure.core.exceptions import HttpResponseError

    async def ask() -> tuple[Any, Any, Any]:
        async with AnomalyDetectorClient(service.url, AzureKeyCredential("any")) as client:
            entire, last, change = await asyncio.gather(
                client.detect_univariate_entire_series(options(weeks)),
                client.detect_univariate_last_point(options(weeks)),
                client.detect_univariate_change_point(options(weeks)),
            )
            with pytest.raises(HttpResponseError, match=r"\(InvalidPeriod\)"):
                await client.detect_univariate_entire_series(options(weeks, period=-1))
            return entire, last, change

    entire, last, change = asyncio.run(ask())
    assert entire.is_anomaly[24]
    assert last.suggested_window == 29
    assert len(change.is_change_point) == 35


def test_the_older_sdk_raises_what_it_raised(
    service: Any, guarded: Any, weeks: dict[str, Any]
) -> None:
    from azure.cognitiveservices.anomalydetector import AnomalyDetectorClient
    from azure.cognitiveservices.anomalydetector.models import (
        APIErrorException,
        Point,
        Request,
    )
    from msrest.authentication import CognitiveServicesCredentials

    points = [Point(**point) for point in weeks["series"]]
    client = AnomalyDetectorClient(service.url, CognitiveServicesCredentials("any"))
    with pytest.raises(APIErrorException) as raised:
        client.entire_detect(Request(series=points[::-1], granularity="daily"))
    assert raised.value.response.status_code == 400
    assert raised.value.error.code == "InvalidSeries"
    assert raised.value.error.message.startswith("The 'series' field must be sorted")
    with pytest.raises(APIErrorException) as raised:
        AnomalyDetectorClient(guarded.url, CognitiveServicesCredentials("wrong")).last_detect(
            Request(series=points, granularity="daily")
        )
    assert raised.value.response.status_code == 401
