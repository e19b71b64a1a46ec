"""Data sets in the stack: uploaded to the endpoint, kept in the store, read by every service."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
from compose import Stack, wait_until
from trainings import call

TABLE = b"timestamp,load,speed\n2021-01-01T00:00:00Z,1,10\n2021-01-01T00:01:00Z,2,20\n"
SERIES = b"timestamp,value\n2021-01-01T00:00:00Z,1\n"
# Reads a data source where a service would, with the settings of its container.
READ = """
import json, sys
import pandas as pd
from detector.datasource import Access, read
from detector.errors import DetectionError
from detector.settings import DataSettings
moment = pd.Timestamp
try:
    found = read(sys.argv[1], Access.from_settings(DataSettings()),
                 start=moment("2000-01-01"), end=moment("2100-01-01"), look_back=0)
    print(json.dumps([list(found.columns), list(found.shape)]))
except DetectionError as error:
    print(json.dumps([error.code, error.message]))
"""
LIST_OBJECTS = """
import boto3
s3 = boto3.client("s3", endpoint_url="http://minio:9000")
# What others keep there lies in folders.
for entry in s3.list_objects_v2(Bucket="datasets", Delimiter="/").get("Contents", []):
    print(entry["Key"], entry["Size"])
"""


def read_in(stack: Stack, service: str, source: str) -> Any:
    done = stack.compose("exec", "-T", service, "python", "-W", "ignore", "-c", READ, source)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def empty(stack: Stack) -> Iterator[Stack]:
    """Return the stack, ready; what the test kept is gone after it."""
    wait_until(lambda: call(stack, "/datasets")[0] == 200, "the endpoint lists data sets")
    yield stack
    for dataset in call(stack, "/datasets")[1]["datasets"]:
        assert call(stack, f"/datasets/{dataset['name']}", method="DELETE")[0] == 204


@pytest.mark.parametrize("service", ["detector", "worker"])
def test_what_is_uploaded_can_be_read_in_every_service(empty: Stack, service: str) -> None:
    assert call(empty, "/datasets/machine", TABLE, "PUT") == (
        201,
        {"dataSource": "s3://datasets/machine.csv"},
    )
    assert read_in(empty, service, "s3://datasets/machine.csv") == [["load", "speed"], [2, 2]]


def test_an_upload_is_one_object_and_takes_the_place_of_the_one_before(empty: Stack) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in ("load", "speed"):
            archive.writestr(f"{name}.csv", SERIES)
    call(empty, "/datasets/machine", TABLE, "PUT")
    status, answer = call(empty, "/datasets/machine", content.getvalue(), "PUT")
    assert (status, answer) == (201, {"dataSource": "s3://datasets/machine.zip"})
    objects = empty.compose("exec", "-T", "detector", "python", "-c", LIST_OBJECTS).stdout
    assert objects.splitlines() == [f"machine.zip {len(content.getvalue())}"]
    assert read_in(empty, "detector", "s3://datasets/machine.zip")[0] == ["load", "speed"]


def test_a_large_upload_arrives_whole(empty: Stack) -> None:
    # Above what boto3 sends in one piece.
    large = TABLE + b"2021-01-02T00:00:00Z,1,10\n" * 800_000
    assert call(empty, "/datasets/large", large, "PUT")[0] == 201
    [listed] = call(empty, "/datasets")[1]["datasets"]
    assert (listed["name"], listed["bytes"]) == ("large", len(large))


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("s3://mlflow/1/model.csv", "InvalidBlobURL"),
        ("s3://datasets/../mlflow/model.csv", "InvalidBlobURL"),
        ("s3://datasets/none.csv", "FileNotExist"),
        ("http://mlflow/health", "InvalidBlobURL"),
        ("http://minio:9000/datasets/machine.csv", "InvalidBlobURL"),
        ("/etc/passwd", "InvalidBlobURL"),
    ],
)
def test_nothing_else_in_the_stack_can_be_read(empty: Stack, source: str, code: str) -> None:
    assert read_in(empty, "detector", source)[0] == code


def test_a_store_that_is_away_is_said_and_comes_back(empty: Stack) -> None:
    empty.compose("stop", "minio")
    try:
        status, answer = call(empty, "/datasets/machine", TABLE, "PUT")
    finally:
        empty.compose("start", "minio")
    assert (status, answer["code"]) == (503, "StorageWriteError")
    wait_until(
        lambda: call(empty, "/datasets/machine", TABLE, "PUT")[0] == 201, "the store is back"
    )
