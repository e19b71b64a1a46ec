"""The stages for one series: all its points, or the last one."""

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from pyspark.ml import Transformer
from pyspark.ml.param import TypeConverters
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql.functions import col, count, from_json, lit
from pyspark.sql.types import (
    ArrayType,
    DataType,
    DoubleType,
    FloatType,
    NumericType,
    StringType,
    StructField,
    StructType,
)

from detector.spark.answers import ENTIRE, ERROR, LATEST, POINT, Points, Rows
from detector.spark.synapse.stage import Stage, param, value_or_column

__all__ = ["DetectAnomalies", "DetectLastAnomaly", "SimpleDetectAnomalies"]

_OPTIONS = (
    "granularity",
    "maxAnomalyRatio",
    "sensitivity",
    "customInterval",
    "period",
    "imputeMode",
    "imputeFixedValue",
)
_SERIES = "array<struct<timestamp:string,value:double>>"
_ISO = "strings in ISO 8601, such as 2026-01-31T00:00:00Z"
# Of Python workers with one core each, so that none has all the long series.
_PARTITIONS_PER_CORE = 4


class _Univariate(Stage, Transformer):
    """The options of a detection in one series, each one value or a column."""

    granularity, granularityCol = value_or_column(
        "granularity",
        "The time unit between points: yearly, monthly, weekly, daily, hourly, minutely, secondly, "
        "microsecond or none.",
        TypeConverters.toString,
    )
    maxAnomalyRatio, maxAnomalyRatioCol = value_or_column(
        "maxAnomalyRatio", "At most this part of the points is anomalous.", TypeConverters.toFloat
    )
    sensitivity, sensitivityCol = value_or_column(
        "sensitivity", "0 to 99; the higher, the narrower the margins.", TypeConverters.toInt
    )
    customInterval, customIntervalCol = value_or_column(
        "customInterval", "How many units lie between two points.", TypeConverters.toInt
    )
    period, periodCol = value_or_column(
        "period", "Points in one season; found out where it is not given.", TypeConverters.toInt
    )
    imputeMode, imputeModeCol = value_or_column(
        "imputeMode",
        "How gaps are filled: auto, previous, linear, fixed, zero or notFill.",
        TypeConverters.toString,
    )
    imputeFixedValue, imputeFixedValueCol = value_or_column(
        "imputeFixedValue",
        "The value of every missing point, for the imputeMode fixed.",
        TypeConverters.toFloat,
    )

    def _options(self) -> tuple[dict[str, Any], list[str]]:
        """Return the options that have a value, and the names of those that have a column."""
        values = {name: self.getOrDefault(name) for name in _OPTIONS if self.isDefined(name)}
        columns = [name for name in _OPTIONS if self.isDefined(f"{name}Col")]
        return values, [name for name in columns if name not in values]

    def _option_columns(self, dataset: DataFrame) -> list[Column]:
        _, given = self._options()
        return [self.column(dataset, f"{name}Col") for name in given]

    def _detect(
        self,
        dataset: DataFrame,
        read: Sequence[str | Column],
        work: Callable[..., Rows | Points],
        output: DataType,
    ) -> DataFrame:
        """Return the table with the columns of the error and the output.

        They take the place of columns of the same names. What is read goes to the workers once: a
        column of the table, given by its name, is not sent a second time.
        """
        ours = [self.getOrDefault("errorCol"), self.getOrDefault("outputCol")]
        # Spark's names of columns have no case.
        lower = [name.lower() for name in ours]
        kept = [field for field in dataset.schema.fields if field.name.lower() not in lower]
        names = [field.name for field in kept]
        places: list[int] = []
        added: list[Column] = []
        for column in read:
            # A name with a dot is that of a field of a struct.
            if isinstance(column, str) and "." not in column and names.count(column) == 1:
                places.append(names.index(column))
                continue
            places.append(len(kept) + len(added))
            added.append(
                (col(column) if isinstance(column, str) else column).alias(
                    f"{self.uid}_{len(added)}"
                )
            )
        made = [StructField(ours[0], ERROR), StructField(ours[1], output)]
        options, given = self._options()
        answer = work(kept=len(kept), places=places, options=options, given=given)
        table = dataset.select("*", *added).drop(*ours)
        return table.mapInArrow(answer, StructType([*kept, *made]))


def _points(value: Any) -> list[dict[str, Any]]:
    """Return points given as mappings or pairs of timestamp and value, as JSON has them."""
    points = [each if isinstance(each, Mapping) else _pair(each) for each in value]
    return [{"timestamp": point["timestamp"], "value": point["value"]} for point in points]


def _pair(value: Any) -> dict[str, Any]:
    return dict(zip(("timestamp", "value"), value, strict=True))


