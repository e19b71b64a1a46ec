"""The S3 store: its volume, its buckets, and the users that have one each."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from stack.errors import SetupError
from stack.settings import check_secrets

# How long the store and the database may take to answer.
DEADLINE_SECONDS = 120


def s3_client(name: str, secret: str, *, seconds: float = 10) -> Any:
    """Return a client of the store that tries everything once."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=os.environ["MLFLOW_S3_ENDPOINT_URL"],
        aws_access_key_id=name,
        aws_secret_access_key=secret,
        config=Config(
            s3={"addressing_style": "path"},
            connect_timeout=3,
            read_timeout=seconds,
            retries={"total_max_attempts": 1},
        ),
    )


def volume() -> None:
    """See that the store may write in its volume: it is user 1000, as this is."""
    # chown gives away a folder after what is in it, so this one is the last.
    owner = Path("/data").stat().st_uid
    if owner != os.getuid():
        raise SetupError(
            f"The volume of the store belongs to user {owner}, and the store runs as user "
            f"{os.getuid()}, no longer as root. Nothing is lost: give it its files, once, by "
            "`docker compose run --rm --no-deps --user 0 --cap-add CHOWN --cap-add DAC_READ_SEARCH "
            "--entrypoint chown volume -R 1000:1000 /data`, and start the stack again."
        )
    print("the store may write in its volume.")


def bucket() -> None:
    """Make the buckets that are not there, and for each a user that reaches nothing else."""
    secrets = ("MINIO_ROOT_PASSWORD", "MLFLOW_STORE_SECRET", "DETECTOR_STORE_SECRET")
    check_secrets({name: name for name in secrets})
    # Model files lie in one bucket, and data for training and detection in another: requests that
    # name data can then never read a model.
    destination = os.environ["MLFLOW_ARTIFACTS_DESTINATION"]
    buckets = {
        "mlflow": destination.removeprefix("s3://").split("/")[0],
        "detector": "datasets",
    }
    make_buckets(buckets.values())
    if os.environ.get("STORE_MAKES_USERS", "true") == "true":
        make_users(buckets)
    for user, name in buckets.items():
        check_user(user, name, next(each for each in buckets.values() if each != name))


def make_buckets(wanted: Collection[str]) -> None:
    """Wait until the store answers, and make the buckets that are not there."""
    from botocore.exceptions import BotoCoreError, ClientError

    store = os.environ["MLFLOW_S3_ENDPOINT_URL"]
    s3 = s3_client(os.environ["MINIO_ROOT_USER"], os.environ["MINIO_ROOT_PASSWORD"])
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            names = [entry["Name"] for entry in s3.list_buckets()["Buckets"]]
            for name in wanted:
                if name in names:
                    print(f"bucket '{name}' is there.")
                else:
                    s3.create_bucket(Bucket=name)
                    print(f"bucket '{name}' made.")
            return
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status in (401, 403):
                raise SetupError(
                    f"The store at {store} refuses the credentials ({error}). "
                    "MINIO_ROOT_USER and MINIO_ROOT_PASSWORD must be the same for the store and "
                    "for this service: `docker compose up -d --wait` gives them to both anew."
                ) from error
            reason: Exception = error
        except BotoCoreError as error:
            reason = error
        if time.monotonic() > deadline:
            raise SetupError(
                f"The store at {store} did not answer within {DEADLINE_SECONDS} s "
                f"({reason}). Look at `docker compose logs minio`."
            )
        print(f"waiting for the store at {store} ...", flush=True)
        time.sleep(1)


# What a user may do with its bucket, and with the objects in it.
ACTIONS = {
    "": ("s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"),
    "/*": (
        "s3:GetObject",
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
    ),
}


def make_users(buckets: Mapping[str, str]) -> None:
    """Make each user, or give it the secret of today, and let it use its bucket only.

    MinIO and what came of it have this API: https://docs.min.io/community/minio-object-store/
    """
    from minio import MinioAdmin
    from minio.credentials import StaticProvider
    from minio.error import MinioAdminException
    from urllib3.exceptions import HTTPError

    scheme, _, address = os.environ["MLFLOW_S3_ENDPOINT_URL"].partition("://")
    admin = MinioAdmin(
        endpoint=address,
        credentials=StaticProvider(
            os.environ["MINIO_ROOT_USER"], os.environ["MINIO_ROOT_PASSWORD"]
        ),
        secure=scheme == "https",
    )
    resource = "arn:aws:s3:::"
    for user, name in buckets.items():
        allowed = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": list(actions), "Resource": [resource + name + path]}
                for path, actions in ACTIONS.items()
            ],
        }
        try:
            # To another store, what makes a user is an object to write.
            admin.policy_list()
            admin.policy_add(f"only-{name}", policy=allowed)
            admin.user_add(user, os.environ[f"{user.upper()}_STORE_SECRET"])
            admin.policy_set(f"only-{name}", user=user)
        except (MinioAdminException, HTTPError) as error:
            raise SetupError(
                f"The store at {address} does not make the user '{user}' ({error}). If it has no "
                "API of MinIO's to do so, make the user there by hand, give it the bucket "
                f"'{name}' and the secret {user.upper()}_STORE_SECRET, and set STORE_MAKES_USERS "
                "to false for the service `bucket`, as minio/seaweedfs.yml does."
            ) from error
        print(f"user '{user}' may use the bucket '{name}'.")


def check_user(user: str, own: str, other: str) -> None:
    """See that a user reaches its own bucket, and not the other one."""
    from botocore.exceptions import BotoCoreError, ClientError

    s3 = s3_client(user, os.environ[f"{user.upper()}_STORE_SECRET"])
    try:
        s3.list_objects_v2(Bucket=own, MaxKeys=1)
    except (ClientError, BotoCoreError) as error:
        raise SetupError(
            f"The store lets the user '{user}' not use the bucket '{own}' ({error}). "
            f"{user.upper()}_STORE_SECRET must be the same for the store and for this service: "
            "`docker compose up -d --wait` gives it to both anew."
        ) from error
    try:
        s3.list_objects_v2(Bucket=other, MaxKeys=1)
    except (ClientError, BotoCoreError) as error:
        answer = getattr(error, "response", {}).get("ResponseMetadata", {})
        if answer.get("HTTPStatusCode") == 403:
            return
        raise SetupError(
            f"The store does not say whether the user '{user}' may use the bucket '{other}' "
            f"({error}). Look at `docker compose logs minio`, and start the stack again."
        ) from error
    raise SetupError(
        f"The store lets the user '{user}' use the bucket '{other}' too: give it the bucket "
        f"'{own}' only."
    )
