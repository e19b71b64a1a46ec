"""The format ``sql``, on SQLite and on MariaDB where it is installed."""

from __future__ import annotations

import datetime as dt
import gc
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from pyspark.sql import SparkSession
from pyspark.sql.datasource import CaseInsensitiveDict
from pyspark.sql.types import StructType

from detector.errors import DetectionError
from detector.spark.sources import Sql

ODD = 'a "name", with % of: things'
Make = Callable[..., str]


@pytest.fixture
def make(
    database: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Make]:
    """Return what makes a table of the columns and rows, in the database that is read."""
    monkeypatch.setenv("DATABASE_URL", database)
    engine = sa.create_engine(database, poolclass=sa.NullPool)
    metadata = sa.MetaData()

    def make(name: str, columns: dict[str, Any], rows: list[tuple[Any, ...]]) -> str:
        table = sa.Table(name, metadata, *(sa.Column(*each) for each in columns.items()))
        table.create(engine)
        if rows:
            with engine.begin() as connection:
                placed = [{f"p{at}": value for at, value in enumerate(row)} for row in rows]
                binds = {column: sa.bindparam(f"p{at}") for at, column in enumerate(columns)}
                connection.execute(sa.insert(table).values(binds), placed)
        return name

    yield make
    metadata.drop_all(engine)


def read(schema: StructType | None = None, **options: str) -> tuple[int, list[dict[str, Any]]]:
    """Return how many tasks there are and the rows of all, read without Spark."""
    source = Sql(CaseInsensitiveDict(options))
    reader = source.reader(schema or source.schema())
    tasks = reader.partitions()
    return len(tasks), [
        row for task in tasks for batch in reader.read(task) for row in batch.to_pylist()
    ]


def refused(**options: str) -> str:
    with pytest.raises(DetectionError) as raised:
        read(**options)
    assert "\n" not in raised.value.message
    return raised.value.message


def test_every_type_arrives_with_its_nulls(make: Make) -> None:
    columns = {
        "i": sa.BigInteger, "x": sa.Double, "n": sa.Numeric(12, 3), "s": sa.String(20),
        "long": sa.Text, "t": sa.DateTime, "d": sa.Date, "b": sa.LargeBinary,
    }  # fmt: skip
    time = dt.datetime(2026, 1, 2, 3, 4, 5)
    row = (2**62, 0.1, Decimal("1.125"), "ä€", "", time, time.date(), b"\x00\xff")
    table = make("kinds", columns, [row, (None,) * 8])
    schema = Sql(CaseInsensitiveDict(table=table)).schema()
    assert [field.dataType.simpleString() for field in schema] == [
        "bigint", "double", "double", "string", "string", "timestamp", "date", "binary",
    ]  # fmt: skip
    _, rows = read(table=table)
    zoned = time.replace(tzinfo=dt.UTC)
    assert [tuple(each.values()) for each in rows] == [
        (2**62, 0.1, 1.125, "ä€", "", zoned, time.date(), b"\x00\xff"),
        (None,) * 8,
    ]


VALUES: dict[str, tuple[Any, list[Any]]] = {
    "whole numbers": (sa.Integer, [5, -3, 5, None, 0, 1000, None, 7]),
    "one number": (sa.Integer, [5, 5, None]),
    "only nulls": (sa.Integer, [None, None]),
    "nothing": (sa.Integer, []),
    "fractions": (sa.Double, [0.1, 0.2, None, 0.1 + 0.2, 1e300, -1e300]),
    "decimals": (sa.Numeric(10, 2), [Decimal("0.10"), None, Decimal("9.99"), Decimal("5.05")]),
    "dates": (sa.Date, [dt.date(2026, 1, day) for day in (1, 5, 5, 31)] + [None]),
    "times": (sa.DateTime, [dt.datetime(2026, 1, day, 12) for day in (1, 5, 5, 31)] + [None]),
    "texts": (sa.String(20), ["b", "a", "B", "", "ä", "z", None, "a", "Z", "zz", "%"]),
}


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("partitions", ["1", "3", "20"])
def test_the_tasks_have_every_row_once(make: Make, kind: str, partitions: str) -> None:
    type_, values = VALUES[kind]
    rows = [(number, value) for number, value in enumerate(values)]
    table = make("shared", {"number": sa.Integer, ODD: type_}, rows)
    _, found = read(table=table, partitionColumn=ODD, partitions=partitions)
    assert sorted(row["number"] for row in found) == list(range(len(values)))


