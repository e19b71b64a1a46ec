"""Where tests of the sources read and write: an S3 store, and a database of SQLite."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import mariadb
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


@pytest.fixture
def asked(store_url: str) -> Iterator[Any]:
    """Return boto3's client of the store."""
    client = seaweed.client(store_url)
    yield client
    client.close()


@pytest.fixture
def folder() -> str:
    """Return the address of a folder of the store that is empty."""
    return f"s3://datasets/{uuid.uuid4().hex}"


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


def put(asked: Any, address: str, body: bytes) -> None:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    asked.put_object(Bucket=bucket, Key=key, Body=body)


def names(asked: Any, address: str) -> list[str]:
    """Return the names of the objects in a folder."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    found = asked.list_objects_v2(Bucket=bucket, Prefix=key + "/").get("Contents", [])
    return [each["Key"].removeprefix(key + "/") for each in found]


def uploads(asked: Any, address: str) -> list[str]:
    """Return the keys of the uploads below a folder that were not completed."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    found = asked.list_multipart_uploads(Bucket=bucket, Prefix=key).get("Uploads", [])
    return [each["Key"] for each in found]
