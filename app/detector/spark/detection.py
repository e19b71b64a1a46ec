"""Detection in every series of a DataFrame of Spark."""

import importlib.metadata
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as everyone calls it
from pyspark.sql import types as T  # noqa: N812
from pyspark.sql.pandas.types import from_arrow_type

from detector.detect import detect_change_points, detect_entire, options_of
from detector.errors import DetectionError, listed, shown
from detector.spark import batches
from detector.spark.batches import Work
from detector.spark.registered import registered
from detector.univariate.kernel.upstream import DISTRIBUTION

__all__ = ["detect"]

# More tasks than processors, because hashing does not deal the series out evenly.
_TASKS_PER_CORE = 4
_OPTION, _NUMBER = "__detector_option_{}", "__detector_value"
_WITH_TIME = (T.TimestampType, T.TimestampNTZType, T.DateType, T.StringType)
_KEYS = (*_WITH_TIME, T.NumericType, T.BooleanType, T.BinaryType)


def detect(
    df: DataFrame,
    *,
    by: str | Sequence[str],
    timestamp: str = "timestamp",
    value: str = "value",
    granularity: str | Column = "none",
    mode: str = "entire",
    only_anomalies: bool = False,
    model: str | None = None,
    partitions: int | None = None,
    **options: Any,
) -> DataFrame:
    """Detect in each of many series that a DataFrame of Spark holds.

    Parameters
    ----------
    df : DataFrame
        One row for each point, in any order.
    by : str or list of str
        The columns that tell the series apart: strings, numbers, dates or booleans. Rows without a
        value there are one series.
    timestamp : str
        A column of timestamps, dates, or strings in ISO 8601. Spark keeps no order of rows, so
        without a granularity too it says which comes first, and may then be a number.
    value : str
        A column of numbers.
    granularity : str or Column
        As in `detector.detect_entire`.
    mode : str
        ``entire``, ``latest`` or ``change_points``.
    only_anomalies : bool
        Whether to return only the points that are anomalies, or change points; of a series that
        has an error, one row.
    model : str, optional
        ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``: a registered model of this package, of
        the same kind as `mode`. Its version is looked up once, when this is called; the options
        that it was logged with are the defaults.
    partitions : int, optional
        How many tasks the series are dealt out to; 4 for each processor by default.
    **options
        Those of `detector.detect_entire`, or of `detector.detect_change_points` for that mode.
        Each is a value, or a column that holds the same value in all rows of a series, and null
        for the default.

    Returns
    -------
    DataFrame
        The columns of `df`, those of `detector.Detection.to_frame` or
        `detector.ChangePoints.to_frame`, ``error`` and ``detected_by``; all rows, or the last one
        of each series for ``latest``. ``error`` is null, or says why a series has no answer: what
        was found is null then. ``detected_by`` names the package, and the version of the model.

    Raises
    ------
    DetectionError
        For a column that is missing or of another type, and for an option that is not valid.

    Notes
    -----
    The answers are those of `detector.detect_entire`, `detector.detect_latest` and
    `detector.detect_change_points` for each series by itself, to the last bit. The package must be
    there for the workers; docs/spark.md says how.
    """
    keys = [by] if isinstance(by, str) else list(by)
    names = {"granularity": granularity, **options}
    columns = {name: each for name, each in names.items() if isinstance(each, Column)}
    fixed = {name: each for name, each in names.items() if name not in columns}
    detected_by = f"{DISTRIBUTION} {importlib.metadata.version(DISTRIBUTION)}"
    if model is not None:
        version, defaults = registered(model, mode)
        detected_by = f"{version} ({detected_by})"
        # What is said by leaving it out, nobody has said.
        given = {k: v for k, v in fixed.items() if (k, v) != ("granularity", "none")}
        fixed = {**defaults, **given}
    # Of a series whose column of it is null.
    fixed = {"granularity": "none", **fixed}
    _check_options(mode, fixed, columns)
    timed = "granularity" in columns or fixed["granularity"] != "none"
    _check_columns(df, keys, timestamp, value, mode, timed=timed)
    table, number = _as_double(df, value)
    for name, column in columns.items():
        table = table.withColumn(_OPTION.format(name), column)
    _check_option_columns(table, columns)
    if partitions is not None and partitions < 1:
        raise DetectionError("BadArgument", f"'partitions' must be at least 1, not {partitions}.")
    work = Work(
        mode=mode,
        keys=keys,
        timestamp=timestamp,
        value=number,
        kept=df.columns,
        options=fixed,
        option_columns={name: _OPTION.format(name) for name in columns},
        only_anomalies=only_anomalies,
        detected_by=detected_by,
    )
    count = partitions or _TASKS_PER_CORE * _cores(df.sparkSession)
    # Spark takes the two noughts for one here, and numbers that are none too.
    series = [F.col(_quoted(key)) for key in keys]
    sorted_ = table.repartition(count, *series).sortWithinPartitions(*series, *_time(df, timestamp))
    return sorted_.mapInArrow(partial(batches.detect, work=work), _schema(df, mode))


