"""A model store that does not answer."""

from __future__ import annotations

import contextlib
import select
import socket
import weakref
from typing import Any

import anyio
import pytest

from detector.api.model_store import ModelStore
from detector.errors import DetectionError

MODELS = "/anomalydetector/v1.1/multivariate/models"
MODEL = f"{MODELS}/00000000-0000-0000-0000-000000000000"


def request(kit: Any, path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{kit.HEADER}: any\r\n\r\n".encode()


def ask(opened: contextlib.ExitStack, service: Any, sent: bytes, times: int) -> list[Any]:
    """Send a request on so many connections; return them."""
    asking = [
        opened.enter_context(socket.create_connection(("127.0.0.1", service.port)))
        for _ in range(times)
    ]
    for connection in asking:
        connection.sendall(sent)
    return asking


def answered(asking: list[Any]) -> list[Any]:
    return select.select(asking, [], [], 0)[0]


def test_a_silent_model_store_keeps_few_waiting_and_none_in_turn(begin: Any, kit: Any) -> None:
    with contextlib.ExitStack() as opened:
        silent = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        service = begin(
            MLFLOW_TRACKING_URI=f"http://127.0.0.1:{silent.getsockname()[1]}",
            MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
            MLFLOW_HTTP_REQUEST_TIMEOUT="6",
            DETECTOR_STOP_SECONDS="1",
        ).wait("/health/live")

        lists = ask(opened, service, request(kit, MODELS), 20)
        # One after the other they would take two minutes.
        kit.until(lambda: len(answered(lists)) == 20, "all are answered", 20)
        assert all(each.recv(65536).startswith(b"HTTP/1.1 503") for each in lists)

        asking = ask(opened, service, request(kit, MODEL), 76)
        # 8 are asked of the store, 64 wait.
        kit.until(lambda: len(answered(asking)) == 4, "4 of them are answered")
        for connection in answered(asking):
            head = connection.recv(65536).decode().lower()
            assert head.startswith("http/1.1 429")
            assert "retry-after: " in head
        assert service.call("/health/live").status == 200
        # Those that wait would take it almost a minute.
        assert service.stop() == 0


def test_what_was_read_of_a_refused_body_is_let_go() -> None:
    class Content:
        pass

    held: list[weakref.ref[Content]] = []

    def refuse() -> None:
        content = Content()
        held.append(weakref.ref(content))
        raise DetectionError("BadArgument", "The content is wrong.")

    store = ModelStore()
    # Nothing is asked of MLflow.
    store._connected = True
    with pytest.raises(DetectionError) as raised:
        anyio.run(store.ask, refuse)
    assert raised.value.code == "BadArgument"
    assert held[0]() is None
    store.close()
