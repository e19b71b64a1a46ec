"""Around every request: paths in any form, ids, and one line of the log."""

from __future__ import annotations

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
