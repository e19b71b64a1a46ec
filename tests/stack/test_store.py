"""The store's volume: whose it is, how one of root changes hands, and a disk that is small."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from compose import ROOT, Stack, compose_files

# Runs in a container with the keys of root: an object for each bucket, and for the store's own log.
FILL = """
import os, boto3
from botocore.config import Config
s3 = boto3.client(
    "s3",
    endpoint_url="http://minio:9000",
    region_name="us-east-1",
    aws_access_key_id=os.environ["MINIO_ROOT_USER"],
    aws_secret_access_key=os.environ["MINIO_ROOT_PASSWORD"],
    config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
)
for bucket in ("mlflow", "datasets"):
    s3.put_object(Bucket=bucket, Key="large", Body=bytes(100_000_000))
    print(bucket, s3.head_object(Bucket=bucket, Key="large")["ContentLength"])
"""


@pytest.fixture
def store() -> Iterator[Stack]:
    """A stack of which only the store runs; removed with its data afterwards."""
    stack = Stack("anomaly-detector-store", port=5091, detector_port=5092)
    stack.compose("down", "--volumes")
    try:
        yield stack
    finally:
        stack.compose("down", "--volumes", check=False)


def test_a_volume_of_root_is_named_and_changes_hands_with_what_is_in_it(store: Stack) -> None:
    store.compose("up", "-d", "--wait", "minio")
    bucket = ["run", "--rm", "--no-deps", "bucket"]
    assert "bucket 'mlflow' made" in store.compose(*bucket).stdout
    store.compose("down")
    chown = ["--user", "0", "--cap-add", "CHOWN", "--entrypoint", "chown"]
    store.compose("run", "--rm", "--no-deps", *chown, "volume", "-R", "0:0", "/data")

    assert store.compose("up", "-d", "--wait", "minio", check=False).returncode
    told = subprocess.run(
        ["scripts/why-not-up"],
        cwd=ROOT,
        env=store.environment | {"COMPOSE_PROJECT_NAME": store.project},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "belongs to user 0" in told.stdout
    assert "Nothing is lost" in told.stdout
    [state] = told.stderr.splitlines()
    assert "volume is in the state 'Exited (1)" in state
    found = re.search(r"`docker compose (run .*?)`", told.stdout)
    assert found
    assert found[1] in (ROOT / "docs" / "images.md").read_text()

    store.compose(*shlex.split(found[1]))
    store.compose("up", "-d", "--wait", "minio")
    assert "bucket 'mlflow' is there" in store.compose(*bucket).stdout
    assert store.compose("exec", "-T", "minio", "id", "-u").stdout.strip() == "1000"


def test_the_health_check_names_the_part_that_does_not_answer(store: Stack) -> None:
    check = json.loads(store.compose("config", "--format", "json").stdout)["services"]["minio"][
        "healthcheck"
    ]["test"]
    if "seaweedfs" not in " ".join(check):
        pytest.skip("This store brings its own check")
    # In a container in which nothing runs but the check.
    done = store.compose("run", "--rm", "--no-deps", "minio", *check[1:], check=False)
    assert done.returncode == 1
    assert "127.0.0.1:9333" in done.stderr
    assert "Traceback" not in done.stderr


def test_each_bucket_has_room_on_a_small_disk(store: Stack, tmp_path: Path) -> None:
    small = tmp_path / "small.yml"
    small.write_text(
        "services: {minio: {volumes: !override [], tmpfs: ['/data:size=2g,uid=1000,gid=1000']}}\n"
    )
    store.environment["COMPOSE_FILE"] = f"{compose_files()}:{small}"
    store.compose("up", "-d", "--wait", "minio")
    once = ("run", "--rm", "--no-deps")
    store.compose(*once, "bucket")
    printed = store.compose(*once, "--entrypoint", "python", "bucket", "-c", FILL).stdout
    assert printed.split() == ["mlflow", "100000000", "datasets", "100000000"]
