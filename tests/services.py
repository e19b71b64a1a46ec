"""What tests start and ask: services, each a process of its own, and the data they read."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cgroups import Group
from filelock import FileLock

ROOT = Path(__file__).parents[1]
KEYS = ("the-first-key", "the-second-key")
HEADER = "Ocp-Apim-Subscription-Key"


def until(
    condition: Callable[[], Any], what: str, seconds: float = 60, *, pause: float = 0.1
) -> Any:
    """Return what the condition returns once it is true; fail after a deadline."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(pause)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Answer:
    """Status, headers and body of an answer."""

    def __init__(self, status: int, headers: Any, content: bytes) -> None:
        self.status = status
        self.headers = headers
        self.content = content

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class Service:
    """A running service, or an MLflow server: a process in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        arguments: list[str],
        port: int,
        *,
        group: Group | None = None,
        files: int | None = None,
        **environment: str,
    ) -> None:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MLFLOW", "DETECTOR", "API_KEYS", "BIND_ADDRESS", "PORT"))
        }
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._output = (folder / "output").open("w")
        # It joins its group, and has as many files as it may, before it becomes the service.
        steps = [f"echo $$ > {group.procs}"] if group else []
        steps += [f"ulimit -n {files}"] if files else []
        joined = ["sh", "-c", " && ".join([*steps, 'exec "$@"']), "sh"] if steps else []
        self.process = subprocess.Popen(
            [*joined, sys.executable, "-m", *arguments],
            cwd=folder,
            env=kept
            | {"PYTHONPATH": str(ROOT / "app"), "MLFLOW_DISABLE_TELEMETRY": "true"}
            | environment,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            # A group of its own, so that stopping it reaches what it started.
            start_new_session=True,
        )

    @property
    def authority(self) -> Path:
        """The certificate that a client trusts where the service makes its own."""
        return self.folder / "tls" / "authority.pem"

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text()

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]

    def call(
        self,
        path: str,
        body: Any = None,
        *,
        method: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send a request, with any key where none is given; with empty headers, none at all."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {HEADER: "any"} | (headers or {}) if headers != {} else {}
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=sent)
        is_secure = self.url.startswith("https:")
        context = ssl.create_default_context(cafile=self.authority) if is_secure else None
        try:
            with urllib.request.urlopen(request, timeout=30, context=context) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    def answers(self, path: str) -> bool:
        assert self.process.poll() is None, self.output
        try:
            return self.call(path).status == 200
        except OSError:
            return False

    def wait(self, path: str = "/health/ready") -> Service:
        until(lambda: self.answers(path), f"{self.url}{path}")
        return self

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            code = self.process.wait(20)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self._output.close()
        return code


def start_detector(
    folder: Path, *, group: Group | None = None, files: int | None = None, **environment: str
) -> Service:
    port = free_port()
    settings = {
        "DETECTOR_MODEL_REFRESH_SECONDS": "60",
        "DETECTOR_EMBEDDED_WORKER": "false",
        "PORT": str(port),
    }
    arguments = ["detector", "serve"]
    service = Service(folder, arguments, port, group=group, files=files, **settings | environment)
    if "DETECTOR_TLS" in environment:
        service.url = f"https://127.0.0.1:{port}"
    return service


# What the processes of a run of the tests share; None outside of one.
shared: Path | None = None


def prepare(folder: Path) -> None:
    """Fill a folder as a service does that starts there for the first time, in less time.

    It makes the tables of its store and registers its models once for all tests of a run. A folder
    that has a store keeps it.
    """
    if shared is None or (folder / "mlflow.db").exists():
        return
    made = shared / "prepared"
    with FileLock(f"{made}.lock"):
        if not made.exists():
            service = start_detector(shared / "first")
            try:
                service.wait()
            finally:
                service.stop()
            (service.folder / "output").unlink()
            service.folder.rename(made)
    first = str(shared / "first")
    shutil.copytree(made, folder, dirs_exist_ok=True)
    for path in folder.glob("mlruns/*/models/*/artifacts/MLmodel"):
        path.write_text(path.read_text().replace(first, str(folder)))
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as store, store:
        for table, column in (
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
            ("model_versions", "storage_location"),
        ):
            store.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (first, str(folder))
            )


@contextlib.contextmanager
def running(folder: Path, *, files: int | None = None, **environment: str) -> Iterator[Service]:
    """Start a service, wait until it is ready, and stop it in the end."""
    prepare(folder)
    service = start_detector(folder, files=files, **environment)
    try:
        yield service.wait()
    finally:
        service.stop()


def start_mlflow(folder: Path, port: int) -> Service:
    return Service(
        folder,
        ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        port,
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        MLFLOW_BACKEND_STORE_URI=f"sqlite:///{folder}/store.db",
        MLFLOW_ARTIFACTS_DESTINATION=str(folder / "artifacts"),
    )


def start_redis(
    folder: Path, port: int, *, password: str = "", tls: bool = False
) -> subprocess.Popen[bytes]:
    """Start a Redis; with TLS its certificate is made, as ``ca.pem`` in the folder."""
    listen = ["--port", str(port)]
    if tls:
        made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
        made += "-subj /CN=t -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out ca.pem"
        subprocess.run(["openssl", *made.split()], cwd=folder, check=True, capture_output=True)
        listen = ["--port", "0", "--tls-port", str(port), "--tls-cert-file", "ca.pem"]
        listen += ["--tls-key-file", "key.pem", "--tls-auth-clients", "no"]
    if password:
        listen += ["--requirepass", password]
    return subprocess.Popen(
        ["redis-server", *listen, "--bind", "127.0.0.1", "--save", ""],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )


# The data that the tests of many variables share.
VARIABLES, WINDOW, MINUTES = ("pressure", "speed", "torque"), 28, 300


def minute(place: int) -> str:
    return f"2026-01-01T{place // 60:02}:{place % 60:02}:00Z"


def measured(variable: int, place: int) -> float:
    """Return a value of a machine whose parts go together, but for one fault."""
    value = math.sin(place / 7) * (variable + 1) + math.sin(place * 12.9898 + variable) / 5
    return value + (4 if variable == 1 and place == 280 else 0)


def table() -> str:
    rows = [
        ",".join([minute(place), *(repr(measured(each, place)) for each in range(3))])
        for place in range(MINUTES)
    ]
    return "\n".join([",".join(["timestamp", *VARIABLES]), *rows]) + "\n"


def keep_data(folder: Path) -> None:
    """Keep the data where a service that runs in the folder may read it."""
    (folder / "datasets").mkdir(parents=True)
    (folder / "datasets" / "machine.csv").write_text(table())


def training(**changes: Any) -> dict[str, Any]:
    """Return a request to train on the data, with changes."""
    asked = {"dataSource": "machine.csv", "startTime": minute(0), "endTime": minute(MINUTES - 1)}
    return asked | {"slidingWindow": WINDOW} | changes


def latest(rows: int = WINDOW, **changes: Any) -> dict[str, Any]:
    """Return a request to score the last rows of the data, with changes."""
    places = range(MINUTES - rows, MINUTES)
    variables = [
        {
            "variable": name,
            "timestamps": [minute(place) for place in places],
            "values": [measured(each, place) for place in places],
        }
        for each, name in enumerate(VARIABLES)
    ]
    return {"variables": variables} | changes
