"""What the service answers when it refuses: two shapes, always JSON, always with a header.

The detection service answered ``{"code": ..., "message": ...}``. The gateway before it, which
knew keys, routes and quotas, answered ``{"error": {"code": ..., "message": ...}}``.

The codes of both stand here once, each with its status and its meaning. The handlers, the OpenAPI
description and the tables of ``docs/api.md`` follow from them.
"""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException

from detector import errors
from detector.api.wire import Json
from detector.errors import DetectionError

__all__ = [
    "CODES",
    "GATEWAY_CODES",
    "SECTIONS",
    "ErrorCode",
    "GatewayError",
    "add_handlers",
    "described",
    "let_go",
    "refusal",
]


@dataclass(frozen=True)
class ErrorCode:
    """A code of the detection service.

    Attributes
    ----------
    meaning : str
        What is wrong, as the documentation says it.
    status : int or None
        Of the answer; None for an error that only a model or a result has.
    dataset_status : int or None
        Of the answer of a route below ``/datasets``, where it is another one.
    """

    meaning: str
    status: int | None = 400
    dataset_status: int | None = None


_EVERY_REQUEST = {
    "InvalidJsonFormat": ErrorCode("the body is empty or not a JSON object"),
    "BadArgument": ErrorCode(
        "`series` is empty or not a list, a point has no number or no date, or another field is "
        "not valid; the message names it"
    ),
}
_ONE_SERIES = {
    "RequiredSeries": ErrorCode("there is no `series`"),
    "InvalidGranularity": ErrorCode("there is no such `granularity`"),
    "InvalidCustomInterval": ErrorCode("`customInterval` is not a whole number above 0"),
    "InvalidPeriod": ErrorCode("`period` is not a whole number from 0 to 2147483647"),
    "InvalidModelArgument": ErrorCode(
        "`maxAnomalyRatio`, `sensitivity`, `threshold`, `stableTrendWindow` or `alpha` is out of "
        "bounds, or the series is too short for the `period`"
    ),
    "InvalidImputeMode": ErrorCode("there is no such `imputeMode`"),
    "InvalidImputeFixedValue": ErrorCode(
        "`imputeMode` is `fixed` and `imputeFixedValue` is not a number"
    ),
    "InvalidSeries": ErrorCode(
        "there are too few or too many points, points out of order, twice, off the grid or too "
        "large, or too many are missing"
    ),
    "InvalidBoundaryVersion": ErrorCode(
        "`boundaryVersion` is sent and not known; the version of the API decides it in any case"
    ),
    "InvalidDetector": ErrorCode("the field `detector` names no method"),
    "MissingDetectorName": ErrorCode("the field `detector` has no `name`"),
    "MissingDetectorParameters": ErrorCode("the field `detector` has no `parameters`"),
    "InvalidDetectorParameters": ErrorCode("the `parameters` of `detector` are not an object"),
}
_MANY_VARIABLES = {
    "RequiredSource": ErrorCode("there is no `dataSource`"),
    "RequiredStartTime": ErrorCode("there is no `startTime`"),
    "RequiredEndTime": ErrorCode("there is no `endTime`"),
    "InvalidTimestampFormat": ErrorCode("a time is no date, or is not written as the others are"),
    "InvalidSlidingWindow": ErrorCode("`slidingWindow` is not a whole number from 28 to 2880"),
    "InvalidAlignMode": ErrorCode("there is no such `alignMode`"),
    "InvalidFillNAMethod": ErrorCode("there is no such `fillNAMethod`"),
    "RequiredPaddingValue": ErrorCode("`paddingValue` is missing with `Fixed`, or not a number"),
    "InvalidRequestParameterError": ErrorCode("`skip` or `top` is out of bounds"),
    "ModelNotExist": ErrorCode("there is no such model", 404),
    "ResultNotExist": ErrorCode("there is no such result, or no longer", 404),
    "ModelNotReady": ErrorCode("the model is still being trained"),
    "ModelFailed": ErrorCode("the model could not be trained"),
    "TooManyModels": ErrorCode("there are as many models as there may be"),
    "TooManyRunningModels": ErrorCode("there are as many trainings as there may be"),
    "NotEnoughInput": ErrorCode("there are fewer timestamps than one sliding window"),
    "NoData": ErrorCode("there is nothing between `startTime` and `endTime`"),
    "ColumnNotFound": ErrorCode("a variable of the model is missing"),
    "NumColumnsMismatch": ErrorCode("there is a variable that the model does not know"),
    "DuplicatedVariables": ErrorCode("a variable is there twice"),
    "MergeDataFailed": ErrorCode("a timestamp of a variable is there twice"),
    "VariableParseError": ErrorCode("a value is not a number within 1e100 of zero"),
    "DataExceedsLimit": ErrorCode("there are too many variables or timestamps"),
    "TooManyData": ErrorCode("there are too many rows or values"),
    "InsufficientHistoricalData": ErrorCode(
        "there is less than one sliding window up to this timestamp", status=None
    ),
    "UnexpectedError": ErrorCode(
        "the work was lost or failed; the message says what is known", status=None
    ),
}
_DATA = {
    "InvalidBlobURL": ErrorCode("the data source may not be read"),
    "FileNotExist": ErrorCode("nothing is there", dataset_status=404),
    "GetDataError": ErrorCode("the host or the store does not answer, or refuses", 503),
    "FileSizeTooLarge": ErrorCode(
        "the file, or what is in the zip, has more bytes than `DETECTOR_MAX_DATA_BYTES`"
    ),
    "ReadingFileError": ErrorCode(
        "the file is not CSV in UTF-8 or a whole zip, or a row has another length"
    ),
    "FileColumnsNotExist": ErrorCode(
        "there is no `timestamp`, or no `value` in a file of one variable"
    ),
    "NoVariablesFound": ErrorCode(
        "there is no column beside `timestamp`, or no CSV file in the zip or folder"
    ),
    "InvalidFileSize": ErrorCode("an upload has more bytes than `DETECTOR_MAX_DATA_BYTES`", 413),
    "StorageWriteError": ErrorCode("the store or the disk does not take an upload", 503),
}
# By the headings of the documentation.
SECTIONS: dict[str, dict[str, ErrorCode]] = {
    "Every request": _EVERY_REQUEST,
    "One series": _ONE_SERIES,
    "Many variables": _MANY_VARIABLES,
    "Data": _DATA,
}
CODES: dict[str, ErrorCode] = {
    code: error for section in SECTIONS.values() for code, error in section.items()
}
# Why the gateway refuses, by the status that is also its code.
GATEWAY_CODES: dict[int, str] = {
    401: "the key is missing or wrong; the message says which",
    403: "the service is not called by this `Host`, or pages of this `Origin` may not call it; the "
    "message names the setting",
    404: "there is no such route or API version, or the version has no such route",
    405: "the route does not know this method",
    408: "the body took too long to arrive, or nothing of an upload arrived for 30 s",
    413: "the body is too large, or has more points than `DETECTOR_MAX_POINTS`",
    429: "too much runs, waits or arrives already; `Retry-After` says when to come back",
    500: "the service failed; its log says why",
    503: "no model is loaded yet, or MLflow, its database or its store does not answer; "
    "`Retry-After` says when to come back",
    507: "there is no room left on a disk; the message says on which",
}


