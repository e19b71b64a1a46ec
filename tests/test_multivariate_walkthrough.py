"""The walk-through for many variables as a person runs it, embedded, in an empty folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from walkthroughs import APP, runner

README = APP.parent / "README.md"
walk_through = runner("multivariate.py")
EPOCHS = "50"


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder that was empty, and what the walk-through in it said."""
    folder = tmp_path_factory.mktemp("embedded")
    return folder, walk_through(folder)


def test_the_readme_shows_what_it_prints(walked: tuple[Path, Any]) -> None:
    """But for the figures and the order of the variables, which differ between processors."""

    def form(text: str) -> list[str]:
        names = r"\b(flow|power|pressure|temperature|vibration)\b(?= +\d| contributes)"
        return re.sub(r"\d", "0", re.sub(names, "variable", text)).splitlines()

    readme = README.read_text()
    [shown] = [text for text in readme.split("```\n") if text.startswith("Training on 2250")]
    printed = form(walked[1].stdout)
    assert not [line for line in form(shown) if line != "..." and line not in printed]


@pytest.fixture
def client(walked: tuple[Path, Any]) -> MlflowClient:
    folder, _ = walked
    uri = f"sqlite:///{folder}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    return MlflowClient(uri)


@pytest.fixture
def run(client: MlflowClient) -> Run:
    experiment = client.get_experiment_by_name("multivariate")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    return found


def test_it_finds_the_planted_faults_and_says_so(walked: tuple[Path, Any]) -> None:
    _, walk = walked
    assert walk.returncode == 0, walk.stderr
    assert "Traceback" not in walk.stderr
    assert "multivariate-quickstart, version 1, alias 'champion'" in walk.stdout
    assert "Training on 2250 rows of flow, power, pressure, temperature, vibration" in walk.stdout
    shown = [line.split("  ")[-1] for line in walk.stdout.splitlines() if line.startswith("2026")]
    assert 0 < len(shown) <= 12
    assert {line.split()[0] for line in shown} >= {"pressure", "temperature"}
    assert "of 750 rows are anomalies" in walk.stdout


def test_it_leaves_quiet_rows_alone(client: MlflowClient, run: Run) -> None:
    result = pd.read_json(client.download_artifacts(run.info.run_id, "result.json"), orient="split")
    times = pd.to_datetime(result["timestamp"])
    faults = (("2026-01-02T16:30", "2026-01-02T17:09"), ("2026-01-02T21:20", "2026-01-02T21:59"))
    quiet = result[~pd.concat([times.between(*span) for span in faults], axis=1).any(axis=1)]
    assert len(quiet) == 750 - 2 * 40
    assert quiet["is_anomaly"].mean() <= 0.08


def test_it_keeps_to_its_folder(walked: tuple[Path, Any]) -> None:
    folder, _ = walked
    assert {path.name for path in folder.iterdir()} == {"mlflow.db", "mlruns"}


def test_the_run_has_params_losses_figures_data_table_and_pictures(
    client: MlflowClient, run: Run
) -> None:
    assert run.info.status == "FINISHED"
    assert run.data.params["slidingWindow"] == "200"
    assert run.data.params["epochs"] == EPOCHS
    for metric in ("train_loss", "validation_loss", "epoch_seconds"):
        history = client.get_metric_history(run.info.run_id, metric)
        assert [value.step for value in history] == list(range(1, int(EPOCHS) + 1))
        assert all(value.value > 0 for value in history)
    logged = {file.path: file.file_size for file in client.list_artifacts(run.info.run_id)}
    assert logged["result.json"]
    assert logged["result.png"]
    assert logged["result.html"]
    figures = run.data.metrics
    assert (figures["rows"], figures["variables"]) == (750, 5)
    assert figures["anomalies"] > 0
    assert figures["seconds"] > 0
    contexts = [given.tags[0].value for given in run.inputs.dataset_inputs]
    assert sorted(contexts) == ["detection", "training"]


def test_the_registered_model_detects_in_new_rows(client: MlflowClient) -> None:
    model = mlflow.pyfunc.load_model("models:/multivariate-quickstart@champion")
    names = ["flow", "power", "pressure", "temperature", "vibration"]
    rows = pd.DataFrame(1.0, index=range(250), columns=names)
    rows.insert(0, "timestamp", pd.date_range("2026-02-01", periods=250, freq="min"))
    answers = model.predict(rows, params={"startTime": "2026-02-01T03:20:00"})
    assert len(answers) == 50
    assert not any(answer["result"]["error"] for answer in answers)


def test_a_file_of_ones_own_is_scored_from_where_one_says(tmp_path: Path) -> None:
    times = pd.date_range("2026-01-01", periods=400, freq="min", tz="UTC")
    swing = np.sin(np.arange(400) / 8)
    frame = pd.DataFrame({"timestamp": times, "left": swing, "right": 3 - swing})
    frame.loc[5, "left"] = np.nan
    frame.sample(frac=1, random_state=1).to_csv(tmp_path / "mine.csv", index=False)
    walk = walk_through(
        tmp_path,
        "mine.csv",
        "--window",
        "40",
        "--epochs",
        "2",
        "--detect-from",
        "2026-01-01T06:00Z",
    )
    assert walk.returncode == 0, walk.stderr
    assert "Training on 360 rows of left, right" in walk.stdout
    assert "of 40 rows" in walk.stdout


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a,b\n1,2\n", "lacks 'timestamp'"),
        ("timestamp,a\n2026-01-01,1\n2026-02-01,2\n", "NotEnoughInput"),
    ],
)
def test_bad_input_is_refused_in_one_line(tmp_path: Path, content: str, says: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(content)
    walk = walk_through(tmp_path, str(file))
    assert walk.returncode == 2
    assert says in walk.stderr
    assert len(walk.stderr.splitlines()) == 1
    assert not (tmp_path / "mlflow.db").exists()
