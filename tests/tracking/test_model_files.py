"""What code a logged model brings is decided by its files, and none of it runs for that."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml

from detector.models import EntireAnomalyDetector, LatestAnomalyDetector
from detector.tracking import model_files, registry, server

# Of MLflow about models without type hints.
pytestmark = pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")
URI = "models:/entire/1"


@pytest.fixture(scope="module")
def registered(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Register a model of ours; return the folder that holds its files."""
    folder = tmp_path_factory.mktemp("registered")
    shutil.copy(empty_store, folder)
    days = pd.date_range("2024-01-01", periods=30, freq="D")
    before = mlflow.get_tracking_uri()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        server.connect()
        with mlflow.start_run():
            version = registry.log(
                EntireAnomalyDetector(),
                name="entire",
                registered_as="entire",
                alias="champion",
                example=pd.DataFrame({"timestamp": days, "value": 1.0}),
                params={"granularity": "daily"},
            )
        model = mlflow.MlflowClient().get_logged_model(version.model_uri.removeprefix("models:/"))
        yield Path(model.artifact_location)
    mlflow.set_tracking_uri(before)


@pytest.fixture
def logged(registered: Path, tmp_path: Path) -> Iterator[Path]:
    """Return the folder that holds the files of the model; after the test they are as before."""
    kept = shutil.copytree(registered, tmp_path / "kept")
    yield registered
    shutil.rmtree(registered)
    shutil.copytree(kept, registered)


def test_a_model_of_ours_is_known_by_its_class(logged: Path) -> None:
    assert model_files.is_built_in(URI, EntireAnomalyDetector)
    assert not model_files.is_built_in(URI, LatestAnomalyDetector)
    assert model_files.has_this_package(URI)


def test_a_model_with_a_line_more_is_none_of_ours(logged: Path) -> None:
    with (logged / "model.py").open("a") as code:
        code.write("# a line\n")
    assert not model_files.is_built_in(URI, EntireAnomalyDetector)


@pytest.mark.parametrize(
    "change",
    [
        {"loader_module": "mlflow.pyfunc.model"},
        {"loader_module": "hostile"},
        {"model_code_path": "other.py"},
        {"model_code_path": "code/model.py/.."},
        {"model_code_path": None},
    ],
)
def test_a_model_that_mlflow_would_load_by_other_code_is_none_of_ours(
    logged: Path, change: dict[str, str | None]
) -> None:
    about = yaml.safe_load((logged / "MLmodel").read_text())
    about["flavors"]["python_function"] |= change
    (logged / "MLmodel").write_text(yaml.safe_dump(about))
    assert not model_files.is_built_in(URI, EntireAnomalyDetector)


def test_a_model_without_a_python_function_is_none_of_ours(logged: Path) -> None:
    about = yaml.safe_load((logged / "MLmodel").read_text()) | {"flavors": {}}
    (logged / "MLmodel").write_text(yaml.safe_dump(about))
    assert not model_files.is_built_in(URI, EntireAnomalyDetector)


def test_a_description_without_end_is_not_read(logged: Path) -> None:
    with (logged / "MLmodel").open("a") as about:
        about.write("#" * (1 << 20))
    assert not model_files.is_built_in(URI, EntireAnomalyDetector)


def test_the_size_of_the_files_is_known_before_they_are_fetched(logged: Path) -> None:
    assert model_files.size_of(URI, "nothing") == 0
    here = sum(path.stat().st_size for path in (logged / "code").rglob("*") if path.is_file())
    assert model_files.size_of(URI, "code") == here > 100_000


def test_another_package_is_told_from_this_one(logged: Path) -> None:
    models = logged / "code" / "detector" / "models.py"
    text = models.read_text()
    models.write_text(text.replace("a", "b", 1))
    assert not model_files.has_this_package(URI)
    models.write_text(text)
    assert model_files.has_this_package(URI)
    (logged / "code" / "detector" / "more.py").touch()
    assert not model_files.has_this_package(URI)
    (logged / "code" / "detector" / "more.py").unlink()
    models.unlink()
    assert not model_files.has_this_package(URI)


def test_a_download_is_a_copy(logged: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    copy = model_files.download(URI, "", tmp_path / "copy")
    (logged / "model.py").write_text("changed later")
    assert (copy / "model.py").read_text() == model_files.code_of(EntireAnomalyDetector)


def test_a_version_elsewhere_is_refused_before_anything_is_fetched(
    logged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Host(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Authorization", ""))
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    client = mlflow.MlflowClient()
    with HTTPServer(("127.0.0.1", 0), Host) as host:
        thread = threading.Thread(target=host.serve_forever)
        thread.start()
        try:
            evil = f"http://127.0.0.1:{host.server_port}/files"
            # Also by way of an experiment, and of a version that is where another is.
            where = client.create_experiment("evil", artifact_location=evil)
            run = client.create_run(where).info.run_id
            version = client.create_model_version("entire", evil).version
            for source in (f"runs:/{run}/model", f"models:/entire/{version}"):
                client.create_model_version("entire", source)
            for number in range(2, 5):
                uri = f"models:/entire/{number}"
                with pytest.raises(model_files.FilesError, match="not in the store"):
                    model_files.is_built_in(uri, EntireAnomalyDetector)
                with pytest.raises(model_files.FilesError, match="not in the store"):
                    model_files.size_of(uri, "")
        finally:
            host.shutdown()
            thread.join()
    assert asked == []


@pytest.mark.parametrize(
    "location",
    [
        "http://evil.example/files",
        "https://user:secret@evil.example/files",
        "mlflow-artifacts://evil.example/files",
        "mlflow-artifacts:/1/../2",
        "mlflow-artifacts:/1/%2e%2e/2",
        "mlflow-artifacts:/1?x=y",
        "s3://evil/files",
        "file:///etc",
        "file://evil.example/etc",
        "/etc",
        "mlruns/../../etc",
        "",
    ],
)
def test_a_location_outside_the_store_is_refused(store: Path, location: str) -> None:
    with pytest.raises(model_files.FilesError) as refused:
        model_files.check_location(location)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("location", ["mlflow-artifacts:/1/models/m-1/artifacts", "mlruns/1/m"])
def test_a_location_in_the_store_is_taken(store: Path, location: str) -> None:
    model_files.check_location(location)


def test_more_than_may_be_fetched_is_refused(logged: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(model_files.FilesError, match="more than 10 bytes"):
        model_files.download(URI, "", tmp_path / "copy", most=10)
