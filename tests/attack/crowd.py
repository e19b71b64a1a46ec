"""Clients that open connections and leave them, for the tests that attack a service."""

from __future__ import annotations

import contextlib
import itertools
import selectors
import socket
import time
from collections.abc import Callable, Sequence

from services import Service


class Crowd:
    """Clients that open connections and leave them."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._opened = selectors.DefaultSelector()
        # More than the ports of one address.
        self._sources = itertools.cycle(f"127.0.0.{place}" for place in range(2, 10))

    def keeps_nobody_waiting(
        self,
        ask: Callable[[], None],
        *,
        silent: int,
        begun: Sequence[bytes],
        slow: Sequence[bytes],
        nonsense: Sequence[bytes] = (),
    ) -> None:
        """Open connections of each kind, and ask meanwhile, until the service has closed them all.

        Parameters
        ----------
        ask : callable
            Asks the service for what others want of it, and fails where it does not get that.
        silent : int
            How many say nothing.
        begun, slow : sequence of bytes
            What others send, and no more; or one byte after the other behind it.
        nonsense : sequence of bytes
            What others send whom the service may leave before all of it is sent.
        """
        # On a machine that does other things as well, each of these is slow too.
        most = 1.0 + 10 * max(self._answered(ask) for _ in range(10))
        seconds = []
        for place in range(silent):
            self.open()
            if place % 250 == 0:
                seconds.append(self._answered(ask))
        for sent in begun:
            self.open(sent)
        for sent in nonsense:
            with contextlib.suppress(ConnectionError):
                self.open(sent)
        trickling = [self.open(sent) for sent in slow]
        deadline = time.monotonic() + 20
        while left := self.left():
            assert time.monotonic() < deadline, f"{left} are still open"
            for one in trickling:
                with contextlib.suppress(OSError):
                    one.send(b"x")
            seconds.append(self._answered(ask))
        assert max(seconds) < most
        # But for the lines of requests, one for each.
        lines = self._service.output.splitlines()
        assert sum(len(line) for line in lines if '"detector.requests"' not in line) < 10_000
        assert self._service.process.poll() is None

    def _answered(self, ask: Callable[[], None]) -> float:
        """Return how long a health check took, in seconds, and ask for more."""
        started = time.monotonic()
        assert self._service.call("/health/live").status == 200
        seconds = time.monotonic() - started
        ask()
        return seconds

    def left(self) -> int:
        """How many have not been closed by the service."""
        for key, _ in self._opened.select(0.1):
            one = key.fileobj
            assert isinstance(one, socket.socket)
            with contextlib.suppress(ConnectionResetError):
                # What comes is a refusal, if anything.
                while one.recv(4096):
                    pass
            self._opened.unregister(one)
            one.close()
        return len(self._opened.get_map())

    def open(self, sent: bytes = b"") -> socket.socket:
        one = socket.create_connection(
            ("127.0.0.1", self._service.port), timeout=10, source_address=(next(self._sources), 0)
        )
        try:
            one.sendall(sent)
        except ConnectionError:
            one.close()
            raise
        self._opened.register(one, selectors.EVENT_READ)
        return one

    def close(self) -> None:
        for key in list(self._opened.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._opened.close()


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
