"""From the types of files and databases to those of Spark, and their values with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.errors import PySparkTypeError
from pyspark.sql.pandas.types import from_arrow_type, to_arrow_schema
from pyspark.sql.types import DataType, StructType

from detector.errors import DetectionError

__all__ = ["arrow_schema", "fit", "spark_type", "table_of"]


def spark_type(found: pa.DataType, column: str, where: str) -> DataType:
    """Return the type of Spark for a column.

    A time without a zone counts as UTC.

    Raises
    ------
    DetectionError
        ``BadArgument``, where Spark has no such type.
    """
    if pa.types.is_dictionary(found):
        found = found.value_type
    if pa.types.is_unsigned_integer(found):
        found = pa.int64()
    try:
        return from_arrow_type(found, prefer_timestamp_ntz=False)
    except PySparkTypeError:
        raise DetectionError(
            "BadArgument",
            f"The column '{column}' of {where} has the type {found}, which Spark does not have: "
            "name the columns to read, without it or with another type, by .schema(...).",
        ) from None


def arrow_schema(schema: StructType) -> pa.Schema:
    """Return the schema in which Spark takes batches."""
    return to_arrow_schema(schema, timezone="UTC")


def table_of(columns: Sequence[tuple[Any, ...]], schema: pa.Schema, where: str) -> pa.RecordBatch:
    """Return a batch of the values of Python in each column, in the types of the schema."""
    arrays = []
    for values, field in zip(columns, schema, strict=True):
        try:
            found = pa.array(values)
            if pa.types.is_decimal(found.type) and pa.types.is_floating(field.type):
                # A cast of Arrow may give a neighbour of the number nearest to the decimal.
                found = pa.array([None if each is None else float(each) for each in values])
        except (pa.ArrowException, OverflowError) as error:
            raise _unfit(field, where, error) from None
        arrays.append(fit(found, field, where))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def fit(values: pa.Array, field: pa.Field, where: str) -> pa.Array:
    """Return values in the type of a field.

    Raises
    ------
    DetectionError
        ``BadArgument``, where one does not fit.
    """
    if values.type == field.type:
        return values
    options = pc.CastOptions.safe(field.type)
    # Files may count nanoseconds; Spark counts microseconds.
    options.allow_time_truncate = True
    try:
        return pc.cast(_zoned(values, field.type), options=options)
    except pa.ArrowException as error:
        raise _unfit(field, where, error) from None


def _zoned(values: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Read texts as times here, where some have no zone: they count as UTC."""
    is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
    if not (is_text and pa.types.is_timestamp(wanted) and wanted.tz):
        return values
    try:
        return values.cast(wanted)
    except pa.ArrowInvalid:
        return values.cast(pa.timestamp(wanted.unit))


def _unfit(field: pa.Field, where: str, error: Exception) -> DetectionError:
    return DetectionError(
        "BadArgument",
        f"The column '{field.name}' of {where} has a value that is no {field.type} "
        f"({str(error).splitlines()[0].rstrip('.')}): give its type by .schema(...).",
    )
