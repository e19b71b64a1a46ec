"""Models and results as runs of MLflow: what they say, how they are counted, how they fail."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from detector.errors import DetectionError, Stopped
from detector.multivariate.alignment import AlignPolicy
from detector.multivariate.requests import DetectionRequest, TrainingRequest
from detector.tracking import runs
from detector.tracking.experiments import ensure_experiment
from detector.tracking.listing import ModelList

START = pd.Timestamp("2026-01-01")
SHOWN = "https://data.example.com/pump.csv?..."
REQUEST = TrainingRequest(
    source="https://data.example.com/pump.csv?sig=secret",
    schema="MultiTable",
    start=START,
    end=pd.Timestamp("2026-01-02 03:04:05.000006"),
    display_name="pump",
    sliding_window=40,
    align=AlignPolicy("Inner", "Fixed", 1.5),
)


def test_what_a_training_was_asked_for_is_what_its_run_says(store: Path) -> None:
    model_id = runs.create_model(REQUEST).model_id
    record = runs.get_model(model_id)
    assert record.request == replace(REQUEST, source=SHOWN)
    assert record.withheld


def test_what_grants_access_is_in_no_parameter(store: Path) -> None:
    model_id = runs.create_model(REQUEST).model_id
    params = MlflowClient().get_run(runs.run_id(model_id)).data.params
    assert params == {
        "dataSource": SHOWN,
        "startTime": "2026-01-01T00:00:00Z",
        "endTime": "2026-01-02T03:04:05.000006Z",
        "slidingWindow": "40",
        "alignMode": "Inner",
        "fillNAMethod": "Fixed",
    }


def test_what_a_detection_was_asked_for_is_what_its_run_says(store: Path) -> None:
    request = DetectionRequest(source="pump.csv", start=START, end=START, top_contributors=3)
    result_id = runs.create_result("a model", request).result_id
    record = runs.get_result(result_id)
    assert record.request == request
    assert record.found == {"variableStates": [], "results": []}


@pytest.mark.parametrize(
    "identity", ["\N{FULLWIDTH DIGIT ONE}" + "0" * 31, "{" + "0" * 32 + "}", "urn:uuid:" + "0" * 32]
)
def test_an_id_is_a_uuid_in_ascii_digits(store: Path, identity: str) -> None:
    with pytest.raises(ValueError, match="UUID"):
        runs.run_id(identity)
    with pytest.raises(runs.DetectionError) as refused:
        runs.get_model(identity)
    assert refused.value.code == "ModelNotExist"


def test_a_run_that_cannot_be_begun_whole_is_no_model(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite3.connect(store / "mlflow.db") as database:
        # As a disk that is full when the parameters are to be written.
        database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON params "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    with pytest.raises(MlflowException):
        runs.create_model(REQUEST)
    assert ModelList().page(0, 10) == ([], 0)
    assert runs.unfinished() == []


def test_why_work_failed_is_written_down_and_raised(store: Path) -> None:
    model_id = runs.create_model(REQUEST).model_id
    with pytest.raises(DetectionError), runs.recording_failure(model_id, runs.MODELS):
        raise DetectionError("NoData", "There is none.")
    record = runs.get_model(model_id)
    assert record.status == runs.FAILED
    assert record.errors == [{"code": "NoData", "message": "There is none."}]


@pytest.mark.parametrize("error", [Stopped(), ConnectionError("MLflow is away")])
def test_work_that_may_go_on_has_not_failed(store: Path, error: Exception) -> None:
    model_id = runs.create_model(REQUEST).model_id
    with pytest.raises(type(error)), runs.recording_failure(model_id, runs.MODELS):
        raise error
    assert runs.get_model(model_id).status == runs.CREATED


def test_what_is_done_does_not_fail_any_more(store: Path) -> None:
    model_id = runs.create_model(REQUEST).model_id
    runs.set_status(model_id, runs.READY)
    runs.fail(model_id, runs.MODELS, DetectionError("UnexpectedError", "Too late."))
    assert runs.get_model(model_id).status == runs.READY


def test_an_experiment_opens_in_the_view_of_model_training(store: Path) -> None:
    made = MlflowClient().get_experiment(ensure_experiment("new"))
    older = mlflow.create_experiment("older")
    assert ensure_experiment("older") == older
    for experiment in (made, MlflowClient().get_experiment(older)):
        assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
