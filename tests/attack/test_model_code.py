"""Whoever may write to MLflow registers hostile models; none of their code runs in the service."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import torch
import yaml
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput
from services import (
    HEADER,
    Answer,
    Service,
    free_port,
    latest,
    start_detector,
    start_mlflow,
    table,
    until,
)

from detector.multivariate.model import MultivariateModel
from detector.multivariate.requests import TrainingRequest
from detector.tracking import runs

NAME = "univariate-entire"
DETECT = "/anomalydetector/v1.1/timeseries/entire/detect"
MODELS = "/anomalydetector/v1.1/multivariate/models"
DAYS = [{"timestamp": f"2026-01-{day:02}T00:00:00Z", "value": day % 7} for day in range(1, 29)]
SECRET = "a-secret-that-only-the-service-has"  # noqa: S105
# Tries what a service may do, and tells in its error what it could.
REACH = """
import glob, os, socket, subprocess
from pathlib import Path

reached = []

def attempt(name, call):
    try:
        found = call()
    except Exception:
        return
    if found is not None:
        reached.append(name)

def secrets():
    for path in ["/proc/self/environ", *glob.glob("/proc/[0-9]*/environ")]:
        attempt(path, lambda: b"{secret}" in Path(path).read_bytes() or None)

attempt("a file", lambda: Path("{folder}/reached").write_text("by its code"))
attempt("the network", lambda: socket.create_connection(("127.0.0.1", {port}), 2))
attempt("another program", lambda: subprocess.run(["true"]))
attempt("the store", lambda: Path("{folder}/mlflow/store.db").read_bytes())
secrets()
raise RuntimeError(f"It reached {{reached}}.")
"""
PREDICT = """
from mlflow.models import set_model
from detector.models import EntireAnomalyDetector

class Hostile(EntireAnomalyDetector):
    def predict(self, context, model_input, params=None):
        {attack}

set_model(Hostile())
"""


class Registry:
    """An MLflow server, and a service that may run code of models after a trial."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mlflow = start_mlflow(folder / "mlflow", free_port()).wait("/health")
        self.allowing = self.start("allowing", DETECTOR_ALLOW_MODEL_CODE="true").wait()

    def start(self, name: str, **environment: str) -> Service:
        return start_detector(
            self.folder / name,
            MLFLOW_TRACKING_URI=self.mlflow.url,
            MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
            DETECTOR_MODEL_REFRESH_SECONDS="1",
            API_KEYS=SECRET,
            **environment,
        )

    def write(self, code: str) -> Path:
        """Write the files of a model with this code, which does not run here."""
        about = {
            "model_uuid": "0" * 32,
            "utc_time_created": "2026-01-01 00:00:00.000000",
            "flavors": {
                "python_function": {
                    "loader_module": "mlflow.pyfunc.loaders.code_model",
                    "model_code_path": "model.py",
                    "python_version": "3.11.0",
                }
            },
        }
        files = self.folder / "files"
        files.mkdir(exist_ok=True)
        (files / "MLmodel").write_text(yaml.safe_dump(about))
        (files / "model.py").write_text(code)
        return files

    def register(self, code: str) -> str:
        """Point the alias to a new version with this code; name it."""
        files, client = self.write(code), MlflowClient()
        run = client.create_run("0")
        client.log_artifacts(run.info.run_id, str(files), "model")
        version = client.create_model_version(
            NAME, f"{run.info.artifact_uri}/model", run_id=run.info.run_id
        )
        client.set_registered_model_alias(NAME, "champion", version.version)
        return f"Version {version.version} of the model '{NAME}' is refused"

    @property
    def reach(self) -> str:
        return REACH.format(secret=SECRET, folder=self.folder, port=self.mlflow.port)

    @property
    def reached(self) -> bool:
        return (self.folder / "reached").exists()


def ask(service: Service, path: str, body: Any = None) -> Answer:
    return service.call(path, body, headers={HEADER: SECRET})


def assert_answers_as_before(service: Service) -> None:
    assert service.call("/").json["models"][NAME] == 1
    assert ask(service, DETECT, {"series": DAYS, "granularity": "daily"}).status == 200


def frame() -> pd.DataFrame:
    read = pd.read_csv(io.StringIO(table()), index_col="timestamp", parse_dates=True)
    return read.tz_localize(None)


def refusals(service: Service, reason: str) -> list[dict[str, Any]]:
    said = [line for line in service.log if line["message"] == "model not loaded"]
    return [line for line in said if reason in line["reason"]]


