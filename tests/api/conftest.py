"""What the tests of the API share: services, each a process of its own, and requests."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
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

    def __init__(self, folder: Path, arguments: list[str], port: int, **environment: str) -> None:
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
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
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
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url + path, data=data, method=method, headers=headers or {}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
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


def start_detector(folder: Path, **environment: str) -> Service:
    port = free_port()
    settings = {
        "DETECTOR_MODEL_REFRESH_SECONDS": "60",
        "DETECTOR_EMBEDDED_WORKER": "false",
        "PORT": str(port),
    }
    return Service(folder, ["detector", "serve"], port, **settings | environment)


def start_mlflow(folder: Path, port: int) -> Service:
    return Service(
        folder,
        ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        port,
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        MLFLOW_BACKEND_STORE_URI=f"sqlite:///{folder}/store.db",
        MLFLOW_ARTIFACTS_DESTINATION=str(folder / "artifacts"),
    )


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Service]]:
    """Start at once, because each takes seconds: one plain service, one guarded, one follower."""
    folder = tmp_path_factory.mktemp("services")
    keep_data(folder / "guarded")
    mlflow = start_mlflow(folder / "mlflow", free_port())
    services = {
        "mlflow": mlflow,
        "service": start_detector(folder / "plain"),
        "guarded": start_detector(
            folder / "guarded",
            API_KEYS=", ".join(KEYS),
            DETECTOR_WORKERS="2",
            DETECTOR_MAX_BODY_BYTES="100000",
            DETECTOR_MAX_POINTS="200",
            DETECTOR_MAX_MODELS="2",
            DETECTOR_MAX_UNFINISHED_MODELS="1",
            DETECTOR_BODY_SECONDS="1",
        ),
    }
    try:
        mlflow.wait("/health")
        services["follower"] = start_detector(
            folder / "follower",
            MLFLOW_TRACKING_URI=mlflow.url,
            MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
            DETECTOR_MODEL_REFRESH_SECONDS="0.5",
            DETECTOR_CONCURRENT_DETECTIONS="1",
            DETECTOR_WAITING_DETECTIONS="1",
        )
        with ThreadPoolExecutor() as threads:
            list(threads.map(Service.wait, [services[n] for n in ("service", "guarded")]))
        services["follower"].wait()
        yield services
    finally:
        for service in reversed(services.values()):
            service.stop()


@pytest.fixture(scope="session")
def service(started: dict[str, Service]) -> Service:
    """Return a service without keys, on a store of its own."""
    return started["service"]


@pytest.fixture(scope="session")
def guarded(started: dict[str, Service]) -> Service:
    """Return a service with two keys, two workers and low limits."""
    return started["guarded"]


@pytest.fixture(scope="session")
def follower(started: dict[str, Service]) -> Service:
    """Return a service whose models come from the MLflow server, with one thread."""
    return started["follower"]


@pytest.fixture(scope="session")
def mlflow_server(started: dict[str, Service]) -> Service:
    """Return the MLflow server that the follower follows."""
    return started["mlflow"]


# The data and the model that the tests of many variables share.
VARIABLES, WINDOW, MINUTES = ("pressure", "speed", "torque"), 28, 300
MODELS = "/anomalydetector/v1.1/multivariate/models"


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


@pytest.fixture(scope="session")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return a service with a worker beside it, and data that it may read."""
    folder = tmp_path_factory.mktemp("factory")
    keep_data(folder)
    service = start_detector(folder, DETECTOR_EMBEDDED_WORKER="true", DETECTOR_TRAINING_EPOCHS="10")
    try:
        yield service.wait()
    finally:
        service.stop()


@pytest.fixture(scope="session")
def begun_model(factory: Service) -> Answer:
    """Return the answer to a request to train on the data."""
    return factory.call(MODELS, training())


@pytest.fixture(scope="session")
def model_id(factory: Service, begun_model: Answer) -> str:
    """Return the id of a model that is trained on the data."""
    model_id: str = begun_model.json["modelId"]

    def trained() -> bool:
        info = factory.call(f"{MODELS}/{model_id}").json["modelInfo"]
        assert info["status"] != "FAILED", info["errors"]
        return bool(info["status"] == "READY")

    until(trained, "the model is READY", 120, pause=0.5)
    return model_id


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Return what starts a service that is stopped after the test."""
    begun: list[Service] = []

    def start(**environment: str) -> Service:
        begun.append(start_detector(tmp_path / str(len(begun)), **environment))
        return begun[-1]

    yield start
    for each in begun:
        each.stop()


@pytest.fixture
def weeks() -> dict[str, Any]:
    """Return a request: 35 days with a season of 7 and one outlier, on day 24."""
    values = [100.0 + 10 * (day % 7) + (day * 37 % 11) / 10 for day in range(35)]
    values[24] += 80
    days = [f"2024-{1 + day // 31:02}-{day % 31 + 1:02}T00:00:00Z" for day in range(35)]
    series = [{"timestamp": day, "value": value} for day, value in zip(days, values, strict=True)]
    return {"series": series, "granularity": "daily"}


@pytest.fixture(scope="session")
def kit() -> Any:
    """Return the helpers above, which tests cannot import from here."""
    return sys.modules[__name__]
