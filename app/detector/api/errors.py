"""What the service answers when it refuses: two shapes, always JSON, always with a header.

The detection service answered ``{"code": ..., "message": ...}``. The gateway before it, which
knew keys, routes and quotas, answered ``{"error": {"code": ..., "message": ...}}``.
"""

from collections.abc import Mapping

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException

from detector.api.wire import Json
from detector.errors import DetectionError

__all__ = ["CODES", "STATUSES", "GatewayError", "add_handlers", "refusal"]

# Why the gateway refuses, by the status that is also its code.
CODES = {
    401: "The key is missing or wrong.",
    404: "There is no such route or API version.",
    405: "The route does not know this method.",
    408: "The body took too long to arrive.",
    413: "The body is too large, or has more points than this service takes.",
    429: "Too many detections run and wait already; try again after Retry-After seconds.",
    500: "The service failed; its log says why.",
    503: "No model is loaded yet, or the model store does not answer; try again after Retry-After "
    "seconds.",
}
# The status of what the detection service refused with another one than 400.
STATUSES = {
    "ModelNotExist": 404,
    "ResultNotExist": 404,
    "InvalidFileSize": 413,
}
_LONGEST_MESSAGE = 1000


class GatewayError(Exception):
    """A request that is refused before it is read as one for detection."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


def refusal(error: DetectionError | GatewayError) -> Json:
    """Return the answer to a request that is refused."""
    # A message may quote what was sent, which may be anything.
    message = error.message[:_LONGEST_MESSAGE].encode(errors="replace").decode()
    if isinstance(error, DetectionError):
        body = {"code": error.code, "message": message}
        status = STATUSES.get(error.code, 400)
        return Json(body, status_code=status, headers={"x-ms-error-code": error.code})
    code = str(error.status)
    return Json(
        {"error": {"code": code, "message": message}},
        status_code=error.status,
        headers={**error.headers, "x-ms-error-code": code},
    )


def add_handlers(app: FastAPI) -> None:
    """Have every refusal answered in its shape, those of the router too."""

    @app.exception_handler(DetectionError)
    async def of_detection(request: Request, error: DetectionError) -> Json:
        request.state.code = error.code
        return refusal(error)

    @app.exception_handler(GatewayError)
    async def of_gateway(request: Request, error: GatewayError) -> Json:
        request.state.code = str(error.status)
        return refusal(error)

    @app.exception_handler(HTTPException)
    async def of_router(request: Request, error: HTTPException) -> Json:
        request.state.code = str(error.status_code)
        method, path = request.method, request.scope["path"][:200]
        message = {
            404: f"Resource not found: there is no {path}. This service knows "
            "/anomalydetector/{version}/timeseries/entire/detect, last/detect and "
            "changepoint/detect, and /anomalydetector/{version}/multivariate/models and what lies "
            "below it; /docs describes them.",
            405: f"The method {method} is not allowed for {path}.",
        }.get(error.status_code, str(error.detail))
        return refusal(GatewayError(error.status_code, message, error.headers))
