"""Reading the format ``s3``, from a store that runs on this machine."""

from __future__ import annotations

import bz2
import datetime as dt
import gzip
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.datasource import CaseInsensitiveDict
from pyspark.sql.types import StructType

from detector.errors import DetectionError
from detector.spark.sources import S3, s3

ODD = "a value, of `100` %.x"
TIME = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)

pytestmark = pytest.mark.usefixtures("environment")


def read(path: Any, schema: StructType | None = None, **options: str) -> list[dict[str, Any]]:
    """Return the rows of all tasks, read without Spark."""
    source = S3(CaseInsensitiveDict(path=str(path), **options))
    reader = source.reader(schema or source.schema())
    return [
        row
        for task in reader.partitions()
        for batch in reader.read(task)
        for row in batch.to_pylist()
    ]


def types(path: Any) -> str:
    return S3(CaseInsensitiveDict(path=str(path))).schema().simpleString()


def refused(path: Any, schema: StructType | None = None, **options: str) -> str:
    with pytest.raises(DetectionError) as raised:
        read(path, schema, **options)
    assert "\n" not in raised.value.message
    return raised.value.message


def test_spark_reads_files(sources: SparkSession, folder: Any) -> None:
    folder.put_parquet("a.parquet", **{"by": ["x", None], ODD: [0.5, None]})
    folder.put_parquet("deeper/b.parquet", **{ODD: [1.5], "by": ["y"]})
    frame = sources.read.format("s3").load(str(folder))
    assert frame.columns == ["by", ODD]
    assert sorted(frame.collect(), key=str) == [("x", 0.5), ("y", 1.5), (None, None)]


def test_spark_says_what_is_wrong_in_one_line(sources: SparkSession, folder: Any) -> None:
    with pytest.raises(Exception, match=f"There is no object '{folder}' in the store"):
        sources.read.format("s3").load(str(folder))


def test_reads_csv_as_it_comes(folder: Any) -> None:
    lines = (
        f'\ufeffby,"{ODD}",time,at\nx,0.5,2026-01-02T03:04:05Z,1\n'
        ',,,\n"",-1,2026-01-02 03:04:05.5,2\n'
    )
    folder.put("a.csv", lines)
    schema = StructType().add("time", "timestamp").add("by", "string").add(ODD, "double")
    later = TIME.replace(microsecond=500_000)
    # A batch has times with a zone, or times without.
    with pytest.raises(DetectionError, match=r"column 'time' of '.*a.csv' has a value that is no"):
        read(folder, schema)
    folder.put("a.csv", lines.replace("Z", ""))
    assert read(folder, schema) == [
        {"time": TIME, "by": "x", ODD: 0.5},
        {"time": None, "by": None, ODD: None},
        {"time": later, "by": "", ODD: -1.0},
    ]


@pytest.mark.parametrize(
    ("name", "pack"), [("a.csv.gz", gzip.compress), ("a.CSV.BZ2", bz2.compress), ("a.csv", bytes)]
)
def test_reads_compressed_csv(folder: Any, name: str, pack: Any) -> None:
    folder.put(name, pack(b"a,b\n1,x\n2,y\n"))
    assert read(folder) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_reads_lines_of_json(folder: Any) -> None:
    folder.put("a.jsonl", '{"by": "x", "time": "2026-01-02T03:04:05Z", "v": 1}\n{"v": 2.5}\n')
    assert read(folder) == [
        {"by": "x", "time": TIME, "v": 1.0},
        {"by": None, "time": None, "v": 2.5},
    ]


def test_a_time_without_a_zone_is_one_of_utc(folder: Any) -> None:
    folder.put_parquet("a.parquet", t=pa.array([TIME], pa.timestamp("ns")))
    folder.put("b.csv", "t\n2026-01-02 03:04:05\n")
    assert types(folder) == "struct<t:timestamp>"
    assert read(folder) == [{"t": TIME}] * 2
    naive = StructType().add("t", "timestamp_ntz")
    assert read(folder, naive) == [{"t": TIME.replace(tzinfo=None)}] * 2


def test_types_of_pandas_are_understood(folder: Any) -> None:
    folder.put_parquet(
        "a.parquet",
        category=pa.array(["x", "y"]).dictionary_encode(),
        small=pa.array([1, 255], pa.uint8()),
        text=pa.array(["x", None], pa.large_string()),
        half=pa.array([0.5, None], pa.float32()),
        nothing=pa.nulls(2),
    )
    assert types(folder) == (
        "struct<category:string,small:bigint,text:string,half:float,nothing:string>"
    )
    assert read(folder)[0] == {
        "category": "x", "small": 1, "text": "x", "half": 0.5, "nothing": None,
    }  # fmt: skip


def test_only_the_columns_of_the_schema_are_read(folder: Any) -> None:
    folder.put_parquet("a.parquet", a=[1], b=[{"x": 1}], c=["1.5"])
    folder.put("b.csv", "c,d,a\n2.5,x,2\n")
    schema = StructType().add("c", "double").add("a", "string")
    assert read(folder, schema) == [{"c": 1.5, "a": "1"}, {"c": 2.5, "a": "2"}]


