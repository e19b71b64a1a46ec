"""Multivariate models and the results of batch detections, kept as MLflow runs.

One run of the experiment ``multivariate`` is one model, whoever trained it: a script, or the
service. Its id is the run's. One run of ``multivariate-detections`` is one result, which is kept
for 7 days. A run's tags hold what was asked, the status and the errors; what grows is an artifact.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from detector.errors import DetectionError, Stopped
from detector.multivariate.alignment import VariableState
from detector.multivariate.model import AnomalyState, MultivariateModel
from detector.multivariate.wire import anomaly_state_to_wire, state_to_wire
from detector.tracking.server import is_outage

MODELS = "multivariate"
RESULTS = "multivariate-detections"
KEPT = timedelta(days=7)
CREATED, RUNNING, READY, FAILED = "CREATED", "RUNNING", "READY", "FAILED"
# What MLflow's own pages show for each status.
_SHOWN = {CREATED: "SCHEDULED", RUNNING: "RUNNING", READY: "FINISHED", FAILED: "FAILED"}
_STATUS, _UPDATED, _ERRORS = "detector.status", "detector.updated", "detector.errors"
_ASKED, _MODEL, _QUEUED = "detector.request", "detector.model", "detector.queued"
_DIAGNOSTICS, _RESULT = "diagnostics.json", "result.json.gz"
_LONGEST_MESSAGE = 2000
_READS = 3


@dataclass(frozen=True)
class ModelRecord:
    """A multivariate model: what was asked for and how far it is.

    Attributes
    ----------
    model_id : str
        A UUID; without its dashes it is the id of the MLflow run.
    created, updated : datetime
        In UTC.
    info : dict
        What was asked, by its names on the wire: ``dataSource``, ``dataSchema``, ``startTime``,
        ``endTime``, ``displayName``, ``slidingWindow``, ``alignPolicy``.
    status : str
        ``CREATED``, ``RUNNING``, ``READY`` or ``FAILED``.
    errors : list of dict
        ``code`` and ``message`` of what went wrong.
    diagnostics : dict
        ``modelState`` with ``epochIds``, ``trainLosses``, ``validationLosses`` and
        ``latenciesInSeconds``, and ``variableStates``, by their names on the wire.
    """

    model_id: str
    created: datetime
    updated: datetime
    info: dict[str, Any]
    status: str
    errors: list[dict[str, str]]
    diagnostics: dict[str, Any]


@dataclass(frozen=True)
class ResultRecord:
    """A batch detection: what was asked for, how far it is, and what was found.

    Attributes
    ----------
    result_id, model_id : str
        UUIDs; the first without its dashes is the id of the MLflow run.
    created : datetime
        In UTC.
    setup : dict
        The request, by its names on the wire.
    status : str
        ``CREATED``, ``RUNNING``, ``READY`` or ``FAILED``.
    errors, variable_states, results : list of dict
        By their names on the wire; empty until there are any.
    """

    result_id: str
    model_id: str
    created: datetime
    setup: dict[str, Any]
    status: str
    errors: list[dict[str, str]]
    variable_states: list[dict[str, Any]]
    results: list[dict[str, Any]]


@dataclass(frozen=True)
class Unfinished:
    """What is neither READY nor FAILED.

    Attributes
    ----------
    experiment : str
        ``MODELS`` or ``RESULTS``.
    identity : str
        The id of the model or the result.
    updated : datetime
        When it last gave a sign of life, in UTC.
    queued : bool
        Whether it is a worker's to do; otherwise the program that began it does it.
    """

    experiment: str
    identity: str
    updated: datetime
    queued: bool


def create_model(info: Mapping[str, Any], *, queued: bool = True) -> ModelRecord:
    """Begin the run of a model that is to be trained; its status is ``CREATED``.

    Parameters
    ----------
    info : mapping
        What is asked, by its names on the wire, with every default filled in.
    queued : bool
        Whether a worker trains it. A program that trains it itself says no.
    """
    tags = {_QUEUED: str(queued).lower(), "Training Info": "Multivariate Anomaly Detector"}
    run = _begin(MODELS, info, name=info["displayName"] or None, tags=tags)
    params = {name: info[name] for name in ("startTime", "endTime", "slidingWindow")}
    # Without the query: it may be what grants access.
    params["dataSource"] = info["dataSource"].partition("?")[0]
    params |= {name: info["alignPolicy"][name] for name in ("alignMode", "fillNAMethod")}
    MlflowClient().log_batch(
        run.info.run_id, params=[Param(name, str(value)) for name, value in params.items()]
    )
    return _model(run, no_diagnostics())


def get_model(model_id: str) -> ModelRecord:
    """Return a model.

    Raises
    ------
    DetectionError
        ``ModelNotExist`` for one that never was or is deleted.
    """
    run = run_of(model_id, MODELS)
    if run is None:
        raise DetectionError(
            "ModelNotExist",
            f"The model does not exist: there is none with the id '{model_id[:50]}'.",
        )
    return _model(run, _diagnostics(run))


def list_models(skip: int, top: int) -> tuple[list[ModelRecord], int]:
    """Return at most `top` models after the first `skip`, the last updated first, and how many are.

    The models of the answer are read from the store one by one, all others not at all.
    """
    client = MlflowClient()
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs(
            [_experiment(MODELS)],
            filter_string=f"tags.`{_STATUS}` != ''",
            order_by=[f"tags.`{_UPDATED}` DESC"],
            page_token=token,
        )
        runs += page
        token = page.token
        if not token:
            break
    return [_model(run, _diagnostics(run)) for run in runs[skip : skip + top]], len(runs)


def delete_model(model_id: str) -> None:
    """Delete a model; a training that runs is told to stop.

    MLflow keeps a deleted run, marked as such, until ``mlflow gc``.

    Raises
    ------
    DetectionError
        ``ModelNotExist``.
    """
    record = get_model(model_id)
    MlflowClient().delete_run(run_id(record.model_id))


def load_model(model_id: str) -> MultivariateModel:
    """Load a trained model from the store.

    Raises
    ------
    DetectionError
        ``ModelNotExist``, ``ModelNotReady`` or ``ModelFailed``.
    """
    record = get_model(model_id)
    if record.status == FAILED:
        reasons = " ".join(error["message"] for error in record.errors)
        raise DetectionError(
            "ModelFailed", f"Model failed to be trained: {reasons} Train another one."
        )
    if record.status != READY:
        raise DetectionError(
            "ModelNotReady",
            f"The model is not ready yet: its status is {record.status}. Ask for the model until "
            "it is READY.",
        )
    # By its own address: `runs:/` looks among the run's files first, and where there is no such
    # folder an S3 store's server fails, which the client takes for an outage and tries again.
    outputs = MlflowClient().get_run(run_id(model_id)).outputs
    logged = outputs.model_outputs if outputs is not None else []
    if not logged:
        raise DetectionError(
            "ModelFailed",
            f"The run of the model '{model_id}' has no logged model any more. Train another one.",
        )
    loaded = mlflow.pyfunc.load_model(f"models:/{logged[-1].model_id}")
    model: MultivariateModel = loaded.unwrap_python_model().model
    return model


def create_result(model_id: str, setup: Mapping[str, Any]) -> ResultRecord:
    """Begin the run of a batch detection; its status is ``CREATED``."""
    run = _begin(RESULTS, setup, name=None, tags={_QUEUED: "true", _MODEL: model_id})
    return _result(run, {})


def get_result(result_id: str) -> ResultRecord:
    """Return a batch detection and what it found.

    Raises
    ------
    DetectionError
        ``ResultNotExist`` for one that never was, or is older than 7 days.
    """
    run = run_of(result_id, RESULTS)
    if run is None or _created(run) + KEPT < datetime.now(timezone.utc):
        raise DetectionError(
            "ResultNotExist",
            f"The result does not exist: there is none with the id '{result_id[:50]}', or it is "
            f"older than {KEPT.days} days.",
        )
    if run.data.tags[_STATUS] != READY:
        return _result(run, {})
    with tempfile.TemporaryDirectory() as folder:
        path = mlflow.artifacts.download_artifacts(
            run_id=run.info.run_id, artifact_path=_RESULT, dst_path=folder
        )
        return _result(run, json.loads(gzip.decompress(Path(path).read_bytes())))


def expire_results() -> int:
    """Delete the results that are older than 7 days, with their files; return how many."""
    client = MlflowClient()
    oldest = datetime.now(timezone.utc) - KEPT
    before = int(oldest.timestamp() * 1000)
    old = client.search_runs([_experiment(RESULTS)], f"attributes.start_time < {before}")
    for run in old:
        get_artifact_repository(run.info.artifact_uri).delete_artifacts()  # type: ignore[no-untyped-call]
        client.delete_run(run.info.run_id)
    return len(old)


def unfinished() -> list[Unfinished]:
    """Return what is neither READY nor FAILED."""
    names = {_experiment(name): name for name in (MODELS, RESULTS)}
    runs = MlflowClient().search_runs(
        list(names), f"tags.`{_STATUS}` != '{READY}' and tags.`{_STATUS}` != '{FAILED}'"
    )
    return [
        Unfinished(
            experiment=names[run.info.experiment_id],
            identity=_uuid(run),
            updated=_time(run.data.tags[_UPDATED]),
            queued=run.data.tags[_QUEUED] == "true",
        )
        for run in runs
    ]


def is_unfinished(identity: str, experiment: str) -> bool:
    """Say whether a model or a result is there, and neither READY nor FAILED."""
    run = run_of(identity, experiment)
    return run is not None and run.data.tags[_STATUS] not in (READY, FAILED)


def heartbeat(identity: str) -> None:
    """Give a sign of life."""
    MlflowClient().set_tag(run_id(identity), _UPDATED, _now())


def set_status(identity: str, status: str, errors: Iterable[DetectionError] = ()) -> None:
    """Set the status of a model or a result, and why it failed."""
    told = [{"code": error.code, "message": error.message[:_LONGEST_MESSAGE]} for error in errors]
    client, run = MlflowClient(), run_id(identity)
    tags = {_STATUS: status, _UPDATED: _now(), _ERRORS: json.dumps(told)}
    client.log_batch(run, tags=[RunTag(name, value) for name, value in tags.items()])
    if status in (READY, FAILED):
        client.set_terminated(run, _SHOWN[status])
    else:
        client.update_run(run, _SHOWN[status])


@contextlib.contextmanager
def recording_failure(identity: str, experiment: str) -> Iterator[None]:
    """Write into the run why the work on it failed, and raise that again.

    What MLflow's own absence causes is not the work's failure, and a training that was told to
    stop has not failed.
    """
    try:
        yield
    except Stopped:
        raise
    except (Exception, KeyboardInterrupt) as error:
        if is_outage(error):
            raise
        if isinstance(error, DetectionError):
            told = error
        elif isinstance(error, KeyboardInterrupt):
            told = DetectionError("UnexpectedError", "The work was interrupted. Begin it again.")
        else:
            reason = f"The work failed unexpectedly with {type(error).__name__}: {error}"
            told = DetectionError("UnexpectedError", reason)
        if is_unfinished(identity, experiment):
            set_status(identity, FAILED, [told])
        raise


def store_diagnostics(model_id: str, diagnostics: Mapping[str, Any]) -> None:
    """Keep how a training goes, in place of what was kept before."""
    client, run = MlflowClient(), run_id(model_id)
    client.log_dict(run, dict(diagnostics), _DIAGNOSTICS)
    heartbeat(model_id)


def store_result(
    result_id: str, states: Iterable[VariableState], anomaly_states: Iterable[AnomalyState]
) -> None:
    """Keep what a batch detection found."""
    found = {
        "variableStates": [state_to_wire(state) for state in states],
        "results": [anomaly_state_to_wire(state) for state in anomaly_states],
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / _RESULT
        path.write_bytes(gzip.compress(json.dumps(found).encode(), compresslevel=3))
        MlflowClient().log_artifact(run_id(result_id), str(path))


def run_of(identity: str, experiment: str) -> Run | None:
    """Return the run of a model or a result; None where there is none of that kind."""
    try:
        run = MlflowClient().get_run(run_id(identity))
    except ValueError:
        return None
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    there = run.info.experiment_id == _experiment(experiment) and _STATUS in run.data.tags
    return run if there and run.info.lifecycle_stage == "active" else None


def no_diagnostics() -> dict[str, Any]:
    """Return the diagnostics of a model whose training has not begun."""
    names = ("epochIds", "trainLosses", "validationLosses", "latenciesInSeconds")
    return {"modelState": {name: [] for name in names}, "variableStates": []}


def _begin(
    experiment: str, asked: Mapping[str, Any], *, name: str | None, tags: Mapping[str, str]
) -> Run:
    client = MlflowClient()
    state = {_STATUS: CREATED, _UPDATED: _now(), _ERRORS: "[]", _ASKED: json.dumps(asked)}
    run = client.create_run(_experiment(experiment), tags={**state, **tags}, run_name=name)
    client.update_run(run.info.run_id, _SHOWN[CREATED])
    return run


def _experiment(name: str) -> str:
    client = MlflowClient()
    experiment: Experiment | None = client.get_experiment_by_name(name)
    if experiment is not None:
        return str(experiment.experiment_id)
    try:
        return client.create_experiment(name)
    except MlflowException as error:
        # Another process was faster.
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return _experiment(name)


def _model(run: Run, diagnostics: dict[str, Any]) -> ModelRecord:
    tags = run.data.tags
    return ModelRecord(
        model_id=_uuid(run),
        created=_created(run),
        updated=_time(tags[_UPDATED]),
        info=json.loads(tags[_ASKED]),
        status=tags[_STATUS],
        errors=json.loads(tags[_ERRORS]),
        diagnostics=diagnostics,
    )


def _result(run: Run, found: Mapping[str, Any]) -> ResultRecord:
    tags = run.data.tags
    return ResultRecord(
        result_id=_uuid(run),
        model_id=tags[_MODEL],
        created=_created(run),
        setup=json.loads(tags[_ASKED]),
        status=tags[_STATUS],
        errors=json.loads(tags[_ERRORS]),
        variable_states=found.get("variableStates", []),
        results=found.get("results", []),
    )


def _diagnostics(run: Run) -> dict[str, Any]:
    if run.data.tags[_STATUS] == CREATED:
        return no_diagnostics()
    files = MlflowClient().list_artifacts(run.info.run_id)
    if not any(file.path == _DIAGNOSTICS for file in files):
        return no_diagnostics()
    for _ in range(_READS):
        # A local store writes in place: what is read meanwhile may be half of it.
        with contextlib.suppress(json.JSONDecodeError):
            diagnostics: dict[str, Any] = mlflow.artifacts.load_dict(
                f"{run.info.artifact_uri}/{_DIAGNOSTICS}"
            )
            return diagnostics
    return no_diagnostics()


def run_id(identity: str) -> str:
    """Return the id of the run that is a model or a result; ValueError for what is no UUID."""
    return uuid.UUID(identity).hex


def _uuid(run: Run) -> str:
    return str(uuid.UUID(run.info.run_id))


def _created(run: Run) -> datetime:
    return datetime.fromtimestamp(run.info.start_time / 1000, timezone.utc)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
