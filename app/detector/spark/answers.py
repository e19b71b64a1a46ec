"""What a Python worker does for the stages of SynapseML: it answers as the service did.

Each series is read as a request of API version v1.1-preview.1, which those stages called, and gets
the answer or the refusal that the endpoint would have sent.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql.pandas.types import to_arrow_type
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DoubleType,
    IntegerType,
    StringType,
    StructField,
    StructType,
)

from detector.errors import DetectionError, described, listed
from detector.series.options import Options
from detector.series.series import Series
from detector.series.values import MOST_POINTS
from detector.univariate import detection
from detector.univariate.detection import Detection, LatestDetection

__all__ = ["ENTIRE", "ERROR", "LATEST", "POINT", "Points", "Refusal", "Rows", "refusals"]

_log = logging.getLogger(__name__)

_VERSION = StructType(
    [
        StructField("protocol", StringType()),
        StructField("major", IntegerType(), nullable=False),
        StructField("minor", IntegerType(), nullable=False),
    ]
)
_STATUS = StructType(
    [
        StructField("protocolVersion", _VERSION),
        StructField("statusCode", IntegerType(), nullable=False),
        StructField("reasonPhrase", StringType()),
    ]
)
# What the service answered when it refused: its body, and the status line of HTTP.
ERROR = StructType([StructField("response", StringType()), StructField("status", _STATUS)])

_FLAGS = ("isAnomaly", "isPositiveAnomaly", "isNegativeAnomaly")
_NUMBERS = ("expectedValue", "upperMargin", "lowerMargin")
# The names on the wire, and what a detection calls them.
_FOUND = {
    "isAnomaly": "is_anomaly",
    "isPositiveAnomaly": "is_positive",
    "isNegativeAnomaly": "is_negative",
    "period": "period",
    "expectedValue": "expected",
    "expectedValues": "expected",
    "upperMargin": "upper_margin",
    "upperMargins": "upper_margin",
    "lowerMargin": "lower_margin",
    "lowerMargins": "lower_margin",
    "suggestedWindow": "suggested_window",
    "severity": "severity",
}


def _struct(types: Mapping[str, DataType], *, nullable: bool) -> StructType:
    return StructType([StructField(name, each, nullable) for name, each in types.items()])


# What DetectAnomalies, DetectLastAnomaly and SimpleDetectAnomalies put out. The first two were read
# from JSON, where anything may be missing.
ENTIRE = _struct(
    dict.fromkeys(_FLAGS, ArrayType(BooleanType()))
    | {"period": IntegerType()}
    | dict.fromkeys([f"{name}s" for name in _NUMBERS], ArrayType(DoubleType()))
    | {"severity": ArrayType(DoubleType())},
    nullable=True,
)
LATEST = _struct(
    dict.fromkeys(_FLAGS, BooleanType())
    | {"period": IntegerType()}
    | dict.fromkeys(_NUMBERS, DoubleType())
    | {"suggestedWindow": IntegerType(), "severity": DoubleType()},
    nullable=True,
)
POINT = _struct(
    dict.fromkeys(_FLAGS, BooleanType())
    | {"period": IntegerType()}
    | dict.fromkeys((*_NUMBERS, "severity"), DoubleType()),
    nullable=False,
)

_BOUNDARY = "V1"
# So many points are answered in one piece of the output.
_AT_ONCE = 200_000


@dataclass(frozen=True)
class Refusal:
    """A body and a status that the service would have answered with."""

    body: str
    status: int = 400

    @classmethod
    def of(cls, error: Exception) -> "Refusal":
        """Return what an error is answered with; one that should not be is logged as well."""
        if isinstance(error, DetectionError):
            return cls(orjson.dumps(described(error.code, error.message)).decode())
        _log.error("Detection in a series failed", exc_info=error)
        problem = described("500", f"Detection failed with {type(error).__name__}: {error}")
        return cls(orjson.dumps({"error": problem}).decode(), 500)


def refusals(errors: Sequence[Refusal | None]) -> pa.Array:
    """Return a column of the type `ERROR`, null where there is None."""
    status = {
        each: {
            "protocolVersion": {"protocol": "HTTP", "major": 1, "minor": 1},
            "statusCode": each,
            "reasonPhrase": HTTPStatus(each).phrase,
        }
        for each in {error.status for error in errors if error}
    }
    rows = [error and {"response": error.body, "status": status[error.status]} for error in errors]
    return pa.array(rows, to_arrow_type(ERROR))


# What is found in a series, why it is refused, or None for one that is not asked about: it has no
# points or no granularity.
_Answer = Detection | LatestDetection | Refusal | None


def _answer(
    values: Any, timestamps: Any, request: Mapping[str, Any], *, latest: bool = False
) -> _Answer:
    """Detect in one series as the endpoint does."""
    try:
        options = replace(Options.from_request(request), boundary_version=_BOUNDARY)
        series = Series.from_arrays(values, timestamps, options)
        return detection.latest(series) if latest else detection.entire(series)
    except Exception as error:  # noqa: BLE001 - one series must not fail the job of all others
        return Refusal.of(error)


def _points(values: pa.Array, timestamps: pa.Array) -> tuple[Any, Any]:
    """Return values and timestamps as arrays; values of which one is null as a list."""
    numbers = values.to_pylist() if values.null_count else values.to_numpy()
    return numbers, timestamps.to_numpy(zero_copy_only=False)


@dataclass(frozen=True)
class Rows:
    """Answers rows that have a series each: for ``mapInArrow``.

    The first columns of a batch come out again, then the error and the output.

    Attributes
    ----------
    kept : int
        How many come out again.
    places : sequence of int
        Where the columns are that are read: the series, arrays of structs of timestamp and value,
        and the options that differ by row.
    latest : bool
        Whether the last point alone is asked for.
    options : mapping
        The options that are the same for all rows, by their names on the wire.
    given : sequence of str
        The names of those that differ.
    """

    kept: int
    places: Sequence[int]
    latest: bool
    options: Mapping[str, Any]
    given: Sequence[str]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the answers in pieces."""
        for batch in batches:
            offsets = batch.column(self.places[0]).offsets.to_numpy()
            start = 0
            while start < batch.num_rows:
                end = int(np.searchsorted(offsets, offsets[start] + _AT_ONCE))
                end = min(max(end, start + 1), batch.num_rows)
                piece = batch.slice(start, end - start)
                yield _with(piece, self.kept, *self._columns(list(self._answers(piece))))
                start = end

    def _answers(self, piece: pa.RecordBatch) -> Iterator[_Answer]:
        series, *given = (piece.column(place) for place in self.places)
        offsets, present = series.offsets.to_numpy(), series.is_valid().to_pylist()
        timestamps, values = series.values.field(0), series.values.field(1)
        own = [column.to_pylist() for column in given]
        for row, (start, end) in enumerate(pairwise(offsets)):
            request = _request(self.options, self.given, [values[row] for values in own])
            if not present[row] or request["granularity"] is None:
                yield None
                continue
            points = _points(*(each.slice(start, end - start) for each in (values, timestamps)))
            yield _answer(*points, request, latest=self.latest)

    def _columns(self, answers: list[_Answer]) -> tuple[pa.Array, pa.Array]:
        kind = LATEST if self.latest else ENTIRE
        found = [None if isinstance(each, Refusal) else each for each in answers]
        fields = list(to_arrow_type(kind))
        output = pa.StructArray.from_arrays(
            [_child(field, found) for field in fields],
            fields=fields,
            mask=pa.array([each is None for each in found]),
        )
        return refusals([each if isinstance(each, Refusal) else None for each in answers]), output


