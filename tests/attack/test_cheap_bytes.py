"""Bytes that cost a client nothing and the service much close the connection that sends them."""

from __future__ import annotations

import _ssl
import ctypes
import socket
import ssl
from collections.abc import Callable

import pytest
from services import Service

HOST = b"Host: localhost\r\n"
ENTIRE = b"POST /anomalydetector/v1.1/timeseries/entire/detect HTTP/1.1\r\n" + HOST
TINY = b"1\r\nx\r\n"


def is_closed(connection: socket.socket, sent: bytes) -> bool:
    """Send bytes, and say whether the service has closed the connection for them."""
    try:
        connection.sendall(sent)
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def test_chunks_of_a_byte_close_their_connection(begin: Callable[..., Service]) -> None:
    service = begin().wait()
    for head in (ENTIRE, b"POST /health/live HTTP/1.1\r\n" + HOST):
        with socket.create_connection(("127.0.0.1", service.port), timeout=3) as connection:
            connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
            # It is answered at once, and goes on.
            assert connection.recv(65536).startswith(b"HTTP/1.1 40")
            assert is_closed(connection, TINY * 20_000)
    assert "Traceback" not in service.output


def test_a_body_in_lines_is_read(begin: Callable[..., Service]) -> None:
    service = begin().wait()
    lines = [b'{"series":[', *[b'{"value":%d},' % (place % 7) for place in range(8000)]]
    lines.append(b'{"value":1}]}')
    body = b"".join(b"%x\r\n%s\r\n" % (len(line), line) for line in lines) + b"0\r\n\r\n"
    head = ENTIRE + b"Ocp-Apim-Subscription-Key: any\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(head + body)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_new_keys_of_tls_without_end_close_their_connection(begin: Callable[..., Service]) -> None:
    # Where the module is a part of Python itself, so is OpenSSL.
    openssl = ctypes.CDLL(getattr(_ssl, "__file__", None))
    if not hasattr(openssl, "SSL_key_update"):
        pytest.skip("this Python does not show OpenSSL's functions")
    service = begin(DETECTOR_TLS="self").wait()
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
        tls.write(b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n")
        connection.sendall(leaving.read())
        connection.recv(65536)
        # Behind the head of the object, and the socket that it has none of.
        state = ctypes.c_void_p(ctypes.c_void_p.from_address(id(tls._sslobj) + 24).value)  # type: ignore[attr-defined]
        for _ in range(2000):
            assert openssl.SSL_key_update(state, 1) == 1
            openssl.SSL_do_handshake(state)
        assert is_closed(connection, leaving.read())
    assert service.call("/health/live").status == 200
