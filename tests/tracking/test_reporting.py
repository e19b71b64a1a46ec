"""A run shows a data scientist what it was about: data, figures, pictures, words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from detector import EntireAnomalyDetector, plot
from detector.multivariate.model import TrainingOptions
from detector.multivariate.requests import TrainingRequest
from detector.tracking import registry, reporting, runs, training

# Of MLflow about models without type hints.
pytestmark = pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")
PARAMS = {"granularity": "daily", "sensitivity": 95}


@pytest.fixture
def result(weekly_season: pd.DataFrame) -> pd.DataFrame:
    """Return a detection in 60 days, of which one is an anomaly."""
    answers = EntireAnomalyDetector().predict(None, weekly_season, PARAMS)
    found = pd.DataFrame([answer["result"] for answer in answers])
    return pd.concat([weekly_season, found], axis=1)


@pytest.fixture
def variables() -> pd.DataFrame:
    """Return two variables by the minute."""
    wave = np.sin(np.arange(90) / 5)
    minutes = pd.date_range("2026-01-01", periods=90, freq="min", name="timestamp")
    return pd.DataFrame({"flow": wave, "heat <i>": 2 - wave}, index=minutes)


def run_of(run: Any) -> Run:
    return MlflowClient().get_run(run.info.run_id)


def logged_univariate(result: pd.DataFrame) -> Run:
    picture = plot.univariate(result, title="Visitors")
    with mlflow.start_run() as run:
        reporting.log_univariate(
            result, title="Visitors", source="visitors.csv", seconds=0.25, picture=picture
        )
    return run_of(run)


def logged_multivariate(variables: pd.DataFrame) -> Run:
    flagged = np.arange(60) % 30 == 10
    found = pd.DataFrame(
        {
            "timestamp": variables.index[30:],
            "is_anomaly": flagged,
            "severity": np.where(flagged, 0.5, 0.0),
            "top": np.where(flagged, "heat <i>", None),
        }
    )
    picture = plot.multivariate(variables, found, title="A pump")
    with mlflow.start_run() as run:
        reporting.log_multivariate(
            variables, found, title="A pump", source=None, seconds=0.5, picture=picture
        )
    return run_of(run)


def page(run: Run) -> Any:
    """Return the data of the interactive picture."""
    text = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/result.html")
    [data] = re.findall(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)
    return json.loads(data)


def test_a_detection_in_one_series_has_its_figures(store: Path, result: pd.DataFrame) -> None:
    run = logged_univariate(result)
    figures = {"points": 60, "anomalies": 1, "period": 7, "seconds": 0.25}
    assert run.data.metrics == figures


def test_a_detection_in_many_variables_has_its_figures(
    store: Path, variables: pd.DataFrame
) -> None:
    run = logged_multivariate(variables)
    assert run.data.metrics == {"rows": 60, "variables": 2, "anomalies": 2, "seconds": 0.5}


def test_the_data_is_an_input_with_source_digest_and_schema(
    store: Path, result: pd.DataFrame
) -> None:
    [given] = logged_univariate(result).inputs.dataset_inputs
    assert (given.dataset.name, json.loads(given.dataset.source)["uri"]) == (
        "Visitors",
        "visitors.csv",
    )
    assert given.dataset.digest
    assert [tag.value for tag in given.tags] == ["detection"]
    columns = json.loads(given.dataset.schema)["mlflow_colspec"]
    assert [column["name"] for column in columns] == ["timestamp", "value"]
    changed = logged_univariate(result.assign(value=result["value"] + 1))
    assert changed.inputs.dataset_inputs[0].dataset.digest != given.dataset.digest


def test_data_without_a_file_comes_from_the_program(store: Path, variables: pd.DataFrame) -> None:
    [given] = logged_multivariate(variables).inputs.dataset_inputs
    assert given.dataset.source_type == "code"


def test_both_pictures_and_the_table_are_there(store: Path, result: pd.DataFrame) -> None:
    run = logged_univariate(result)
    files = {file.path for file in MlflowClient().list_artifacts(run.info.run_id)}
    assert files == {"result.html", "result.json", "result.png"}


def test_the_interactive_picture_has_every_point_and_marks_the_anomaly(
    store: Path, result: pd.DataFrame
) -> None:
    content = page(logged_univariate(result))
    [panel] = content["panels"]
    assert panel["values"] == result["value"].tolist()
    assert panel["marks"] == [40]
    assert content["times"][40] == str(result["timestamp"][40]).removesuffix(" 00:00:00")
    assert all(low <= high for low, high in zip(panel["lower"], panel["upper"], strict=True))


def test_the_variable_that_contributes_most_is_drawn_first_and_marked(
    store: Path, variables: pd.DataFrame
) -> None:
    first, second = page(logged_multivariate(variables))["panels"]
    assert (first["name"], first["marks"]) == ("heat <i>", [10, 40])
    assert (second["name"], second["marks"]) == ("flow", [])


def test_of_very_many_rows_every_anomaly_is_drawn() -> None:
    values = np.zeros(50_001)
    values[[7, 49_999]] = np.nan, 1
    panel = reporting.Panel("a", values, np.array([7, 49_999]))
    text = reporting.render("", [str(row) for row in range(50_001)], [panel])
    content = json.loads(text.split('application/json">')[1].split("</script>")[0])
    [drawn] = content["panels"]
    assert len(content["times"]) <= 20_002
    assert [content["times"][row] for row in drawn["marks"]] == ["7", "49999"]
    assert [drawn["values"][row] for row in drawn["marks"]] == [None, 1]


def test_a_run_says_in_words_what_was_found(store: Path, result: pd.DataFrame) -> None:
    note = logged_univariate(result).data.tags["mlflow.note.content"]
    assert note.startswith("Visitors: 1 of 60 points are anomalies; the period is 7.")
    assert "`result.html`" in note


@pytest.fixture
def trained(store: Path, variables: pd.DataFrame) -> Run:
    """Return the run of a small model, trained on data behind an address that grants access."""
    request = TrainingRequest(
        source="https://data.example.com/pump.csv?sig=secret",
        start=variables.index[0],
        end=variables.index[-1],
        display_name="pump",
        sliding_window=28,
    )
    model_id = runs.create_model(request, queued=False).model_id
    options = TrainingOptions(sliding_window=28, epochs=1)
    training.train_model(
        model_id, lambda: variables, options, registered_as="pumps", alias="champion"
    )
    return MlflowClient().get_run(runs.run_id(model_id))


def test_a_training_shows_its_data_and_no_secret(trained: Run) -> None:
    [given] = trained.inputs.dataset_inputs
    assert [tag.value for tag in given.tags] == ["training"]
    assert json.loads(given.dataset.source) == {"url": "https://data.example.com/pump.csv?..."}
    assert json.loads(given.dataset.profile)["num_rows"] == 90


def test_a_training_and_its_model_are_described(trained: Run) -> None:
    note = trained.data.tags["mlflow.note.content"]
    assert note.startswith("A model of 2 variables together: flow, heat <i>.")
    client = MlflowClient()
    assert client.get_registered_model("pumps").description.startswith("Detects anomalies")
    version = client.get_model_version_by_alias("pumps", "champion")
    assert "sliding window 28, 1 epochs" in version.description


def test_a_detection_is_described_below_the_training(trained: Run, variables: pd.DataFrame) -> None:
    with mlflow.start_run(run_id=trained.info.run_id):
        reporting.add_note("A pump: all is well.")
    paragraphs = run_of(trained).data.tags["mlflow.note.content"].split("\n\n")
    assert len(paragraphs) == 2
    assert paragraphs[1] == "A pump: all is well."


def logged(monthly: pd.DataFrame) -> registry.RegisteredVersion:
    with mlflow.start_run():
        return registry.log(
            EntireAnomalyDetector(),
            name="model",
            registered_as="months",
            alias="champion",
            example=monthly,
            params={"granularity": "monthly"},
        )


def test_a_model_is_described_unless_a_person_has_done_so(
    store: Path, monthly: pd.DataFrame
) -> None:
    logged(monthly)
    client = MlflowClient()
    about = client.get_registered_model("months").description
    assert about == "Detects anomalies among all points of a series."
    client.update_registered_model("months", description="Ours.")
    version = logged(monthly)
    assert client.get_registered_model("months").description == "Ours."
    described = client.get_model_version("months", str(version.version)).description
    assert described == "The defaults are `granularity` monthly."


@pytest.mark.parametrize("kind", ["univariate", "multivariate"])
def test_the_signature_of_a_model_has_its_result(
    request: pytest.FixtureRequest, store: Path, monthly: pd.DataFrame, kind: str
) -> None:
    if kind == "univariate":
        uri = logged(monthly).model_uri
        keys = {"is_anomaly", "expected_value", "upper_margin", "lower_margin", "severity"}
    else:
        request.getfixturevalue("trained")
        uri = "models:/pumps@champion"
        keys = {"is_anomaly", "severity", "score", "interpretation", "error"}
    signature = mlflow.models.get_model_info(uri).signature
    columns = {column["name"]: column for column in signature.outputs.to_dict()}
    assert columns.keys() == {"timestamp", "result"}
    assert keys <= columns["result"]["properties"].keys()
