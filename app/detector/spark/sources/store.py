"""The S3 store: its address and keys are those of the environment of the process that asks it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

from detector.datasource import Access, s3
from detector.errors import DetectionError

__all__ = [
    "APPENDING",
    "OVERWRITING",
    "Place",
    "Stored",
    "client",
    "explained",
    "files",
    "filesystem",
    "objects",
]

# The markers: so begins the name of an object that lies in a folder while a job changes what is
# in it; the job's id follows.
APPENDING, OVERWRITING = "_appending-", "_overwriting-"

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "MLFLOW_S3_ENDPOINT_URL")
_NOT_THERE = ("404", "NoSuchKey", "NoSuchBucket")
_PREFIX = "s3://"


class Stored(NamedTuple):
    """An object of the store."""

    key: str
    size: int


class Place(NamedTuple):
    """A bucket, and the key of an object or a folder in it; none is the bucket itself."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, options: Any) -> Place:
        """Take the address in the option ``path`` apart.

        Raises
        ------
        DetectionError
            ``BadArgument``.
        """
        path = options.get("path", "")
        bucket, _, key = path[len(_PREFIX) :].partition("/")
        key = key.rstrip("/")
        wrong = key and any(part in ("", ".", "..") for part in key.split("/"))
        if not path.startswith(_PREFIX) or not bucket or wrong or not path.isprintable():
            raise DetectionError(
                "BadArgument",
                f"The path '{path}' must be s3://, a bucket, and the key of an object or a folder, "
                "without '.', '..' or nothing between two slashes.",
            )
        return cls(bucket, key)

    @classmethod
    def parse_folder(cls, options: Any) -> Place:
        """Take the address of a folder to write to apart, which is never a whole bucket.

        Raises
        ------
        DetectionError
            ``BadArgument``.
        """
        place = cls.parse(options)
        if not place.key:
            raise DetectionError(
                "BadArgument", f"The path '{place}' must name a folder of the bucket to write to."
            )
        return place

    @property
    def folder(self) -> str:
        """What the keys of the objects in the folder begin with."""
        return f"{self.key}/" if self.key else ""

    def __str__(self) -> str:
        return self.address(self.key)

    def address(self, key: str) -> str:
        return f"{_PREFIX}{self.bucket}/{key}"


def endpoint() -> str:
    """Return the store's address; without one in the environment, that of AWS."""
    for name in _ENDPOINTS:
        if os.environ.get(name):
            return os.environ[name]
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return f"https://s3.{region}.amazonaws.com"


def client() -> AbstractContextManager[Any]:
    """Return boto3's client of the store."""
    return s3.client(Access(folders=(), store_url=endpoint()))


def filesystem() -> S3FileSystem:
    """Return pyarrow's view of the store, which reads parts of objects."""
    address = urlsplit(endpoint())
    return S3FileSystem(
        scheme=address.scheme,
        endpoint_override=address.netloc,
        connect_timeout=3,
        request_timeout=30,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=2),
        tls_ca_file_path=os.environ.get("AWS_CA_BUNDLE"),
    )


@contextmanager
def explained(address: str) -> Iterator[None]:
    """Say what is wrong with a store that does not do as asked."""
    from boto3.exceptions import Boto3Error  # type: ignore[import-untyped]
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _NOT_THERE:
            what = "bucket of" if code == "NoSuchBucket" else "object"
            raise DetectionError(
                "FileNotExist", f"There is no {what} '{address}' in the store at {endpoint()}."
            ) from None
        raise _failed(address, f"it answers {code}") from None
    except (BotoCoreError, Boto3Error) as error:
        raise _failed(address, str(error)) from None
    except pa.ArrowKeyError as error:
        raise DetectionError("BadArgument", f"'{address}': {error.args[0]}.") from None
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        if "AWS Error" in reason:
            raise _failed(address, reason) from None
        raise _unreadable(address, reason) from None


def _unreadable(address: str, reason: str) -> DetectionError:
    mend = "" if address.endswith(".parquet") else " Where a type differs, give it by .schema(...)."
    return DetectionError("BadArgument", f"'{address}' cannot be read: {reason.rstrip('.')}.{mend}")


def _failed(address: str, reason: str) -> DetectionError:
    return DetectionError(
        "GetDataError",
        f"The store at {endpoint()} does not serve '{address}': {reason.rstrip('.')}. Check that "
        "it runs and its disk has room; its address is AWS_ENDPOINT_URL_S3, its keys are "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    )


def objects(asked: Any, place: Place) -> list[Stored]:
    """Return every object in a folder, sorted by its key."""
    pages = asked.get_paginator("list_objects_v2")
    return [
        Stored(entry["Key"], entry["Size"])
        for page in pages.paginate(Bucket=place.bucket, Prefix=place.folder)
        for entry in page.get("Contents", [])
    ]


def files(place: Place) -> list[Stored]:
    """Return the object of that key, or those in the folder which hold data.

    Raises
    ------
    DetectionError
        Where there is none, or a job that changes the folder has not ended.
    """
    with client() as asked, explained(str(place)):
        found = objects(asked, place)
        if not found and place.key:
            size = asked.head_object(Bucket=place.bucket, Key=place.key)["ContentLength"]
            return [Stored(place.key, size)]
    chosen = []
    for each in found:
        name = each.key.removeprefix(place.folder)
        if name.startswith((APPENDING, OVERWRITING)):
            raise _in_between(place, name)
        # Folders, and what programs keep beside the data.
        if not (name.endswith("/") or any(part[:1] in "._" for part in name.split("/"))):
            if "=" in name.rpartition("/")[0]:
                raise DetectionError(
                    "BadArgument",
                    f"'{place.address(each.key)}' has a column in the names of its folders, which "
                    "is not read: name one of the folders as the path.",
                )
            chosen.append(each)
    if not chosen:
        raise DetectionError("FileNotExist", f"There is no file of data at '{place}'.")
    return chosen


def _in_between(place: Place, marker: str) -> DetectionError:
    doing, _, job = marker.partition("-")
    mend = "overwrite the folder again"
    if marker.startswith(APPENDING):
        mend = f"delete the objects with {job} in their names and append again"
    return DetectionError(
        "GetDataError",
        f"A job is{doing.replace('_', ' ')} files in '{place}', as '{marker}' there says: wait "
        f"until it has ended, or, if it was killed, {mend}.",
    )
