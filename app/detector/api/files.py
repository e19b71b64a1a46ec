"""``/files/read``: the series of a file as people have them, for the page."""

from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from fastapi import APIRouter, Query, Request
from pydantic import Field

from detector import files
from detector.api.dependencies import ServiceLimits
from detector.api.errors import let_go
from detector.api.openapi import Number, Wire, answers
from detector.api.wire import Json
from detector.errors import DetectionError, described

__all__ = ["router"]

router = APIRouter()
# Far more than a series has, and little memory.
_MOST_CELLS = 1_000_000
# Unpacked a file is larger; a sheet with the longest series has about half of it.
_UNPACKED_TIMES, _UNPACKED_BYTES = 4, 2 * 1024 * 1024


class Column(Wire):
    """A column of the file."""

    name: str
    kind: str = Field(json_schema_extra={"enum": ["dates", "times", "numbers", "text"]})


class Read(Wire):
    """What was understood of the file."""

    description: str = Field(description="In one line.")
    columns: list[Column]
    timestamp: str | None = Field(description="The column of the dates, null where there is none.")
    values: dict[str, list[Number]] = Field(description="By the names of their columns.")
    value: str = Field(description="The first of these columns.")
    timestamps: list[str] | None = Field(description="Ascending, in ISO 8601.")
    granularity: str
    custom_interval: int
    day_first: bool | None = Field(description="null where there was nothing to decide.")
    notation: str | None = Field(description="How the dates are written, by an example.")
    points: int
    gaps: int
    duplicates: int = Field(description="Exact ones, which are left out.")
    sorted: bool = Field(description="Whether the file had the points in order of time.")
    options: dict[str, Any] = Field(description="Those of a JSON request.")
    notes: list[str]


class Choice(Wire):
    """A way to read dates whose day and month cannot be told apart."""

    day_first: bool
    example: str


class Reason(Wire):
    """Why a file cannot be read, and what can be chosen from."""

    code: str
    message: str
    columns: list[Column] | None = Field(None, description="Those that the file has.")
    choose: Literal["timestamp", "value"] | None = Field(
        None, description="Which of these must be given: several columns would do."
    )
    readings: list[Choice] | None = Field(None, description="Where `dayFirst` must be given.")
    sheets: list[str] | None = Field(None, description="Where `sheet` must be given.")


class Unread(Wire):
    """A file that cannot be read as it is."""

    error: Reason


_READ: dict[str, Any] = {
    "responses": answers(
        {
            200: {"model": Read, "description": "What was understood."},
            400: {"model": Unread, "description": "It cannot be read, or a choice must be made."},
        },
        refusals=(401, 403, 408, 413, 429),
    ),
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "description": "The bytes of the file, whatever its Content-Type.",
            "content": {
                "text/csv": {
                    "schema": {"type": "string"},
                    "example": "Date;Sales\n16/12/2021;100,5\n17/12/2021;101\n18/12/2021;99,5\n",
                },
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
}


@router.post("/files/read", **_READ)
async def read_file(
    request: Request,
    limits: ServiceLimits,
    name: Annotated[str, Query(description="Of the file, for messages.")] = "",
    timestamp: Annotated[str | None, Query(description="The column of the dates.")] = None,
    value: Annotated[
        list[str] | None, Query(description="A column of values; `*` for every one.")
    ] = None,
    day_first: Annotated[
        str | None, Query(alias="dayFirst", description="`true` or `false`.")
    ] = None,
    sheet: Annotated[str | None, Query(description="Of a workbook.")] = None,
) -> Json:
    """Read a series from CSV, Excel, JSON or Parquet, as the command line does."""
    request.state.operation = "read-file"
    body = await limits.read(request)

    def work() -> Json:
        reading = files.read(
            body,
            name=name,
            timestamp=timestamp or None,
            values=value or None,
            day_first=_flag(day_first),
            sheet=sheet or None,
            bounds=files.Bounds(
                bytes=_UNPACKED_TIMES * len(body) + _UNPACKED_BYTES,
                cells=_MOST_CELLS,
                old_excel=False,
            ),
        )
        return Json(_answer(reading))

    try:
        return await limits.run(request, work, size=len(body))
    except DetectionError as error:
        request.state.code = error.code
        let_go(error)
        details = error.details if isinstance(error, files.FileError) else {}
        return Json(
            {"error": {**described(error.code, error.message), **details}},
            status_code=400,
            headers={"x-ms-error-code": error.code},
        )


def _flag(text: str | None) -> bool | None:
    if not text:
        return None
    if text.lower() not in ("true", "false"):
        raise files.FileError(f"'dayFirst' must be true or false, not {text[:20]!r}.")
    return text.lower() == "true"


def _answer(reading: files.Reading) -> dict[str, Any]:
    return {
        "description": reading.description,
        "columns": reading.columns,
        "timestamp": reading.timestamp,
        "values": {name: _numbers(each) for name, each in reading.values.items()},
        "value": next(iter(reading.values)),
        "timestamps": None if reading.times is None else _written(reading.times),
        "granularity": reading.granularity,
        "customInterval": reading.interval,
        "dayFirst": reading.day_first,
        "notation": reading.notation,
        "points": len(reading),
        "gaps": reading.gaps,
        "duplicates": reading.duplicates,
        "sorted": reading.in_order,
        "options": reading.options,
        "notes": list(reading.notes),
    }


def _numbers(values: Any) -> Any:
    return np.ascontiguousarray(values)


def _written(times: pd.DatetimeIndex) -> list[str]:
    """Write times in ISO 8601, with the offset of the file or Z."""
    clock = times.tz_localize(None)
    moments: Any = clock.to_numpy()
    texts = np.datetime_as_string(moments, "s" if (clock == clock.floor("s")).all() else "us")
    offset = "Z"
    if times.tz is not None and len(times) and times[0].utcoffset():
        offset = times[0].isoformat()[-6:]
    return [f"{text}{offset}" for text in texts.tolist()]
