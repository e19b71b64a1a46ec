"""Around every request: its path in one form, its id, one log line, and its figures."""

import logging
import re
import time
import traceback
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from detector.api.errors import GatewayError, refusal
from detector.api.metrics import ERRORS, LATENCY, POINTS, REQUESTS

__all__ = ["RequestLog"]

# What is told of a request where it is known.
_LOGGED = (
    "code",
    "series",
    "refused",
    "points",
    "model",
    "model_version",
    "detection_milliseconds",
)
_log = logging.getLogger("detector.requests")
_ID = re.compile(r"[\x21-\x7e]{1,128}")
_CLIENT_GONE = 499
# The service wrote these so, and every other name in lower case, as starlette does. HTTP does not
# mind, but clients do that look for "Location" among the names as they came.
_AS_WRITTEN = {
    name.lower(): name for name in (b"Content-Length", b"Content-Type", b"Location", b"Retry-After")
}


class RequestLog:
    """ASGI middleware: what a request was and what came of it, without a value of its series."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        scope["path"] = _in_one_form(scope["path"])
        state: dict[str, Any] = scope.setdefault("state", {})
        headers = Headers(scope=scope)
        request_id = _request_id(headers)
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                out = MutableHeaders(raw=message["headers"])
                out["x-request-id"] = request_id
                out["apim-request-id"] = request_id
                out["x-content-type-options"] = "nosniff"
                message["headers"] = [(_AS_WRITTEN.get(name, name), each) for name, each in out.raw]
            await send(message)

        failure: dict[str, Any] = {}
        try:
            await self._app(scope, receive, answer)
        except ClientDisconnect:
            status = _CLIENT_GONE
        except Exception as error:  # noqa: BLE001 - the last place where it can be answered
            state["code"] = "500"
            # The text of an exception may hold values of the series.
            frames = traceback.format_tb(error.__traceback__)
            failure = {"exception": type(error).__name__, "traceback": "".join(frames)}
            if not status:
                problem = GatewayError(
                    500, f"The service failed; its log says why, under {request_id}."
                )
                await refusal(problem)(scope, receive, answer)
        finally:
            if "body" in state:
                state["body"].release()
        self._report(scope, request_id, status, time.perf_counter() - started, failure)

    def _report(
        self, scope: Scope, request_id: str, status: int, seconds: float, failure: dict[str, Any]
    ) -> None:
        state = scope["state"]
        operation = state.get("operation", "other")
        version = state.get("api_version", "")
        REQUESTS.labels(operation, version, str(status)).inc()
        LATENCY.labels(operation).observe(seconds)
        if "code" in state:
            ERRORS.labels(operation, state["code"]).inc()
        if status == 200 and "points" in state:
            POINTS.labels(operation).inc(state["points"])
        line = {
            "request_id": request_id,
            "method": scope["method"],
            "path": scope["path"][:200],
            "operation": operation,
            "status": status,
            "milliseconds": round(seconds * 1e3, 3),
        }
        for name in _LOGGED:
            if name in state:
                line[name] = state[name]
        _log.log(logging.ERROR if failure else logging.INFO, "request", extra=line | failure)


def _in_one_form(path: str) -> str:
    """Collapse slashes, and write the routes of the API in lower case."""
    path = re.sub("/{2,}", "/", path)
    return path.lower() if path.lower().startswith("/anomalydetector/") else path


def _request_id(headers: Headers) -> str:
    for name in ("x-request-id", "x-ms-client-request-id"):
        given = headers.get(name, "")
        if _ID.fullmatch(given):
            return given
    return str(uuid.uuid4())
