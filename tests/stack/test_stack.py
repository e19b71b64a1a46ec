"""The stack on its real services: what it keeps, what it survives, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import pytest
from compose import LASTING, Stack, wait_until

SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"
# Lists the bucket from inside the MLflow container, which has the S3 client and the keys.
LIST_OBJECTS = """
import boto3
pages = boto3.client("s3", endpoint_url="http://minio:9000").get_paginator("list_objects_v2")
for page in pages.paginate(Bucket="mlflow"):
    for entry in page.get("Contents", []):
        print(entry["Key"], entry["Size"])
"""


# Logs a file larger than the memory that server or store may use, and reads it back.
ROUND_TRIP = """
import hashlib, os, tempfile, mlflow
def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
with tempfile.TemporaryDirectory() as folder, mlflow.start_run() as run:
    path = os.path.join(folder, "large.bin")
    with open(path, "wb") as file:
        for _ in range(1100):
            file.write(os.urandom(1 << 20))
    before = digest(path)
    mlflow.log_artifact(path)
    os.remove(path)
    after = digest(mlflow.artifacts.download_artifacts(
        run_id=run.info.run_id, artifact_path="large.bin", dst_path=folder))
    print(before == after)
"""


# Prints how many modules have bytecode of their own, and which of them lack it.
COMPILED = """
import importlib, os, sys
importlib.import_module("{}")
specs = [each.__spec__ for each in list(sys.modules.values()) if getattr(each, "__spec__", None)]
files = sorted({{each.cached for each in specs if each.has_location and each.cached}})
print(len(files), *[each for each in files if not os.path.exists(each)], sep="\\n")
"""


def status(stack: Stack, host: str) -> int:
    request = urllib.request.Request(stack.url + SEARCH, headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_walk_through_gives_the_documented_figures(stack: Stack) -> None:
    answers = stack.detect()
    assert [answer["timestamp"][:10] for answer in (answers[0], answers[-1])] == [
        "1962-01-31",
        "1963-08-31",
    ]
    results = [answer["result"] for answer in answers]
    assert len(results) == 20
    assert [point["is_anomaly"] for point in results] == [False] * 19 + [True]
    assert results[-1]["is_negative_anomaly"]
    assert not results[-1]["is_positive_anomaly"]
    assert results[-1]["expected_value"] == pytest.approx(1.0, abs=1e-9)
    assert results[-1]["lower_margin"] == pytest.approx(0.05, abs=1e-9)
    assert {point["period"] for point in results} == {0}


def test_run_params_and_version_are_rows_in_mysql(stack: Stack) -> None:
    [[run]] = stack.sql(
        "SELECT r.run_uuid FROM runs r JOIN experiments e USING (experiment_id) "
        "WHERE e.name = 'MLflow Quickstart 2' ORDER BY r.start_time LIMIT 1"
    )
    params = dict(stack.sql(f"SELECT `key`, value FROM params WHERE run_uuid = '{run}'"))
    assert params == {
        "granularity": "monthly",
        "maxAnomalyRatio": "0.25",
        "sensitivity": "95",
        "imputeMode": "auto",
    }
    assert stack.sql(
        f"SELECT value FROM tags WHERE run_uuid = '{run}' AND `key` = 'Training Info'"
    ) == [["Univariate Anomaly Detector"]]
    assert stack.sql(
        "SELECT version FROM model_versions "
        f"WHERE name = 'tracking-quickstart' AND run_id = '{run}'"
    ) == [["1"]]
    assert stack.sql(
        "SELECT alias FROM registered_model_aliases WHERE name = 'tracking-quickstart'"
    ) == [["champion"]]


def test_model_table_and_pictures_are_objects_in_the_bucket(stack: Stack) -> None:
    out = stack.compose("exec", "-T", "mlflow", "python", "-c", LIST_OBJECTS).stdout
    sizes = {key: int(size) for key, size in (line.rsplit(" ", 1) for line in out.splitlines())}
    for name in (
        "/artifacts/MLmodel",
        "/artifacts/result.json",
        "/artifacts/result.png",
        "/artifacts/result.html",
        "/code/detector/models.py",
    ):
        assert any(key.endswith(name) and size for key, size in sizes.items()), name


def test_a_file_larger_than_the_memory_limits_survives_the_way_there_and_back(
    stack: Stack,
) -> None:
    done = stack.compose("exec", "-T", "workspace", "python", "-c", ROUND_TRIP, check=False)
    assert "True" in done.stdout.splitlines(), done.stderr
    assert not stack.container("minio")["State"]["OOMKilled"]
    assert not stack.container("mlflow")["State"]["OOMKilled"]


def test_clients_outside_the_stack_need_no_way_to_the_store(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", stack.url)
    model = mlflow.artifacts.download_artifacts(
        "models:/tracking-quickstart@champion", dst_path=str(tmp_path), tracking_uri=stack.url
    )
    assert (Path(model) / "MLmodel").exists()


@pytest.mark.parametrize("service", LASTING)
def test_a_killed_service_comes_back_and_the_model_detects(stack: Stack, service: str) -> None:
    stack.sigkill(service)
    wait_until(stack.can_detect, f"the model detects after {service} was killed")
    assert stack.detect()[-1]["result"]["is_anomaly"]


def test_down_and_up_keeps_everything(stack: Stack) -> None:
    before = stack.sql("SELECT COUNT(*) FROM runs")
    stack.compose("down")
    stack.up()
    assert stack.sql("SELECT COUNT(*) FROM runs") == before
    assert stack.detect()[-1]["result"]["is_anomaly"]


def test_two_walk_throughs_at_once_both_succeed(stack: Stack) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: stack.walk_through(), range(2)))
    assert [done.returncode for done in both] == [0, 0], both


def test_a_foreign_host_name_is_refused(stack: Stack) -> None:
    assert status(stack, "rebound.example") == 403
    assert status(stack, "localhost:5055") == 200


def test_clients_inside_the_stack_call_it_mlflow(stack: Stack) -> None:
    ask = f"import urllib.request as u; print(u.urlopen('http://mlflow{SEARCH}').status)"
    assert stack.compose("exec", "-T", "workspace", "python", "-c", ask).stdout.strip() == "200"


@pytest.mark.parametrize(("service", "port"), [("db", 3306), ("minio", 9000)])
def test_database_and_store_cannot_be_reached_from_outside_their_network(
    stack: Stack, service: str, port: int
) -> None:
    container = stack.container(service)
    [network] = container["NetworkSettings"]["Networks"].values()
    assert not [ports for ports in container["NetworkSettings"]["Ports"].values() if ports]
    for address in (service, network["IPAddress"]):
        connect = f"import socket; socket.create_connection(({address!r}, {port}), timeout=3)"
        done = stack.compose("exec", "-T", "workspace", "python", "-c", connect, check=False)
        assert done.returncode != 0, address
        assert (
            "TimeoutError" in done.stderr or "gaierror" in done.stderr or "OSError" in done.stderr
        )


def test_health_names_the_store_when_it_is_down(stack: Stack) -> None:
    stack.compose("stop", "minio")
    try:
        health = stack.compose("exec", "-T", "mlflow", "stack", "health", check=False)
        assert health.returncode == 1
        assert "minio:9000" in health.stderr
        walk = stack.walk_through()
        assert walk.returncode == 1
        assert "minio:9000" in walk.stderr
        assert "Traceback" not in walk.stderr
    finally:
        stack.compose("start", "minio")
    wait_until(stack.can_detect, "the model detects with the store back")


def test_health_and_walk_through_name_the_database_when_it_is_down(stack: Stack) -> None:
    stack.compose("stop", "db")
    try:
        health = stack.compose("exec", "-T", "mlflow", "stack", "health", check=False)
        assert health.returncode == 1
        walk = stack.walk_through()
        assert walk.returncode == 1
        assert "Traceback" not in walk.stderr
    finally:
        stack.compose("start", "db")
    wait_until(stack.can_detect, "the model detects with the database back")


def test_a_bucket_that_it_may_not_use_is_named(stack: Stack) -> None:
    stack.compose(
        "run", "-d", "--no-deps", "--name", f"{stack.project}-no-bucket",
        "-e", "MLFLOW_ARTIFACTS_DESTINATION=s3://nowhere", "mlflow",
    )  # fmt: skip

    def health() -> subprocess.CompletedProcess[str]:
        command = ["docker", "exec", f"{stack.project}-no-bucket", "stack", "health"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    try:
        wait_until(lambda: "s3://nowhere" in health().stderr, "health names the bucket")
        assert "Access Denied" in health().stderr
    finally:
        subprocess.run(
            ["docker", "rm", "-f", f"{stack.project}-no-bucket"], check=True, capture_output=True
        )


# Removes the bucket of the data sets, which is empty.
REMOVE_BUCKET = """
import os
from stack.store import s3_client
s3 = s3_client(os.environ["MINIO_ROOT_USER"], os.environ["MINIO_ROOT_PASSWORD"])
s3.delete_bucket(Bucket="datasets")
"""


def test_bucket_one_shot_makes_a_missing_bucket_and_is_content_with_its_own(stack: Stack) -> None:
    run = ["run", "--rm", "--no-deps"]
    stack.compose(*run, "--entrypoint", "python", "bucket", "-c", REMOVE_BUCKET)
    assert "bucket 'datasets' made" in stack.compose(*run, "bucket").stdout
    assert "bucket 'datasets' is there" in stack.compose(*run, "bucket").stdout


def test_wrong_store_credentials_are_named(stack: Stack) -> None:
    wrong = ["-e", "MINIO_ROOT_PASSWORD=wrong", "bucket"]
    done = stack.compose("run", "--rm", "--no-deps", *wrong, check=False)
    assert done.returncode == 1
    assert "refuses the credentials" in done.stderr
    assert "MINIO_ROOT_PASSWORD" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_database_password_is_named(stack: Stack) -> None:
    done = stack.compose(
        "run", "--rm", "--no-deps", "-e", "MYSQL_PASSWORD=wrong", "migrate", check=False
    )
    assert done.returncode == 1
    assert "wrong password" in done.stderr
    assert "MYSQL_PASSWORD" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_half_migrated_schema_is_explained(stack: Stack) -> None:
    stack.sql("CREATE DATABASE half; GRANT ALL ON half.* TO mlflow@'%'", user="root")
    stack.sql("SET GLOBAL log_bin_trust_function_creators = 0", user="root")
    migrate = ["run", "--rm", "--no-deps", "-e", "MYSQL_DATABASE=half", "migrate"]
    try:
        first = stack.compose(*migrate, check=False)
        second = stack.compose(*migrate, check=False)
    finally:
        stack.sql("SET GLOBAL log_bin_trust_function_creators = 1; DROP DATABASE half", user="root")
    assert first.returncode == second.returncode == 1
    assert "1419" in first.stderr
    assert "mysql/my.cnf" in first.stderr
    assert "1050" in second.stderr
    assert "half of MLflow's schema" in second.stderr
    assert "Traceback" not in first.stderr + second.stderr


def test_no_secret_stands_on_a_command_line(stack: Stack) -> None:
    for service in LASTING:
        processes = stack.compose("top", service).stdout
        for secret in stack.secrets.values():
            assert secret not in processes


@pytest.mark.parametrize("service", ["mlflow", "workspace", "detector", "worker"])
def test_our_images_do_not_run_as_root(stack: Stack, service: str) -> None:
    assert stack.compose("exec", "-T", service, "id", "-u").stdout.strip() != "0"


def test_the_workspace_runs_as_the_owner_of_the_checkout(stack: Stack) -> None:
    services = json.loads(stack.compose("config", "--format", "json").stdout)["services"]
    owner = services["workspace"]["build"]["args"]["UID"]
    assert stack.compose("exec", "-T", "workspace", "id", "-u").stdout.strip() == owner


def test_the_server_image_holds_no_compiler(stack: Stack) -> None:
    found = stack.compose("exec", "-T", "mlflow", "sh", "-c", "command -v gcc cc ld || true").stdout
    assert found == ""


@pytest.mark.parametrize(
    ("service", "module"), [("mlflow", "mlflow.server"), ("detector", "detector.api.app")]
)
def test_what_is_imported_is_compiled_in_the_image(stack: Stack, service: str, module: str) -> None:
    printed = stack.compose(
        "exec", "-T", service, "python", "-W", "ignore", "-c", COMPILED.format(module)
    ).stdout
    imported, *not_compiled = printed.splitlines()
    assert int(imported) > 500
    assert not_compiled == []


def test_mlflow_is_one_process(stack: Stack) -> None:
    processes = stack.compose("top", "mlflow").stdout.splitlines()
    assert len([line for line in processes if "uvicorn" in line]) == 1
    assert len([line for line in processes if "python" in line]) == 1


def test_lasting_services_restart_within_limits_and_rotate_their_logs(stack: Stack) -> None:
    services = json.loads(stack.compose("config", "--format", "json").stdout)["services"]
    for name in LASTING:
        assert services[name]["restart"] == "unless-stopped"
        assert services[name]["mem_limit"]
        assert services[name]["logging"]["options"]["max-size"]