def test_what_is_no_data_is_left_alone(folder: Any) -> None:
    folder.put("a.csv", "a\n1\n")
    for name in ("_SUCCESS", ".hidden.csv", "_temporary/b.csv", "sub/", "empty.csv", "e.json"):
        folder.put(name)
    folder.put("only-names.csv", "a\n")
    assert read(folder) == [{"a": 1}]


def test_a_single_file_can_be_named(folder: Any) -> None:
    folder.put("_a.csv", "a\n1\n")
    folder.put("b.csv", "b\n1\n")
    assert read(f"{folder}/_a.csv") == [{"a": 1}]


def test_the_types_of_texts_are_wide_enough_for_all(folder: Any) -> None:
    folder.put("a.csv", "a,b,t\n1,,2026-01-01\n")
    folder.put("b.csv", "b,a,t\nx,1.5,2026-01-01 01:00:00\n")
    assert types(folder) == "struct<a:double,b:string,t:timestamp>"
    assert [row["a"] for row in read(folder)] == [1.0, 1.5]


def test_the_tasks_have_every_row_once(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, start in (("a", 0), ("b", 10_000)):
        folder.put_parquet(f"{name}.parquet", x=list(range(start, start + 10_000)))
    folder.put_parquet("none.parquet", x=pa.array([], pa.int64()))
    for number in range(30):
        folder.put(f"small/{number:02}.csv", f"x\n{20_000 + number}\n")
    counts = []
    for size in (10_000, 40_000, 32 * 1024**2):
        monkeypatch.setattr(s3, "_TASK_BYTES", size)
        monkeypatch.setattr(s3, "_FILE_BYTES", size // 10)
        source = S3(CaseInsensitiveDict(path=str(folder)))
        counts.append(len(source.reader(source.schema()).partitions()))
        assert sorted(row["x"] for row in read(folder)) == list(range(20_030))
    # A few row groups each, and ten small files; fewer of larger ones; all.
    assert counts[0] > counts[1] > counts[2]
    assert counts[0] >= 10


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.txt": "x"}, "a.txt' must end in .parquet, .csv, .json, .jsonl"),
        ({"a.parquet.gz": "x"}, "a.parquet.gz' must end in"),
        ({"a.parquet": ""}, "a.parquet' cannot be read: Parquet file size is 0 bytes."),
        ({"a.parquet": "no parquet at all"}, "a.parquet' cannot be read"),
        ({"a.csv.gz": "no gzip"}, "a.csv.gz' cannot be read"),
        ({"a.json": '{"a": 1'}, "a.json' cannot be read"),
        ({"a.csv": "a,b\n1,2\n1\n"}, "a.csv' cannot be read: CSV parse error"),
        ({"a.csv": ""}, "are empty: give the columns to read by .schema(...)"),
        ({"a.csv": "a,a\n1,2\n"}, "a.csv' has two columns 'a'"),
        ({"a.csv": "a,b\n1,2\n", "b.csv": "a\n1\n"}, "b.csv' has no column 'b', and "),
        ({"a.csv": "a\n1\n", "b.csv": "a,b\n1,2\n"}, "a.csv' has no column 'b', and "),
        ({"a.csv": "a\n1\n", "b.csv": "a\nx\n"}, "The column 'a' is string in 's3://"),
        ({"a.csv": "a\n1\n" + "1\n" * 600_000 + "x\n"}, "invalid value 'x'"),
        ({"day=1/a.csv": "a\n1\n"}, "has a column in the names of its folders"),
        ({"_SUCCESS": ""}, "There is no file of data at 's3://"),
        ({}, "There is no object 's3://"),
    ],
)
def test_what_is_wrong_with_files_is_named(
    folder: Any, files: dict[str, str], message: str
) -> None:
    for name, body in files.items():
        folder.put(name, body)
    assert message in refused(folder)


def test_a_file_without_a_column_of_the_schema_is_named(folder: Any) -> None:
    folder.put("a.csv", "x,y\n1,2\n")
    assert "a.csv': Column 'z' in" in refused(folder, StructType().add("z", "long"))
    folder.put_parquet("a.csv.parquet", x=[1])
    folder.put("a.csv", "z\n1\n")
    message = refused(folder, StructType().add("z", "long"))
    assert "a.csv.parquet' has no column 'z'. It has 'x'." in message


@pytest.mark.parametrize(
    "path", ["", "datasets/x", "s3:///x", "s3a://datasets/x", "s3://datasets/a//b", "s3://d/../x"]
)
def test_an_address_that_is_none_is_refused(path: str) -> None:
    assert "must be s3://, a bucket, and the key" in refused(path)


def test_an_unknown_option_is_refused_without_its_value() -> None:
    message = refused("s3://datasets/x", secretKey="hunter2")
    assert "has no option 'secretkey'" in message
    assert "hunter2" not in message


def test_what_is_wrong_with_the_store_is_named(
    folder: Any, environment: pytest.MonkeyPatch
) -> None:
    assert "There is no bucket of 's3://nosuch/x'" in refused("s3://nosuch/x")
    folder.put("a.csv", "a\n1\n")
    environment.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    assert "it answers SignatureDoesNotMatch. Check" in refused(folder)
    environment.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    mend = "Check that it runs and its disk has room; its address is AWS_ENDPOINT_URL_S3"
    assert mend in refused(folder)
    environment.delenv("AWS_ENDPOINT_URL_S3")
    environment.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:2")
    assert "The store at http://127.0.0.1:2 does not serve" in refused(folder)
