"""Without keys: no page of another site reaches the service through somebody's browser."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from services import HEADER, Answer, Service, running

MODELS = "/anomalydetector/v1.1/multivariate/models"
PAGE = "https://plant.example.com"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return a service without keys, with a name and a page that are allowed."""
    with running(
        tmp_path_factory.mktemp("open"),
        DETECTOR_ALLOWED_HOSTS="detector, plant.example.com:8080",
        DETECTOR_CORS_ORIGINS=PAGE,
    ) as begun:
        yield begun


def refused(answer: Answer, setting: str) -> bool:
    return answer.status == 403 and setting in answer.json["error"]["message"]


@pytest.mark.parametrize(
    "origin",
    ["https://other.example.com", "null", "http://localhost:1", "http://127.0.0.1", f"{PAGE}.org"],
)
def test_a_page_of_another_site_trains_and_deletes_nothing(service: Service, origin: str) -> None:
    # A browser sends both without asking the service first.
    headers = {"Origin": origin, "Content-Type": "text/plain"}
    asked = {"dataSource": "a.csv", "startTime": "2021-01-01", "endTime": "2021-01-02"}
    assert refused(service.call(MODELS, asked, headers=headers), "DETECTOR_CORS_ORIGINS")
    assert refused(service.call("/", headers=headers), "DETECTOR_CORS_ORIGINS")
    preflight = {"Origin": origin, "Access-Control-Request-Method": "DELETE"}
    answer = service.call(MODELS, method="OPTIONS", headers=preflight)
    assert refused(answer, "DETECTOR_CORS_ORIGINS")
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_a_form_of_a_page_has_no_key(service: Service) -> None:
    for method, path in (
        ("POST", MODELS),
        ("GET", MODELS),
        ("DELETE", f"{MODELS}/x"),
        ("GET", "/datasets"),
        ("PUT", "/datasets/a"),
        ("POST", "/anomalydetector/v1.1/timeseries/entire/detect"),
    ):
        answer = service.call(path, b"{}", method=method, headers={"Content-Type": "text/plain"})
        assert answer.status != 401
        answer = service.call(path, b"{}", method=method, headers={})
        assert answer.status == 401
        assert f"the header {HEADER} is missing" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    "host",
    [
        "attacker.example.com",
        "attacker.example.com:8080",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "notlocalhost",
        "192.0.2.1",
        "[::2]",
        "plant.example.com",
        "detector.example.com",
        "",
    ],
)
def test_a_name_that_somebody_made_lead_here_is_refused(service: Service, host: str) -> None:
    for path in ("/", "/metrics", "/openapi.json", MODELS):
        answer = service.call(path, headers={"Host": host})
        assert refused(answer, "DETECTOR_ALLOWED_HOSTS"), answer.content


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8080",
        "a.localhost:1",
        "127.0.0.1",
        "127.9.9.9:80",
        "[::1]",
        "[::1]:8080",
        "detector",
        "Detector:8080",
        "plant.example.com:8080",
    ],
)
def test_names_of_loopback_and_of_the_setting_are_answered(service: Service, host: str) -> None:
    assert service.call("/", headers={"Host": host}).status == 200
    # The page of the service itself.
    same = {"Host": host, "Origin": f"http://{host.lower()}"}
    assert service.call(MODELS, headers=same).status == 200


def test_health_answers_whatever_it_is_called(service: Service) -> None:
    headers = {"Host": "10.0.0.7:8080", "Origin": "null"}
    for path in ("/health/live", "/health/ready"):
        assert service.call(path, headers=headers).status == 200


def test_a_page_that_is_named_may_ask_and_read(service: Service) -> None:
    wanted = f"{HEADER},content-type,x-ms-client-request-id,x-ms-useragent".lower()
    preflight = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": wanted,
    }
    answer = service.call(MODELS, method="OPTIONS", headers=preflight)
    assert answer.status == 200
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert answer.headers["Access-Control-Allow-Headers"] == wanted
    for path in (MODELS, f"{MODELS}/none"):
        answer = service.call(path, headers={"Origin": PAGE})
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "x-ms-error-code" in answer.headers["Access-Control-Expose-Headers"]
    # Without a key neither.
    body = json.dumps({}).encode()
    assert service.call(MODELS, body, headers={"Origin": PAGE, HEADER: ""}).status == 401
