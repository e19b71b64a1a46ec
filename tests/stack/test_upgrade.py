"""An older MLflow's stack is upgraded to this one, and brought back: nothing is lost on the way."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose import ROOT, Stack, compose_files, wait_until
from trainings import MODELS, call, detect, state, train, upload

OLDER = "3.16.1"
# Every object of MLflow, by what it holds.
OBJECTS = """
import boto3, json
client = boto3.client("s3", endpoint_url="http://minio:9000")
pages = client.get_paginator("list_objects_v2").paginate(Bucket="mlflow")
print(json.dumps({each["Key"]: each["ETag"] for page in pages for each in page["Contents"]}))
"""
# The walk-throughs.
RUN = ("exec", "-T", "workspace", "python")
PROGRAMS = (("app/test.py",), ("app/multivariate.py", "--epochs", "40"))
TABLES = (
    "experiments", "runs", "params", "metrics", "tags", "logged_models", "registered_models",
    "model_versions", "registered_model_aliases", "inputs", "datasets",
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A stack as it is with the older MLflow, and as it is with this one."""

    older: Stack
    newer: Stack
    model: str
    broken: str

    def told(self, stack: Stack) -> dict[str, Any]:
        """What a stack has and answers."""
        objects = stack.compose("exec", "-T", "mlflow", "python", "-c", OBJECTS).stdout
        return {
            "detection": stack.detect(),
            "multivariate": detect(stack, self.model),
            "model": call(stack, f"{MODELS}/{self.model}"),
            "datasets": call(stack, "/datasets"),
            "objects": json.loads(objects),
            "rows": stack.sql(
                " UNION ALL ".join(f"SELECT '{each}', COUNT(*) FROM {each}" for each in TABLES)
            ),
        }


def overlay(folder: Path, image: str) -> str:
    """Write the Compose file that puts the older MLflow's image in; return the files to use."""
    file = folder / "older.yml"
    services = "\n".join(
        f"  {each}: {{image: {image}, build: !reset null}}"
        for each in ("mlflow", "bucket", "migrate")
    )
    file.write_text(f"services:\n{services}\n")
    return f"{compose_files()}:{file}"


def with_broken_migration(folder: Path) -> str:
    """Write the Compose file of a migration that fails; return the files to use."""
    file = folder / "broken.yml"
    file.write_text('services: {migrate: {entrypoint: ["false"]}}\n')
    return f"{compose_files()}:{file}"


def make(
    stack: Stack, *arguments: str, check: bool = True, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run ``make`` on a stack."""
    done = subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env=stack.environment | {"COMPOSE_PROJECT_NAME": stack.project} | settings,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert not (check and done.returncode), done.stdout + done.stderr
    return done


def version(stack: Stack) -> str:
    with urllib.request.urlopen(f"{stack.url}/version", timeout=10) as answer:
        return str(answer.read().decode())


@pytest.fixture(scope="module")
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    """The stack with an older MLflow, filled by the walk-throughs and through the endpoint."""
    folder = tmp_path_factory.mktemp("upgrade")
    settings = {
        "DETECTOR_TRAINING_EPOCHS": "5",
        "BACKUP_FOLDER": str(folder / "backups"),
        "COMPOSE_FILE": compose_files(),
    }
    newer = Stack("anomaly-detector-upgrade", 5076, 5077, **settings)
    config = yaml.safe_load(newer.compose("config").stdout)
    image = config["services"]["mlflow"]["image"]
    newer.compose("build", "mlflow")
    newer.docker(
        "build", "--quiet", "--tag", f"{image}-older", "--file", "tests/stack/older.Dockerfile",
        "--build-arg", f"IMAGE={image}", "--build-arg", f"MLFLOW={OLDER}", "tests/stack",
    )  # fmt: skip
    older = Stack(newer.project, 5076, 5077, **settings)
    older.secrets.update(newer.secrets)
    older.environment.update(newer.environment)
    older.environment["COMPOSE_FILE"] = overlay(folder, f"{image}-older")
    older.compose("down", "--volumes")
    try:
        older.up()
        assert version(older) == OLDER
        with ThreadPoolExecutor(2) as threads:
            programs = [threads.submit(older.compose, *RUN, *program) for program in PROGRAMS]
            model = train(older, upload(older, "upgraded", 300, 3), 300, 28)
            for program in programs:
                program.result()
        wait_until(lambda: state(older, model) == "READY", "the model is READY", seconds=400)
        yield Pair(older, newer, model, with_broken_migration(folder))
    finally:
        if request.session.testsfailed:
            print(older.compose("logs", "--no-color", "--tail", "100", check=False).stdout)
        older.compose("down", "--volumes", check=False)


def test_nothing_is_lost_on_the_way_to_this_version_and_back(pair: Pair) -> None:
    before = pair.told(pair.older)
    assert before["multivariate"][0] == before["model"][0] == 200

    # MLflow alone would bring the database to its schema, and nobody would have a backup.
    for service in ("mlflow", "gc"):
        refused = pair.newer.compose("run", "--rm", "--no-deps", service, check=False)
        assert refused.returncode == 1
        assert "`make upgrade` backs up and brings it to this one's" in refused.stderr
        assert "Traceback" not in refused.stderr

    # A migration that fails: the message says how to go back.
    failed = make(pair.newer, "upgrade", check=False, COMPOSE_FILE=pair.broken)
    assert failed.returncode != 0
    assert (
        "The upgrade failed at: bring the database to the schema of this version." in failed.stderr
    )
    assert "  git checkout " in failed.stderr
    [backup] = re.findall(r"^  make restore FROM=(\S+) OVERWRITE=yes$", failed.stderr, re.MULTILINE)

    upgraded = make(pair.newer, "upgrade").stdout
    assert "models:/tracking-quickstart@champion loads." in upgraded
    assert "models:/multivariate-quickstart@champion loads." in upgraded
    assert "does not load" not in upgraded
    # The way back is still the backup from before the first attempt, which may have migrated.
    assert f"The stack is upgraded. The version before is in the backup {backup}\n" in upgraded
    assert not (ROOT / ".upgrade-backup").exists()
    assert version(pair.newer) != OLDER
    assert pair.told(pair.newer) == before

    refused = pair.older.compose("run", "--rm", "--no-deps", "migrate", check=False)
    assert refused.returncode == 1
    assert "The database has the schema of a newer MLflow" in refused.stderr
    make(pair.older, "restore", f"FROM={backup}", "OVERWRITE=yes")
    assert version(pair.older) == OLDER
    assert pair.told(pair.older) == before

    # `make up` alone brings the schema to this version too.
    make(pair.newer, "up")
    assert version(pair.newer) != OLDER
    migrated = pair.newer.compose("logs", "--no-log-prefix", "migrate").stdout
    assert "the database has the schema of this MLflow" in migrated
    assert pair.told(pair.newer) == before
