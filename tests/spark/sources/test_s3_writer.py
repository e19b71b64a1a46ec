"""Writing the format ``s3``: every row once, whatever fails, and nothing to see before the end."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.datasource import CaseInsensitiveDict
from pyspark.sql.types import StructType

from detector.errors import DetectionError
from detector.spark.sources import S3
from detector.spark.sources.s3_writer import S3Writer, Written

NUMBER = StructType().add("x", "long")


def write(frame: DataFrame, folder: Any, mode: str = "append") -> None:
    frame.write.format("s3").mode(mode).save(str(folder))


def numbers(sources: SparkSession, folder: Any) -> list[int]:
    return sorted(row.x for row in sources.read.format("s3").load(str(folder)).collect())


def begun(folder: Any, *, overwrite: bool = True) -> S3Writer:
    return S3(CaseInsensitiveDict(path=str(folder))).writer(NUMBER, overwrite)


def test_what_was_written_is_read(sources: SparkSession, folder: Any) -> None:
    frame = sources.range(1000).selectExpr(
        "id", "nullif(id, 5) / 3 AS `a value, of 100 %`", "timestamp_seconds(id) AS `a.time`",
        "string(id) AS s", "id % 2 = 0 AS b", "array(id) AS l", "struct(id, date(now()) AS d) AS r",
    )  # fmt: skip
    write(frame.repartition(3), folder)
    found = sources.read.format("s3").load(str(folder))
    assert found.dtypes == frame.dtypes
    assert sorted(found.collect()) == sorted(frame.collect())
    assert len(folder.names) == 4
    assert folder.names[0] == "_SUCCESS"


def test_appends_and_overwrites(sources: SparkSession, folder: Any) -> None:
    folder.put("older.csv", "x\n7\n")
    write(sources.range(2).toDF("x"), folder)
    write(sources.range(2).toDF("x"), folder)
    assert numbers(sources, folder) == [0, 0, 1, 1, 7]
    before = folder.names
    # It reads what it replaces.
    doubled = sources.read.format("s3").load(str(folder)).selectExpr("x * 2 AS x")
    write(doubled, folder, "overwrite")
    assert numbers(sources, folder) == [0, 0, 2, 2, 14]
    assert set(folder.names) & set(before) == {"_SUCCESS"}


def test_no_row_still_tells_the_columns(sources: SparkSession, folder: Any) -> None:
    write(sources.range(9).toDF("x").where("x > 9"), folder, "overwrite")
    found = sources.read.format("s3").load(str(folder))
    assert (found.dtypes, found.count()) == ([("x", "bigint")], 0)


def failing(attempts: int) -> Any:
    """Return what gives Spark 20 MiB of rows; so many attempts fail once parts were uploaded."""

    def rows(_: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        context = TaskContext.get()
        assert context is not None
        if context.partitionId() == 0:
            yield pa.record_batch({"x": [-1]})
            return
        for start in range(0, 2_600_000, 100_000):
            # Numbers in no order, which do not shrink.
            yield pa.record_batch({"x": (np.arange(start, start + 100_000) * 2654435761) % 2**40})
        if context.attemptNumber() < attempts:
            raise RuntimeError("this attempt fails")

    return rows


def test_a_task_that_runs_again_writes_nothing_twice(sources: SparkSession, folder: Any) -> None:
    frame = sources.range(0, 2, 1, 2).mapInArrow(failing(1), NUMBER)
    write(frame, folder)
    found = sources.read.format("s3").load(str(folder))
    total = found.selectExpr("count(x)", "count(DISTINCT x)").first()
    assert total == (2_600_001, 2_600_001)
    assert len(folder.names) == 3
    assert folder.uploads == []


def test_a_job_that_fails_changes_nothing(sources: SparkSession, folder: Any) -> None:
    folder.put("older.csv", "x\n7\n")
    frame = sources.range(0, 2, 1, 2).mapInArrow(failing(9), NUMBER)
    with pytest.raises(Exception, match="this attempt fails"):
        write(frame, folder, "overwrite")
    assert folder.names == ["older.csv"]
    assert folder.uploads == []


def test_two_jobs_may_append_at_once(sources: SparkSession, folder: Any) -> None:
    rows = [(number,) for number in range(5)]
    with ThreadPoolExecutor(2) as pool:
        # `createDataFrame` makes the session the thread's own, whose formats Spark knows.
        append = lambda _: write(sources.createDataFrame(rows, "x long"), folder)  # noqa: E731
        list(pool.map(append, range(2)))
    assert numbers(sources, folder) == sorted([*range(5)] * 2)


@pytest.mark.usefixtures("environment")
def test_of_two_jobs_that_overwrite_the_second_to_end_fails(folder: Any) -> None:
    folder.put("older.csv", "x\n7\n")
    first, second = begun(folder), begun(folder)
    first.commit([None])
    after = folder.names
    with pytest.raises(DetectionError, match="let one job at a time overwrite a folder"):
        second.commit([None])
    second.abort([None])
    assert folder.names == after
    assert "older.csv" not in after


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("overwrite", [True, False])
def test_what_killed_attempts_left_is_deleted(folder: Any, overwrite: bool) -> None:
    writer = begun(folder, overwrite=overwrite)
    key = f"{folder.key}/part-00001-{writer.job}.parquet"
    for end in (writer.commit, writer.abort):
        folder.asked.create_multipart_upload(Bucket="datasets", Key=key)
        assert folder.uploads == [key]
        end([None, None])
        assert folder.uploads == []


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_commit_that_fails_changes_nothing(folder: Any, overwrite: bool) -> None:
    folder.put("older.csv", "x\n7\n")
    writer = begun(folder, overwrite=overwrite)
    part = {"Bucket": "datasets", "Key": f"{folder.key}/part-00000-{writer.job}.parquet"}
    part["UploadId"] = folder.asked.create_multipart_upload(**part)["UploadId"]
    tag = folder.asked.upload_part(**part, PartNumber=1, Body=b"rows")["ETag"]
    whole = Written(0, part["UploadId"], ({"PartNumber": 1, "ETag": tag},))
    lost = Written(task=1, upload="nosuch", parts=({"PartNumber": 1, "ETag": "x"},))
    with pytest.raises(DetectionError, match="it answers NoSuchUpload"):
        writer.commit([whole, lost])
    assert len(folder.names) == 3
    writer.abort([whole, lost])
    assert folder.names == ["older.csv"]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_a_folder_in_between_is_not_read(sources: SparkSession, folder: Any, mode: str) -> None:
    folder.put("older.csv", "x\n7\n")
    killed = begun(folder, overwrite=mode == "overwrite")
    folder.put(f"part-00000-{killed.job}.parquet", b"")
    folder.put(killed.marker, b"")
    doing = "appending" if mode == "append" else "overwriting"
    with pytest.raises(DetectionError, match=f"A job is {doing} files in '{folder}', as") as raised:
        S3(CaseInsensitiveDict(path=str(folder))).schema()
    assert ("overwrite the folder again" in str(raised.value)) == (mode == "overwrite")
    write(sources.range(1).toDF("x"), folder, "overwrite")
    assert numbers(sources, folder) == [0]


@pytest.mark.usefixtures("environment")
def test_new_files_stay_once_they_replace_the_older_ones(folder: Any) -> None:
    writer = begun(folder)
    folder.put(f"part-00000-{writer.job}.parquet", b"")
    folder.put(writer.marker, b"the new files are whole")
    before = folder.names
    writer.abort([None])
    assert folder.names == before


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("s3://datasets", "must name a folder of the bucket to write to"),
        ("s3://nosuch/x", "There is no bucket of 's3://nosuch/x'"),
        ("datasets", "must be s3://, a bucket, and the key"),
    ],
)
def test_an_address_that_cannot_be_written_is_named(path: str, message: str) -> None:
    with pytest.raises(DetectionError, match=message):
        begun(path)


@pytest.mark.usefixtures("environment")
def test_two_columns_of_one_name_are_refused() -> None:
    source = S3(CaseInsensitiveDict(path="s3://datasets/x"))
    with pytest.raises(DetectionError, match="There are two columns 'x'"):
        source.writer(StructType().add("x", "long").add("x", "long"), False)


def test_spark_wants_a_mode(sources: SparkSession, folder: Any) -> None:
    with pytest.raises(Exception, match='Please use either the "Append" or "Overwrite" mode'):
        sources.range(1).write.format("s3").save(str(folder))