def assert_fails_its_trial(registry: Registry, refused: str, reason: str) -> None:
    [refusal] = until(lambda: refusals(registry.allowing, refused), "the refusal in the log")
    assert reason in refusal["reason"]
    assert "failed its trial" in refusal["reason"]
    assert_answers_as_before(registry.allowing)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    before = mlflow.get_tracking_uri()
    found = Registry(tmp_path_factory.mktemp("registry"))
    mlflow.set_tracking_uri(found.mlflow.url)
    yield found
    mlflow.set_tracking_uri(before)
    for service in (found.allowing, found.mlflow):
        service.stop()


@pytest.fixture(autouse=True)
def back_to_the_first_version(registry: Registry) -> Iterator[None]:
    yield
    MlflowClient().set_registered_model_alias(NAME, "champion", "1")
    assert not registry.reached


def test_code_that_nobody_allowed_is_refused_and_else_reaches_nothing(registry: Registry) -> None:
    registry.register(registry.reach)
    service = registry.start("strict")
    try:
        service.wait("/health/live")

        def told() -> bool:
            answer = service.call("/health/ready")
            return answer.status == 503 and "DETECTOR_ALLOW_MODEL_CODE" in answer.content.decode()

        until(told, "/health/ready names the setting where nothing answers yet")
        MlflowClient().set_registered_model_alias(NAME, "champion", "1")
        service.wait()
        # The same again, where the first version answers.
        refused = registry.register(registry.reach)
        [refusal] = until(lambda: refusals(service, refused), "the refusal in the log")
        assert "brings code of its own" in refusal["reason"]
        assert "DETECTOR_ALLOW_MODEL_CODE=true" in refusal["reason"]
        assert refusal["in_service"] == 1
        assert_answers_as_before(service)
        assert service.call("/health/ready").status == 200
        assert_fails_its_trial(registry, refused, "It reached [].")
    finally:
        service.stop()


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        ("return bytearray(2 << 30)", "MemoryError"),
        ("import os; os._exit(0)", "Its process ended with 0"),
        ("import os; os.abort()", "Its process ended with -6"),
        ("raise SystemExit", "SystemExit"),
        ("return []", "answered 0 results"),
    ],
)
def test_code_that_is_allowed_is_tried_first(registry: Registry, attack: str, reason: str) -> None:
    refused = registry.register(PREDICT.format(attack=attack))
    assert_fails_its_trial(registry, refused, reason)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux hides it")
def test_no_other_process_of_its_user_reads_its_keys(registry: Registry) -> None:
    # Root reads everything; without capabilities it is a user like any other.
    ordinary = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []

    def read(process: subprocess.Popen[Any]) -> str:
        cat = [*ordinary, "cat", f"/proc/{process.pid}/environ"]
        return subprocess.run(cat, capture_output=True, text=True, check=False).stdout

    with subprocess.Popen([*ordinary, "sleep", "60"], env={"A": SECRET}) as shown:
        try:
            # It gives its capabilities up a little after its start.
            until(lambda: SECRET in read(shown), "what another program has can be read")
            assert read(registry.allowing.process) == ""
        finally:
            shown.kill()


class Pickled:
    """What a pickle makes, once it is read: a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.write_text, (self.path, "by its pickle")


def forge(registry: Registry, files: Path) -> str:
    """Make a run that looks like a trained model, with these files; return its id."""
    asked = TrainingRequest("machine.csv", pd.Timestamp("2026-01-01"), pd.Timestamp("2026-01-02"))
    model_id = runs.create_model(asked, queued=False).model_id
    client = MlflowClient()
    run = client.get_run(runs.run_id(model_id)).info
    model = client.create_logged_model(run.experiment_id, source_run_id=run.run_id)
    client.log_model_artifacts(model.model_id, str(files))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run.run_id, [LoggedModelOutput(model.model_id, 0)])
    runs.set_status(model_id, runs.READY)
    return model_id


def test_a_forged_model_of_many_variables_runs_no_code(registry: Registry) -> None:
    files = registry.write(registry.reach)
    only_code = forge(registry, files)
    weights = files / "artifacts" / "model" / "weights.pt"
    weights.parent.mkdir(parents=True)
    trained = MultivariateModel.fit(frame(), sliding_window=28, epochs=1)
    trained.save(weights.parent)
    whole = forge(registry, files)
    torch.save({"weights": Pickled(registry.folder / "reached")}, weights)
    pickled = forge(registry, files)
    answers = {
        model_id: ask(registry.allowing, f"{MODELS}/{model_id}:detect-last", latest())
        for model_id in (only_code, whole, pickled)
    }
    assert [answers[model_id].status for model_id in answers] == [400, 200, 400]
    assert answers[only_code].json["code"] == answers[pickled].json["code"] == "ModelFailed"