def _request(
    options: Mapping[str, Any], names: Sequence[str], values: Sequence[Any]
) -> dict[str, Any]:
    return {**options, **dict(zip(names, values, strict=True))}


def _child(field: pa.Field, found: Sequence[Any]) -> pa.Array:
    """Return one field of many answers: null, or an empty list, where there is none."""
    values = [each and getattr(each, _FOUND[field.name]) for each in found]
    if not pa.types.is_list(field.type):
        return _as_json(pa.array(values, field.type))
    offsets = np.cumsum([0, *(0 if each is None else len(each) for each in values)])
    items = np.concatenate([each for each in values if each is not None] or [[]])
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()),
        _as_json(pa.array(items, field.type.value_type)),
        type=field.type,
    )


def _as_json(column: pa.Array) -> pa.Array:
    """Return a column with null for a number that JSON has no word for."""
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))


@dataclass(frozen=True)
class Points:
    """Answers series whose points have a row each: for ``mapInArrow``.

    Each series lies in one partition, as neighbours in the order of time. The first columns of a
    batch come out again, then the error and the output.

    Attributes
    ----------
    kept : int
        How many come out again.
    places : sequence of int
        Where the columns are that are read: timestamp, value, the options that differ by series,
        and how many points the series has.
    options : mapping
        The options that are the same for all series, by their names on the wire.
    given : sequence of str
        The names of those that differ.
    """

    kept: int
    places: Sequence[int]
    options: Mapping[str, Any]
    given: Sequence[str]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the answers in pieces: all of the series that are whole by then.

        A series is held until it is whole, and one with too many points is not: how many there are
        is known before.
        """
        rest: pa.RecordBatch | None = None
        answer: _Answer = None
        left, too_long = 0, False
        for batch in batches:
            piece = batch if rest is None else pa.concat_batches([rest, batch])
            counts = piece.column(self.places[-1]).to_numpy()
            answers: list[tuple[_Answer, int]] = []
            start = 0
            while start < len(counts):
                if not left:
                    left = int(counts[start])
                    too_long = left > MOST_POINTS
                    if too_long:
                        answer = self._answer(piece.slice(start, 1), left)
                size = min(left, len(counts) - start)
                if not too_long:
                    if size < left:
                        left = 0
                        break
                    answer = self._answer(piece.slice(start, size), size)
                answers.append((answer, size))
                start, left = start + size, left - size
            rest = piece.slice(start)
            if answers:
                yield _with(piece.slice(0, start), self.kept, *_point_columns(answers))

    def _answer(self, points: pa.RecordBatch, count: int) -> _Answer:
        timestamps, values, *given = (points.column(place) for place in self.places[:-1])
        try:
            options = [_one(*each) for each in zip(self.given, given, strict=True)]
        except DetectionError as error:
            return Refusal.of(error)
        request = _request(self.options, self.given, options)
        if request["granularity"] is None:
            return None
        if count > MOST_POINTS:
            # Of so many points nothing but their number is looked at.
            return _answer(*(np.broadcast_to(np.nan, count),) * 2, request)
        return _answer(*_points(values, timestamps), request)


def _one(name: str, column: pa.Array) -> Any:
    """Return the value of an option for a series, whose points all must have the same."""
    values = column.unique().to_pylist()
    if len(values) > 1:
        raise DetectionError(
            "BadArgument",
            f"The column of the option '{name}' must have one value in a series, and has "
            f"{listed(values)}.",
        )
    return values[0]


def _point_columns(answers: Sequence[tuple[_Answer, int]]) -> tuple[pa.Array, pa.Array]:
    """Return the error and the output of each point, of answers and how many points each has."""
    sizes = [size for _, size in answers]
    ends = np.cumsum(sizes)
    missing = np.ones(ends[-1], dtype=bool)
    fields = list(to_arrow_type(POINT))
    output = {each.name: np.zeros(ends[-1], each.type.to_pandas_dtype()) for each in fields}
    for (answer, size), end in zip(answers, ends, strict=True):
        if isinstance(answer, Detection):
            missing[end - size : end] = False
            for name, column in output.items():
                column[end - size : end] = getattr(answer, _FOUND[name])
    errors = refusals([each if isinstance(each, Refusal) else None for each, _ in answers])
    children = [pa.array(output[each.name], each.type) for each in fields]
    return (
        errors.take(pa.array(np.repeat(np.arange(len(sizes)), sizes))),
        pa.StructArray.from_arrays(children, fields=fields, mask=pa.array(missing)),
    )


def _with(piece: pa.RecordBatch, kept: int, error: pa.Array, output: pa.Array) -> pa.RecordBatch:
    """Return the first columns, and the two that were made."""
    fields = [*piece.schema][:kept]
    fields += [pa.field("error", error.type), pa.field("output", output.type)]
    return pa.RecordBatch.from_arrays(
        [*piece.columns[:kept], error, output], schema=pa.schema(fields)
    )