class GatewayError(Exception):
    """A request that is refused before it is read as one for detection."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


def refusal(error: DetectionError | GatewayError, *, of_dataset: bool = False) -> Json:
    """Return the answer to a request that is refused.

    Parameters
    ----------
    of_dataset : bool
        Whether a route below ``/datasets`` refuses it.
    """
    body: dict[str, object] = dict(described(error))
    if isinstance(error, DetectionError):
        # A registered model may have codes of its own.
        known = CODES.get(error.code, ErrorCode(""))
        status = (of_dataset and known.dataset_status) or known.status or 400
        return Json(body, status_code=status, headers={"x-ms-error-code": error.code})
    return Json(
        {"error": body},
        status_code=error.status,
        headers={**error.headers, "x-ms-error-code": str(error.status)},
    )


def described(error: DetectionError | GatewayError) -> dict[str, str]:
    """Return the code of an error and its message."""
    code = error.code if isinstance(error, DetectionError) else str(error.status)
    return errors.described(code, error.message)


def let_go(error: BaseException | None) -> None:
    """Free what was read of a refused body, which the frames of its error hold.

    They hold it until the error is answered, and longer where the error and a future in one of them
    hold each other: bodies that are refused at once, or one after the other, would fill the memory.
    """
    while error:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def add_handlers(app: FastAPI) -> None:
    """Have every refusal answered in its shape, those of the router too."""

    @app.exception_handler(DetectionError)
    async def of_detection(request: Request, error: DetectionError) -> Json:
        request.state.code = error.code
        let_go(error)
        return refusal(error)

    @app.exception_handler(GatewayError)
    async def of_gateway(request: Request, error: GatewayError) -> Json:
        request.state.code = str(error.status)
        let_go(error)
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