class _OfRows(_Univariate):
    """Detects in a series of each row."""

    series, seriesCol = value_or_column(
        "series", "The points, of timestamp and value, in the order of time.", _points
    )

    @property
    @abstractmethod
    def _latest(self) -> bool: ...

    def _transform(self, dataset: DataFrame) -> DataFrame:
        self.require("granularity", "series")
        read = [self._series(dataset), *self._option_columns(dataset)]
        work = partial(Rows, latest=self._latest)
        return self._detect(dataset, read, work, LATEST if self._latest else ENTIRE)

    def _series(self, dataset: DataFrame) -> str | Column:
        if self.isDefined("series"):
            return from_json(lit(json.dumps(self.getOrDefault("series"))), _SERIES)
        column = self.column(dataset, "seriesCol")
        [field] = dataset.select(column).schema.fields
        value = _value_type(field.dataType)
        if not isinstance(value, NumericType):
            raise ValueError(
                f"The column '{field.name}' must hold arrays of structs of a timestamp, a string, "
                f"and a value, a number, and holds {field.dataType.simpleString()}."
            )
        is_as_read = isinstance(value, DoubleType)
        return str(self.getOrDefault("seriesCol")) if is_as_read else column.cast(_SERIES)


def _value_type(kind: DataType) -> DataType | None:
    """Return the type of the values of a column of series; None for a column that is none."""
    point = kind.elementType if isinstance(kind, ArrayType) else None
    if not isinstance(point, StructType) or len(point.fields) != 2:
        return None
    timestamp, value = (field.dataType for field in point.fields)
    return value if isinstance(timestamp, StringType) else None


class DetectAnomalies(_OfRows):
    """Detects the anomalies among all points of the series of each row.

    The output is a struct of ``isAnomaly``, ``isPositiveAnomaly``, ``isNegativeAnomaly``,
    ``expectedValues``, ``upperMargins``, ``lowerMargins`` and ``severity``, arrays with an item for
    each point, and ``period``. It is null where the service would have refused, and the error is
    what it would have answered; both are null in a row without a series or a granularity.

    Examples
    --------
    >>> from detector.spark.synapse import DetectAnomalies
    >>> DetectAnomalies().setSeriesCol("inputs").setGranularity("daily").getSeriesCol()
    'inputs'
    """

    _latest = False


class DetectLastAnomaly(_OfRows):
    """Detects whether the last point of the series of each row is an anomaly.

    The output is a struct of ``isAnomaly``, ``isPositiveAnomaly``, ``isNegativeAnomaly``,
    ``period``, ``expectedValue``, ``upperMargin``, ``lowerMargin``, ``suggestedWindow`` and
    ``severity``; it and the error are null as those of `DetectAnomalies` are.

    Examples
    --------
    >>> from detector.spark.synapse import DetectLastAnomaly
    >>> DetectLastAnomaly(seriesCol="inputs", granularity="daily").getGranularity()
    'daily'
    """

    _latest = True


class SimpleDetectAnomalies(_Univariate):
    """Detects the anomalies of series whose points have a row each.

    The rows of one series have the same value in the column of `groupbyCol`; they need no order.
    Each comes back with all its columns, the error, and the output: a struct of ``isAnomaly``,
    ``isPositiveAnomaly``, ``isNegativeAnomaly``, ``period``, ``expectedValue``, ``upperMargin``,
    ``lowerMargin`` and ``severity``. Where the service would have refused a series, all its rows
    have the error, and no output.

    Examples
    --------
    >>> from detector.spark.synapse import SimpleDetectAnomalies
    >>> SimpleDetectAnomalies().setGroupbyCol("pump").setGranularity("daily").getTimestampCol()
    'timestamp'
    """

    defaults: ClassVar[Mapping[str, Any]] = {"timestampCol": "timestamp", "valueCol": "value"}

    timestampCol = param(
        "timestampCol", "The column of the timestamps, strings.", TypeConverters.toString
    )
    valueCol = param("valueCol", "The column of the values.", TypeConverters.toString)
    groupbyCol = param(
        "groupbyCol", "The column that says which series a row is of.", TypeConverters.toString
    )

    def _transform(self, dataset: DataFrame) -> DataFrame:
        self.require("granularity", "groupbyCol")
        key = self._key(dataset)
        timestamp = self._of_type(dataset, "timestampCol", StringType, _ISO)
        value = self._of_type(dataset, "valueCol", NumericType, "numbers")
        # In a window with an order the rows of a series stay together and are sorted; its frame is
        # all of them.
        series = Window.partitionBy(key).orderBy(timestamp)
        series = series.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
        read = [timestamp, value, *self._option_columns(dataset), count(lit(1)).over(series)]
        cores = dataset.sparkSession.sparkContext.defaultParallelism
        spread = dataset.repartition(cores * _PARTITIONS_PER_CORE, key)
        return self._detect(spread, read, Points, POINT)

    def _key(self, dataset: DataFrame) -> Column:
        key = self.column(dataset, "groupbyCol")
        [field] = dataset.select(key).schema.fields
        if isinstance(field.dataType, FloatType | DoubleType):
            # Spark takes -0.0 for 0.0 in a window, and would spread the rows a second time for it.
            return (key + lit(0.0)).cast("string")
        return key

    def _of_type(
        self, dataset: DataFrame, name: str, kind: type[DataType], description: str
    ) -> str | Column:
        """Return the name of a column; of numbers that are no doubles, what casts them."""
        column = self.column(dataset, name)
        [field] = dataset.select(column).schema.fields
        if not isinstance(field.dataType, kind):
            raise ValueError(
                f"The column '{field.name}', which the param '{name}' names, must hold "
                f"{description}, and holds {field.dataType.simpleString()}."
            )
        if isinstance(field.dataType, StringType | DoubleType):
            return str(self.getOrDefault(name))
        return column.cast("double")
