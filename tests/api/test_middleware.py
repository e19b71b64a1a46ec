"""Around every request: paths in any form, ids, and one line of the log."""

from __future__ import annotations

import urllib.parse
from typing import Any

import pytest

ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"


@pytest.mark.parametrize(
    "path",
    [
        "/anomalydetector/v1.1/timeseries/changePoint/detect",
        "//anomalydetector/v1.1/timeseries/entire/detect",
        "/AnomalyDetector/V1.1/TimeSeries//Last/Detect",
    ],
)
def test_paths_are_known_in_any_case_and_with_any_slashes(
    service: Any, weeks: dict[str, Any], path: str
) -> None:
    assert service.call(path, weeks).status == 200


def test_every_request_is_one_line_of_json_without_values(service: Any, kit: Any) -> None:
    series = [{"value": 987654.25 + place % 5} for place in range(20)]
    headers = {"x-request-id": "line-test", kit.HEADER: "a-key-not-to-log"}
    answer = service.call(ENTIRE, {"series": series}, headers=headers)
    assert answer.headers["x-request-id"] == "line-test"
    service.call(ENTIRE, {"series": series[:3] + [{"value": "987654.25x"}] * 20}, headers=headers)

    def lines() -> list[Any]:
        return [line for line in service.log if line.get("request_id") == "line-test"]

    kit.until(lambda: len(lines()) == 2, "the lines")
    fine, refused = lines()
    assert fine["status"] == 200
    assert fine["points"] == 20
    assert fine["model"] == "univariate-entire"
    assert fine["model_version"] == 1
    assert refused["status"] == 400
    assert refused["code"] == "BadArgument"
    assert "987654" not in service.output
    assert "a-key-not-to-log" not in service.output


def test_an_id_that_could_forge_a_line_is_replaced(service: Any) -> None:
    answer = service.call("/health/live", headers={"x-request-id": "with space"})
    assert answer.headers["x-request-id"] == answer.headers["apim-request-id"] != "with space"


MODELS = "/anomalydetector/v1.1/multivariate/models"
PREVIEW = "/anomalydetector/v1.1-preview.1/multivariate/models"
ALWAYS = {"Content-Length", "Content-Type", "x-request-id", "apim-request-id"}
ALWAYS |= {"x-content-type-options", "date"}


def test_names_of_headers_are_as_the_service_wrote_them(
    service: Any, factory: Any, model_id: str, kit: Any, weeks: dict[str, Any]
) -> None:
    # In the case that its recorded answers have, and read here as they came.
    def names(*request: Any, of: Any = factory, **options: Any) -> tuple[int, set[str]]:
        answer = of.call(*request, **options)
        if answer.status == 201:
            of.call(urllib.parse.urlsplit(answer.headers["Location"]).path, method="DELETE")
        return answer.status, {*answer.headers.keys()} - {"Connection"}

    batch = {name: kit.training()[name] for name in ("dataSource", "startTime", "endTime")}
    # The last two are ours.
    used = {"csp-billing-usage", "model-id", "x-model-name", "x-model-version"}
    refused = ALWAYS | {"x-ms-error-code"}
    assert names(ENTIRE, weeks, of=service) == (200, ALWAYS | used)
    assert names(MODELS, kit.training(), of=service) == (201, ALWAYS | {"Location"})
    of_batch = {"operation-id", "operation-location"}
    assert names(f"{MODELS}/{model_id}:detect-batch", batch) == (202, ALWAYS | of_batch)
    preview = kit.training(source="machine.csv")
    assert names(PREVIEW, preview, of=service) == (201, ALWAYS - {"Content-Type"} | {"Location"})
    assert names(ENTIRE, b"", of=service) == (400, refused)
    assert names(MODELS, headers={kit.HEADER: "wrong"}) == (401, refused)
    assert names(f"{MODELS}/nobody") == (404, refused)
    assert names("/nowhere", of=service) == (404, refused)
