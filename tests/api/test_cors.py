"""Pages that are named call the service as the browser builds of Azure's clients do."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from services import HEADER, KEYS, Answer, Service

PAGE = "https://plant.example.com"
OTHER = "https://other.example.com"
ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"
MODELS = "/anomalydetector/v1.1/multivariate/models"
KEY = HEADER.lower()
# What these clients read of an answer, beside what every page may.
READ = {
    "apim-request-id",
    "location",
    "operation-id",
    "operation-location",
    "retry-after",
    "x-ms-error-code",
    "x-request-id",
}


def preflight(keyed: Service, path: str, method: str, headers: str, page: str = PAGE) -> Answer:
    """Ask as a browser does, which sends no key then."""
    asked = {
        "Origin": page,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": headers,
        "Sec-Fetch-Mode": "cors",
        "Sec-Fetch-Site": "cross-site",
        HEADER: "",
    }
    return keyed.call(path, method="OPTIONS", headers=asked)


@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [
        # @azure-rest/ai-anomaly-detector and @azure/ai-anomaly-detector
        (ENTIRE, "POST", f"content-type,{KEY},x-ms-client-request-id,x-ms-useragent"),
        (MODELS, "POST", f"content-type,{KEY},x-ms-client-request-id,x-ms-useragent"),
        (f"{MODELS}/1", "GET", f"{KEY},x-ms-client-request-id,x-ms-useragent"),
        (f"{MODELS}/1", "DELETE", f"{KEY},x-ms-client-request-id,x-ms-useragent"),
        # @azure/cognitiveservices-anomalydetector
        (ENTIRE, "POST", f"content-type,{KEY},x-ms-command-name"),
        ("/datasets/machine", "PUT", f"content-type,{KEY}"),
    ],
)
def test_a_preflight_passes_without_a_key(
    keyed: Service, path: str, method: str, headers: str
) -> None:
    answer = preflight(keyed, path, method, headers)
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert method in answer.headers["Access-Control-Allow-Methods"].split(", ")
    assert answer.headers["Access-Control-Allow-Headers"] == headers
    assert int(answer.headers["Access-Control-Max-Age"]) >= 60
    assert "Origin" in answer.headers["Vary"]
    # Nothing is done with cookies.
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_a_public_page_that_is_named_may_call_a_private_address(keyed: Service) -> None:
    asked = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Private-Network": "true",
    }
    answer = keyed.call(ENTIRE, method="OPTIONS", headers=asked)
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Private-Network"] == "true"


def test_a_page_that_is_not_named_reads_nothing(keyed: Service, weeks: dict[str, Any]) -> None:
    answer = preflight(keyed, ENTIRE, "POST", f"content-type,{KEY}", OTHER)
    assert answer.status != 200
    assert "Access-Control-Allow-Origin" not in answer.headers
    answer = keyed.call(ENTIRE, weeks, headers={"Origin": OTHER, HEADER: KEYS[0]})
    assert "Access-Control-Allow-Origin" not in answer.headers


def readable(answer: Answer) -> bool:
    exposed = set(answer.headers.get("Access-Control-Expose-Headers", "").lower().split(", "))
    return answer.headers["Access-Control-Allow-Origin"] == PAGE and exposed >= READ


def test_a_page_reads_answers_and_refusals(keyed: Service, weeks: dict[str, Any]) -> None:
    page = {"Origin": PAGE, HEADER: KEYS[0]}
    asked = {
        200: keyed.call(ENTIRE, weeks, headers=page),
        400: keyed.call(ENTIRE, {"series": []}, headers=page),
        401: keyed.call(ENTIRE, weeks, headers=page | {HEADER: "wrong"}),
        404: keyed.call(f"{MODELS}/none", headers=page),
        405: keyed.call(ENTIRE, method="DELETE", headers=page),
        413: keyed.call(ENTIRE, b" " * 4_200_000, headers=page),
    }
    assert {status: answer.status for status, answer in asked.items()} == {
        status: status for status in asked
    }
    assert readable(keyed.call(ENTIRE, weeks, headers=page | {HEADER: ""}))
    assert not [status for status, answer in asked.items() if not readable(answer)]


def test_a_page_reads_when_to_come_back(keyed: Service) -> None:
    body = json.dumps({"series": [{"value": place % 24} for place in range(8640)]}).encode()
    page = {"Origin": PAGE, HEADER: KEYS[0]}
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda _: keyed.call(ENTIRE, body, headers=page), range(24)))
    assert {answer.status for answer in answers} == {200, 429}
    assert all(readable(answer) for answer in answers)
    assert all(answer.headers["Retry-After"] for answer in answers if answer.status == 429)