def test_a_decimal_is_the_nearest_number(make: Make) -> None:
    values = [Decimal(number).scaleb(-3) for number in range(1000)]
    table = make("nearest", {"x": sa.Numeric(10, 3)}, [(value,) for value in values])
    schema = StructType().add("x", "double")
    for query in ({"table": table}, {"query": f"SELECT x FROM {table}"}):
        assert [row["x"] for row in read(schema, **query)[1]] == [float(each) for each in values]


def test_infinite_numbers_lose_no_row(make: Make, database: str) -> None:
    if not database.startswith("sqlite"):
        pytest.skip("only SQLite stores them")
    values = [-math.inf, 0.0, 1.0, math.inf]
    table = make("endless", {"x": sa.Double}, [(value,) for value in values])
    _, rows = read(table=table, partitionColumn="x", partitions="4")
    assert sorted(row["x"] for row in rows) == values


@pytest.mark.parametrize("column", ["number", "name"])
def test_the_tasks_share_the_rows_evenly(make: Make, column: str) -> None:
    rows = [(number, f"series {number % 40:02}") for number in range(400)]
    table = make("even", {"number": sa.Integer, "name": sa.String(20)}, rows)
    source = Sql(CaseInsensitiveDict(table=table, partitionColumn=column, partitions="4"))
    reader = source.reader(source.schema())
    counts = [sum(len(batch) for batch in reader.read(task)) for task in reader.partitions()]
    assert all(abs(count - 100) <= 1 for count in counts), counts


def test_names_are_quoted(make: Make) -> None:
    odd = {ODD: sa.Integer, "a.b": sa.Integer, "select": sa.Integer, "Größe": sa.Integer}
    table = make("x; DROP TABLE %s -- `", odd, [(1, 2, 3, 4)])
    _, rows = read(table=table, partitionColumn="a.b", partitions="2")
    assert rows == [{ODD: 1, "a.b": 2, "select": 3, "Größe": 4}]
    # SQLAlchemy does not find such a name out in MySQL.
    table = make("ticked", {"`": sa.Integer}, [(1,)])
    assert read(StructType().add("`", "long"), table=table) == (1, [{"`": 1}])


def test_a_schema_names_the_columns_to_read_and_their_types(make: Make) -> None:
    table = make("plant", {"a": sa.Integer, "t": sa.String(30)}, [(1, "2026-01-02T03:04:05Z")])
    _, rows = read(StructType().add("t", "timestamp").add("a", "string"), table=table)
    assert rows == [{"t": dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), "a": "1"}]


def test_a_query_may_have_colons_percents_and_an_end(make: Make) -> None:
    table = make("asked_of", {"a": sa.Integer}, [(number,) for number in range(10)])
    query = f"SELECT a, ' :a %s 12:30' AS text FROM {table} WHERE a % 2 = 0; "
    tasks, rows = read(query=query, partitionColumn="a", partitions="2")
    assert tasks == 2
    assert [row["a"] for row in rows] == [0, 2, 4, 6, 8]
    assert rows[0]["text"] == " :a %s 12:30"


# PyMySQL says so when it is let go of.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_task_that_needs_no_more_rows_fetches_no_more(make: Make, database: str) -> None:
    if database.startswith("sqlite"):
        pytest.skip("SQLite fetches a row when it is asked for one")
    engine = sa.create_engine(database, poolclass=sa.NullPool)

    def sent() -> int:
        with engine.connect() as connection:
            text = "SHOW GLOBAL STATUS LIKE 'Bytes_sent'"
            return int(connection.exec_driver_sql(text).one()[1])

    before = sent()
    source = Sql(CaseInsensitiveDict(query="SELECT seq FROM seq_1_to_3000000"))
    reader = source.reader(source.schema())
    batches = reader.read(reader.partitions()[0])
    assert next(batches).num_rows == 10_000
    batches.close()
    del batches
    gc.collect()
    assert sent() - before < 10_000_000


