"""Where tests of the sources read and write: an S3 store, and a database of SQLite."""

from __future__ import annotations

import contextlib
import io
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mariadb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import seaweed
from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def store_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with seaweed.running(tmp_path_factory.mktemp("seaweed")) as url:
        yield url


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/plant.db"


@pytest.fixture(scope="session")
def mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mariadb.running(tmp_path_factory.mktemp("mariadb")) as url:
        yield url


@pytest.fixture(params=["sqlite", "mysql"])
def database(request: pytest.FixtureRequest) -> str:
    """Return the URL of a database, which each test gives tables of its own."""
    return str(request.getfixturevalue(request.param))


@dataclass(frozen=True)
class Folder:
    """A folder of the store, and boto3's client to look into it."""

    asked: Any
    key: str

    def __str__(self) -> str:
        return f"s3://datasets/{self.key}"

    def put(self, name: str, body: str | bytes = b"") -> None:
        self.asked.put_object(Bucket="datasets", Key=f"{self.key}/{name}", Body=body)

    def put_parquet(self, name: str, **columns: Any) -> None:
        file = io.BytesIO()
        pq.write_table(pa.table(columns), file, row_group_size=1000)
        self.put(name, file.getvalue())

    @property
    def names(self) -> list[str]:
        found = self.asked.list_objects_v2(Bucket="datasets", Prefix=self.key + "/")
        return [each["Key"].removeprefix(self.key + "/") for each in found.get("Contents", [])]

    @property
    def uploads(self) -> list[str]:
        """The keys of uploads that were begun and not ended."""
        found = self.asked.list_multipart_uploads(Bucket="datasets", Prefix=self.key)
        return [each["Key"] for each in found.get("Uploads", [])]


@pytest.fixture
def folder(store_url: str) -> Iterator[Folder]:
    """Return a folder that is empty."""
    client = seaweed.client(store_url)
    yield Folder(client, uuid.uuid4().hex)
    client.close()


@pytest.fixture
def environment(store_url: str, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Give this process the store's address and keys, for what needs no Spark."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store_url)
    for name, value in seaweed.KEYS.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture(scope="session")
def sources(spark: SparkSession, request: pytest.FixtureRequest, sqlite: str) -> SparkSession:
    """Return the session with the formats, whose workers know the store and the databases."""
    from detector.spark.sources import register

    variables = {"SQLITE": sqlite}
    for name, fixture in (("AWS_ENDPOINT_URL_S3", "store_url"), ("MYSQL", "mysql")):
        with contextlib.suppress(pytest.skip.Exception):
            variables[name] = request.getfixturevalue(fixture)
    # Of its own environment the session's Java gives them what was there when it started.
    spark.sparkContext.environment |= seaweed.KEYS | variables
    register(spark)
    return spark
