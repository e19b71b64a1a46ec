"""A client that costs little: many kept connections in one thread, and a request made before.

On two cores whatever the client computes is missing to the service, so nothing is parsed but the
length of an answer.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services import HEADER

_BLOCK = 262_144


@dataclass(frozen=True)
class Load:
    """What some seconds of load came to.

    Attributes
    ----------
    rate : float
        Answers a second.
    server_ms, client_ms : float
        Processor time of a request, there and here.
    """

    rate: float
    server_ms: float
    client_ms: float


class _Connection:
    """Sends the same request again and again, and reads its answers."""

    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request
        self._left = 0

    def ask(self) -> None:
        self._left = -1
        self.socket.sendall(self._request)

    def is_answered(self) -> bool:
        """Read what is there; return whether the answer is whole."""
        data = self.socket.recv(_BLOCK)
        if self._left < 0:
            # The head of an answer comes in one piece.
            if not data.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"a request failed: {data[:500]!r}")
            head, _, data = data.partition(b"\r\n\r\n")
            self._left = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        self._left -= len(data)
        return self._left == 0

    def call(self) -> float:
        """Return the seconds of one request."""
        started = time.perf_counter()
        self.ask()
        while not self.is_answered():
            pass
        return time.perf_counter() - started


@contextlib.contextmanager
def _connections(port: int, path: str, body: bytes, count: int) -> Iterator[list[_Connection]]:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{HEADER}: any\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    made: list[_Connection] = []
    try:
        for _ in range(count):
            made.append(_Connection(port, head.encode() + body))
            # One worker would accept all that come at the same time.
            made[-1].call()
        yield made
    finally:
        for each in made:
            each.socket.close()


def median_ms(port: int, path: str, body: bytes, calls: int) -> float:
    """Return the median time of a request of one client on a kept connection."""
    with _connections(port, path, body, 1) as (connection,):
        for _ in range(calls // 10):
            connection.call()
        return statistics.median(connection.call() for _ in range(calls)) * 1e3


def measure(port: int, pid: int, path: str, body: bytes, *, clients: int, seconds: float) -> Load:
    """Return what the service answers to clients that each wait for one answer at a time."""
    answers = 0
    with _connections(port, path, body, clients) as made, selectors.DefaultSelector() as ready:
        server, client, started = _processor_seconds(pid), time.process_time(), time.monotonic()
        for each in made:
            ready.register(each.socket, selectors.EVENT_READ, each)
            each.ask()
        while time.monotonic() < started + seconds:
            for key, _ in ready.select(1):
                if key.data.is_answered():
                    answers += 1
                    key.data.ask()
        taken = time.monotonic() - started
        server, client = _processor_seconds(pid) - server, time.process_time() - client
    return Load(answers / taken, server / answers * 1e3, client / answers * 1e3)


def processes(pid: int) -> list[int]:
    """Return a process and those that it started."""
    tree = [pid]
    for process in tree:
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{process}/task/{process}/children").read_text()
            tree += [int(child) for child in children.split()]
    return tree


def _processor_seconds(pid: int) -> float:
    ticks = 0
    for process in processes(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
