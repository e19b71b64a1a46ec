"""How MLflow's client behaves here, where the environment does not say it."""

from __future__ import annotations

import os

_QUIET = {
    # The log, and what the walk-throughs print, are ours.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
# MLflow's own default is seven tries, which take minutes.
_QUICK = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
# Tries after 0, 4, 8, 16, 32 and 64 seconds: as long as a restart of the server takes.
_PATIENT = _QUICK | {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "6",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "2",
}


def quiet() -> None:
    """Have MLflow print and send nothing of its own; call it before MLflow is imported."""
    _set_defaults(_QUIET)


def set_tries(*, patient: bool) -> None:
    """Say how often a request to the MLflow server is tried.

    Parameters
    ----------
    patient : bool
        Whether to wait out a restart of the server, as work in the background does.
    """
    _set_defaults(_PATIENT if patient else _QUICK)


def _set_defaults(defaults: dict[str, str]) -> None:
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
