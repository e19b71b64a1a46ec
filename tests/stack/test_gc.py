"""`make gc`: what was deleted in MLflow leaves database and store, and nothing else does."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import mlflow
import pytest
import requests
from compose import ROOT, Stack, wait_until
from mlflow import MlflowClient
from mlflow.entities import Run

# Lists the bucket from inside the MLflow container, which has the S3 client and the keys.
KEYS = """
import boto3
pages = boto3.client("s3", endpoint_url="http://minio:9000").get_paginator("list_objects_v2")
for page in pages.paginate(Bucket="mlflow"):
    for entry in page.get("Contents", []):
        print(entry["Key"])
"""
# Begins an upload in parts and never ends it; prints how many there are.
BROKEN_OFF = """
import boto3, sys
s3 = boto3.client("s3", endpoint_url="http://minio:9000")
if sys.argv[1] == "begin":
    s3.create_multipart_upload(Bucket="mlflow", Key="1/broken-off")
print(len(s3.list_multipart_uploads(Bucket="mlflow").get("Uploads", [])))
"""
# Names a connection's last statement, by which others find it.
WAITS = "SELECT SLEEP(60) AS gc_test"


class Code(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A model with nothing to it."""

    def predict(self, context: object, model_input: list[str]) -> list[str]:
        return model_input


@pytest.fixture
def client(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowClient]:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(stack.url)
    monkeypatch.setenv("MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK", "true")
    yield MlflowClient()
    mlflow.set_tracking_uri(before)


def gc(stack: Stack, older_than: str = "0s") -> str:
    return stack.compose("run", "--rm", "gc", env={"GC_OLDER_THAN": older_than}).stdout


def keys(stack: Stack, part: str) -> list[str]:
    """The keys of the bucket that hold `part`."""
    printed = stack.compose("exec", "-T", "mlflow", "python", "-c", KEYS).stdout
    return [line for line in printed.splitlines() if part in line]


def uploads(stack: Stack, *arguments: str) -> int:
    printed = stack.compose("exec", "-T", "mlflow", "python", "-c", BROKEN_OFF, *arguments)
    return int(printed.stdout)


def rows(stack: Stack, table: str, column: str, identity: str) -> int:
    asked = f"SELECT COUNT(*) FROM {table} WHERE {column} = '{identity}'"
    return int(stack.sql(asked)[0][0])


def logged(
    experiment: str, *, tags: dict[str, str] | None = None, **options: str
) -> tuple[Run, str]:
    """Make a run with a file and a logged model; return it and the model's id."""
    mlflow.set_experiment(experiment)
    with mlflow.start_run(tags=tags) as run:
        mlflow.log_text("kept", "kept.txt")
        info = mlflow.pyfunc.log_model(
            name="model", python_model=Code(), pip_requirements=["mlflow"], **options
        )
    return run, info.model_id


def deleted_trace(stack: Stack, client: MlflowClient, experiment: str) -> str:
    """Make a trace and delete it; return its id."""
    mlflow.set_experiment(experiment_id=experiment)
    with mlflow.start_span("traced") as span:
        span.set_outputs("kept")
    mlflow.flush_trace_async_logging()
    trace = str(span.trace_id)
    wait_until(lambda: rows(stack, "trace_info", "request_id", trace) == 1, "the trace is there")
    # A client writes this file too, unless the server has been quick to keep the spans.
    place = f"{experiment}/traces/{trace}/artifacts/traces.json"
    put = requests.put(f"{stack.url}/api/2.0/mlflow-artifacts/artifacts/{place}", b"{}", timeout=30)
    assert put.ok
    client.delete_traces(experiment, trace_ids=[trace])
    return trace


