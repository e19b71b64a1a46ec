"""The service as such: the wire, keys, limits, health, log, metrics, start and stop."""

from __future__ import annotations

import contextlib
import json
import select
import signal
import socket
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import pytest

ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"
MODELS = "/anomalydetector/v1.1/multivariate/models"
NO_MODEL = "00000000-0000-4000-8000-000000000000"


def hourly(points: int) -> dict[str, Any]:
    series = [{"value": (place * 7919 % 101) + place % 24} for place in range(points)]
    return {"series": series, "period": 24}


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


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/x-www-form-urlencoded", "x"]
)
def test_the_content_type_does_not_matter(
    service: Any, weeks: dict[str, Any], content_type: str
) -> None:
    assert service.call(ENTIRE, weeks, headers={"Content-Type": content_type}).status == 200


def test_numeric_strings_nulls_and_extra_keys_are_tolerated(
    service: Any, weeks: dict[str, Any]
) -> None:
    plain = service.call(ENTIRE, weeks).json
    for point in weeks["series"]:
        point.update(value=str(point["value"]), note="extra")
    weeks |= {"period": None, "maxAnomalyRatio": None, "boundaryVersion": "V1", "needed": {}}
    answer = service.call(ENTIRE, weeks)
    assert answer.status == 200
    assert answer.json == plain


@pytest.mark.parametrize(
    ("path", "method", "status", "text"),
    [
        ("/nowhere", "GET", 404, "there is no /nowhere"),
        ("/anomalydetector/v1.1/timeseries/first/detect", "POST", 404, "entire/detect"),
        ("/anomalydetector/v9/timeseries/entire/detect", "POST", 404, "v1.1-preview.1"),
        (ENTIRE, "GET", 405, "GET is not allowed"),
        (ENTIRE, "PUT", 405, "PUT is not allowed"),
    ],
)
def test_the_gateway_refuses_with_a_nested_body(
    service: Any, path: str, method: str, status: int, text: str
) -> None:
    answer = service.call(path, b"{}", method=method)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["x-ms-error-code"] == str(status)
    assert answer.json["error"]["code"] == str(status)
    assert text in answer.json["error"]["message"]


def test_a_host_that_is_none_is_answered(service: Any) -> None:
    assert service.call("/nowhere", headers={"Host": "["}).status == 404


@pytest.mark.parametrize("place", [0, 1])
def test_each_of_the_keys_opens(guarded: Any, kit: Any, weeks: dict[str, Any], place: int) -> None:
    assert guarded.call(ENTIRE, weeks, headers={kit.HEADER: kit.KEYS[place]}).status == 200


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (None, "due to missing subscription key"),
        ("", "due to missing subscription key"),
        ("the-first-key,the-second-key", "due to invalid subscription key"),
        ("The-First-Key", "due to invalid subscription key"),
        ("schlüssel", "due to invalid subscription key"),
    ],
)
def test_no_other_key_opens(
    guarded: Any, kit: Any, weeks: dict[str, Any], key: str | None, text: str
) -> None:
    headers = {} if key is None else {kit.HEADER: key}
    answer = guarded.call(ENTIRE, weeks, headers=headers)
    assert answer.status == 401
    assert answer.json["error"]["code"] == "401"
    assert text in answer.json["error"]["message"]
    assert kit.HEADER in answer.json["error"]["message"]


def test_no_key_is_needed_to_see_whether_it_is_well(guarded: Any) -> None:
    for path in ("/", "/health/live", "/health/ready", "/metrics", "/openapi.json"):
        assert guarded.call(path).status == 200


@pytest.mark.parametrize(
    "environment", [{"DETECTOR_HOST": "192.0.2.1"}, {"BIND_ADDRESS": "192.0.2.1"}]
)
def test_it_does_not_listen_to_others_without_keys(begin: Any, environment: Any) -> None:
    service = begin(**environment)
    assert service.process.wait(30) == 2
    assert "which others can reach, with no key: set API_KEYS" in service.output
    assert len(service.output.splitlines()) == 1


def test_a_setting_that_makes_no_sense_is_named(begin: Any) -> None:
    service = begin(DETECTOR_WORKERS="none")
    assert service.process.wait(30) == 2
    assert "DETECTOR_WORKERS" in service.output
    assert "Traceback" not in service.output


@pytest.mark.parametrize(
    ("path", "times"), [(ENTIRE, 1), (MODELS, 1), (f"{MODELS}/{NO_MODEL}:detect-last", 10)]
)
def test_a_large_body_is_refused(guarded: Any, kit: Any, path: str, times: int) -> None:
    headers = {kit.HEADER: kit.KEYS[0]}
    answer = guarded.call(path, b" " * 110_000 * times, headers=headers)
    assert answer.status == 413
    assert "DETECTOR_MAX_BODY_BYTES" in answer.json["error"]["message"]


