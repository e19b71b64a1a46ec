"""Turns: neither what is large, nor what nobody waits for any more, keeps others waiting."""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import recordings
from services import HEADER, Service, running, until

ENTIRE, LAST, CHANGE_POINT, BATCH = (
    f"/anomalydetector/v1.1/timeseries/{each}/detect"
    for each in ("entire", "last", "changepoint", "batch")
)
COUNT = 60


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return a service that does one detection at a time."""
    with running(
        tmp_path_factory.mktemp("turns"),
        DETECTOR_CONCURRENT_DETECTIONS="1",
        DETECTOR_WAITING_DETECTIONS=str(COUNT),
    ) as begun:
        yield begun


def test_what_nobody_waits_for_is_not_done(service: Service) -> None:
    series = [{"value": (place * 7919 % 101) + place % 24} for place in range(8640)]
    body = json.dumps({"series": series, "period": 24}).encode()
    head = f"POST {LAST} HTTP/1.1\r\nHost: localhost\r\n{HEADER}: any\r\n"
    head += f"X-Request-Id: abandoned\r\nContent-Length: {len(body)}\r\n\r\n"
    for _ in range(COUNT):
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
            connection.sendall(head.encode() + body)
    # Behind all of them.
    assert service.call(LAST, body).status == 200

    def lines() -> list[dict[str, Any]]:
        return [line for line in service.log if line.get("request_id") == "abandoned"]

    until(lambda: len(lines()) == COUNT, "all of them are logged")
    done = [line for line in lines() if "detection_milliseconds" in line]
    # The first may have begun before its client went.
    assert len(done) <= 4, f"{len(done)} were done"
    assert {line["status"] for line in lines() if line not in done} == {499}


def test_a_batch_leaves_others_their_turns(service: Service) -> None:
    series = [{"value": (place * 7919 % 101) + place % 24} for place in range(8640)]
    asked = {"period": 24, "mode": "last", "series": [{"series": series}] * 25}
    alone = {"series": series, "period": 24}
    with ThreadPoolExecutor() as threads:
        batch = threads.submit(service.call, BATCH, asked)
        answered = 0
        while not batch.done():
            answered += service.call(LAST, alone).status == 200
    assert batch.result().status == 200
    # Between two pieces there is room for another request.
    assert answered >= 5, f"{answered} requests were answered beside a batch of 25 series"


def test_a_small_request_does_not_wait_for_large_ones(service: Service) -> None:
    # Every second hour is missing.
    hours = np.datetime64("2000-01-01", "s") + np.timedelta64(7200, "s") * np.arange(8640)
    series = [
        {"timestamp": f"{hour}Z", "value": math.sin(4 * math.pi * place / 3000)}
        for place, hour in enumerate(np.datetime_as_string(hours))
    ]
    asked = {"series": series, "granularity": "hourly", "stableTrendWindow": 3}
    large = json.dumps(asked).encode()
    small = recordings.read("azure/entire_daily47_live.json")["request"]
    # What loads a model, or code, is not measured.
    assert service.call(ENTIRE, small).status == 200
    assert service.call(CHANGE_POINT, large).status == 200
    answered: list[str] = []
    before: dict[str, int] = {}

    def ask(name: str, path: str, body: Any) -> int:
        before[name] = len(answered)
        status: int = service.call(path, body).status
        answered.append(name)
        return status

    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(ask, "large", CHANGE_POINT, large) for _ in range(6)]
        # With the first answer all others have arrived.
        until(lambda: answered, "the first answer", pause=0.001)
        answers.append(threads.submit(ask, "small", ENTIRE, small))
        assert {each.result() for each in answers} == {200}
    # Behind the one that was worked on when it came, and no other.
    assert answered.index("small") <= before["small"] + 1
