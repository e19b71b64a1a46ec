"""S3: the stack's own store, and the one elsewhere that backups may go to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import boto3  # type: ignore[import-untyped]
from boto3.exceptions import Boto3Error  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from .errors import BackupError
from .settings import needed, text

# Each bucket of the stack, with the user that it belongs to and the setting that has its secret.
BUCKETS = {
    "mlflow": ("mlflow", "MLFLOW_STORE_SECRET"),
    "datasets": ("detector", "DETECTOR_STORE_SECRET"),
}
AT_ONCE = 8
# In bytes: what is larger is uploaded in parts.
SMALL = 8 << 20


def client(endpoint: str, key: str, secret: str, region: str) -> Any:
    """Return boto3's client, which threads may share."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint or None,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name=region,
        config=Config(
            s3={"addressing_style": "path"},
            connect_timeout=5,
            read_timeout=60,
            retries={"total_max_attempts": 4, "mode": "standard"},
            max_pool_connections=2 * AT_ONCE,
        ),
    )


def put(client: Any, bucket: str, key: str, content: IO[bytes], size: int, kind: str = "") -> None:
    """Put an object; a large one in parts, each of which starts threads and may be tried again."""
    options = {"ContentType": kind} if kind else {}
    if size <= SMALL:
        client.put_object(Bucket=bucket, Key=key, Body=content.read(), **options)
    else:
        client.upload_fileobj(content, bucket, key, ExtraArgs=options)


def missing(error: ClientError) -> bool:
    return error.response.get("Error", {}).get("Code") in ("404", "NoSuchKey")


@contextmanager
def explained(store: str, advice: str) -> Iterator[None]:
    """Turn an error of a store into one that says what to do."""
    try:
        yield
    except (ClientError, Boto3Error) as error:
        raise BackupError(f"{store} refuses: {error}. {advice}") from error
    except BotoCoreError as error:
        raise BackupError(f"{store} does not answer ({error}). {advice}") from error


@dataclass(frozen=True)
class Listed:
    """An object as the store lists it."""

    key: str
    size: int
    etag: str
    modified: str


class Store:
    """The stack's store: each bucket is used by the key of its own user."""

    def __init__(self) -> None:
        self.endpoint = text("MLFLOW_S3_ENDPOINT_URL", "http://minio:9000")
        self.clients = {
            bucket: client(self.endpoint, user, needed(secret), "us-east-1")
            for bucket, (user, secret) in BUCKETS.items()
        }

    def explained(self) -> Any:
        return explained(
            f"The S3 store at {self.endpoint}",
            "Look at `docker compose logs minio`, start it with `docker compose up -d --wait`, and "
            "try again.",
        )

    def pages(self, bucket: str) -> Iterator[list[Listed]]:
        """List a bucket, up to a thousand objects at a time."""
        pages = self.clients[bucket].get_paginator("list_objects_v2").paginate(Bucket=bucket)
        for page in pages:
            yield [
                Listed(each["Key"], each["Size"], each["ETag"], each["LastModified"].isoformat())
                for each in page.get("Contents", ())
            ]

    def count(self, bucket: str) -> tuple[int, int]:
        """Return how many objects a bucket has, and how many bytes."""
        sizes = [each.size for page in self.pages(bucket) for each in page]
        return len(sizes), sum(sizes)
