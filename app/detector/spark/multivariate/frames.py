"""What the driver does with a DataFrame of variables: it looks at its rows, and has them scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_type
from pyspark.sql.types import (
    BooleanType,
    DataType,
    DateType,
    IntegerType,
    LongType,
    NumericType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from detector.errors import DetectionError
from detector.multivariate.alignment import MOST_VARIABLES
from detector.spark.multivariate.parts import OWN, PART, TIME, Plan, Rows, route
from detector.spark.multivariate.rows import (
    SURVEY,
    Columns,
    Nanoseconds,
    as_times,
    survey,
    times_of,
    values_of,
)

__all__ = ["check_columns", "collect", "look_at", "work_on"]

_Work = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
_DATES = (StringType, TimestampType, TimestampNTZType, DateType)
_NUMBERS = (NumericType, StringType, BooleanType)


def check_columns(frame: DataFrame, columns: Columns, *, names: Mapping[str, str]) -> None:
    """See that a DataFrame has the columns, and that they hold what they should.

    Parameters
    ----------
    frame : DataFrame
    columns : Columns
    names : mapping
        What the caller calls ``timestamp`` and ``variables``, for messages.

    Raises
    ------
    DetectionError
        ``FileColumnsNotExist``, ``InvalidTimestampFormat``, ``VariableParseError``,
        ``NoVariablesFound``, ``DuplicatedVariables`` or ``DataExceedsLimit``.
    """
    fields = {field.name: field.dataType for field in frame.schema.fields}
    if not columns.variables:
        raise DetectionError(
            "NoVariablesFound", f"The '{names['variables']}' field must name a column at least."
        )
    if len(set(columns.variables)) < len(columns.variables):
        raise DetectionError(
            "DuplicatedVariables", f"The '{names['variables']}' field names a column twice."
        )
    if len(columns.variables) > MOST_VARIABLES:
        raise DetectionError(
            "DataExceedsLimit",
            f"The '{names['variables']}' field names {len(columns.variables)} columns; at most "
            f"{MOST_VARIABLES} are allowed.",
        )
    wanted: list[tuple[str, str, tuple[type[DataType], ...], str, str]] = [
        (columns.timestamp, "timestamp", _DATES, "InvalidTimestampFormat", "dates")
    ]
    wanted += [
        (name, "variables", _NUMBERS, "VariableParseError", "numbers") for name in columns.variables
    ]
    for name, field, kinds, code, what in wanted:
        if name not in fields:
            raise DetectionError(
                "FileColumnsNotExist",
                f"There is no column '{name}', which the '{names[field]}' field names; the "
                f"DataFrame has {', '.join(fields)}.",
            )
        if not isinstance(fields[name], kinds):
            raise DetectionError(
                code,
                f"The column '{name}', which the '{names[field]}' field names, must hold {what}; "
                f"it holds {fields[name].simpleString()}.",
            )


def look_at(frame: DataFrame, columns: Columns, *, start: int = 0) -> Rows:
    """Return what the driver must know of the rows; it is one job."""
    read = _selected(frame, columns).mapInArrow(
        partial(survey, columns=columns, start=start), SURVEY
    )
    return Rows.of(read.collect(), columns)


def collect(frame: DataFrame, columns: Columns, first: int, last: int) -> pd.DataFrame:
    """Return the rows from one time to another: a column for each variable, by time."""
    pieces = _selected(frame, columns).mapInArrow(
        partial(_between, columns=columns, first=first, last=last), "times binary, values binary"
    )
    read = pieces.collect()
    times: Nanoseconds = np.concatenate([np.frombuffer(each.times, np.int64) for each in read])
    values = np.concatenate([np.frombuffer(each.values, np.float64) for each in read])
    return pd.DataFrame(
        values.reshape(len(times), -1),
        index=pd.DatetimeIndex(as_times(times)),
        columns=list(columns.variables),
    ).sort_index()


def _between(
    batches: Iterator[pa.RecordBatch], columns: Columns, first: int, last: int
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        times = times_of(batch, columns)
        kept = (times >= first) & (times <= last)
        values, _ = values_of(batch, columns)
        yield pa.RecordBatch.from_pydict(
            {"times": [times[kept].tobytes()], "values": [values[kept].tobytes()]},
            schema=pa.schema([("times", pa.binary()), ("values", pa.binary())]),
        )


def work_on(
    frame: DataFrame, columns: Columns, plan: Plan, work: _Work, found: Mapping[str, pa.DataType]
) -> DataFrame:
    """Return the rows with what was found in them, in order of time.

    Parameters
    ----------
    frame : DataFrame
    columns : Columns
    plan : Plan
    work : callable
        What a worker does with the batches of one part, as `route` sends them.
    found : mapping
        The columns that it adds; columns of these names are left out before.

    Raises
    ------
    DetectionError
        ``BadArgument``, where such a column is one of those that are read.
    """
    both = [name for name in (columns.timestamp, *columns.variables) if name in found]
    if both:
        raise DetectionError(
            "BadArgument",
            f"What is found would take the place of the column '{both[0]}', which is read: give "
            "one of them another name.",
        )
    kept = frame.drop(*found)
    fields = list(kept.schema.fields)
    beside = {PART: IntegerType(), TIME: LongType(), OWN: BooleanType()}
    routed = kept.mapInArrow(
        partial(route, columns=columns, plan=plan), StructType([*fields, *_fields(beside)])
    )
    # Part by part, so that the rows come out in order of time and need no sorting at the end.
    placed = routed.repartitionById(len(plan.parts), PART).sortWithinPartitions(TIME)
    made = _fields({name: from_arrow_type(kind) for name, kind in found.items()})
    return placed.mapInArrow(work, StructType([*fields, *made]))


def _fields(kinds: Mapping[str, DataType]) -> list[StructField]:
    return [StructField(name, kind) for name, kind in kinds.items()]


def _selected(frame: DataFrame, columns: Columns) -> DataFrame:
    names = dict.fromkeys((columns.timestamp, *columns.variables))
    return frame.select([frame[f"`{name}`"] for name in names])
