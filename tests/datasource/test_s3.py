"""Keys are read in the store's buckets that may be read, and nowhere else."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from datasource.sources import EVER, SERIES, TABLE, packed, refused

from detector.datasource import Access, check, datasets, read, remove, store
from detector.datasource.s3 import client


@pytest.mark.parametrize(
    "source",
    [
        "s3://mlflow/1/model.csv",
        "s3://datasets",
        "s3://datasets/",
        "s3://datasets/../mlflow/a.csv",
        "s3://datasets/a/../../mlflow/a.csv",
        "s3://datasets//a.csv",
        "s3://datasets/./a.csv",
        "s3://user@datasets/a.csv",
        "s3://datasets\\..\\mlflow/a.csv",
        "s3://datasets/a\nb.csv",
        "s3:datasets/a.csv",
        "s3:///a.csv",
    ],
)
def test_the_store_serves_keys_of_its_buckets_only(access: Access, source: str) -> None:
    # Nothing listens there: what is refused is refused without asking.
    with_store = replace(access, store_url="http://127.0.0.1:1")
    for ask in (lambda: check(source, with_store), lambda: read(source, with_store, **EVER)):
        with refused("InvalidBlobURL"):
            ask()


def test_a_store_that_does_not_answer_is_named(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    with_store = replace(access, store_url="http://127.0.0.1:1")
    check("s3://datasets/a.csv", with_store)
    with refused("GetDataError", "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID"):
        read("s3://datasets/a.csv", with_store, **EVER)


# A real S3 server, where there is one: SeaweedFS, as in minio/requirements.txt.


def test_the_store_keeps_lists_reads_and_deletes(stored: Access) -> None:
    source = store("mine", io.BytesIO(TABLE), stored)
    assert source == "s3://datasets/mine.csv"
    assert read(source, stored, **EVER).size == 4
    assert store("mine", io.BytesIO(packed({"a.csv": SERIES})), stored) == "s3://datasets/mine.zip"
    assert [(kept.name, kept.source) for kept in datasets(stored)] == [
        ("mine", "s3://datasets/mine.zip")
    ]
    with client(stored) as s3:
        for name in ("a", "b"):
            s3.put_object(Bucket="datasets", Key=f"many/{name}.csv", Body=SERIES)
    assert read("s3://datasets/many", stored, **EVER).columns.tolist() == ["a", "b"]
    assert read("s3://datasets/many/", stored, **EVER).columns.tolist() == ["a", "b"]
    remove("mine", stored)
    assert not datasets(stored)
    for source in ("s3://datasets/mine.zip", "s3://datasets/none/"):
        with refused("FileNotExist", source):
            read(source, stored, **EVER)
    store("mine", io.BytesIO(TABLE), stored)
    with refused("FileSizeTooLarge"):
        read("s3://datasets/mine.csv", replace(stored, max_bytes=10), **EVER)
