"""The description of the API: FastAPI's, from the models of what is taken and answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from detector.api.errors import CODES
from detector.series.options import Options


@pytest.fixture(scope="module")
def description(service: Any) -> Any:
    return service.call("/openapi.json").json


def operations(description: Any) -> Iterator[tuple[str, Any]]:
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def taken(description: Any, path: str) -> Any:
    operation = description["paths"]["/anomalydetector/{version}/" + path]["post"]
    return operation["requestBody"]["content"]["application/json"]["schema"]


def test_every_reference_leads_somewhere(description: Any) -> None:
    found = 0

    def look(part: Any) -> None:
        nonlocal found
        for each in part if isinstance(part, list) else part.values():
            if isinstance(each, (dict, list)):
                look(each)
        if isinstance(part, dict) and isinstance(part.get("$ref"), str):
            place = description
            assert part["$ref"].startswith("#/"), part
            for name in part["$ref"].removeprefix("#/").split("/"):
                assert name in place, part["$ref"]
                place = place[name]
            found += 1

    look(description)
    assert found > 50


def test_every_schema_is_used(description: Any) -> None:
    text = json.dumps(description)
    for name in description["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text, name


def test_no_route_is_said_to_refuse_as_fastapi_would(description: Any) -> None:
    for name, operation in operations(description):
        assert "422" not in operation["responses"], name
    assert not {"HTTPValidationError", "ValidationError"} & set(
        description["components"]["schemas"]
    )


def test_every_route_but_those_of_the_service_needs_a_key(description: Any) -> None:
    for name, operation in operations(description):
        needs_key = operation["tags"] != ["service"]
        assert ("security" in operation) == needs_key, name
        assert ("401" in operation["responses"]) == needs_key, name
    assert description["components"]["securitySchemes"] == {
        "key": {"type": "apiKey", "in": "header", "name": "Ocp-Apim-Subscription-Key"}
    }


def test_a_problem_has_one_of_the_known_codes(description: Any) -> None:
    assert description["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == list(
        CODES
    )


def test_the_described_defaults_are_those_of_the_options(description: Any) -> None:
    fields = taken(description, "timeseries/entire/detect")["properties"]
    defaults = Options()
    assert fields["granularity"]["default"] == defaults.granularity
    assert fields["customInterval"]["default"] == defaults.interval
    assert fields["maxAnomalyRatio"]["default"] == defaults.max_anomaly_ratio
    assert fields["imputeMode"]["default"] == defaults.impute_mode
    assert set(fields) == {
        "series",
        "granularity",
        "customInterval",
        "period",
        "maxAnomalyRatio",
        "sensitivity",
        "imputeMode",
        "imputeFixedValue",
    }


@pytest.mark.parametrize(
    ("path", "required"),
    [
        ("timeseries/entire/detect", ["series"]),
        ("timeseries/changepoint/detect", ["series"]),
        ("multivariate/models", ["startTime", "endTime", "dataSource"]),
        ("multivariate/models/{model_id}:detect-last", ["variables"]),
    ],
)
def test_the_described_bodies_say_what_is_required(
    description: Any, path: str, required: list[str]
) -> None:
    assert taken(description, path)["required"] == required


@pytest.mark.parametrize(
    ("path", "versions"),
    [
        ("timeseries/last/detect", ["v1.0", "v1.1", "v1.1-preview", "v1.1-preview.1"]),
        ("multivariate/models/{model_id}:detect-batch", ["v1.1"]),
        ("multivariate/models/{model_id}/detect", ["v1.1-preview", "v1.1-preview.1"]),
        ("multivariate/models/{model_id}/last/detect", ["v1.1-preview.1"]),
    ],
)
def test_a_route_names_the_versions_that_have_it(
    description: Any, path: str, versions: list[str]
) -> None:
    operation = description["paths"]["/anomalydetector/{version}/" + path]["post"]
    (version,) = [each for each in operation["parameters"] if each["name"] == "version"]
    assert version["schema"]["enum"] == versions
