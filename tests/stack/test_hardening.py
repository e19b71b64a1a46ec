"""What each container of the stack may do, holds and reaches: no more than it needs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from compose import LASTING, ROOT, Stack, wait_until

ONE_SHOTS = ("volume", "bucket", "migrate")
# Uses the store with the keys of the container that it runs in.
USE_STORE = """
import boto3
from botocore.exceptions import ClientError
s3 = boto3.client("s3", endpoint_url="http://minio:9000")
tries = {
    "list": lambda bucket: s3.list_objects_v2(Bucket=bucket),
    "put": lambda bucket: s3.put_object(Bucket=bucket, Key="hardening", Body=b"1"),
    "get": lambda bucket: s3.get_object(Bucket=bucket, Key="hardening"),
    "delete": lambda bucket: s3.delete_object(Bucket=bucket, Key="hardening"),
    "make": lambda bucket: s3.create_bucket(Bucket="another-" + bucket),
}
for bucket in ("mlflow", "datasets"):
    for name, call in tries.items():
        try:
            call(bucket)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            print(bucket, name, "refused" if status == 403 else error)
        else:
            print(bucket, name, "done")
"""
REACH = """
import json, os, socket
from pathlib import Path
from detector import isolation
not_taken = isolation.confine([], memory=1 << 30, seconds=10)
reached = []
for name, attempt in {
    "network": lambda: socket.socket(),
    "secrets": lambda: Path("/proc/1/environ").read_bytes(),
    "queue": lambda: os.listdir("/var/lib/detector"),
    "file": lambda: Path("/tmp/reached").write_text(""),
    "process": os.fork,
}.items():
    try:
        attempt()
        reached.append(name)
    except OSError:
        pass
