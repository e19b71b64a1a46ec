"""Starts a stack from the Compose files, under a name and with secrets of its own."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

ROOT = Path(__file__).parents[1]
LASTING = ("db", "minio", "mlflow", "workspace", "detector", "worker")
# Options by which docker compose knows the services of the cluster.
SPARK = ("--profile", "spark")

# Loads the registered model by its alias and detects in the quick start's 20 points.
DETECT = """
import json, mlflow, pandas as pd
months = pd.date_range("1962-01-31", periods=20, freq="ME")
series = pd.DataFrame({"timestamp": months, "value": [1.0] * 19 + [0.0]})
model = mlflow.pyfunc.load_model("models:/tracking-quickstart@champion")
print(json.dumps(model.predict(series), default=str))
"""


class Stack:
    """A Compose project beside that of a person: its name, ports, secrets and settings."""

    # Of all stacks that were begun.
    projects: ClassVar[set[str]] = set()

    def __init__(
        self,
        project: str,
        port: int,
        detector_port: int,
        spark_port: int = 0,
        **environment: str,
    ) -> None:
        self.project = project
        self.projects.add(project)
        self.secrets = {
            # Characters that must be escaped in an address.
            "MYSQL_PASSWORD": "p@ss:/%" + secrets.token_hex(8),
            "MYSQL_ROOT_PASSWORD": secrets.token_hex(16),
            "MINIO_ROOT_USER": "test-" + secrets.token_hex(4),
            "MINIO_ROOT_PASSWORD": secrets.token_hex(16),
            "MLFLOW_STORE_SECRET": secrets.token_hex(16),
            "DETECTOR_STORE_SECRET": secrets.token_hex(16),
            "SPARK_SECRET": secrets.token_hex(16),
            "GRAFANA_ADMIN_PASSWORD": secrets.token_hex(16),
        }
        self.environment = {
            **os.environ,
            **self.secrets,
            "MLFLOW_PORT": str(port),
            "DETECTOR_PORT": str(detector_port),
            "SPARK_PORT": str(spark_port),
            # Of a size for two workers on a small machine.
            "SPARK_WORKER_CORES": "1",
            "SPARK_WORKER_MEMORY": "1500m",
            "API_KEYS": "",
            "BIND_ADDRESS": "127.0.0.1",
            "MLFLOW_BIND_ADDRESS": "127.0.0.1",
            # As `make up` writes it into the .env that there is.
            "WORKSPACE_HIDES": "/workspace/.env" if (ROOT / ".env").exists() else "",
            **environment,
        }
        self.url = f"http://localhost:{port}"
        self.endpoint = f"http://127.0.0.1:{detector_port}"

    def compose(
        self, *arguments: str, check: bool = True, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``docker compose`` on this project."""
        done = subprocess.run(
            ["docker", "compose", "-p", self.project, *arguments],
            cwd=ROOT,
            env=self.environment | (env or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(
                f"docker compose {' '.join(arguments)}: {done.stdout}\n{done.stderr}"
            )
        return done

    def docker(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run ``docker``."""
        return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=check)

    def up(self) -> None:
        self.compose("up", "-d", "--build", "--wait")

    def walk_through(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the walk-through in the workspace."""
        return self.compose(
            "exec", "-T", "workspace", "python", "app/test.py", *arguments, check=False
        )

    def detect(self) -> list[dict[str, Any]]:
        """Load the registered model in the workspace and detect in the quick start's series."""
        out = self.compose("exec", "-T", "workspace", "python", "-W", "ignore", "-c", DETECT).stdout
        answers: list[dict[str, Any]] = json.loads(out.splitlines()[-1])
        return answers

    def can_detect(self) -> bool:
        done = self.compose(
            "exec", "-T", "workspace", "python", "-W", "ignore", "-c", DETECT, check=False
        )
        return done.returncode == 0

    def sql(self, query: str, *, user: str = "mlflow") -> list[list[str]]:
        """Ask MySQL; rows of text columns."""
        password = {"mlflow": "MYSQL_PASSWORD", "root": "MYSQL_ROOT_PASSWORD"}[user]
        out = self.compose(
            "exec", "-T", "-e", f"MYSQL_PWD={self.secrets[password]}", "db",
            "mysql", f"-u{user}", "-N", "-B", "-e", query, "mlflow",
        ).stdout  # fmt: skip
        return [line.split("\t") for line in out.splitlines()]

    def container(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container; of several, of one."""
        name = self.compose("ps", "-q", "-a", service).stdout.split()[0]
        out = subprocess.run(
            ["docker", "inspect", name], capture_output=True, text=True, check=True
        )
        found: dict[str, Any] = json.loads(out.stdout)[0]
        return found

    def containers(self, service: str) -> list[str]:
        """The names of a service's running containers."""
        return self.compose("ps", "--format", "{{.Name}}", service).stdout.split()

    def sigkill(self, service: str) -> None:
        """Kill a service's main process as the kernel would when memory runs out.

        ``docker kill`` counts as stopping it by hand, after which the engine does not restart it.
        """
        pid = self.container(service)["State"]["Pid"]
        subprocess.run(
            [
                "docker",
                "run",
                "--rm",
                "--pid=host",
                "--user=0",
                "--entrypoint=sh",
                "mysql:9.7",
                "-c",
                f"kill -9 {pid}",
            ],
            check=True,
        )
        wait_until(
            lambda: self.container(service)["State"]["Pid"] not in (0, pid), f"{service} is back"
        )


def compose_files() -> str:
    """Return the Compose files that this machine uses, as COMPOSE_FILE names them."""
    given = os.environ.get("COMPOSE_FILE")
    if not given and (ROOT / ".env").exists():
        found = re.findall(r"^COMPOSE_FILE=(.+)$", (ROOT / ".env").read_text(), re.MULTILINE)
        given = found[-1] if found else None
    return given or "docker-compose.yml"


def run_on_cluster(
    stack: Stack, series: int, tasks: int, *, half_way: Callable[[], object] | None = None
) -> dict[str, Any]:
    """Detect in made series on the cluster; return what the program says of the result.

    `half_way` is called once, when half of the tasks of detection are done and not all.
    """
    program = ["python", "-u", "tests/stack/spark_job.py", str(series), str(tasks)]
    command = ["docker", "compose", "-p", stack.project, "exec", "-T", "spark-workspace", *program]
    lines = []
    with subprocess.Popen(
        command, cwd=ROOT, env=stack.environment, stdout=subprocess.PIPE, text=True
    ) as job:
        assert job.stdout is not None
        for line in job.stdout:
            lines.append(line)
            done = re.match(r"detection: (\d+) ", line)
            if half_way and done and tasks / 2 <= int(done[1]) < tasks:
                half_way()
                half_way = None
    assert job.returncode == 0, lines
    assert half_way is None, f"no moment was half-way: {lines}"
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def wait_until(holds: Callable[[], bool], what: str, *, seconds: float = 120) -> None:
    """Poll until `holds`, or fail after the deadline."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.5)
