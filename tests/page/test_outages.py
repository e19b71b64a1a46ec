"""What the page says when the service does not answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from chromium import Page
from page.seen import done
from services import Service, free_port


class Way:
    """A way to the service on a port of its own, which can be closed and opened again."""

    def __init__(self, service: Service) -> None:
        self._target = ("127.0.0.1", service.port)
        self._port = free_port()
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._port}/"
        self.open()

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """Take no more connections, and end those that there are."""
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = listener.accept()[0]
                server = socket.create_connection(self._target)
                self._open += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._copy, args=pair, daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.fixture
def way(service: Service) -> Iterator[Way]:
    way = Way(service)
    yield way
    way.close()


def test_a_service_that_stopped_gets_one_sentence_and_is_tried_again(page: Page, way: Way) -> None:
    page.own.append(way.url)
    page.is_cut_off = True
    page.open(way.url)
    done(page)
    way.close()
    page.slide("#sensitivity", 50)
    page.says("#result-error", "The service does not answer.")
    way.open()
    page.click("#retry")
    done(page)
    assert not any(error.is_displayed() for error in page.all("#result-error"))
