"""Connections: thousands that say nothing, or never end to say it, keep nobody else waiting."""

from __future__ import annotations

import contextlib
import http.client
import json
import resource
import time
from collections.abc import Callable

import pytest
from crowd import Crowd
from services import HEADER, Service

ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"
USUAL = json.dumps({"series": [{"value": place % 7} for place in range(47)]})
SILENT, HALF, SLOW = 5000, 300, 50
FEW_FILES, WITHHELD = 1024, 1500
HEALTH_SECONDS = 1.0


@pytest.fixture(autouse=True)
def _files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < 2 * SILENT:
        pytest.skip(f"the crowd needs more files than the {most} that it may open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def test_silent_connections_keep_nobody_waiting(begin: Callable[..., Service]) -> None:
    service = begin().wait()
    kept = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    worst = 0.0

    def ask() -> None:
        nonlocal worst
        started = time.monotonic()
        assert service.call("/health/live").status == 200
        worst = max(worst, time.monotonic() - started)
        # One that stays open is not closed for those that say nothing.
        kept.request("POST", ENTIRE, USUAL, {HEADER: "any"})
        answer = kept.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()

    with contextlib.closing(kept), contextlib.closing(Crowd(service)) as crowd:
        for _ in range(10):
            ask()
        # On a machine that does other things as well, each of these is slow too.
        most, worst = HEALTH_SECONDS + 10 * worst, 0.0
        for place in range(SILENT):
            crowd.open()
            if place % 250 == 0:
                ask()
        for _ in range(HALF):
            crowd.open(b"POST / HTTP/1.1\r\nHost: local")
        crowd.slow = [crowd.open(b"GET /health/live HTTP/1.1\r\nX-Slow: ") for _ in range(SLOW)]
        deadline = time.monotonic() + 20
        while left := crowd.left:
            assert time.monotonic() < deadline, f"{left} are still open"
            crowd.trickle()
            ask()
    assert worst < most
    # But for the lines of requests, one for each.
    said = [line for line in service.output.splitlines() if '"detector.requests"' not in line]
    assert sum(map(len, said)) < 10_000
    assert service.process.poll() is None


def test_bodies_that_do_not_arrive_keep_nobody_waiting(begin: Callable[..., Service]) -> None:
    # As many files as many a system allows.
    service = begin(files=FEW_FILES).wait()
    head = (
        f"POST {ENTIRE} HTTP/1.1\r\nHost: localhost\r\n{HEADER}: any\r\nContent-Length: 99\r\n\r\n"
    )
    with contextlib.closing(Crowd(service)) as crowd:
        for place in range(WITHHELD):
            # The service may have refused one before it has been sent.
            with contextlib.suppress(ConnectionError):
                crowd.open(head.encode() + b"{")
            if place % 250 == 0:
                assert service.call("/health/live").status == 200
                assert service.call(ENTIRE, USUAL.encode()).status == 200
