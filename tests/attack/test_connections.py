"""Connections: thousands that say nothing, or never end to say it, keep nobody else waiting.

Bytes that cost a client nothing and the service much close the connection that sends them.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import resource
import socket
from collections.abc import Callable, Iterator

import pytest
from attack.crowd import Crowd, is_closed
from services import HEADER, Service, running

ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"
USUAL = json.dumps({"series": [{"value": place % 7} for place in range(47)]})
SILENT, HALF, SLOW = 5000, 300, 50
FEW_FILES, WITHHELD = 1024, 1500
HOST = b"Host: localhost\r\n"
POST = f"POST {ENTIRE} HTTP/1.1\r\n".encode() + HOST
TINY = b"1\r\nx\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("attacked")) as begun:
        yield begun


@pytest.fixture
def _files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < 2 * SILENT:
        pytest.skip(f"the crowd needs more files than the {most} that it may open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@pytest.mark.usefixtures("_files")
def test_silent_connections_keep_nobody_waiting(service: Service) -> None:
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


@pytest.mark.usefixtures("_files")
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


def test_chunks_of_a_byte_close_their_connection(service: Service) -> None:
    for head in (POST, b"POST /health/live HTTP/1.1\r\n" + HOST):
        with socket.create_connection(("127.0.0.1", service.port), timeout=3) as connection:
            connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
            # It is answered at once, and goes on.
            assert connection.recv(65536).startswith(b"HTTP/1.1 40")
            assert is_closed(connection, TINY * 20_000)
    assert "Traceback" not in service.output


def test_a_body_in_lines_is_read(service: Service) -> None:
    lines = [b'{"series":[', *[b'{"value":%d},' % (place % 7) for place in range(8000)]]
    lines.append(b'{"value":1}]}')
    body = b"".join(b"%x\r\n%s\r\n" % (len(line), line) for line in lines) + b"0\r\n\r\n"
    head = POST + b"Ocp-Apim-Subscription-Key: any\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(head + body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
