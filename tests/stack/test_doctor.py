"""`make doctor` on the running stack: well, and with each of its parts away."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from compose import ROOT, Stack, wait_until
from diagnosis import lines

# What must be well where the stack is; the machine itself, and its backups, are not the stack's.
PARTS = (
    "engine", "compose", "buildx", "secrets", "ports", "images", "image: detector", "image: mlflow",
    "bucket", "migrate", "db", "minio", "mlflow", "detector", "worker", "workspace",
    "database", "store: mlflow", "tracking server", "endpoint", "store: detector", "queue",
    "worker at work",
)  # fmt: skip
# Counts what `stack probe` could leave in the database.
ROWS = " UNION ALL ".join(
    f"SELECT '{table}', COUNT(*) FROM {table}"
    for table in ("experiments", "experiment_tags", "runs", "params", "tags")
)
OBJECTS = """
import os
from stack.store import s3_client
s3 = s3_client(os.environ["MINIO_ROOT_USER"], os.environ["MINIO_ROOT_PASSWORD"])
for bucket in ("mlflow", "datasets"):
    found = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    print([entry["Key"] for entry in found if "doctor" in entry["Key"]], len(found))
"""


def ask(stack: Stack, **environment: str) -> tuple[int, dict[str, tuple[str, str]], str]:
    done = subprocess.run(
        [ROOT / "scripts" / "doctor"],
        env=stack.environment | {"COMPOSE_PROJECT_NAME": stack.project} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, lines(done.stdout), done.stdout


@contextmanager
def away(stack: Stack, *steps: tuple[str, str, str]) -> Iterator[None]:
    """Take services away, and bring them back."""
    try:
        for service, how, _ in steps:
            stack.compose(how, service)
        yield
    finally:
        for service, _, back in steps:
            stack.compose(back, service)


def objects(stack: Stack) -> str:
    run = ["run", "--rm", "--no-deps", "--entrypoint", "python", "bucket", "-c", OBJECTS]
    return stack.compose(*run).stdout


def is_well(stack: Stack) -> bool:
    return ask(stack)[0] == 0


def test_a_stack_that_is_well_is_said_to_be_and_nothing_is_left_behind(stack: Stack) -> None:
    # Other tests built images anew, or have just brought services back.
    stack.up()
    rows, kept = stack.sql(ROWS), objects(stack)
    code, told, output = ask(stack)
    assert {name: told.get(name) for name in PARTS if told.get(name, ("",))[0] != "ok"} == {}
    assert code == 0, output
    assert output.splitlines()[-1].startswith("ok: nothing fails.")
    assert stack.sql(ROWS) == rows
    assert objects(stack) == kept
    assert "['doctor" not in kept
    assert not [secret for secret in stack.secrets.values() if secret in output]


def test_a_store_that_does_not_answer_fails_for_all_who_use_it(stack: Stack) -> None:
    with away(stack, ("minio", "pause", "unpause")):
        code, told, _ = ask(stack)
    assert code == 1
    assert told["minio"] == ("fail", "it is paused -> docker compose unpause minio")
    for name in ("store: mlflow", "store: detector", "tracking server"):
        assert told[name][0] == "fail", name
        assert "docker compose logs" in told[name][1]
    assert told["database"][0] == told["endpoint"][0] == "ok"


def test_a_database_that_is_stopped_and_a_worker_that_is_killed_are_named(stack: Stack) -> None:
    with away(stack, ("db", "stop", "start"), ("worker", "kill", "start")):
        code, told, _ = ask(stack)
    assert code == 1
    for name in ("db", "worker", "database", "tracking server"):
        assert told[name][0] == "fail", name
    assert "make up" in told["db"][1]
    assert "exit code 137" in told["worker"][1]
    assert "does not answer" in told["database"][1]
    assert told["store: mlflow"][0] == told["endpoint"][0] == "ok"
    wait_until(lambda: is_well(stack), "the stack is well again")


def test_other_secrets_than_those_that_it_runs_with_are_told(stack: Stack) -> None:
    other = {"DETECTOR_STORE_SECRET": "", "MLFLOW_STORE_SECRET": "another one than before"}
    code, told, _ = ask(stack, **other)
    assert code == 1
    assert told["secrets"][0] == "fail"
    assert told["secrets"][1].split(": ")[1].startswith("DETECTOR_STORE_SECRET ->")
    for service in ("mlflow", "detector"):
        assert told[service][0] == "warn"
        assert told[service][1].endswith("-> make up")
    assert told["db"][0] == "ok"


def test_a_wrong_key_of_the_store_says_which_setting_it_is(stack: Stack) -> None:
    wrong = ["exec", "-T", "-e", "AWS_SECRET_ACCESS_KEY=wrong"]
    of_mlflow = stack.compose(*wrong, "mlflow", "stack", "probe").stdout
    of_detector = stack.compose(*wrong, "detector", "python", "-m", "detector.probe").stdout
    for output, name, setting in (
        (of_mlflow, "store: mlflow", "MLFLOW_STORE_SECRET"),
        (of_detector, "store: detector", "DETECTOR_STORE_SECRET"),
    ):
        [line] = [line for line in output.splitlines() if line.split("\t")[1] == name]
        assert line.startswith("fail\t")
        assert setting in line


def test_a_port_that_another_program_holds_is_named_with_its_setting(stack: Stack) -> None:
    # To another project, the ports of this stack are another's.
    told = ask(stack, COMPOSE_PROJECT_NAME="doctor-elsewhere")[1]
    assert told["ports"][0] == "fail"
    assert f"the container {stack.project}-" in told["ports"][1]
    assert "_PORT in .env" in told["ports"][1]
    assert told["services"] == ("fail", "the stack is not running -> make up")
