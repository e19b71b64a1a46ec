"""TLS: thousands of handshakes that do not end keep nobody waiting, and take no files away.

New keys without end close the connection that asks for them.
"""

from __future__ import annotations

import _ssl
import contextlib
import ctypes
import socket
import ssl
from collections.abc import Iterator

import pytest
from attack.crowd import Crowd, is_closed
from services import Service, running, until

ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"
USUAL = {"series": [{"value": place % 7} for place in range(47)]}
# As many files as many a system allows, and more connections than that.
FEW_FILES, SILENT, HALF, SLOW = 1024, 2000, 100, 20
# The first bytes of a client's greeting, and what speaks no TLS at all.
GREETING, PLAIN = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\n\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(
        tmp_path_factory.mktemp("attacked"), DETECTOR_TLS="self", files=FEW_FILES
    ) as begun:
        yield begun


def test_handshakes_that_do_not_end_keep_nobody_waiting(service: Service) -> None:
    def ask() -> None:
        assert service.call(ENTIRE, USUAL).status == 200

    with contextlib.closing(Crowd(service)) as crowd:
        crowd.keeps_nobody_waiting(
            ask,
            silent=SILENT,
            begun=[GREETING] * HALF,
            slow=[GREETING] * SLOW,
            nonsense=[PLAIN] * HALF,
        )


def test_the_oldest_of_too_many_handshakes_make_room(service: Service) -> None:
    # A quarter of the connections, which are half of the files.
    most = FEW_FILES // 2 // 4
    with contextlib.closing(Crowd(service)) as crowd:
        for _ in range(most + SLOW):
            crowd.open(GREETING)
        # The others have ten seconds.
        until(lambda: crowd.left() <= most, "the oldest are closed")
        assert crowd.left() == most


def test_new_keys_of_tls_without_end_close_their_connection(service: Service) -> None:
    # Where the module is a part of Python itself, so is OpenSSL.
    openssl = ctypes.CDLL(getattr(_ssl, "__file__", None))
    if not hasattr(openssl, "SSL_key_update"):
        pytest.skip("this Python does not show OpenSSL's functions")
    arriving, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=service.authority)
    tls = context.wrap_bio(arriving, leaving, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", service.port), timeout=3) as connection:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(leaving.read())
                arriving.write(connection.recv(65536))
        tls.write(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.sendall(leaving.read())
        connection.recv(65536)
        # Behind the head of the object, and the socket that it has none of.
        state = ctypes.c_void_p(ctypes.c_void_p.from_address(id(tls._sslobj) + 24).value)  # type: ignore[attr-defined]
        for _ in range(2000):
            assert openssl.SSL_key_update(state, 1) == 1
            openssl.SSL_do_handshake(state)
        assert is_closed(connection, leaving.read())
    assert service.call("/health/live").status == 200