print(json.dumps([not_taken, reached]))
"""


def environment(stack: Stack, service: str) -> dict[str, str]:
    given = stack.container(service)["Config"]["Env"]
    return dict(each.partition("=")[::2] for each in given)


@pytest.mark.parametrize("service", [*LASTING, *ONE_SHOTS])
def test_a_container_has_no_privilege_and_bounds(stack: Stack, service: str) -> None:
    host: dict[str, Any] = stack.container(service)["HostConfig"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert not host["Privileged"]
    assert any(each.startswith("no-new-privileges") for each in host["SecurityOpt"])
    assert 0 < host["PidsLimit"] <= 2048
    assert 0 < host["Memory"] <= 4 * 1024**3
    # People add packages to the workspace.
    assert host["ReadonlyRootfs"] == (service != "workspace")


@pytest.mark.parametrize("service", LASTING)
def test_its_processes_have_no_capability(stack: Stack, service: str) -> None:
    found = stack.compose("exec", "-T", service, "cat", "/proc/1/status").stdout
    status = dict(line.split(":\t", 1) for line in found.splitlines() if ":\t" in line)
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"


def test_the_image_of_the_store_has_the_digest_it_was_chosen_by() -> None:
    assert "@sha256:" in (ROOT / "docker-compose.yml").read_text().partition("pgsty/silo:")[2][:120]


def test_the_store_runs_as_an_ordinary_user(stack: Stack) -> None:
    config = stack.compose(
        "config", "--format", "json", env={"COMPOSE_FILE": "docker-compose.yml"}
    ).stdout
    default = json.loads(config)["services"]["minio"]
    assert default["user"] == "1000:1000"
    # Its volume does not take over the owner that its folder has in the image.
    assert [each["volume"] for each in default["volumes"]] == [{"nocopy": True}]
    # The one that runs here.
    assert stack.compose("exec", "-T", "minio", "id", "-u").stdout.strip() == "1000"


def test_each_secret_is_where_it_is_needed_and_nowhere_else(stack: Stack) -> None:
    holders = {
        "MYSQL_PASSWORD": {"db", "migrate", "mlflow"},
        "MYSQL_ROOT_PASSWORD": {"db"},
        "MINIO_ROOT_PASSWORD": {"minio", "bucket"},
        # SeaweedFS knows its users from its environment.
        "MLFLOW_STORE_SECRET": {"minio", "bucket", "mlflow"},
        "DETECTOR_STORE_SECRET": {"minio", "bucket", "detector", "worker"},
    }
    given = {service: environment(stack, service) for service in (*LASTING, *ONE_SHOTS)}
    for name, allowed in holders.items():
        secret = stack.secrets[name]
        assert {each for each in given if secret in given[each].values()} <= allowed, name


@pytest.mark.parametrize(
    ("service", "own", "other"),
    [
        ("detector", "datasets", "mlflow"),
        ("worker", "datasets", "mlflow"),
        ("mlflow", "mlflow", "datasets"),
    ],
)
def test_a_service_uses_its_own_bucket_only(
    stack: Stack, service: str, own: str, other: str
) -> None:
    printed = stack.compose("exec", "-T", service, "python", "-c", USE_STORE).stdout
    lines = [line.split(" ", 2) for line in printed.splitlines()]
    found = {(bucket, name): outcome for bucket, name, outcome in lines}
    for name in ("list", "put", "get", "delete"):
        assert found[own, name] == "done"
        assert found[other, name] == "refused"
    assert found[own, "make"] == found[other, "make"] == "refused"


def test_the_inside_of_the_store_cannot_be_reached(stack: Stack) -> None:
    ports = (9000, 8080, 8181, 8888, 9101, 9333, 9340, 23646)
    reach = (
        "import socket, sys\n"
        "for port in map(int, sys.argv[1:]):\n"
        "    try: socket.create_connection(('minio', port), timeout=3).close(); print(port)\n"
        "    except ConnectionRefusedError: pass\n"
    )
    printed = stack.compose(
        "exec", "-T", "detector", "python", "-c", reach, *map(str, ports)
    ).stdout
    assert printed.split() == ["9000"]


def test_a_trial_of_foreign_code_reaches_nothing_in_a_container(stack: Stack) -> None:
    printed = stack.compose("exec", "-T", "detector", "python", "-c", REACH).stdout
    assert json.loads(printed) == [[], []]


@pytest.mark.parametrize("service", ["detector", "worker"])
def test_the_environment_of_a_service_is_hidden_from_others_of_its_user(
    stack: Stack, service: str
) -> None:
    # docker-init is 1; what it started is the service.
    find = "for each in /proc/[0-9]*; do grep -qa detector $each/cmdline && echo $each; done"
    found = stack.compose("exec", "-T", service, "sh", "-c", find).stdout.split()
    served = [each for each in found if each != "/proc/1"]
    read = [
        stack.compose("exec", "-T", service, "cat", f"{each}/environ", check=False).stderr
        for each in served
    ]
    # The shell that looked is among them, and is gone.
    assert all("Permission denied" in each or "No such file" in each for each in read)
    assert any("Permission denied" in each for each in read)


def test_the_workspace_sees_no_secret_of_the_checkout(stack: Stack) -> None:
    if not (ROOT / ".env").exists():
        pytest.skip("There is no .env")
    read = stack.compose("exec", "-T", "workspace", "cat", "/workspace/.env", check=False)
    assert read.returncode == 0, read.stderr
    assert read.stdout == ""
    assert (ROOT / ".env").stat().st_size > 0


def test_nothing_is_made_to_hide_what_is_not_there(stack: Stack) -> None:
    before = set(Path(ROOT).iterdir())
    listed = stack.compose(
        "run", "--rm", "--no-deps", "workspace", "ls", "-a", "/workspace",
        env={"WORKSPACE_HIDES": ""},
    ).stdout  # fmt: skip
    assert "docker-compose.yml" in listed
    assert set(Path(ROOT).iterdir()) == before


@pytest.mark.parametrize("name", ["BIND_ADDRESS", "MLFLOW_BIND_ADDRESS"])
def test_the_endpoint_and_mlflow_are_published_apart(stack: Stack, name: str) -> None:
    config = stack.compose("config", "--format", "json", env={name: "203.0.113.1"}).stdout
    services = json.loads(config)["services"]
    published = {each: services[each]["ports"][0]["host_ip"] for each in ("detector", "mlflow")}
    open_one = "detector" if name == "BIND_ADDRESS" else "mlflow"
    assert published.pop(open_one) == "203.0.113.1"
    assert list(published.values()) == ["127.0.0.1"]


def test_mlflow_refuses_an_open_address_unless_everyone_may_write(stack: Stack) -> None:
    run = ["run", "--rm", "--no-deps"]
    open_to_all = {"MLFLOW_BIND_ADDRESS": "0.0.0.0"}  # noqa: S104
    done = stack.compose(*run, "mlflow", check=False, env=open_to_all)
    assert done.returncode == 1
    [sentence] = [line for line in done.stderr.splitlines() if "MLFLOW_BIND_ADDRESS" in line]
    assert "no accounts" in sentence
    assert "MLFLOW_OPEN_TO_EVERYONE=true" in sentence
    name = f"{stack.project}-open"
    open_to_all["MLFLOW_OPEN_TO_EVERYONE"] = "true"
    stack.compose("run", "-d", "--no-deps", "--name", name, "mlflow", env=open_to_all)
    try:
        wait_until(
            lambda: stack.docker("exec", name, "stack", "health", check=False).returncode == 0,
            "the server answers",
        )
    finally:
        stack.docker("rm", "-f", name)


@pytest.mark.parametrize("name", ["BIND_ADDRESS", "MLFLOW_BIND_ADDRESS"])
@pytest.mark.parametrize(
    ("service", "secrets"),
    [
        ("migrate", ["MYSQL_PASSWORD"]),
        ("bucket", ["MINIO_ROOT_PASSWORD", "MLFLOW_STORE_SECRET", "DETECTOR_STORE_SECRET"]),
    ],
)
def test_an_open_address_with_development_credentials_is_refused(
    stack: Stack, name: str, service: str, secrets: list[str]
) -> None:
    given = dict.fromkeys(secrets, "") | {name: "0.0.0.0"}  # noqa: S104
    done = stack.compose("run", "--rm", "--no-deps", service, check=False, env=given)
    assert done.returncode == 1
    assert f"{name} is 0.0.0.0" in done.stderr
    assert ", ".join(secrets) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_store_that_makes_no_users_is_named(stack: Stack) -> None:
    services = json.loads(stack.compose("config", "--format", "json").stdout)["services"]
    if services["bucket"]["environment"].get("STORE_MAKES_USERS") != "false":
        pytest.skip("This store makes users")
    asked = ["-e", "STORE_MAKES_USERS=true", "bucket"]
    done = stack.compose("run", "--rm", "--no-deps", *asked, check=False)
    assert done.returncode == 1
    assert "does not make the user 'mlflow'" in done.stderr
    assert "STORE_MAKES_USERS" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_secret_that_the_store_does_not_know_is_named(stack: Stack) -> None:
    wrong = ["-e", "DETECTOR_STORE_SECRET=wrong-for-sure", "bucket"]
    done = stack.compose("run", "--rm", "--no-deps", *wrong, check=False)
    assert done.returncode == 1
    assert "DETECTOR_STORE_SECRET must be the same" in done.stderr
    assert "Traceback" not in done.stderr
