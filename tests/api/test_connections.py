"""Connections: a server of uvicorn's with a small application, and clients that are no good."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

import pytest
import uvicorn
from services import until

from detector.api import connections, tls

LARGE = 20_000_000
HEAD_SECONDS, IDLE_SECONDS = 0.5, 1.5


begun: list[int] = []


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer with as many bytes as the query says."""
    begun.append(len(begun))
    body = b"x" * int(scope["query_string"] or 2)
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tls.Files:
    return tls.local(tmp_path_factory.mktemp("tls"), ["127.0.0.1"])


@pytest.fixture(params=[False, True], ids=["plain", "TLS"])
def secure(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


class Running:
    """A server in a thread."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        self.address = listener.getsockname()
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listener],))
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def running(
    secure: bool, certificate: tls.Files, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Running]:
    """Return a server that has little patience, with or without TLS."""
    monkeypatch.setattr(connections, "_HEAD_SECONDS", HEAD_SECONDS)
    monkeypatch.setattr(connections, "IDLE_SECONDS", IDLE_SECONDS)
    monkeypatch.setattr(connections, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(connections, "_ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(connections, "_ANSWER_BYTES_PER_SECOND", LARGE)
    monkeypatch.setattr(connections, "_MOST_OPEN", 4)
    monkeypatch.setattr(connections, "_MOST_UNREAD_BYTES", LARGE)
    monkeypatch.setattr(connections.Connection, "_most", 0)
    config = uvicorn.Config(
        application,
        http=connections.Connection,
        loop="detector.api.connections:Loop",
        lifespan="off",
        log_config=None,
        timeout_keep_alive=60,
        ssl_certfile=certificate.certificate if secure else None,
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = Running(config, listener)
        yield running
        running.stop()
    assert not connections.Connection._open


@pytest.fixture
def connect(
    secure: bool, running: Running, certificate: tls.Files
) -> Iterator[Callable[[], socket.socket]]:
    """Return what connects to the server."""
    context = ssl.create_default_context(cafile=certificate.authority)
    with contextlib.ExitStack() as stack:

        def new() -> socket.socket:
            made = socket.create_connection(running.address, timeout=10)
            if secure:
                made = context.wrap_socket(made, server_hostname="127.0.0.1")
            return stack.enter_context(made)

        yield new


def ask(connection: socket.socket, size: int = 2) -> None:
    connection.sendall(f"GET /?{size} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())


def is_open(connection: socket.socket) -> bool:
    """Say whether nothing has come, neither bytes nor the end."""
    connection.setblocking(False)
    try:
        connection.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except ConnectionResetError:
        return False
    finally:
        connection.settimeout(10)
    return False


def answered(connection: socket.socket) -> bool:
    text = b""
    while not text.endswith(b"xx"):
        chunk = connection.recv(65536)
        if not chunk:
            return False
        text += chunk
    return text.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: loc", b"\r\n"])
def test_a_head_that_does_not_arrive_is_not_waited_for(
    connect: Callable[[], socket.socket], sent: bytes
) -> None:
    connection = connect()
    connection.sendall(sent)
    until(lambda: not is_open(connection), "it is closed", 5)


def test_a_head_that_arrives_byte_by_byte_has_no_more_time(
    connect: Callable[[], socket.socket],
) -> None:
    connection = connect()

    def closes() -> bool:
        with contextlib.suppress(OSError):
            connection.sendall(b"G")
        return not is_open(connection)

    until(closes, "it is closed", 5)


def test_a_body_that_nobody_reads_does_not_keep_a_connection(
    connect: Callable[[], socket.socket],
) -> None:
    connection = connect()
    connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
    assert answered(connection)

    def closes() -> bool:
        with contextlib.suppress(OSError):
            connection.sendall(b" ")
        return not is_open(connection)

    until(closes, "it is closed", 5)


def test_the_body_of_an_answer_does_not_wait_until_its_head_is_acknowledged(
    connect: Callable[[], socket.socket],
) -> None:
    connection = connect()
    ask(connection)
    assert answered(connection)
    (served,) = connections.Connection._open
    accepted = served._socket.get_extra_info("socket")
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_head_of_an_answer_is_sent_with_what_follows_it(
    connect: Callable[[], socket.socket],
) -> None:
    connection = connect()
    for size in (2, 0):
        ask(connection, size)
        pieces = connection.recv(65536)
        assert pieces.startswith(b"HTTP/1.1 200")
        assert pieces.endswith(b"\r\n\r\n" + b"x" * size)


def test_a_kept_connection_may_be_idle_as_long_as_with_azure() -> None:
    assert connections.IDLE_SECONDS >= 240


def test_a_kept_connection_is_closed_when_it_is_not_used(
    connect: Callable[[], socket.socket],
) -> None:
    connection = connect()
    for _ in range(3):
        ask(connection)
        assert answered(connection)
    since = time.monotonic()
    until(lambda: not is_open(connection), "it is closed", 10)
    assert time.monotonic() - since > IDLE_SECONDS


@pytest.mark.parametrize("sent", [b"G", b"\r\n"])
def test_a_kept_connection_has_no_more_time_for_its_next_head(
    connect: Callable[[], socket.socket], sent: bytes
) -> None:
    connection = connect()
    ask(connection)
    assert answered(connection)
    since = time.monotonic()
    connection.sendall(sent)
    until(lambda: not is_open(connection), "it is closed", 10)
    assert time.monotonic() - since < IDLE_SECONDS


def test_the_oldest_silent_one_gives_way(connect: Callable[[], socket.socket]) -> None:
    kept = connect()
    ask(kept)
    assert answered(kept)
    silent = [connect(), connect(), connect()]
    new = connect()
    ask(new)
    assert answered(new)
    until(lambda: not is_open(silent[0]), "the oldest is closed", 5)
    assert is_open(silent[1])
    assert is_open(silent[2])
    # One that has been used stays where there are more that have not.
    ask(kept)
    assert answered(kept)


@pytest.mark.parametrize("requests", [1, 2])
def test_an_answer_that_is_not_read_is_not_kept(
    connect: Callable[[], socket.socket], requests: int
) -> None:
    connection = connect()
    for _ in range(requests):
        ask(connection, LARGE)
    until(lambda: connections.Connection._unread, "it is not read", 5)
    until(lambda: not connections.Connection._unread, "it is dropped", 10)
    read = 0
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(1 << 20):
            read += len(chunk)
    assert read < LARGE


def test_answers_that_are_not_read_share_their_room(
    connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_ANSWER_SECONDS", 60.0)
    first, second = connect(), connect()
    unread = connections.Connection._unread
    ask(first, LARGE)
    until(lambda: unread, "the first is not read", 5)
    [dropped] = unread
    ask(second, LARGE)
    until(lambda: unread.keys() - {dropped}, "the second is not read", 5)
    assert dropped not in unread


def test_a_slow_answer_is_read_to_its_end_and_the_connection_goes_on(
    connect: Callable[[], socket.socket],
) -> None:
    connection = connect()
    before = len(begun)
    # The second is asked for before the first has been read, and not begun until then.
    for _ in range(2):
        ask(connection, LARGE)
    until(lambda: connections.Connection._unread, "it is not read", 5)
    assert len(begun) == before + 1
    read = 0
    while read < 2 * LARGE:
        chunk = connection.recv(1 << 20)
        assert chunk
        read += len(chunk)
    ask(connection)
    assert b"200 OK" in connection.recv(65536)[-200:]


def test_the_last_answer_of_a_connection_is_read_to_its_end(
    connect: Callable[[], socket.socket],
) -> None:
    connection = connect()
    connection.sendall(
        f"GET /?{LARGE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    )
    until(lambda: connections.Connection._unread, "it is not read", 5)
    read = 0
    while chunk := connection.recv(1 << 20):
        read += len(chunk)
    assert read > LARGE


def test_a_client_that_does_not_say_good_bye_is_not_waited_for(
    connect: Callable[[], socket.socket],
) -> None:
    connection = connect()
    connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    # It neither reads nor closes.
    since = time.monotonic()
    until(lambda: begun and not connections.Connection._open, "its place is free", 5, pause=0.01)
    assert time.monotonic() - since < HEAD_SECONDS


def test_a_client_that_keeps_its_connection_does_not_keep_the_service_from_stopping(
    connect: Callable[[], socket.socket], running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_HEAD_SECONDS", 60.0)
    connection = connect()
    ask(connection)
    assert answered(connection)
    running.stop()


@pytest.mark.parametrize("secure", [True], ids=["TLS"])
@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_handshake_that_does_not_end_is_not_waited_for(
    running: Running, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    with socket.create_connection(running.address, timeout=10) as connection:
        connection.sendall(sent)
        with contextlib.suppress(ConnectionResetError):
            while connection.recv(4096):
                pass
        until(lambda: not connections.Connection._open, "its place is free", 5)
    assert not [each for each in caplog.records if each.levelname != "INFO"]


@pytest.mark.parametrize("secure", [True], ids=["TLS"])
def test_a_handshake_that_does_not_end_gives_way(
    connect: Callable[[], socket.socket], running: Running
) -> None:
    kept = connect()
    ask(kept)
    assert answered(kept)
    with contextlib.ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(running.address, timeout=10))
            for _ in range(4)
        ]
        new = connect()
        ask(new)
        assert answered(new)
        until(lambda: not is_open(silent[0]), "the oldest is closed", 5)
        ask(kept)
        assert answered(kept)


ENTIRE = "POST /anomalydetector/v1.1/timeseries/entire/detect"
BODY = b'{"series": [' + b", ".join(b'{"value": %d}' % (place % 5) for place in range(20)) + b"]}"


def head(version: str, *headers: str, key: str = "any") -> bytes:
    lines = [f"{ENTIRE} HTTP/{version}", "Host: localhost", f"Ocp-Apim-Subscription-Key: {key}"]
    lines += [f"Content-Length: {len(BODY)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def read_answer(stream: IO[bytes]) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Return the first line of an answer, its headers in lower case, and its body."""
    first = stream.readline().strip()
    headers: dict[bytes, bytes] = {}
    while line := stream.readline().strip():
        name, _, value = line.partition(b": ")
        headers[name.lower()] = value
    return first, headers, stream.read(int(headers.get(b"content-length", 0)))


@pytest.fixture
def raw(service: Any) -> Iterator[socket.socket]:
    """Return a connection to the whole service."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        yield connection


def test_a_client_that_asks_before_it_sends_its_body_is_told_to(raw: socket.socket) -> None:
    stream = raw.makefile("rb")
    # The connection goes on after the first, as those of .NET Framework and curl do.
    for _ in range(2):
        raw.sendall(head("1.1", "Expect: 100-continue"))
        assert read_answer(stream)[0].startswith(b"HTTP/1.1 100")
        raw.sendall(BODY)
        first, _, body = read_answer(stream)
        assert first == b"HTTP/1.1 200 OK"
        assert b"isAnomaly" in body


def test_a_client_that_asks_and_does_not_wait_is_answered(raw: socket.socket) -> None:
    raw.sendall(head("1.1", "Expect: 100-continue") + BODY)
    stream = raw.makefile("rb")
    answers = [read_answer(stream)]
    if answers[0][0].startswith(b"HTTP/1.1 100"):
        answers.append(read_answer(stream))
    assert answers[-1][0] == b"HTTP/1.1 200 OK"


def test_a_client_that_asks_and_may_not_is_refused_before_its_body(guarded: Any) -> None:
    with socket.create_connection(("127.0.0.1", guarded.port), timeout=10) as connection:
        stream = connection.makefile("rb")
        connection.sendall(head("1.1", "Expect: 100-continue", key="wrong"))
        assert read_answer(stream)[0] == b"HTTP/1.1 401 Unauthorized"
        # One that sends its body all the same may go on.
        connection.sendall(BODY + b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_answer(stream)[0] == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("headers", [[], ["Connection: keep-alive"]])
def test_a_client_of_http_1_0_is_answered_and_told_that_this_ends_it(
    raw: socket.socket, headers: list[str]
) -> None:
    raw.sendall(head("1.0", *headers) + BODY)
    stream = raw.makefile("rb")
    first, answered, body = read_answer(stream)
    assert first == b"HTTP/1.1 200 OK"
    assert b"isAnomaly" in body
    assert answered[b"connection"].lower() == b"close"
    assert stream.read() == b""
