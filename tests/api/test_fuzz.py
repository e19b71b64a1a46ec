"""Whatever is sent is answered: in time, in JSON, and never with a fault of the service."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis
    from schemathesis.specs.openapi.checks import (
        content_type_conformance,
        response_schema_conformance,
        status_code_conformance,
    )

SEED = 20261122
MODELS = "/anomalydetector/v1.1/multivariate/models"
OPERATIONS = st.sampled_from(["entire", "last", "changepoint"])
VERSIONS = st.sampled_from(["v1.0", "v1.1", "v1.1-preview.1"])
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["daily", "none", "NaN", "2024-01-01T00:00:00Z", 1e308, -1, 0, 12]),
    lambda inner: st.lists(inner, max_size=14) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=25,
)
POINTS = st.lists(
    st.fixed_dictionaries(
        {"value": st.floats(width=32) | ANYTHING},
        optional={"timestamp": st.datetimes().map(lambda t: f"{t.isoformat()}Z") | ANYTHING},
    ),
    min_size=10,
    max_size=30,
)
NAMES = [
    "granularity",
    "customInterval",
    "period",
    "maxAnomalyRatio",
    "sensitivity",
    "imputeMode",
    "imputeFixedValue",
    "threshold",
    "stableTrendWindow",
    "detector",
    "alpha",
    "boundaryVersion",
]
REQUESTS = st.fixed_dictionaries(
    {"series": POINTS | ANYTHING}, optional=dict.fromkeys(NAMES, ANYTHING)
)
FEW = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    print_blob=True,
)


def assert_answered(answer: Any) -> None:
    assert answer.status in (200, 400), answer.content
    body = answer.json
    if answer.status == 400:
        assert set(body) == {"code", "message"}
        assert answer.headers["x-ms-error-code"] == body["code"]


@seed(SEED)
@FEW
@given(OPERATIONS, VERSIONS, REQUESTS)
def test_any_request_is_answered(
    service: Any, operation: str, version: str, request: dict[str, Any]
) -> None:
    path = f"/anomalydetector/{version}/timeseries/{operation}/detect"
    assert_answered(service.call(path, json.dumps(request).encode()))


@seed(SEED)
@FEW
@given(OPERATIONS, st.binary(max_size=200) | st.text().map(lambda t: t.encode(errors="replace")))
def test_any_bytes_are_answered(service: Any, operation: str, body: bytes) -> None:
    answer = service.call(f"/anomalydetector/v1.1/timeseries/{operation}/detect", body)
    assert answer.status == 400
    assert_answered(answer)


# Where nothing can be read, so that no training begins.
SOURCES = st.sampled_from(["https://data.example.com/a.csv", "ftp://a", "../a", "/etc/passwd", ""])
TIMES = st.datetimes().map(lambda t: f"{t.isoformat()}Z") | ANYTHING
POLICIES = st.fixed_dictionaries(
    {}, optional={"alignMode": ANYTHING, "fillNAMethod": ANYTHING, "paddingValue": ANYTHING}
)
TRAININGS = st.fixed_dictionaries(
    {"dataSource": SOURCES, "source": SOURCES, "startTime": TIMES, "endTime": TIMES},
    optional={
        "dataSchema": st.just("OneTable") | ANYTHING,
        "displayName": st.text(max_size=30) | ANYTHING,
        "slidingWindow": st.integers(20, 3000) | ANYTHING,
        "alignPolicy": POLICIES | ANYTHING,
        "topContributorCount": st.integers(0, 40) | ANYTHING,
    },
)


FEWER = settings(FEW, max_examples=60)


@seed(SEED)
@FEWER
@given(
    st.sampled_from(["v1.1/{}", "v1.1-preview.1/{}", "v1.1/{}/MODEL:detect-batch"]),
    TRAININGS | ANYTHING,
)
def test_any_request_to_train_or_to_detect_is_answered(
    factory: Any, model_id: str, path: str, request: Any
) -> None:
    path = path.format("multivariate/models").replace("MODEL", model_id)
    answer = factory.call(f"/anomalydetector/{path}", json.dumps(request).encode())
    assert answer.status == 400
    assert_answered(answer)


@seed(SEED)
@FEWER
@given(st.data())
def test_any_values_are_scored_or_refused(factory: Any, model_id: str, kit: Any, data: Any) -> None:
    request = kit.latest(30, detectingPoints=data.draw(st.integers(1, 10) | ANYTHING))
    for _ in range(data.draw(st.integers(0, 4))):
        variable = data.draw(st.sampled_from(request["variables"]))
        field = data.draw(st.sampled_from(["variable", "timestamps", "values"]))
        if field == "variable" or data.draw(st.booleans()):
            variable[field] = data.draw(ANYTHING)
        elif isinstance(variable[field], list) and variable[field]:
            place = data.draw(st.integers(0, len(variable[field]) - 1))
            of = TIMES if field == "timestamps" else st.floats() | ANYTHING
            variable[field][place] = data.draw(of)
    path = data.draw(
        st.sampled_from(["v1.1/{}/MODEL:detect-last", "v1.1-preview.1/{}/MODEL/last/detect"])
    )
    path = path.format("multivariate/models").replace("MODEL", model_id)
    answer = factory.call(f"/anomalydetector/{path}", json.dumps(request).encode())
    assert_answered(answer)
    for result in answer.json.get("results", []):
        assert 0 <= result["value"]["severity"] <= 1
        assert 0 <= result["value"]["score"] <= 2


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"series": ' + b"9" * 100_000 + b"}",
        b'{"series": [{"value": "\\ud800"}]}',
        json.dumps({"series": [{"value": 10**400}] * 12}).encode(),
        json.dumps({"series": [{"value": float("nan"), "timestamp": "\ud800"}] * 12}).encode(),
        json.dumps({"series": [{"value": 1}] * 12, "granularity": "\ud800"}).encode(),
        json.dumps({"series": [{"value": 1}] * 12}).encode("utf-16"),
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda body: f"{len(body)}-{body[:8]!r}",
)
@pytest.mark.parametrize("path", ["timeseries/entire/detect", "multivariate/models"])
def test_what_is_made_to_break_parsers_is_answered(service: Any, path: str, body: bytes) -> None:
    answer = service.call(f"/anomalydetector/v1.1/{path}", body)
    assert_answered(answer)


def test_nesting_is_answered_wherever_it_is(factory: Any, model_id: str, kit: Any) -> None:
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    for field in ("variable", "timestamps", "values"):
        request = kit.latest()
        request["variables"][0][field] = deep
        answer = factory.call(f"{MODELS}/{model_id}:detect-last", request)
        assert answer.status == 400
        assert_answered(answer)
    for field in [*kit.training(), "dataSchema", "displayName", "alignPolicy"]:
        answer = factory.call(MODELS, kit.training() | {field: deep})
        assert answer.status == 400
        assert_answered(answer)
    for field in ("alignMode", "fillNAMethod", "paddingValue"):
        answer = factory.call(MODELS, kit.training(alignPolicy={field: deep}))
        assert answer.status == 400
        assert_answered(answer)


def shorten(part: Any) -> None:
    """Let no list of a description be much longer than it must be: others test longer ones."""
    if isinstance(part, dict):
        if part.get("type") == "array":
            part["maxItems"] = part.get("minItems", 0) + 2
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            shorten(each)


@pytest.mark.filterwarnings("ignore")
def test_the_service_keeps_to_its_description(service: Any) -> None:
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    # Of requests; what answers may have lies elsewhere in it.
    shorten(schema.raw_schema["paths"])
    checks = [
        schemathesis.checks.not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]
    asked: set[str] = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        # Most of the others ask for a model that is not there.
        few = settings(FEW, max_examples=40 if "timeseries" in operation.path else 15)

        @seed(SEED)
        @few
        @given(operation.as_strategy())
        def ask(case: Any) -> None:
            if isinstance(case.body, dict) and "dataSource" in case.body:
                # No training is to begin.
                case.body["dataSource"] = "https://data.example.com/a.csv"
            case.call_and_validate(checks=checks, timeout=20)

        ask()
        asked.add(operation.path)
    assert len(asked) >= 16
