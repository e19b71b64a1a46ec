"""Multivariate models and the results of batch detections, kept as MLflow runs.

One run of the experiment ``multivariate`` is one model, whoever trained it: a script, or the
service. Its id is the run's. One run of ``multivariate-detections`` is one result, which is kept
for 7 days. `detector.tracking.records` says what their tags hold.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from detector.errors import DetectionError, Stopped
from detector.multivariate.alignment import VariableState
from detector.multivariate.model import AnomalyState, MultivariateModel
from detector.multivariate.requests import DetectionRequest, TrainingRequest
from detector.multivariate.wire import (
    Diagnostics,
    detection_result_to_wire,
    detection_to_wire,
    training_to_params,
    training_to_wire,
)
from detector.tracking import model_files, records
from detector.tracking.experiments import ensure_experiment
from detector.tracking.records import ModelRecord, ResultRecord, Unfinished
from detector.tracking.server import is_outage

MODELS = "multivariate"
RESULTS = "multivariate-detections"
KEPT = timedelta(days=7)
CREATED, RUNNING, READY, FAILED = "CREATED", "RUNNING", "READY", "FAILED"
# What MLflow's own pages show for each status.
_SHOWN = {CREATED: "SCHEDULED", RUNNING: "RUNNING", READY: "FINISHED", FAILED: "FAILED"}
_DIAGNOSTICS, _RESULT = "diagnostics.json", "result.json.gz"
_DAMAGED_RESULT = (ValueError, TypeError, RecursionError, EOFError, zlib.error, gzip.BadGzipFile)
# Of a result, unpacked: several times what one batch detection may find.
_LARGEST_RESULT = 1 << 29
_LONGEST_MESSAGE = 2000
_UUID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.I)
# What reading raises where the files of a model are others, or not whole.
_DAMAGED = (OSError, ValueError, LookupError, TypeError, RuntimeError, UnpicklingError)


def create_model(request: TrainingRequest, *, queued: bool = True) -> ModelRecord:
    """Begin the run of a model that is to be trained; its status is ``CREATED``.

    Parameters
    ----------
    request : TrainingRequest
    queued : bool
        Whether a worker trains it. A program that trains it itself says no.
    """
    tags = {records.QUEUED: str(queued).lower(), "Training Info": "Multivariate Anomaly Detector"}
    if queued:
        tags |= _withheld(request)
    name = request.display_name or None
    asked, params = training_to_wire(request), training_to_params(request)
    run = _begin(MODELS, asked, name=name, tags=tags, params=params)
    return records.model_of(run)


def get_model(model_id: str) -> ModelRecord:
    """Return a model.

    Raises
    ------
    DetectionError
        ``ModelNotExist`` for one that never was or is deleted, ``ModelFailed`` for one whose run
        another program wrote, so that it cannot be read.
    """
    run = _run_of_model(model_id)
    record = records.where_readable(run, lambda run: records.model_of(run, _diagnostics(run)))
    if record is None:
        raise DetectionError(
            "ModelFailed",
            f"The run of the model '{model_id}' in MLflow cannot be read: another program wrote "
            "its tags. Delete the model and train another one.",
        )
    return record


def delete_model(model_id: str) -> None:
    """Delete a model; a training that runs is told to stop.

    MLflow keeps a deleted run and its files, marked as such, until ``make gc``.

    Raises
    ------
    DetectionError
        ``ModelNotExist``.
    """
    MlflowClient().delete_run(_run_of_model(model_id).info.run_id)


def _run_of_model(model_id: str) -> Run:
    run = run_of(model_id, MODELS)
    if run is None:
        raise DetectionError(
            "ModelNotExist",
            f"The model does not exist: there is none with the id '{model_id[:50]}'.",
        )
    return run


def discard(identity: str) -> None:
    """Delete the run of what could not be begun."""
    MlflowClient().delete_run(run_id(identity))


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
    return _read_model(model_id, f"models:/{logged[-1].model_id}")


def _read_model(model_id: str, model_uri: str) -> MultivariateModel:
    # Not through MLflow's pyfunc, which would run the code that was logged with the model.
    path = "artifacts/model"
    try:
        size = model_files.size_of(model_uri, path)
        reason = f"'{path}' holds {size} bytes"
        if 0 < size <= model_files.LARGEST:
            with tempfile.TemporaryDirectory() as folder:
                files = model_files.download(model_uri, path, Path(folder))
                try:
                    return MultivariateModel.load(files)
                except _DAMAGED as error:
                    reason = f"{type(error).__name__}: {error}".split("\n")[0][:200]
    except model_files.FilesError as error:
        reason = str(error).rstrip(".")
    raise DetectionError(
        "ModelFailed",
        f"The files of the model '{model_id}' are not those of a model: {reason}. Train another "
        "one.",
    )


def create_result(model_id: str, request: DetectionRequest) -> ResultRecord:
    """Begin the run of a batch detection; its status is ``CREATED``."""
    tags = {records.QUEUED: "true", records.MODEL: model_id} | _withheld(request)
    run = _begin(RESULTS, detection_to_wire(request), name=None, tags=tags)
    return records.result_of(run, {})


def get_result(result_id: str) -> ResultRecord:
    """Return a batch detection and what it found.

    Raises
    ------
    DetectionError
        ``ResultNotExist`` for one that never was, or is older than 7 days.
    """
    run = run_of(result_id, RESULTS)
    if run is None or records.created_at(run) + KEPT < datetime.now(UTC):
        raise DetectionError(
            "ResultNotExist",
            f"The result does not exist: there is none with the id '{result_id[:50]}', or it is "
            f"older than {KEPT.days} days.",
        )
    record = records.where_readable(run, lambda run: records.result_of(run, {}))
    if record is None:
        raise DetectionError(
            "ResultNotExist",
            f"The run of the result '{result_id}' in MLflow cannot be read: another program wrote "
            "its tags. Send the request for the detection again.",
        )
    if record.status != READY:
        return record
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = model_files.download(f"runs:/{run.info.run_id}", _RESULT, Path(folder))
            return records.result_of(run, json.loads(_unpacked(path)))
        except _DAMAGED_RESULT as error:
            raise DetectionError(
                "ResultNotExist",
                f"The file of the result '{result_id}' cannot be read: {str(error)[:300]}. Send "
                "the request for the detection again.",
            ) from error


def _unpacked(path: Path) -> bytes:
    """Return what a file holds that is packed; ValueError where that is too much."""
    with gzip.open(path) as packed:
        content = packed.read(_LARGEST_RESULT + 1)
    if len(content) > _LARGEST_RESULT:
        raise ValueError(f"it holds more than {_LARGEST_RESULT} bytes")
    return content


def expire_results() -> int:
    """Delete the results that are older than 7 days, with their files; return how many."""
    client = MlflowClient()
    oldest = datetime.now(UTC) - KEPT
    before = int(oldest.timestamp() * 1000)
    old = client.search_runs([ensure_experiment(RESULTS)], f"attributes.start_time < {before}")
    for run in old:
        get_artifact_repository(run.info.artifact_uri).delete_artifacts()  # type: ignore[no-untyped-call]
        client.delete_run(run.info.run_id)
    return len(old)


def unfinished() -> list[Unfinished]:
    """Return what is neither READY nor FAILED; without runs that cannot be read."""
    names = {ensure_experiment(name): name for name in (MODELS, RESULTS)}
    status = f"tags.`{records.STATUS}`"
    runs = MlflowClient().search_runs(
        list(names), f"{status} != '{READY}' and {status} != '{FAILED}'"
    )
    read = (
        records.where_readable(
            run, lambda run: records.unfinished_of(run, names[run.info.experiment_id])
        )
        for run in runs
    )
    return [found for found in read if found is not None]


def is_unfinished(identity: str, experiment: str) -> bool:
    """Say whether a model or a result is there, and neither READY nor FAILED."""
    run = run_of(identity, experiment)
    return run is not None and run.data.tags[records.STATUS] not in (READY, FAILED)


def heartbeat(identity: str) -> None:
    """Give a sign of life."""
    MlflowClient().set_tag(run_id(identity), records.UPDATED, _now())


def set_status(identity: str, status: str, errors: Iterable[DetectionError] = ()) -> None:
    """Set the status of a model or a result, and why it failed."""
    told = [{"code": error.code, "message": error.message[:_LONGEST_MESSAGE]} for error in errors]
    client, run = MlflowClient(), run_id(identity)
    tags = {records.STATUS: status, records.UPDATED: _now(), records.ERRORS: json.dumps(told)}
    client.log_batch(run, tags=[RunTag(name, value) for name, value in tags.items()])
    if status in (READY, FAILED):
        client.set_terminated(run, _SHOWN[status])
    else:
        client.update_run(run, _SHOWN[status])


def fail(identity: str, experiment: str, error: DetectionError) -> None:
    """Set the status ``FAILED`` and say why, unless the work is done, failed or deleted."""
    if is_unfinished(identity, experiment):
        set_status(identity, FAILED, [error])


@contextlib.contextmanager
def recording_failure(identity: str, experiment: str) -> Iterator[None]:
    """Write into the run why the work on it failed, and raise that again.

    It is not nested: whoever carries out the work, from beginning to end, writes. What MLflow's own
    absence causes is not the work's failure, and a training that was told to stop has not failed.
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
        fail(identity, experiment, told)
        raise


