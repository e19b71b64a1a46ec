"""Many series in one request: each answered as by the operation for one, or with its error."""

from __future__ import annotations

from typing import Any

import pytest
import recordings
import services

BASE = "/anomalydetector/{}/timeseries"
RECORDED = {
    "entire": "azure/entire_daily47_live.json",
    "last": "azure/last_daily47_live.json",
    "changepoint": "azure/changepoint_daily47_live.json",
}


def batch(service: Any, body: Any, version: str = "v1.1") -> Any:
    return service.call(f"{BASE.format(version)}/batch/detect", body)


def alone(service: Any, mode: str, body: Any, version: str = "v1.1") -> Any:
    return service.call(f"{BASE.format(version)}/{mode}/detect", body).json


def series(count: int = 20, start: float = 1.0) -> list[dict[str, Any]]:
    return [
        {"timestamp": f"2024-01-{place + 1:02}T00:00:00Z", "value": start + place * place % 7}
        for place in range(count)
    ]


@pytest.mark.parametrize("version", ["v1.1", "v1.0", "v1.1-preview.1"])
@pytest.mark.parametrize("mode", RECORDED)
def test_answers_are_those_of_the_operation_for_one_series(
    service: Any, mode: str, version: str
) -> None:
    recorded = recordings.read(RECORDED[mode])["request"]
    others = {"series": series(), "granularity": "daily", "period": 4}
    answer = batch(
        service,
        {"mode": mode, "series": [{"id": "a", **recorded}, others, {"id": 7, **others}]},
        version,
    )
    assert answer.status == 200
    first, second, third = answer.json["results"]
    assert first == {"id": "a", **alone(service, mode, recorded, version)}
    assert second == alone(service, mode, others, version)
    assert third == {"id": 7, **second}
    assert answer.headers["csp-billing-usage"].endswith("DataPoints=1")


def test_options_of_all_count_where_a_series_has_none_of_its_own(service: Any) -> None:
    shared = {"granularity": "daily", "period": 0, "maxAnomalyRatio": 0.1}
    points = series(30)
    points[12]["value"] = 99
    answer = batch(
        service,
        {
            **shared,
            "Mode": "entire",
            "Series": [{"Series": points}, {"series": points, "Period": 7}],
        },
    )
    assert answer.json["results"] == [
        alone(service, "entire", {**shared, "series": points}),
        alone(service, "entire", {**shared, "series": points, "period": 7}),
    ]


def test_a_series_that_is_not_valid_has_its_error_and_the_others_are_answered(
    service: Any,
) -> None:
    good = {"series": series()}
    wrong = [
        {"id": "short", "series": series(5)},
        {"id": "option", **good, "sensitivity": 101},
        {"id": "none"},
        {"id": "value", "series": [*series(19), {"timestamp": "2024-01-20", "value": None}]},
        "no object",
        {"id": "twice", "series": [*series(19), series(19)[-1]]},
    ]
    answer = batch(service, {"granularity": "daily", "series": [good, *wrong, good]})
    assert answer.status == 200
    first, *refused, last = answer.json["results"]
    assert first == last == alone(service, "entire", {**good, "granularity": "daily"})
    for asked, found in zip(wrong, refused, strict=True):
        if isinstance(asked, dict):
            assert found["id"] == asked["id"]
            told = alone(service, "entire", {"granularity": "daily", **asked})
            assert found["error"] == {"code": told["code"], "message": told["message"]}
        else:
            assert found == {
                "error": {
                    "code": "BadArgument",
                    "message": "It must be an object with a 'series', and is 'no object'.",
                }
            }


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({}, "InvalidJsonFormat", "field 'series'"),
        ([], "InvalidJsonFormat", "field 'series'"),
        ({"granularity": "daily"}, "RequiredSeries", "list of objects"),
        ({"series": []}, "BadArgument", "1 to 1000 objects"),
        ({"series": {}}, "BadArgument", "1 to 1000 objects"),
        ({"series": [1] * 1001}, "BadArgument", "not 1001 of them"),
        ({"series": [{}], "mode": "all"}, "BadArgument", "one of entire, last, changepoint"),
        ({"series": [{}], "mode": ["entire"]}, "BadArgument", "one of entire, last, changepoint"),
        ({"series": [{"id": 1}, {"id": 2}, {"id": 1}]}, "BadArgument", "index 0 and 2"),
        ({"series": [{"id": {}}]}, "BadArgument", "a string or an integer"),
        ({"series": [{"id": True}]}, "BadArgument", "a string or an integer"),
        ({"series": [{"series": [0] * 8640}] * 58}, "BadArgument", "501120 points together"),
    ],
)
def test_what_concerns_the_whole_is_refused(service: Any, body: Any, code: str, said: str) -> None:
    answer = batch(service, body)
    assert answer.status == 400
    assert answer.json["code"] == code
    assert said in answer.json["message"]


def test_a_thousand_series_are_answered_in_their_order(service: Any) -> None:
    asked = [{"id": place, "series": series(12, float(place))} for place in range(1000)]
    answer = batch(service, {"granularity": "daily", "period": 0, "series": asked, "mode": "last"})
    assert answer.status == 200
    found = answer.json["results"]
    assert [each["id"] for each in found] == list(range(1000))
    body = {"granularity": "daily", "period": 0, "series": asked[617]["series"]}
    assert found[617] == {"id": 617, **alone(service, "last", body)}
    line = next(line for line in reversed(service.log) if line.get("operation") == "batch")
    assert (line["series"], line["refused"], line["points"]) == (1000, 0, 12000)


def test_a_series_longer_than_the_operator_lets_through_has_its_error(guarded: Any) -> None:
    asked = {"period": 0, "series": [{"series": [{"value": 1}] * 201}, {"series": series()}]}
    path = f"{BASE.format('v1.1')}/batch/detect"
    answer = guarded.call(path, asked, headers={services.HEADER: services.KEYS[0]})
    first, second = answer.json["results"]
    assert first["error"]["code"] == "413"
    assert "at most 200" in first["error"]["message"]
    assert "error" not in second


def test_the_worst_of_bodies_is_refused_before_it_is_read(service: Any) -> None:
    many = b'{"series":[' + b"[]," * 2_100_000 + b"[]]}"
    answer = service.call(f"{BASE.format('v1.1')}/batch/detect", many)
    assert answer.status == 400
    assert answer.json["code"] == "DataExceedsLimit"
    deep = b'{"series":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    assert service.call(f"{BASE.format('v1.1')}/batch/detect", deep).status == 400
    assert service.call("/").status == 200
