"""Models and results as runs of MLflow: what they say, how they are counted, how they fail."""

from __future__ import annotations

import base64
import gzip
import json
import sqlite3
import zlib
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
from detector.multivariate.wire import Diagnostics, training_to_wire
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


STATED = {"detector.status": "x"}
ASKED = json.dumps(training_to_wire(REQUEST))
SOUND = STATED | {
    "detector.updated": "2026-01-01T00:00:00+00:00",
    "detector.errors": "[]",
    "detector.queued": "true",
    "detector.request": ASKED,
}


HOSTILE = [
    STATED,
    SOUND | {"detector.updated": "yesterday"},
    SOUND | {"detector.updated": "0001-01-01T00:00:00+23:00"},
    SOUND | {"detector.errors": "{"},
    SOUND | {"detector.errors": "[1]"},
    SOUND | {"detector.errors": '[{"code": 1, "message": 2}]'},
    SOUND | {"detector.request": "[" * 3000},
    SOUND | {"detector.request": "[]"},
    SOUND | {"detector.request": ASKED.replace('"pump"', r'"\ud800"')},
    SOUND | {"detector.request": ASKED.replace(json.dumps(SHOWN), "7")},
]


def test_runs_that_another_program_wrote_harm_no_other(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model_id = runs.create_model(REQUEST).model_id
    client, experiment = MlflowClient(), ensure_experiment(runs.MODELS)
    written = [client.create_run(experiment, tags=tags).info.run_id for tags in HOSTILE]
    models = ModelList()
    for _ in range(2):
        assert [each.model_id for each in models.page(0, 10)[0]] == [model_id]
        assert model_id in {each.identity for each in runs.unfinished()}
    for each in written:
        with pytest.raises(DetectionError, match="Delete the model") as refused:
            runs.get_model(each)
        assert refused.value.code == "ModelFailed"
        runs.delete_model(each)
        assert client.get_run(each).info.lifecycle_stage == "deleted"
    told = [each.__dict__["run"] for each in caplog.records if "cannot be read" in each.message]
    assert set(told) == set(written)
    # Each for one reason where all of it is read, and for one where only its state is.
    assert len(told) <= 2 * len(written)


def test_a_result_that_another_program_wrote_is_none(store: Path) -> None:
    experiment = ensure_experiment(runs.RESULTS)
    for tags in (STATED, {"detector.status": runs.READY}):
        written = MlflowClient().create_run(experiment, tags=tags).info.run_id
        with pytest.raises(DetectionError, match="cannot be read") as refused:
            runs.get_result(written)
        assert refused.value.code == "ResultNotExist"
    assert runs.unfinished() == []


@pytest.mark.parametrize("told", [[], {}, {"modelState": {}, "variableStates": [1]}, 7])
def test_diagnostics_that_another_program_wrote_are_none(store: Path, told: object) -> None:
    model_id = runs.create_model(REQUEST).model_id
    tag = base64.b64encode(zlib.compress(json.dumps(told).encode())).decode()
    MlflowClient().set_tag(runs.run_id(model_id), "detector.diagnostics", tag)
    [listed] = ModelList().page(0, 10)[0]
    assert listed.variables == 0
    assert listed.diagnostics == Diagnostics()


def test_a_run_without_a_zone_was_updated_at_some_time(store: Path) -> None:
    tags = SOUND | {"detector.updated": "2026-01-01T00:00:00"}
    MlflowClient().create_run(ensure_experiment(runs.MODELS), tags=tags)
    [found] = runs.unfinished()
    assert found.updated.tzinfo is not None


@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(b"[" * 3000), gzip.compress(b"{}" + b" " * 2000)],
    # Compressed bytes hold the time, and would be another name in each process.
    ids=["no gzip", "nested", "an object"],
)
def test_a_result_that_cannot_be_read_says_so(
    store: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(runs, "_LARGEST_RESULT", 1000)
    request = DetectionRequest(source="pump.csv", start=START, end=START)
    result_id = runs.create_result("a model", request).result_id
    runs.store_result(result_id, [], [])
    runs.set_status(result_id, runs.READY)
    assert runs.get_result(result_id).found == {"variableStates": [], "results": []}
    (store / "result.json.gz").write_bytes(content)
    MlflowClient().log_artifact(runs.run_id(result_id), str(store / "result.json.gz"))
    with pytest.raises(DetectionError, match="cannot be read") as refused:
        runs.get_result(result_id)
    assert refused.value.code == "ResultNotExist"