def _cores(spark: SparkSession) -> int:
    return int(spark.sparkContext.defaultParallelism)


def _schema(df: DataFrame, mode: str) -> T.StructType:
    found = [
        T.StructField(field.name, from_arrow_type(field.type))
        for field in batches.result_fields(mode)
    ]
    return T.StructType([*df.schema.fields, *found])


def _as_double(df: DataFrame, value: str) -> tuple[DataFrame, str]:
    """Return a table with a column of doubles, and its name."""
    if isinstance(df.schema[value].dataType, T.DoubleType):
        return df, value
    return df.withColumn(_NUMBER, F.col(_quoted(value)).cast("double")), _NUMBER


def _time(df: DataFrame, timestamp: str) -> list[Column]:
    column = F.col(_quoted(timestamp))
    if isinstance(df.schema[timestamp].dataType, T.StringType):
        # The same moment may be written with several offsets.
        return [column.try_cast("timestamp"), column]
    return [column]


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _check_options(mode: str, fixed: Mapping[str, Any], columns: Mapping[str, Column]) -> None:
    face: Callable[..., Any] = detect_change_points if mode == "change_points" else detect_entire
    known = [name for name in inspect.signature(face).parameters if name != "data"]
    unknown = [name for name in {**fixed, **columns} if name not in known]
    if unknown:
        raise DetectionError(
            "BadArgument",
            f"There is no option {listed(unknown)}: the options of the mode '{mode}' are "
            f"{', '.join(known)}.",
        )
    options_of(mode, fixed)


def _check_columns(
    df: DataFrame, keys: Sequence[str], timestamp: str, value: str, mode: str, *, timed: bool
) -> None:
    lower = [name.lower() for name in df.columns]
    twice = sorted({name for name in df.columns if lower.count(name.lower()) > 1})
    if twice:
        raise DetectionError(
            "BadArgument", f"The DataFrame has several columns {listed(twice)}: rename them."
        )
    if not keys:
        raise DetectionError(
            "BadArgument", "'by' must name the columns that tell the series apart, at least one."
        )
    for role, name in [*(("by", key) for key in keys), ("timestamp", timestamp), ("value", value)]:
        if name not in df.columns:
            raise DetectionError(
                "BadArgument",
                f"'{role}' names the column {shown(name)}, and the DataFrame has the columns "
                f"{listed(df.columns, 20)}.",
            )
        _check_type(df, role, name, timed=timed)
    taken = [field.name for field in batches.result_fields(mode) if field.name in lower]
    if taken:
        raise DetectionError(
            "BadArgument",
            f"The DataFrame has a column {listed(taken)}, which has another meaning in the "
            "result: give it another name.",
        )


def _check_type(df: DataFrame, role: str, name: str, *, timed: bool) -> None:
    kind = df.schema[name].dataType
    allowed, said = {
        "value": ((T.NumericType,), "numbers; cast it"),
        "by": (_KEYS, "strings, numbers, dates or booleans"),
        "timestamp": (
            _WITH_TIME if timed else _KEYS,
            "timestamps, dates or strings" if timed else "what can be sorted",
        ),
    }[role]
    if not isinstance(kind, allowed):
        raise DetectionError(
            "BadArgument",
            f"'{role}' names the column {shown(name)} of type {kind.simpleString()}, and it must "
            f"hold {said}.",
        )
    if isinstance(kind, T.StringType) and kind != T.StringType():
        raise DetectionError(
            "BadArgument",
            f"'{role}' names the column {shown(name)} of type {kind.simpleString()}: strings must "
            "be told apart by their bytes; cast it to STRING COLLATE UTF8_BINARY.",
        )


def _check_option_columns(df: DataFrame, columns: Mapping[str, Column]) -> None:
    for name in columns:
        kind = df.schema[_OPTION.format(name)].dataType
        if not isinstance(kind, T.StringType | T.NumericType | T.NullType):
            raise DetectionError(
                "BadArgument",
                f"The column of '{name}' is of type {kind.simpleString()}, and it must hold "
                "strings or numbers.",
            )
