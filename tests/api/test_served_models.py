"""The models that answer are the registry's: made, followed, refused, and kept without it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from detector.models import EntireAnomalyDetector
from detector.tracking import model_files

# Of MLflow about models without type hints or signatures.
pytestmark = pytest.mark.filterwarnings("ignore")

ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"
NAME = "univariate-entire"

# A model that answers like ours, but for the severity, so that it can be told from ours.
MARKED = """
from mlflow.models import set_model
from detector.models import EntireAnomalyDetector

class Marked(EntireAnomalyDetector):
    def predict(self, context, model_input, params=None):
        answers = super().predict(context, model_input, params)
        for answer in answers:
            answer["result"]["severity"] = {severity}
        return answers

set_model(Marked())
"""
WITHOUT_RESULTS = """
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

class Empty(PythonModel):
    def predict(self, context, model_input, params=None):
        return []

set_model(Empty())
"""


@pytest.fixture
def registry(mlflow_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[MlflowClient]:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(mlflow_server.url)
    yield MlflowClient()
    mlflow.set_tracking_uri(before)


def register(folder: Path, code: str) -> int:
    script = folder / "model.py"
    script.write_text(code)
    with mlflow.start_run():
        info = mlflow.pyfunc.log_model(
            name="changed",
            python_model=str(script),
            pip_requirements=["mlflow"],
            registered_model_name=NAME,
        )
    return int(info.registered_model_version)


def told(service: Any, what: str) -> float:
    """Return whether the metrics say that the model is loaded, or that a version is refused."""
    text = service.call("/metrics").content.decode()
    return float(text.split(f'detector_model_{what}{{model="{NAME}"}} ')[1].split()[0])


def test_two_workers_on_a_new_store_make_one_version_of_each(guarded: Any) -> None:
    client = MlflowClient(f"sqlite:///{guarded.folder}/mlflow.db")
    assert "model not loaded" not in guarded.output
    for name in (NAME, "univariate-latest", "change-point"):
        assert [int(v.version) for v in client.search_model_versions(f"name='{name}'")] == [1]
        aliases = client.get_registered_model(name).aliases
        assert {alias: int(version) for alias, version in aliases.items()} == {"champion": 1}


def test_a_moved_alias_is_followed_and_no_request_fails(
    follower: Any, registry: MlflowClient, weeks: dict[str, Any], tmp_path: Path, kit: Any
) -> None:
    version = register(tmp_path, MARKED.format(severity=0.125))
    registry.set_registered_model_alias(NAME, "champion", str(version))
    severities = []

    def moved() -> bool:
        answer = follower.call(ENTIRE, weeks)
        assert answer.status == 200
        severities.append(answer.json["severity"][0])
        return severities[-1] == 0.125

    kit.until(moved, "the new version answers", 20)
    assert set(severities) <= {0.0, 0.125}
    assert follower.call("/").json["models"][NAME] == version
    assert f'model="{NAME}"}} {version}.0' in follower.call("/metrics").content.decode()
    registry.set_registered_model_alias(NAME, "champion", "1")
    kit.until(lambda: follower.call("/").json["models"][NAME] == 1, "the old version answers", 20)


def test_a_version_of_another_release_answers_by_the_code_of_this_one_and_is_named(
    follower: Any, registry: MlflowClient, tmp_path: Path, kit: Any
) -> None:
    # Logged without the package, so with another one than this.
    version = register(tmp_path, model_files.code_of(EntireAnomalyDetector))
    registry.set_registered_model_alias(NAME, "champion", str(version))
    try:
        kit.until(lambda: "logged by another release" in follower.output, "it is named", 20)
        assert follower.call("/").json["models"][NAME] == version
    finally:
        registry.set_registered_model_alias(NAME, "champion", "1")
    kit.until(lambda: follower.call("/").json["models"][NAME] == 1, "the old version answers", 20)
    assert follower.output.count("logged by another release") == 1


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise RuntimeError('made to break')", "made to break"),
        (WITHOUT_RESULTS, "answered 0 results"),
    ],
)
def test_a_broken_version_is_refused_and_the_old_one_stays(
    follower: Any,
    registry: MlflowClient,
    weeks: dict[str, Any],
    tmp_path: Path,
    kit: Any,
    code: str,
    reason: str,
) -> None:
    version = register(tmp_path, MARKED.format(severity=0.5))
    model = registry.get_model_version(NAME, str(version))
    artifacts = mlflow.artifacts.download_artifacts(f"models:/{NAME}/{version}")
    assert Path(artifacts).is_dir()
    # Broken where it is kept, after it was logged: a model that cannot load cannot be logged.
    kept = [
        path
        for path in (Path(str(follower.folder)).parent / "mlflow" / "artifacts").rglob("model.py")
        if 'severity"] = 0.5' in path.read_text()
    ]
    assert kept, model.source
    for path in kept:
        path.write_text(code)
    registry.set_registered_model_alias(NAME, "champion", str(version))
    try:
        refused = kit.until(
            lambda: [
                line
                for line in follower.log
                if line["message"] == "model not loaded" and reason in line["reason"]
            ],
            "the refusal in the log",
            20,
        )
        assert refused[0]["model"] == NAME
        assert refused[0]["in_service"] == 1
        assert follower.call("/").json["models"][NAME] == 1
        assert follower.call(ENTIRE, weeks).status == 200
        assert follower.call("/health/ready").status == 200
        assert told(follower, "loaded") == told(follower, "refused") == 1
        registry.set_registered_model_alias(NAME, "champion", "1")
        kit.until(lambda: told(follower, "refused") == 0, "the metrics tell of no refusal", 20)
        registry.set_registered_model_alias(NAME, "champion", str(version))
        kit.until(lambda: told(follower, "refused") == 1, "they tell of it once more", 20)
    finally:
        registry.set_registered_model_alias(NAME, "champion", "1")
    kit.until(lambda: told(follower, "refused") == 0, "the metrics tell of no refusal", 20)


def test_an_alias_taken_away_leaves_the_version_that_answers(
    follower: Any, registry: MlflowClient, weeks: dict[str, Any], kit: Any
) -> None:
    registry.delete_registered_model_alias(NAME, "champion")
    try:
        kit.until(lambda: "has no alias 'champion'" in follower.output, "the log says so", 20)
        assert follower.call(ENTIRE, weeks).status == 200
    finally:
        registry.set_registered_model_alias(NAME, "champion", "1")


def test_detection_goes_on_without_mlflow(
    follower: Any, mlflow_server: Any, weeks: dict[str, Any], kit: Any
) -> None:
    said = len(follower.log)
    mlflow_server.stop()
    shutil.rmtree(mlflow_server.folder / "artifacts")
    kit.until(
        lambda: [x for x in follower.log[said:] if x["message"] == "model not loaded"],
        "the log says that the registry is gone",
        30,
    )
    for operation in ("entire", "last", "changepoint"):
        path = ENTIRE.replace("entire", operation)
        assert follower.call(path, weeks).status == 200
    assert follower.call("/health/ready").status == 200
    gone = follower.call("/anomalydetector/v1.1/multivariate/models")
    assert (gone.status, gone.headers["Retry-After"]) == (503, "5")
    assert gone.json["error"]["message"].startswith("The model store does not answer: see that")
    kit.until(lambda: "model store unavailable" in follower.output, "the log says so", 5)


def test_without_mlflow_at_the_start_it_waits_and_says_so(
    unready: Any, kit: Any, weeks: dict[str, Any]
) -> None:
    answer = unready.call(ENTIRE, weeks)
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "5"
    assert unready.call("/health/ready").status == 503
    assert told(unready, "loaded") == told(unready, "refused") == 0
    kit.until(lambda: "No MLflow tracking server answers" in unready.output, "the log", 30)
    assert "Retrying" not in unready.output
