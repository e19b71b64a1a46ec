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


def test_more_than_can_wait_for_a_silent_model_store_are_told_so(begin: Any, kit: Any) -> None:
    with contextlib.ExitStack() as opened:
        silent = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        service = begin(
            MLFLOW_TRACKING_URI=f"http://127.0.0.1:{silent.getsockname()[1]}",
            MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
            MLFLOW_HTTP_REQUEST_TIMEOUT="8",
            DETECTOR_STOP_SECONDS="1",
        ).wait("/health/live")
        asking = [
            opened.enter_context(socket.create_connection(("127.0.0.1", service.port)))
            for _ in range(76)
        ]
        for connection in asking:
            connection.sendall(request(kit, MODEL))

        def refused() -> list[Any]:
            return select.select(asking, [], [], 0)[0]

        # 8 are asked of the store, 64 wait.
        kit.until(lambda: len(refused()) == 4, "4 of them are answered")
        for connection in refused():
            head = connection.recv(65536).decode().lower()
            assert head.startswith("http/1.1 429")
            assert "retry-after: " in head
        assert service.call("/health/live").status == 200
        # Those that wait would take it more than a minute.
        assert service.stop() == 0


def test_those_who_wait_for_a_list_do_not_wait_for_a_silent_store_in_turn(
    begin: Any, kit: Any
) -> None:
    with contextlib.ExitStack() as opened:
        silent = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        service = begin(
            MLFLOW_TRACKING_URI=f"http://127.0.0.1:{silent.getsockname()[1]}",
            MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
            MLFLOW_HTTP_REQUEST_TIMEOUT="3",
            DETECTOR_STOP_SECONDS="1",
        ).wait("/health/live")
        asking = [
            opened.enter_context(socket.create_connection(("127.0.0.1", service.port)))
            for _ in range(20)
        ]
        for connection in asking:
            connection.sendall(request(kit, MODELS))
        # One after the other they would take a minute.
        kit.until(lambda: len(select.select(asking, [], [], 0)[0]) == 20, "all are answered", 20)
        assert all(each.recv(65536).startswith(b"HTTP/1.1 503") for each in asking)


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