@pytest.mark.filterwarnings("ignore")
def test_what_was_deleted_leaves_and_what_lives_stays(stack: Stack, client: MlflowClient) -> None:
    # As the endpoint marks the run that is a model: the logged model is a part of it.
    gone, gone_model = logged("gc", tags={"detector.status": "READY"})
    model_gone, deleted_model = logged("gc")
    outlived, outlived_model = logged("gc")
    used, used_model = logged(
        "gc", tags={"detector.status": "READY"}, registered_model_name="gc-used"
    )
    unregistered, unregistered_model = logged("gc", registered_model_name="gc-unregistered")
    whole, whole_model = logged("gc-whole")
    client.delete_registered_model("gc-unregistered")
    # As MLflow 2 registered models: the version names files of its run.
    with mlflow.start_run() as old:
        mlflow.log_text("kept", "model/MLmodel")
    client.create_registered_model("gc-old")
    client.create_model_version("gc-old", f"{old.info.artifact_uri}/model", old.info.run_id)
    for run in (gone, outlived, used, unregistered, old):
        client.delete_run(run.info.run_id)
    for model in (deleted_model, unregistered_model, used_model):
        client.delete_logged_model(model)
    client.delete_experiment(whole.info.experiment_id)
    trace = deleted_trace(stack, client, model_gone.info.experiment_id)
    assert keys(stack, trace)
    assert uploads(stack, "begin") == 1

    assert "0 runs, 0 models, 0 experiments" in gc(stack, "1d")
    assert keys(stack, gone.info.run_id)
    assert uploads(stack, "count") == 1

    printed = gc(stack)
    for run in (gone, outlived, used, unregistered, whole):
        assert rows(stack, "runs", "run_uuid", run.info.run_id) == 0
        assert keys(stack, run.info.run_id) == []
    assert rows(stack, "runs", "run_uuid", old.info.run_id) == 0
    for model in (gone_model, deleted_model, unregistered_model, whole_model):
        assert rows(stack, "logged_models", "model_id", model) == 0
        assert keys(stack, model) == []
    assert rows(stack, "experiments", "experiment_id", whole.info.experiment_id) == 0
    assert keys(stack, trace) == []
    assert uploads(stack, "count") == 0

    assert client.get_run(model_gone.info.run_id).info.lifecycle_stage == "active"
    assert keys(stack, f"{model_gone.info.run_id}/artifacts/kept.txt")
    assert mlflow.pyfunc.load_model(f"models:/{outlived_model}").predict(["a"]) == ["a"]
    assert rows(stack, "logged_models", "model_id", used_model) == 1
    assert keys(stack, used_model)
    assert keys(stack, f"{old.info.run_id}/artifacts/model/MLmodel")
    assert re.search(r"as MLflow deletes none with its run: [1-9]", printed)
    assert re.search(r"as registered versions name them: [1-9]", printed)
    freed = re.search(r"Left the bucket: (\d+) objects of", printed)
    assert freed
    # Four models of 5 files, the files of five runs, and the trace's.
    assert int(freed[1]) >= 26
    assert "Left the bucket: 0 objects of 0 bytes, 0 uploads" in gc(stack)


def processes(stack: Stack, condition: str) -> list[str]:
    """The ids of MySQL's connections for which a condition holds."""
    asked = "SELECT id FROM information_schema.processlist WHERE id != CONNECTION_ID() AND "
    return [row[0] for row in stack.sql(asked + condition)]


@contextmanager
def holding(stack: Stack, statement: str) -> Iterator[None]:
    """Keep a connection to MySQL that has run a statement."""
    password = f"MYSQL_PWD={stack.secrets['MYSQL_PASSWORD']}"
    holder = subprocess.Popen(
        ["docker", "compose", "-p", stack.project, "exec", "-T", "-e", password, "db",
         "mysql", "-umlflow", "-e", f"{statement}; {WAITS}", "mlflow"],
        cwd=ROOT, env=stack.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    mine = f"info = '{WAITS}'"
    try:
        wait_until(lambda: processes(stack, mine) != [], f"{statement} has run")
        yield
    finally:
        for connection in processes(stack, mine):
            stack.sql(f"KILL {connection}")
        holder.wait(20)


def test_what_is_written_meanwhile_loses_nothing(stack: Stack, client: MlflowClient) -> None:
    experiment = client.create_experiment("gc-written")
    with ThreadPoolExecutor(1) as thread:
        # It waits when it has seen a part of what there is, and then goes on.
        with holding(stack, "LOCK TABLES model_versions WRITE"):
            collection = thread.submit(gc, stack)
            waiting = "state = 'Waiting for table metadata lock'"
            wait_until(lambda: processes(stack, waiting) != [], "gc is half-way")
            run = client.create_run(experiment).info.run_id
            client.log_text(run, "written meanwhile", "kept.txt")
        collection.result()

    assert [file.path for file in client.list_artifacts(run)] == ["kept.txt"]


def test_it_does_nothing_while_a_backup_is_at_work(stack: Stack) -> None:
    with holding(stack, "SELECT GET_LOCK('anomaly-detector-maintenance', 0)"):
        done = stack.compose("run", "--rm", "gc", check=False)
    assert done.returncode == 1
    assert done.stderr.count("A backup, a restore or another gc is at work") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"GC_OLDER_THAN": "soon"}, "GC_OLDER_THAN is 'soon'"),
        ({"MYSQL_PASSWORD": "wrong"}, "MySQL refuses the user"),
        ({"MLFLOW_STORE_SECRET": "wrong-for-sure"}, "The store at http://minio:9000"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    stack: Stack, given: dict[str, str], told: str
) -> None:
    done = stack.compose("run", "--rm", "--no-deps", "gc", check=False, env=given)
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_it_has_no_privilege_and_two_secrets(stack: Stack) -> None:
    config = stack.compose("--profile", "gc", "config", "--format", "json").stdout
    service = json.loads(config)["services"]["gc"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["mem_limit"]) <= 512 * 1024**2
    assert set(service["networks"]) == {"database", "store"}
    given = set(service["environment"].values())
    held = {name for name, secret in stack.secrets.items() if secret in given}
    assert held == {"MYSQL_PASSWORD", "MLFLOW_STORE_SECRET"}
