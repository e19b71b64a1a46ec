"""Files in the stack's own S3 store, in buckets that may be read."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, BinaryIO, cast

from detector.datasource import folder
from detector.datasource.access import Access
from detector.datasource.stream import File, shorten
from detector.errors import DetectionError

__all__ = ["client", "explained", "find", "parse"]

_PREFIX = "s3://"
_BLOCK = 1024 * 1024
_NOT_THERE = ("404", "NoSuchKey", "NoSuchBucket")


def parse(source: str, access: Access) -> tuple[str, str]:
    """Take an address apart into bucket and key; refuse it where it may not be read."""
    shown = shorten(source)
    if access.store_url is None:
        raise DetectionError(
            "InvalidBlobURL",
            f"The 'dataSource' '{shown}' lies in an S3 store, and this service knows none "
            "(MLFLOW_S3_ENDPOINT_URL).",
        )
    bucket, _, key = source[len(_PREFIX) :].partition("/")
    # A client library may take "a/../b" for "b", and "../b" for another bucket.
    parts = key.removesuffix("/").split("/")
    if any(part in ("", ".", "..") for part in parts) or not source.isprintable():
        raise DetectionError(
            "InvalidBlobURL",
            f"The 'dataSource' '{shown}' must be s3://, a bucket, and the key of a file or a "
            "folder, without '.', '..' or nothing between two slashes.",
        )
    if not source[:5].lower() == _PREFIX or bucket not in access.buckets:
        raise DetectionError(
            "InvalidBlobURL",
            f"The 'dataSource' '{shown}' does not lie in a bucket that may be read: "
            f"{', '.join(access.buckets)} (DETECTOR_DATA_BUCKETS).",
        )
    return bucket, key


def find(source: str, access: Access) -> File | list[File]:
    """Return the file at a key, or the CSV files below it."""
    bucket, key = parse(source, access)
    with client(access) as s3, explained(source, access):
        if not key.endswith("/") and _is_there(s3, bucket, key):
            return _file(bucket, key, access)
        prefix = key.removesuffix("/") + "/"
        names = folder.chosen(_names(s3, bucket, prefix, source), source)
    return [_file(bucket, prefix + name, access) for name in names]


def _names(s3: Any, bucket: str, prefix: str, source: str) -> Iterator[str]:
    is_there = False
    pages = s3.get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
        found = page.get("Contents", [])
        is_there = is_there or bool(found or page.get("CommonPrefixes"))
        yield from (entry["Key"][len(prefix) :] for entry in found)
    if not is_there:
        raise DetectionError("FileNotExist", f"File '{shorten(source)}' does not exist.")


@contextmanager
def client(access: Access) -> Iterator[Any]:
    """Return boto3's client of the store; its keys come from the environment."""
    import boto3  # type: ignore[import-untyped]
    from botocore.config import Config  # type: ignore[import-untyped]

    config = Config(
        # The store has no DNS name per bucket.
        s3={"addressing_style": "path"},
        connect_timeout=3,
        read_timeout=30,
        retries={"total_max_attempts": 2},
    )
    session = boto3.session.Session()
    with closing(session.client("s3", endpoint_url=access.store_url, config=config)) as s3:
        yield s3


@contextmanager
def explained(source: str, access: Access, *, code: str = "GetDataError") -> Iterator[None]:
    """Say what is wrong with a store that does not do as asked."""
    from boto3.exceptions import Boto3Error  # type: ignore[import-untyped]
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    try:
        yield
    except ClientError as error:
        answered = error.response.get("Error", {}).get("Code", "")
        if answered in _NOT_THERE:
            raise DetectionError(
                "FileNotExist", f"File '{shorten(source)}' does not exist."
            ) from error
        raise _failed(source, access, code, f"it answers {shorten(answered)}") from error
    except (BotoCoreError, Boto3Error) as error:
        raise _failed(source, access, code, str(error)) from error


def _failed(source: str, access: Access, code: str, reason: str) -> DetectionError:
    return DetectionError(
        code,
        f"The store at {access.store_url} does not serve '{shorten(source)}': {reason.rstrip('.')}."
        " Check that it runs and its disk has room; its keys are AWS_ACCESS_KEY_ID and"
        " AWS_SECRET_ACCESS_KEY.",
    )


def _is_there(s3: Any, bucket: str, key: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in _NOT_THERE:
            return False
        raise
    return True


def _file(bucket: str, key: str, access: Access) -> File:
    source = f"{_PREFIX}{bucket}/{key}"

    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        with tempfile.TemporaryFile() as file:
            with client(access) as s3, explained(source, access):
                _copy(s3.get_object(Bucket=bucket, Key=key), source, access, cast(BinaryIO, file))
            file.seek(0)
            yield cast(BinaryIO, file)

    return File(key.rsplit("/", 1)[-1], opened)


def _copy(answer: dict[str, Any], source: str, access: Access, file: BinaryIO) -> None:
    deadline = time.monotonic() + access.seconds
    with closing(answer["Body"]) as body:
        if answer["ContentLength"] > access.max_bytes:
            raise DetectionError(
                "FileSizeTooLarge",
                f"The file '{shorten(source)}' exceeds the limit of {access.max_bytes} bytes "
                "(DETECTOR_MAX_DATA_BYTES).",
            )
        for block in body.iter_chunks(_BLOCK):
            file.write(block)
            if time.monotonic() > deadline:
                raise _failed(
                    source,
                    access,
                    "GetDataError",
                    f"it takes more than {access.seconds:g} seconds (DETECTOR_DATA_SECONDS)",
                )
