"""The MLflow tracking server: choose it, see that it answers, and say why it does not."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import sys
import tempfile
from pathlib import Path

import mlflow
import requests
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException
from requests.exceptions import RequestException
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from detector.multivariate.requests import redacted
from detector.tracking import environment

_SQLITE = "sqlite:///"


class TrackingError(Exception):
    """The tracking server cannot be used; the message says what was tried and what to do."""


def connect(*, patient: bool = False) -> str:
    """Choose the tracking server and make sure that it answers.

    ``MLFLOW_TRACKING_URI`` names it; without that, runs and models are kept in the current
    folder, in ``mlflow.db`` and ``mlruns/``, and nothing needs to be started.

    Parameters
    ----------
    patient : bool
        Whether later requests wait out a restart of the server.

    Returns
    -------
    str
        The tracking address.

    Raises
    ------
    TrackingError
        If the server does not answer, or refuses, a first request.
    """
    environment.set_tries(patient=patient)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    # It may hold a log-in, and messages reach logs.
    shown = redacted(uri)
    try:
        with _alone(uri):
            _check_file(uri)
            MlflowClient().search_experiments(max_results=1)
    except RestException as error:
        raise TrackingError(
            f"The MLflow tracking server at {shown} refuses this client: {error.message} "
            "(a host name is allowed with MLFLOW_SERVER_ALLOWED_HOSTS on the server, a log-in is "
            "given with MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD here)."
        ) from error
    except (MlflowException, SQLAlchemyError, sqlite3.Error) as error:
        if not uri.startswith("http"):
            raise TrackingError(
                f"The runs kept at {shown} cannot be opened: {_root_cause(error)}. Is the folder "
                "writable, with space left, and the file one that MLflow made? Work in another "
                "folder, or name a server with MLFLOW_TRACKING_URI."
            ) from error
        raise TrackingError(
            f"No MLflow tracking server answers at {shown} (MLFLOW_TRACKING_URI): "
            f"{_root_cause(error)}. Start the stack with `make up`, name another server, or unset "
            "MLFLOW_TRACKING_URI to keep everything in this folder."
        ) from error
    return uri


def _alone(uri: str) -> contextlib.AbstractContextManager[object]:
    """Keep other processes from making the tables of a new SQLite file at the same time."""
    if not uri.startswith(_SQLITE):
        return contextlib.nullcontext()
    name = hashlib.sha256(uri.encode()).hexdigest()[:16]
    return FileLock(Path(tempfile.gettempdir()) / f"detector-{os.getuid()}-{name}.lock")


def _check_file(uri: str) -> None:
    """See that an SQLite file can be written: MLflow itself tries, and warns, for a minute."""
    if uri.startswith(_SQLITE):
        with contextlib.closing(sqlite3.connect(uri.removeprefix(_SQLITE))) as store:
            store.execute("BEGIN IMMEDIATE")


def explain(error: MlflowException) -> str:
    """Return why a call failed, asking the server itself where its answer got lost.

    MLflow repeats a call that the store's absence makes fail, and then reports how often it did.
    """
    uri = mlflow.get_tracking_uri()
    if uri.startswith("http"):
        try:
            path = "/api/2.0/mlflow-artifacts/artifacts?path=health"
            user = os.environ.get("MLFLOW_TRACKING_USERNAME")
            log_in = (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if user else None
            answer = requests.get(uri.rstrip("/") + path, auth=log_in, timeout=10)
            if not answer.ok:
                return str(answer.json()["message"])
        except (requests.RequestException, ValueError, KeyError):
            pass
    return str(error)


def _root_cause(error: BaseException) -> str:
    while error.__context__ is not None:
        error = error.__context__
    return str(error).split("\n")[0][:200]


def public_address() -> str | None:
    """Return where a browser finds MLflow's pages; None where it is a file, which has none."""
    uri = mlflow.get_tracking_uri()
    if not uri.startswith("http"):
        return None
    # Inside the stack the server has another name than outside. What logs in is not shown.
    return (os.environ.get("MLFLOW_PUBLIC_URL") or redacted(uri)).rstrip("/")


def run_address(run: mlflow.entities.Run) -> str:
    """Return where to look at a run: its page, or how to open it."""
    page = f"/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    address = public_address()
    if address:
        return address + page
    uri = mlflow.get_tracking_uri()
    command = f"{Path(sys.executable).with_name('mlflow')} server --backend-store-uri {uri}"
    return f"http://127.0.0.1:5000{page}\n  served by: {command}"


# The codes of MLflow's errors that another try may not meet.
_PASSING = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"}


def is_outage(error: BaseException) -> bool:
    """Say whether MLflow, its database or its store was away, rather than asked for nonsense."""
    if isinstance(error, MlflowException):
        return error.error_code in _PASSING
    return isinstance(error, (RequestException, ConnectionError, TimeoutError, OperationalError))
