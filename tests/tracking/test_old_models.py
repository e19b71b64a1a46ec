"""Models that an older version logged load, are listed, and answer as they did then.

`tests/log_old_models.py` made the archive.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import mlflow
import pytest
import recordings
from log_old_models import series, variables
from mlflow.db import upgrade

from detector.errors import DetectionError
from detector.multivariate.alignment import align
from detector.multivariate.wire import training_to_wire
from detector.tracking import model_files, runs
from detector.tracking.listing import ModelList
from detector.tracking.model_cache import ModelCache

# Of MLflow about models without type hints.
pytestmark = pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")
APP = Path(__file__).parents[2] / "app"
ARCHIVE = recordings.FOLDER / "logged-models-f37a8c8.tar.xz"
# Loads a model in a process that knows nothing of this checkout, and answers.
ELSEWHERE = """
import json, sys, mlflow, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
answers = model.predict(pd.read_json(sys.argv[2], orient="table").reset_index())
import detector
print(json.dumps([detector.__file__, answers], default=str))
"""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Return what was recorded, with the store that the models are in as MLflow's."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    for path in [folder / "mlflow.sql", *folder.rglob("MLmodel")]:
        path.write_text(path.read_text().replace("{folder}", str(folder)))
    with closing(sqlite3.connect(folder / "mlflow.db")) as store:
        store.executescript((folder / "mlflow.sql").read_text())
    uri = f"sqlite:///{folder}/mlflow.db"
    # A newer MLflow may want another schema.
    upgrade.main([uri], standalone_mode=False)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    yield json.loads((folder / "answers.json").read_text()) | {"folder": folder}
    mlflow.set_tracking_uri(before)


INPUTS = {"univariate": series, "multivariate": lambda: variables().reset_index()}


def assert_same(answers: Any, recorded: Any) -> None:
    """Compare answers, with numbers but for what another processor may round."""
    assert len(answers) == len(recorded)
    for answer, before in zip(answers, recorded, strict=True):
        assert str(answer["timestamp"]) == before["timestamp"]
        assert _numbers(answer["result"]) == pytest.approx(_numbers(before["result"]), abs=1e-5)
        assert _words(answer["result"]) == _words(before["result"])


def _numbers(result: dict[str, Any]) -> list[float]:
    scores = [each["contribution_score"] for each in result.get("interpretation", [])]
    return [each for each in result.values() if isinstance(each, int | float)] + scores


def _words(result: dict[str, Any]) -> Any:
    found = result.get("interpretation", [])
    return [(each["variable"], each["changed_variables"]) for each in found], result.get("error")


@pytest.mark.parametrize("name", INPUTS)
def test_it_answers_the_same_with_the_code_of_today(old: dict[str, Any], name: str) -> None:
    model = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    kind = type(model.unwrap_python_model())
    assert str(Path(sys.modules[kind.__module__].__file__ or "")).startswith(str(APP))
    assert_same(model.predict(INPUTS[name]()), old[name])


@pytest.mark.parametrize("name", INPUTS)
def test_it_answers_the_same_where_only_its_logged_code_is(
    old: dict[str, Any], name: str, tmp_path: Path
) -> None:
    path = mlflow.artifacts.download_artifacts(f"models:/{name}@champion", dst_path=str(tmp_path))
    frame = INPUTS[name]()
    frame.to_json(tmp_path / "frame.json", orient="table", index=False, double_precision=15)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ELSEWHERE, path, str(tmp_path / "frame.json")],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded_from, answers = json.loads(done.stdout.splitlines()[-1])
    assert Path(loaded_from).is_relative_to(tmp_path)
    assert_same(answers, old[name])


def test_its_run_is_a_model_that_is_listed_and_ready(old: dict[str, Any]) -> None:
    listed, count = ModelList().page(0, 10)
    assert ([record.model_id for record in listed], count) == ([old["model_id"]], 1)
    assert listed[0].variables == 3
    record = runs.get_model(old["model_id"])
    assert (record.status, record.errors) == (runs.READY, [])
    assert training_to_wire(record.request) == old["asked"]
    assert [each.effective_count for each in record.diagnostics.variable_states] == [160] * 3


def test_its_run_loads_as_a_model_that_detects_the_same(old: dict[str, Any]) -> None:
    model = runs.load_model(old["model_id"])
    options = model.options
    table = align(variables(), sliding_window=options.sliding_window, policy=options.align)
    found = model.detect_table(table)
    before = [each["result"] for each in old["multivariate"]]
    assert [each.is_anomaly for each in found] == [each["is_anomaly"] for each in before]
    scores = [each["score"] for each in before]
    assert [each.score for each in found] == pytest.approx(scores, abs=1e-5)


def test_a_model_whose_files_are_too_large_is_refused(
    old: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_files, "LARGEST", 1000)
    with pytest.raises(DetectionError, match=r"'artifacts/model' holds \d+ bytes") as refused:
        runs.load_model(old["model_id"])
    assert refused.value.code == "ModelFailed"


def test_a_loaded_model_is_kept_until_it_is_deleted(old: dict[str, Any]) -> None:
    cache, client = ModelCache(), mlflow.MlflowClient()
    first = cache.get(old["model_id"])
    assert cache.get(old["model_id"]) is first
    client.delete_run(runs.run_id(old["model_id"]))
    with pytest.raises(DetectionError) as refused:
        cache.get(old["model_id"])
    assert refused.value.code == "ModelNotExist"
    client.restore_run(runs.run_id(old["model_id"]))
    assert cache.get(old["model_id"]) is not first


def test_a_model_that_many_ask_for_is_loaded_once(old: dict[str, Any]) -> None:
    cache = ModelCache()
    with ThreadPoolExecutor(4) as threads:
        loaded = list(threads.map(lambda _: cache.get(old["model_id"]), range(8)))
    assert len({id(each) for each in loaded}) == 1