def test_a_long_series_is_refused(guarded: Any, kit: Any) -> None:
    headers = {kit.HEADER: kit.KEYS[0]}
    assert guarded.call(ENTIRE, hourly(200), headers=headers).status == 200
    answer = guarded.call(ENTIRE, hourly(201), headers=headers)
    assert answer.status == 413
    assert "DETECTOR_MAX_POINTS" in answer.json["error"]["message"]


def test_a_body_that_does_not_arrive_is_not_waited_for(guarded: Any, kit: Any) -> None:
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=10) as connection:
        head = f"POST {ENTIRE} HTTP/1.1\r\nHost: x\r\n{kit.HEADER}: {kit.KEYS[0]}\r\n"
        connection.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 408")


def test_more_than_can_wait_are_told_to_come_back(follower: Any) -> None:
    body = json.dumps(hourly(8640)).encode()
    with ThreadPoolExecutor(16) as threads:
        work = [threads.submit(follower.call, ENTIRE, body) for _ in range(32)]
        while not all(each.done() for each in work):
            assert follower.call("/health/ready").status == 200
        answers = [each.result() for each in work]
    statuses = {answer.status for answer in answers}
    assert statuses == {200, 429}
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.headers["Retry-After"] == "1"
    assert refused.json["error"]["code"] == "429"
    assert follower.call(ENTIRE, hourly(72)).status == 200


def test_more_than_can_wait_for_a_silent_model_store_are_told_so(begin: Any, kit: Any) -> None:
    with contextlib.ExitStack() as opened:
        silent = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        service = begin(
            MLFLOW_TRACKING_URI=f"http://127.0.0.1:{silent.getsockname()[1]}",
            MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
            MLFLOW_HTTP_REQUEST_TIMEOUT="8",
            DETECTOR_STOP_SECONDS="1",
        ).wait("/health/live")
        asking = [
            opened.enter_context(socket.create_connection(("127.0.0.1", service.port)))
            for _ in range(76)
        ]
        for connection in asking:
            connection.sendall(f"GET {MODELS} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

        def refused() -> list[Any]:
            return select.select(asking, [], [], 0)[0]

        # 8 are asked of the store, 64 wait.
        kit.until(lambda: len(refused()) == 4, "4 of them are answered")
        for connection in refused():
            head = connection.recv(65536).decode().lower()
            assert head.startswith("http/1.1 429")
            assert "retry-after: " in head
        assert service.call("/health/live").status == 200
        # Those that wait would take it more than a minute.
        assert service.stop() == 0


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


def figures(service: Any) -> dict[str, float]:
    text = service.call("/metrics").content.decode()
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_the_metrics_count_what_every_worker_did(
    guarded: Any, kit: Any, weeks: dict[str, Any]
) -> None:
    headers = {kit.HEADER: kit.KEYS[0]}
    fine = 'detector_requests_total{api_version="v1.1",operation="last",status="200"}'
    bad = 'detector_errors_total{code="InvalidPeriod",operation="last"}'
    points = 'detector_points_total{operation="last"}'
    taken = 'detector_request_seconds_count{operation="last"}'
    before = figures(guarded)
    path = ENTIRE.replace("entire", "last")
    for _ in range(20):
        # A connection each, so that both workers have their share.
        assert guarded.call(path, weeks, headers=headers).status == 200
    assert guarded.call(path, weeks | {"period": -1}, headers=headers).status == 400

    def gained() -> list[float]:
        after = figures(guarded)
        return [after.get(name, 0) - before.get(name, 0) for name in (fine, bad, points, taken)]

    # An answer is counted just after it has gone.
    kit.until(lambda: gained() == [20, 1, 700, 21], "the figures", 5)
    assert figures(guarded)['detector_model_version{model="change-point"}'] == 1


def test_the_first_page_says_what_answers(service: Any) -> None:
    about = service.call("/").json
    assert about["models"] == {"univariate-entire": 1, "univariate-latest": 1, "change-point": 1}
    assert about["apiVersions"] == ["v1.0", "v1.1", "v1.1-preview", "v1.1-preview.1"]


def test_the_documented_examples_are_answered(service: Any) -> None:
    description = service.call("/openapi.json").json
    asked = 0
    for path, route in description["paths"].items():
        if "/timeseries/" in path:
            schema = route["post"]["requestBody"]["content"]["application/json"]["schema"]
            answer = service.call(path.format(version="v1.1"), schema["example"])
            assert answer.status == 200, answer.content
            asked += 1
    assert asked == 3
    page = service.call("/docs")
    assert page.status == 200
    assert b"entire/detect" in page.content
    # It is read where nothing else can be reached.
    assert b"https://" not in page.content


def test_it_finishes_what_it_has_begun_when_it_is_stopped(begin: Any) -> None:
    service = begin().wait()
    body = json.dumps(hourly(8640)).encode()
    with ThreadPoolExecutor() as threads:
        work = [threads.submit(service.call, ENTIRE, body) for _ in range(6)]
        # The first is answered, so the others, sent with it, have been begun.
        next(as_completed(work))
        service.process.send_signal(signal.SIGTERM)
        answers = [each.result().status for each in work]
    assert answers == [200] * 6
    assert service.process.wait(20) == 0