def store_diagnostics(model_id: str, diagnostics: Diagnostics) -> None:
    """Keep how a training goes, in place of what was kept before."""
    tags = {**records.diagnostics_to_tags(diagnostics), records.UPDATED: _now()}
    MlflowClient().log_batch(
        run_id(model_id), tags=[RunTag(name, value) for name, value in tags.items()]
    )


def store_result(
    result_id: str, states: Iterable[VariableState], anomaly_states: Iterable[AnomalyState]
) -> None:
    """Keep what a batch detection found."""
    found = detection_result_to_wire(states, anomaly_states)
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
    is_one = records.STATUS in run.data.tags and run.info.lifecycle_stage == "active"
    return run if is_one and run.info.experiment_id == ensure_experiment(experiment) else None


def _withheld(request: TrainingRequest | DetectionRequest) -> dict[str, str]:
    """Return the tag of a run whose address lacks what grants access to it."""
    return {records.WITHHELD: "true"} if request.public_source != request.source else {}


def _begin(
    experiment: str,
    asked: Mapping[str, Any],
    *,
    name: str | None,
    tags: Mapping[str, str],
    params: Mapping[str, str] | None = None,
) -> Run:
    client = MlflowClient()
    state = {records.UPDATED: _now(), records.ERRORS: "[]", records.ASKED: json.dumps(asked)}
    begun = client.create_run(ensure_experiment(experiment), tags={**state, **tags}, run_name=name)
    run: str = begun.info.run_id
    try:
        client.update_run(run, _SHOWN[CREATED])
        # Last, because a run is a model or a result from when it has a status.
        client.log_batch(
            run,
            params=[Param(name, value) for name, value in (params or {}).items()],
            tags=[RunTag(records.STATUS, CREATED)],
        )
    except Exception:
        # Where that fails too, a run without a status is left, which nobody takes for a model.
        with contextlib.suppress(Exception):
            client.delete_run(run)
        raise
    begun.data.tags[records.STATUS] = CREATED
    return begun


def _diagnostics(run: Run) -> dict[str, Any] | None:
    """Return how a training of an older version went, which was kept in a file."""
    if records.DIAGNOSTICS in run.data.tags or run.data.tags[records.STATUS] == CREATED:
        return None
    files = MlflowClient().list_artifacts(run.info.run_id)
    if not any(file.path == _DIAGNOSTICS for file in files):
        return None
    told: dict[str, Any] = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/{_DIAGNOSTICS}")
    return told


def run_id(identity: str) -> str:
    """Return the id of the run that is a model or a result; ValueError for what is no UUID.

    `uuid.UUID` would also take braces, and digits that are not ASCII.
    """
    if not _UUID.fullmatch(identity):
        raise ValueError("not a UUID")
    return identity.replace("-", "").lower()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
