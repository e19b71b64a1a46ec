"""Connections: thousands that say nothing, or never end to say it, keep nobody else waiting."""

from __future__ import annotations

import contextlib
import http.client
import json
import resource
from collections.abc import Callable

import pytest
from attack.crowd import Crowd
from services import HEADER, Service

ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"
USUAL = json.dumps({"series": [{"value": place % 7} for place in range(47)]})
SILENT, HALF, SLOW = 5000, 300, 50
FEW_FILES, WITHHELD = 1024, 1500


@pytest.fixture(autouse=True)
def _files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < 2 * SILENT:
        pytest.skip(f"the crowd needs more files than the {most} that it may open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def test_silent_connections_keep_nobody_waiting(begin: Callable[..., Service]) -> None:
    service = begin().wait()
    kept = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)

    def ask() -> None:
        # One that stays open is not closed for those that say nothing.
        kept.request("POST", ENTIRE, USUAL, {HEADER: "any"})
        answer = kept.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()

    with contextlib.closing(kept), contextlib.closing(Crowd(service)) as crowd:
        crowd.keeps_nobody_waiting(
            ask,
            silent=SILENT,
            begun=[b"POST / HTTP/1.1\r\nHost: local"] * HALF,
            slow=[b"GET /health/live HTTP/1.1\r\nX-Slow: "] * SLOW,
        )


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
