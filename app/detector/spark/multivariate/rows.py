"""Rows of variables in batches of Arrow: their times, their values, and what is wrong with them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from detector.arrays import Flags, Floats
from detector.errors import DetectionError, shown
from detector.multivariate.alignment import Times, as_numbers, no_number

__all__ = ["NO_TIME", "SURVEY", "Columns", "Nanoseconds", "survey", "times_of", "values_of"]

Nanoseconds = npt.NDArray[np.int64]
# Where there is no time, as numpy has it.
NO_TIME = int(np.iinfo(np.int64).min)
SURVEY = (
    "times binary, gaps binary, missing binary, "
    "errors array<struct<time:bigint, code:string, message:string>>"
)
_SURVEYED = pa.schema(
    [
        ("times", pa.binary()),
        ("gaps", pa.binary()),
        ("missing", pa.binary()),
        (
            "errors",
            pa.list_(
                pa.struct([("time", pa.int64()), ("code", pa.string()), ("message", pa.string())])
            ),
        ),
    ]
)
# Words that pandas takes for a date.
_NO_DATES = ["now", "today"]


@dataclass(frozen=True)
class Columns:
    """Where rows have what.

    Attributes
    ----------
    timestamp : str
        The column of the timestamps: dates, or text in ISO 8601, UTC where it names no zone.
    variables : tuple of str
        The columns of the variables, in the order of the model's.
    """

    timestamp: str
    variables: tuple[str, ...]


def times_of(batch: pa.RecordBatch, columns: Columns) -> Nanoseconds:
    """Return the times in UTC, in nanoseconds since 1970; `NO_TIME` where none can be read."""
    column = batch.column(columns.timestamp)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        texts = column.to_pandas()
        texts = texts.mask(texts.isin(_NO_DATES))
        read = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")
    else:
        # Those without a zone are UTC; what lies beyond the years of nanoseconds is no time.
        micros = column.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)
        read = pd.to_datetime(pd.Series(micros), errors="coerce", utc=True)
    nanoseconds: Nanoseconds = read.to_numpy(dtype="datetime64[ns]").view(np.int64)
    return nanoseconds


def values_of(batch: pa.RecordBatch, columns: Columns) -> tuple[Floats, Flags]:
    """Return the values ``(n, d)``, NaN where there is none, and which cannot be computed with."""
    shape = (batch.num_rows, len(columns.variables))
    values, wrong = np.empty(shape), np.empty(shape, dtype=bool)
    for place, name in enumerate(columns.variables):
        values[:, place], wrong[:, place] = as_numbers(_numbers(batch.column(name)))
    return values, wrong


def _numbers(column: pa.Array) -> "pd.Series[Any]":
    if pa.types.is_decimal(column.type) or pa.types.is_boolean(column.type):
        column = column.cast(pa.float64())
    read: pd.Series[Any] = column.to_pandas()
    return read


def survey(
    batches: Iterator[pa.RecordBatch], columns: Columns, start: int
) -> Iterator[pa.RecordBatch]:
    """Yield, for each batch, what the driver must know of its rows to plan how they are scored.

    Parameters
    ----------
    batches : iterator of RecordBatch
        With the columns of `columns`.
    columns : Columns
    start : int
        When the rows begin that matter, beside those looked back on.

    Yields
    ------
    RecordBatch
        One row, of the schema `SURVEY`: ``times``; ``gaps``, the rows without a value of some
        variable; ``missing``, which of them each lacks, a bit for each; and ``errors``: of what is
        wrong, the first from `start` on and the last before it. The bytes are those of arrays.
    """
    for batch in batches:
        times = times_of(batch, columns)
        values, wrong = values_of(batch, columns)
        missing = np.isnan(values)
        gaps = np.flatnonzero(missing.any(axis=1))
        yield pa.RecordBatch.from_pylist(
            [
                {
                    "times": times.tobytes(),
                    "gaps": gaps.tobytes(),
                    "missing": np.packbits(missing[gaps], axis=1).tobytes(),
                    "errors": list(_errors(batch, columns, times, wrong, start)),
                }
            ],
            schema=_SURVEYED,
        )


def _errors(
    batch: pa.RecordBatch, columns: Columns, times: Nanoseconds, wrong: Flags, start: int
) -> Iterator[dict[str, Any]]:
    timeless = np.flatnonzero(times == NO_TIME)
    if len(timeless):
        text = batch.column(columns.timestamp)[int(timeless[0])].as_py()
        yield _told(NO_TIME, no_time(columns, text))
    bad = np.flatnonzero(wrong.any(axis=1) & (times != NO_TIME))
    before, after = bad[times[bad] < start], bad[times[bad] >= start]
    rows = [int(before[times[before].argmax()])] if len(before) else []
    rows += [int(after[times[after].argmin()])] if len(after) else []
    for row in rows:
        name = columns.variables[int(wrong[row].argmax())]
        value = batch.column(name)[row].as_py()
        yield _told(int(times[row]), no_number(name, value, as_times(times)[row]))


def no_time(columns: Columns, text: object) -> DetectionError:
    """Return the error of a row whose timestamp cannot be read."""
    return DetectionError(
        "InvalidTimestampFormat",
        f"The column '{columns.timestamp}' must have a date in every row, in ISO 8601 such as "
        f"2021-01-02T00:00:00Z; {shown(text)} is there.",
    )


def as_times(times: Nanoseconds) -> Times:
    """Return times as `detector.multivariate` has them."""
    return times.view("datetime64[ns]")


def _told(time: int, error: DetectionError) -> dict[str, Any]:
    return {"time": time, "code": error.code, "message": error.message}
