"""What one worker takes at a time."""

from __future__ import annotations

import json
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import urllib3

from detector.api.limits import Limits
from detector.settings import Settings

ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"
MODELS = "/anomalydetector/v1.1/multivariate/models"
NO_MODEL = "00000000-0000-4000-8000-000000000000"


def hourly(points: int) -> dict[str, Any]:
    series = [{"value": (place * 7919 % 101) + place % 24} for place in range(points)]
    return {"series": series, "period": 24}


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


def test_options_and_points_are_checked_before_the_limit_and_values_after_it(
    guarded: Any, kit: Any
) -> None:
    def asked(**changes: Any) -> tuple[int, str]:
        headers = {kit.HEADER: kit.KEYS[0]}
        answer = guarded.call(ENTIRE, hourly(201) | changes, headers=headers)
        return answer.status, answer.headers["x-ms-error-code"]

    series = hourly(200)["series"]
    assert asked(period=-1) == (400, "InvalidPeriod")
    assert asked(series=[*series, "no point"]) == (400, "BadArgument")
    assert asked(granularity="daily") == (400, "BadArgument")
    assert asked(series=[*series, {"value": "no number"}]) == (413, "413")
    untimely = [{"timestamp": "no date", "value": 1}] * 201
    assert asked(series=untimely, granularity="daily") == (413, "413")


def test_a_body_that_does_not_arrive_is_not_waited_for(guarded: Any, kit: Any) -> None:
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=10) as connection:
        head = f"POST {ENTIRE} HTTP/1.1\r\nHost: x\r\n{kit.HEADER}: {kit.KEYS[0]}\r\n"
        connection.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 408")


def test_the_bytes_of_bodies_are_shared_by_the_workers() -> None:
    one, four = (Limits(Settings(workers=workers)) for workers in (1, 4))
    try:
        assert one._bodies._large._most == 192 * 1024**2
        assert four._bodies._large._most == 48 * 1024**2
    finally:
        one.close()
        four.close()


@pytest.mark.parametrize(
    ("processors", "workers", "small", "large"), [(1, 1, 64, 16), (2, 1, 128, 32), (2, 3, 44, 11)]
)
def test_what_may_wait_goes_by_the_processors_and_is_shared_by_the_workers(
    processors: int, workers: int, small: int, large: int
) -> None:
    every = os.sched_getaffinity(0)
    if len(every) < processors:
        pytest.skip("There are fewer processors")
    os.sched_setaffinity(0, sorted(every)[:processors])
    try:
        limits = Limits(Settings(workers=workers))
    finally:
        os.sched_setaffinity(0, every)
    limits.close()
    # Beside those that run: one on each processor of a worker, and one of many variables.
    running = max(1, processors // workers)
    assert limits._small._most == small + running
    assert limits._large._most == large + running
    assert limits._multivariate._most == large + 1


def burst(service: Any, kit: Any, requests: int, points: int, *, tries: int) -> list[int]:
    """Send requests at once, each again when `Retry-After` says so; return their statuses."""
    body = json.dumps(hourly(points)).encode()
    again = urllib3.Retry(
        tries, status_forcelist=[429], allowed_methods=None, raise_on_status=False
    )
    start = threading.Barrier(requests)

    def send(_: int) -> int:
        start.wait()
        with urllib3.PoolManager() as pool:
            headers = {kit.HEADER: "any"}
            return pool.request(
                "POST", service.url + ENTIRE, body=body, headers=headers, retries=again
            ).status

    with ThreadPoolExecutor(requests) as threads:
        return list(threads.map(send, range(requests)))


def test_a_burst_of_large_detections_is_answered(service: Any, kit: Any) -> None:
    processors = len(os.sched_getaffinity(0))
    statuses = burst(service, kit, 40, 8640, tries=0)
    assert statuses.count(200) >= min(40, 16 * processors + 1)
    assert set(statuses) <= {200, 429}
    # As azure-core does.
    assert burst(service, kit, 40, 8640, tries=3) == [200] * 40


def test_a_burst_of_small_detections_is_answered_at_once(service: Any, kit: Any) -> None:
    processors = len(os.sched_getaffinity(0))
    requests = min(100, 64 * processors + 1)
    assert burst(service, kit, requests, 100, tries=0) == [200] * requests


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
    # In the case in which the service wrote it.
    assert "Retry-After" in list(refused.headers.keys())
    seconds = refused.headers["Retry-After"]
    assert int(seconds) >= 1
    assert f"Try again in {seconds} s." in refused.json["error"]["message"]
    assert refused.json["error"]["code"] == "429"
    assert follower.call(ENTIRE, hourly(72)).status == 200