def test_a_query_that_changes_something_changes_nothing(make: Make) -> None:
    table = make("kept", {"a": sa.Integer}, [(1,)])
    refused(query=f"DELETE FROM {table}")
    assert read(table=table) == (1, [{"a": 1}])


def test_a_query_whose_rows_tell_no_type_needs_a_schema(make: Make) -> None:
    table = make("untold", {"a": sa.Integer}, [(None,)])
    query = f"SELECT a FROM {table}"
    assert "type of the column 'a'" in refused(query=query)
    assert read(StructType().add("a", "double"), query=query) == (1, [{"a": None}])


def test_a_value_that_does_not_fit_is_named(make: Make) -> None:
    table = make("unfit", {"a": sa.String(9)}, [("1",), ("x",)])
    with pytest.raises(DetectionError, match="column 'a' of the table 'unfit' has a value that"):
        read(StructType().add("a", "double"), table=table)


def test_what_spark_has_no_type_for_is_named(make: Make) -> None:
    table = make("timed", {"a": sa.Time}, [])
    assert "The column 'a' of the table 'timed' has the type TIME" in refused(table=table)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs the option 'table'"),
        ({"table": "a", "query": "b"}, "one of the two"),
        ({"table": "a", "partitions": "3"}, "'partitionColumn' and 'partitions' go together"),
        ({"table": "a", "partitionColumn": "b"}, "go together"),
        ({"table": "a", "partitionColumn": "b", "partitions": "0"}, "from 1 to 10000. It is '0'"),
        ({"table": "a", "partitionColumn": "b", "partitions": "x"}, "It is 'x'"),
        ({"tabel": "a"}, "The format 'sql' has no option 'tabel'"),
        ({"url": "mysql://me:hunter2@host"}, "the option 'urlVariable' names"),
        ({"table": "a", "password": "hunter2"}, "no option 'password'"),
        ({"table": "a", "urlVariable": "UNSET"}, "variable UNSET is not set"),
        ({"table": "none"}, "The option 'table' must be one of 'there'. It is 'none'"),
        ({"query": "SELEC"}, "does not serve the query"),
        ({"query": "DROP TABLE there"}, "does not serve the query"),
        ({"table": "there", "partitionColumn": "x", "partitions": "2"}, "there.x"),
    ],
)
def test_what_is_wrong_is_named(make: Make, options: dict[str, str], message: str) -> None:
    make("there", {"a": sa.Integer}, [])
    found = refused(**options)
    assert message in found
    assert "hunter2" not in found


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("hunter2", "must be a URL of SQLAlchemy"),
        ("mysql+pymysql://me:hunter2@127.0.0.1:nine/x", "must be a URL of SQLAlchemy"),
        (
            "nosuch://me:hunter2@127.0.0.1/x?key=hunter2",
            "The driver of nosuch://me:***@127.0.0.1/x",
        ),
        ("mysql+pymysql://me:hunter2@127.0.0.1:1/x", "Check that it runs"),
    ],
)
def test_no_message_has_the_password(
    monkeypatch: pytest.MonkeyPatch, url: str, message: str
) -> None:
    if "pymysql" in url:
        pytest.importorskip("pymysql")
    monkeypatch.setenv("PLANT", url)
    found = refused(table="a", urlVariable="PLANT")
    assert message in found
    assert "hunter2" not in found


def test_spark_reads_a_table(sources: SparkSession, make: Make, database: str) -> None:
    rows = [(number, f"series {number % 7}", number / 3) for number in range(1000)]
    table = make("series", {"at": sa.Integer, "by": sa.String(20), ODD: sa.Double}, rows)
    variable = database.partition(":")[0].partition("+")[0].upper()
    reader = sources.read.format("sql").option("table", table).option("urlVariable", variable)
    frame = reader.option("partitionColumn", "by").option("partitions", 3).load()
    assert frame.rdd.getNumPartitions() == 3
    assert sorted(map(tuple, frame.collect())) == rows
    assert database not in frame._jdf.queryExecution().toString()
