"""The format ``sql`` of Spark: what SQLAlchemy reads from a database, in parts at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
from pyspark.sql.types import (
    BinaryType,
    BooleanType,
    DataType,
    DateType,
    DoubleType,
    LongType,
    StringType,
    StructType,
    TimestampType,
)
from sqlalchemy import types
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from detector.errors import DetectionError, listed, shown
from detector.spark.sources.options import refuse_unknown
from detector.spark.sources.types import arrow_schema, spark_type, table_of

__all__ = ["Sql"]

_OPTIONS = ("table", "query", "partitionColumn", "partitions", "urlVariable")
_VARIABLE = "DATABASE_URL"
_MOST_PARTITIONS = 10_000
_ROWS = 10_000
# From which the types of a query's columns are found.
_FIRST_ROWS = 1000
# The first that a column's type is one of; a Boolean is no Integer, an Enum is a String.
_TYPES: tuple[tuple[type[types.TypeEngine[Any]], type[DataType]], ...] = (
    (types.Boolean, BooleanType),
    (types.Integer, LongType),
    (types.Numeric, DoubleType),
    (types.Float, DoubleType),
    (types.DateTime, TimestampType),
    (types.Date, DateType),
    (types.String, StringType),
    (types.LargeBinary, BinaryType),
)


@dataclass(frozen=True)
class Asked:
    """What a reader is asked for.

    Attributes
    ----------
    table, query : str or None
        One of them.
    column : str or None
        By whose values the tasks share the rows; then ``partitions`` says how many tasks.
    variable : str
        The name of the environment's variable with SQLAlchemy's URL.
    """

    table: str | None
    query: str | None
    column: str | None
    partitions: int
    variable: str

    @classmethod
    def parse(cls, options: Mapping[str, str]) -> Asked:
        """Check the options.

        Raises
        ------
        DetectionError
            ``BadArgument``.
        """
        _refuse_url(options)
        refuse_unknown(options, _OPTIONS, "sql")
        table, query = options.get("table"), options.get("query")
        if bool(table) == bool(query):
            raise DetectionError(
                "BadArgument",
                "The format 'sql' needs the option 'table', the name of a table or view, or "
                "'query', a SELECT; one of the two.",
            )
        column, count = options.get("partitionColumn"), options.get("partitions")
        if (column is None) != (count is None):
            raise DetectionError(
                "BadArgument",
                "The options 'partitionColumn' and 'partitions' go together: by which column the "
                "tasks share the rows, and how many tasks.",
            )
        if count is not None and not (count.isdecimal() and 1 <= int(count) <= _MOST_PARTITIONS):
            raise DetectionError(
                "BadArgument",
                f"The option 'partitions' must be a whole number from 1 to {_MOST_PARTITIONS}. "
                f"It is {shown(count)}.",
            )
        variable = options.get("urlVariable") or _VARIABLE
        return cls(table, query and query.rstrip().rstrip(";"), column, int(count or 1), variable)

    @property
    def source(self) -> str:
        """What a message calls it."""
        return f"the table '{self.table}'" if self.table else "the query"

    def rows(self, names: list[str]) -> sa.FromClause:
        """Return what is selected from; SQLAlchemy quotes the names."""
        columns: list[sa.ColumnClause[Any]] = [sa.column(_quoted(name)) for name in names]
        if self.table:
            return sa.table(_quoted(self.table), *columns)
        return _text(self.query or "").columns(*columns).subquery("asked")


class Range(InputPartition):
    """The rows of one task: from a value on and below another; the first has those without."""

    def __init__(self, low: Any = None, high: Any = None) -> None:
        super().__init__((low, high))


class Sql(DataSource):
    """A table, view or query of a database."""

    @classmethod
    def name(cls) -> str:
        return "sql"

    def schema(self) -> StructType:
        """Return the columns: a table's as the database has them, a query's as its first rows are.

        Raises
        ------
        DetectionError
            ``BadArgument``, or ``GetDataError`` where the database does not answer.
        """
        asked = Asked.parse(self.options)
        with _connection(asked) as connection:
            return _of_table(connection, asked) if asked.table else _of_query(connection, asked)

    def reader(self, schema: StructType) -> DataSourceReader:
        return SqlReader(Asked.parse(self.options), schema)


class SqlReader(DataSourceReader):
    """Reads the columns of the schema, and no others."""

    def __init__(self, asked: Asked, schema: StructType) -> None:
        self._asked = asked
        self._schema = schema

    def partitions(self) -> list[InputPartition]:
        """Return ranges of the column that leave no row out and have none twice."""
        if self._asked.column is None:
            return [Range()]
        with _connection(self._asked) as connection:
            borders = _borders(connection, self._asked, self._schema.names)
        lows, highs = [None, *borders], [*borders, None]
        return [Range(low, high) for low, high in zip(lows, highs, strict=True)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        schema = arrow_schema(self._schema)
        query = self._query(*partition.value)
        with _connection(self._asked) as connection:
            # The database keeps what does not fit a batch.
            found = connection.execution_options(yield_per=_ROWS).execute(query)
            for rows in found.partitions():
                yield table_of(list(zip(*rows, strict=True)), schema, self._asked.source)

    def _query(self, low: Any, high: Any) -> sa.Select[Any]:
        names = self._schema.names
        rows = self._asked.rows(_with(names, self._asked.column))
        query = sa.select(*(rows.c[name] for name in names))
        if self._asked.column is None:
            return query
        column = rows.c[self._asked.column]
        if low is not None:
            query = query.where(column >= low)
        elif high is not None:
            return query.where(sa.or_(column < high, column.is_(None)))
        return query.where(column < high) if high is not None else query


def _borders(connection: sa.Connection, asked: Asked, names: list[str]) -> list[Any]:
    """Return ascending values of the column between the partitions.

    They halve, or part otherwise evenly, the way from the least number or date to the largest;
    other values, such as the names of series, the database itself shares out evenly.
    """
    column = asked.rows(_with(names, asked.column)).c[asked.column or ""]
    low, high = connection.execute(sa.select(sa.func.min(column), sa.func.max(column))).one()
    count = asked.partitions
    if low is None or count == 1:
        return []
    if isinstance(low, int | float | Decimal | date):
        borders = [_between(low, high, place, count) for place in range(1, count)]
    else:
        values = sa.select(column.label("value")).where(column.is_not(None)).distinct().subquery()
        tiles = sa.select(
            values.c.value, sa.func.ntile(count).over(order_by=values.c.value).label("tile")
        ).subquery()
        lowest = sa.func.min(tiles.c.value)
        found = connection.execute(sa.select(lowest).group_by(tiles.c.tile).order_by(lowest))
        borders = list(found.scalars())[1:]
    # Between infinities there is no number; that equals nothing, itself included.
    return [each for each in dict.fromkeys(borders) if each != low and each == each]


def _between(low: Any, high: Any, place: int, count: int) -> Any:
    if isinstance(low, int):
        return low + (high - low) * place // count
    return low + (high - low) / count * place


def _of_table(connection: sa.Connection, asked: Asked) -> StructType:
    inspector, name = sa.inspect(connection), asked.table or ""
    if not inspector.has_table(name):
        there = [*inspector.get_table_names(), *inspector.get_view_names()]
        raise DetectionError(
            "BadArgument",
            f"The option 'table' must be one of {listed(there, 20)}. It is {shown(name)}.",
        )
    schema = StructType()
    for column in inspector.get_columns(name):
        fitting = [kind for known, kind in _TYPES if isinstance(column["type"], known)]
        if not fitting:
            raise DetectionError(
                "BadArgument",
                f"The column '{column['name']}' of {asked.source} has the type {column['type']}, "
                "which Spark does not have: name the columns to read, without it or with another "
                "type, by .schema(...).",
            )
        schema.add(column["name"], fitting[0]())
    return schema


def _of_query(connection: sa.Connection, asked: Asked) -> StructType:
    # Only a SELECT can be selected from.
    rows = _text(f"({asked.query}) AS asked")
    found = connection.execute(sa.select(sa.text("*")).select_from(rows).limit(_FIRST_ROWS))
    names, first = list(found.keys()), found.all()
    columns = zip(*first, strict=True) if first else ((),) * len(names)
    schema = StructType()
    for name, values in zip(names, columns, strict=True):
        try:
            kind = pa.array(values).type
        except (pa.ArrowException, OverflowError):
            kind = pa.null()
        if pa.types.is_null(kind):
            raise DetectionError(
                "BadArgument",
                f"The first rows of the query do not tell the type of the column '{name}': name "
                "the columns and their types by .schema(...).",
            )
        decimal = pa.types.is_decimal(kind)
        schema.add(name, DoubleType() if decimal else spark_type(kind, name, asked.source))
    return schema


def _refuse_url(options: Mapping[str, str]) -> None:
    if "url" in options:
        raise DetectionError(
            "BadArgument",
            "The format 'sql' has no option 'url': Spark shows options, and a URL holds a "
            f"password. Set the environment's variable {_VARIABLE}, or the one that the option "
            "'urlVariable' names, on the driver and the workers.",
        )


@contextmanager
def _connection(asked: Asked) -> Iterator[sa.Connection]:
    """Connect to the database, and say what is wrong with one that does not answer."""
    url = _url(asked.variable)
    name = url.set(query={}).render_as_string(hide_password=True)
    try:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            try:
                yield connection
            finally:
                # Who has rows enough goes: PyMySQL would fetch all the others before it closes.
                connection.invalidate()
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise DetectionError(
            "BadArgument",
            f"The driver of {name} is missing ({error}): install it on the driver and the workers.",
        ) from None
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0].rstrip(".")
        raise DetectionError(
            "GetDataError",
            f"The database {name} does not serve {asked.source}: {reason}. Check that it runs; its "
            f"address, user and password are those of {asked.variable}.",
        ) from None


def _url(variable: str) -> sa.URL:
    text = os.environ.get(variable)
    if not text:
        raise DetectionError(
            "BadArgument",
            f"The environment's variable {variable} is not set: set it on the driver and the "
            "workers to SQLAlchemy's URL of the database, such as "
            "mysql+pymysql://USER:PASSWORD@HOST/DATABASE.",
        )
    try:
        return sa.make_url(text)
    except (ArgumentError, ValueError):
        raise DetectionError(
            "BadArgument",
            f"The environment's variable {variable} must be a URL of SQLAlchemy, such as "
            "mysql+pymysql://USER:PASSWORD@HOST/DATABASE, with the password percent-encoded.",
        ) from None


def _text(query: str) -> sa.TextClause:
    # A colon begins a parameter, of which there is none.
    return sa.text(query.replace(":", r"\:"))


def _quoted(name: str) -> sa.quoted_name:
    return sa.quoted_name(name, quote=True)


def _with(names: list[str], column: str | None) -> list[str]:
    return names if column is None or column in names else [*names, column]
