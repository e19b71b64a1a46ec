"""Clients that open connections and leave them, for the tests that attack a service."""

from __future__ import annotations

import contextlib
import itertools
import selectors
import socket

from services import Service


class Crowd:
    """Clients that open connections and leave them."""

    def __init__(self, service: Service) -> None:
        self._port = service.port
        self._opened = selectors.DefaultSelector()
        # More than the ports of one address.
        self._sources = itertools.cycle(f"127.0.0.{place}" for place in range(2, 10))
        self.slow: list[socket.socket] = []

    @property
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
            ("127.0.0.1", self._port), timeout=10, source_address=(next(self._sources), 0)
        )
        try:
            one.sendall(sent)
        except ConnectionError:
            one.close()
            raise
        self._opened.register(one, selectors.EVENT_READ)
        return one

    def trickle(self) -> None:
        """Send one byte more of each head that never ends."""
        for one in self.slow:
            with contextlib.suppress(OSError):
                one.send(b"x")

    def close(self) -> None:
        for key in list(self._opened.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._opened.close()
