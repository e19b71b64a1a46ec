"""How many points each sensitivity flags, over HTTP: the counts of the detections themselves."""

from __future__ import annotations

from typing import Any

import pytest
import recordings
from services import HEADER, KEYS

PATH = "/anomalydetector/{}/timeseries/entire/{}"
REQUEST = recordings.read("azure/entire_daily47_live.json")["request"]


def tune(service: Any, body: Any, version: str = "v1.1") -> Any:
    return service.call(PATH.format(version, "tune"), body)


@pytest.mark.parametrize("version", ["v1.1", "v1.0", "v1.1-preview.1"])
def test_counts_are_those_of_detections_of_the_same_version(service: Any, version: str) -> None:
    answer = tune(service, REQUEST, version)
    assert answer.status == 200
    assert list(answer.json) == [
        "points",
        "sensitivities",
        "anomalies",
        "anomalyShare",
        "sensitivity",
    ]
    assert answer.json["points"] == len(REQUEST["series"])
    assert answer.json["sensitivities"] == list(range(100))
    assert answer.json["anomalyShare"] == 0.01
    for sensitivity in (0, 80, 95, 99):
        body = {**REQUEST, "sensitivity": sensitivity}
        found = service.call(PATH.format(version, "detect"), body).json["isAnomaly"]
        assert answer.json["anomalies"][sensitivity] == sum(found)


def test_share_is_read_in_any_case_and_null_is_the_default(service: Any) -> None:
    answers = [
        tune(service, {**REQUEST, **given}).json
        for given in ({"AnomalyShare": 0.2}, {"anomalyShare": 0.2}, {"anomalyShare": None})
    ]
    assert [each["anomalyShare"] for each in answers] == [0.2, 0.2, 0.01]
    assert answers[0] == answers[1]
    assert answers[0]["sensitivity"] > answers[2]["sensitivity"]


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({**REQUEST, "anomalyShare": 0}, "InvalidModelArgument", "'anomalyShare' field must be"),
        ({**REQUEST, "anomalyShare": "1%"}, "InvalidModelArgument", "'anomalyShare' field must be"),
        ({**REQUEST, "sensitivity": 101}, "InvalidModelArgument", "'sensitivity' field must be"),
        ({**REQUEST, "granularity": "hour"}, "InvalidGranularity", "'granularity' field"),
        ({**REQUEST, "series": REQUEST["series"][:5]}, "InvalidSeries", "at least 12 points"),
        ({}, "InvalidJsonFormat", "field 'series'"),
        ([], "InvalidJsonFormat", "field 'series'"),
    ],
)
def test_what_is_wrong_is_refused_as_in_a_detection(
    service: Any, body: Any, code: str, said: str
) -> None:
    answer = tune(service, body)
    assert answer.status == 400
    assert answer.json["code"] == answer.headers["x-ms-error-code"] == code
    assert said in answer.json["message"]


def test_key_and_limits_are_those_of_a_detection(guarded: Any) -> None:
    assert tune(guarded, REQUEST).status == 401
    long = {"series": [{"value": place % 7} for place in range(201)]}
    answer = guarded.call(PATH.format("v1.1", "tune"), long, headers={HEADER: KEYS[0]})
    assert answer.status == 413


def test_example_of_the_description_is_answered_and_counted(service: Any) -> None:
    description = service.call("/openapi.json").json
    operation = description["paths"]["/anomalydetector/{version}/timeseries/entire/tune"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["schema"]["example"]
    answer = tune(service, example)
    assert answer.json["anomalies"][answer.json["sensitivity"]] == 1
    figures = service.call("/metrics").content.decode()
    assert 'detector_requests_total{api_version="v1.1",operation="tune",status="200"}' in figures
