"""Requests whose clients have gone keep nobody waiting: they are not worked on."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from services import HEADER, Service, until

LAST, BATCH = (f"/anomalydetector/v1.1/timeseries/{each}/detect" for each in ("last", "batch"))
COUNT = 60


def test_what_nobody_waits_for_is_not_done(begin: Callable[..., Service]) -> None:
    service = begin(DETECTOR_WAITING_DETECTIONS=str(COUNT)).wait()
    series = [{"value": (place * 7919 % 101) + place % 24} for place in range(8640)]
    body = json.dumps({"series": series, "period": 24}).encode()
    head = f"POST {LAST} HTTP/1.1\r\nHost: localhost\r\n{HEADER}: any\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    for _ in range(COUNT):
        with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
            connection.sendall(head.encode() + body)
    assert service.call(LAST, body).status == 200

    def lines() -> list[dict[str, object]]:
        return [line for line in service.log if line.get("operation") == "last"]

    until(lambda: len(lines()) == COUNT + 1, "all of them are logged")
    done = [line for line in lines() if "detection_milliseconds" in line]
    # The first may have begun before its client went.
    assert len(done) <= 5, f"{len(done)} were done"
    assert {line["status"] for line in lines() if line not in done} == {499}


def test_a_batch_leaves_others_their_turns(begin: Callable[..., Service]) -> None:
    service = begin(DETECTOR_CONCURRENT_DETECTIONS="1", DETECTOR_WAITING_DETECTIONS="1").wait()
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
