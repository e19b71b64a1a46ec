"""A stack comes back from its backup on empty volumes, and a fault leaves the last backup whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trainings
from compose import ROOT, Stack, wait_until
from services import latest, table, training
from trainings import MODELS

LONGEST_RESTORE_SECONDS = 180
# Prints the SHA-256 of every object of the bucket whose keys the container has.
HASHES = """
import boto3, hashlib, json, sys
s3 = boto3.client("s3", endpoint_url="http://minio:9000")
pages = s3.get_paginator("list_objects_v2").paginate(Bucket=sys.argv[1])
keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
read = lambda key: s3.get_object(Bucket=sys.argv[1], Key=key)["Body"].read()
print(json.dumps({key: hashlib.sha256(read(key)).hexdigest() for key in keys}))
"""


@dataclass
class Backups:
    """The backups of a stack, in a folder."""

    stack: Stack
    folder: Path

    def environment(self, stack: Stack) -> dict[str, str]:
        given = {"COMPOSE_PROJECT_NAME": stack.project, "BACKUP_FOLDER": str(self.folder)}
        return stack.environment | given

    def make(
        self, command: str, *arguments: str, stack: Stack | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run what ``make backup`` and ``make restore`` run."""
        return subprocess.run(
            [ROOT / "scripts" / "backup", command, *arguments],
            env=self.environment(stack or self.stack),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Start what a cron job runs."""
        return subprocess.Popen(
            ["docker", "compose", "run", "--rm", "-T", *options, "backup"],
            cwd=ROOT,
            env=self.environment(self.stack),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.name[0] in "2.")

    def content(self) -> dict[Path, str]:
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        return {
            path: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in paths
            if path.name != "backup.prom"
        }


def call(stack: Stack, path: str, body: Any = None, method: str | None = None) -> Any:
    """Return the answer of the endpoint, None where nobody answers."""
    status, answer = trainings.call(stack, path, body, method)
    assert status < 400, f"{path}: {status} {answer}"
    return answer


def found(stack: Stack, model: str, result: str) -> dict[str, Any]:
    """Return what the stack holds and answers."""
    tables = [name for [name] in stack.sql("SHOW TABLES")]
    hashes = {
        bucket: json.loads(
            stack.compose("exec", "-T", service, "python", "-c", HASHES, bucket).stdout
        )
        for bucket, service in {"mlflow": "mlflow", "datasets": "detector"}.items()
    }
    return {
        "rows": {name: sorted(stack.sql(f"SELECT * FROM `{name}`")) for name in tables},
        "objects": hashes,
        "detect": stack.detect(),
        "model": call(stack, f"{MODELS}/{model}"),
        "last": call(stack, f"{MODELS}/{model}:detect-last", latest()),
        "result": call(stack, f"/anomalydetector/v1.1/multivariate/detect-batch/{result}"),
    }


@pytest.fixture(scope="module")
def backups(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backups]:
    folder = tmp_path_factory.mktemp("backups") / "made"
    yield Backups(stack, folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def filled(stack: Stack) -> tuple[str, str]:
    """Train a model of many variables and detect with it; return its id and that of the result."""
    source = call(stack, "/datasets/backup", table().encode(), "PUT")["dataSource"]
    asked = training(dataSource=source)
    model = call(stack, MODELS, asked)["modelId"]

    def ready() -> bool:
        return bool(call(stack, f"{MODELS}/{model}")["modelInfo"]["status"] == "READY")

    wait_until(ready, "the model is READY", seconds=400)
    times = {name: asked[name] for name in ("dataSource", "startTime", "endTime")}
    begun = call(stack, f"{MODELS}/{model}:detect-batch", times | {"topContributorCount": 2})
    result = begun["resultId"]
    path = f"/anomalydetector/v1.1/multivariate/detect-batch/{result}"
    wait_until(lambda: call(stack, path)["summary"]["status"] == "READY", "the result is READY")
    return model, result


def test_it_comes_back_on_empty_volumes(
    stack: Stack, backups: Backups, filled: tuple[str, str]
) -> None:
    made = backups.make("create")
    assert made.returncode == 0, made.stdout + made.stderr
    [name] = backups.names()
    assert made.stdout.splitlines()[-1].startswith(f"{backups.folder}/{name}: ")
    before = found(stack, *filled)
    assert len(before["rows"]["model_versions"]) > 1
    assert before["objects"]["datasets"]
    assert any(key.endswith("result.png") for key in before["objects"]["mlflow"])

    other = Stack("anomaly-detector-restored", port=5071, detector_port=5072)
    other.compose("down", "--volumes")
    try:
        begun = time.monotonic()
        done = backups.make("restore", f"{backups.folder}/{name}", stack=other)
        seconds = time.monotonic() - begun
        assert done.returncode == 0, done.stdout + done.stderr
        print(f"restored in {seconds:.0f} s")
        assert seconds < LONGEST_RESTORE_SECONDS
        after = found(other, *filled)
        # The services have started, and write when they do.
        assert after.pop("rows").keys() == before["rows"].keys()
        assert after == {name: value for name, value in before.items() if name != "rows"}
        for table_name in ("runs", "params", "tags", "model_versions", "registered_model_aliases"):
            rows = sorted(other.sql(f"SELECT * FROM {table_name}"))
            assert rows == before["rows"][table_name], table_name
        refused = backups.make("restore", f"{backups.folder}/{name}", stack=other)
        assert refused.returncode == 1
        assert "This stack has data" in refused.stderr
        assert other.detect() == before["detect"]
    finally:
        other.compose("down", "--volumes", check=False)


@pytest.mark.parametrize("service", ["db", "minio", "mlflow", "detector", "worker"])
def test_a_service_that_is_killed_leaves_the_last_backup_as_it_was(
    stack: Stack, backups: Backups, service: str
) -> None:
    if not backups.folder.exists():
        assert backups.make("create").returncode == 0
    before, names = backups.content(), backups.names()
    name = f"{stack.project}-{service}-1"
    with backups.start() as program:
        assert program.stdout is not None
        for line in program.stdout:
            if line.startswith(("queue:", "database:")[service != "db"]):
                stack.docker("kill", name)
                break
        printed, error = program.communicate()
    stack.compose("up", "-d", "--wait", service)
    health = ("exec", "-T", "mlflow", "stack", "health")
    wait_until(lambda: stack.compose(*health, check=False).returncode == 0, "the store answers")
    if service in ("db", "minio"):
        assert program.returncode == 1, printed
        [said] = [line for line in error.splitlines() if line.startswith("backup: ")]
        assert f"docker compose logs {service}" in said
        assert backups.content() == before
        assert backups.names() == names
    else:
        assert program.returncode == 0, error
        last = str(backups.folder / backups.names()[-1])
        assert "would restore" in backups.make("verify", last).stdout
    assert before.items() <= backups.content().items()


def test_a_full_disk_is_named_and_left_as_it_was(stack: Stack, backups: Backups) -> None:
    small = f"{stack.project}-small"
    owner = f"uid={os.environ.get('WORKSPACE_UID', 1000)}"
    backups.folder.mkdir(exist_ok=True)
    options = ("type=tmpfs", "device=tmpfs", f"o=size=512k,{owner}")
    stack.docker("volume", "create", *(f"--opt={each}" for each in options), small)
    try:
        with backups.start("-v", f"{small}:/backups") as program:
            error = program.communicate()[1]
        assert program.returncode == 1
        assert "is full: free some space or lower BACKUP_KEEP" in error
    finally:
        stack.docker("volume", "rm", small)


def test_its_container_has_no_privilege(stack: Stack, backups: Backups) -> None:
    given = {"BACKUP_FOLDER": str(backups.folder)}
    stack.compose("--profile", "backup", "create", "backup", env=given)
    try:
        container = stack.container("backup")
        host = container["HostConfig"]
        assert host["CapDrop"] == ["ALL"]
        assert host["ReadonlyRootfs"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert container["Config"]["User"].split(":")[0] not in ("", "0", "root")
        environment = container["Config"]["Env"]
        for name in ("MYSQL_ROOT_PASSWORD", "MINIO_ROOT_PASSWORD"):
            assert not [each for each in environment if stack.secrets[name] in each]
    finally:
        stack.compose("--profile", "backup", "rm", "-f", "-s", "backup")


def test_mlflow_does_not_start_on_what_a_killed_restore_left(stack: Stack) -> None:
    run = ("run", "--rm", "--no-deps", "-T", "migrate")
    stack.sql("CREATE TABLE restore_unfinished (since TEXT)")
    try:
        done = stack.compose(*run, check=False)
    finally:
        stack.sql("DROP TABLE restore_unfinished")
    assert done.returncode == 1
    assert "cut off half-way" in done.stderr
    assert "OVERWRITE=yes" in done.stderr


def test_mlflow_knows_the_schema_that_it_made(stack: Stack) -> None:
    known = stack.compose("run", "--rm", "--no-deps", "-T", "migrate", "schemas").stdout.split()
    [[schema]] = stack.sql("SELECT version_num FROM alembic_version")
    assert schema in known
    assert len(known) > 30
