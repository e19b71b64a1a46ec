"""Registered models that bring code of their own: refused, or tried in a process without secrets.

``python -m detector.api.model_trial NAME FOLDER`` is that process. What it may not do is in
`detector.isolation`; what the model prints is lost.
"""

import contextlib
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import mlflow
import pandas as pd

from detector import isolation
from detector.api.model_kinds import KINDS, Detect, caller, check_shapes

__all__ = ["ModelRefusedError", "example", "load", "try_out"]

_log = logging.getLogger("detector.models")
# Of one trial. A service with its models takes a third of this memory.
_MEMORY = 1 << 30
_SECONDS = 60
# A trial that finds nothing wrong says so; the rest of its answer is read up to this length.
_PASSED = "passed"
_LONGEST_ANSWER = 2000
# What the trial gets of this process's environment: where Python and its libraries are.
_KEPT = (
    "PATH",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
)


class ModelRefusedError(Exception):
    """A version may not answer. The message is for anyone; the details come from its code."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


def load(name: str, folder: Path, label: str) -> Detect:
    """Load a registered model from its files, and return how it detects; its code runs here."""
    model = mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)
    return caller(KINDS[name], model.unwrap_python_model(), label)


def example() -> pd.DataFrame:
    """Return four weeks that any model must be able to detect in."""
    days = pd.date_range("2024-01-01", periods=28, freq="D")
    values = [100.0 + 10 * (day % 7) for day in range(28)]
    return pd.DataFrame({"timestamp": days, "value": values})


def try_out(name: str, folder: Path, label: str) -> None:
    """Have a registered model detect, in a process that has nothing to lose.

    Raises
    ------
    ModelRefusedError
        For a model that does not load, answers with something else than its kind does, or takes
        more than 1 GiB of memory or 60 s.
    """
    with subprocess.Popen(
        # -P: what lies in the current folder is no module.
        [sys.executable, "-P", "-m", __name__, name, str(folder)],
        cwd="/",
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as trial:
        with contextlib.suppress(subprocess.TimeoutExpired):
            trial.wait(_SECONDS)
        trial.kill()
        answer = _answer(trial.stdout)
    if answer.get("outcome") == _PASSED:
        if unconfined := answer.get("unconfined"):
            _log.warning("trial not confined", extra={"model": name, "unconfined": unconfined})
        return
    ended = f"Its process ended with {trial.returncode}, or was ended after {_SECONDS} s."
    raise ModelRefusedError(
        f"{label} is refused because it failed its trial; the log says how.",
        str(answer.get("outcome", ended)),
    )


def _answer(output: IO[bytes] | None) -> dict[str, Any]:
    # It writes once, less than a pipe holds. Foreign code may have written something else, or hold
    # the pipe open where it could start a process.
    if output is not None:
        os.set_blocking(output.fileno(), False)
        with contextlib.suppress(ValueError, TypeError):
            return dict(json.loads(output.read(_LONGEST_ANSWER)))
    return {}


def _environment() -> dict[str, str]:
    package = str(Path(isolation.__file__).parents[1])
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {
        "PYTHONPATH": os.pathsep.join(filter(None, (package, kept.get("PYTHONPATH")))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Each thread's stack counts as memory.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    answers = os.dup(sys.stdout.fileno())
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    kind = KINDS[name]
    columns = kind.series.columns({"series": example().to_dict("records"), **kind.params})
    unconfined = isolation.confine([folder], memory=_MEMORY, seconds=_SECONDS)
    try:
        found = load(name, folder, "it")(columns, dict(kind.params))
        check_shapes(kind, found, len(columns.values), "it")
        outcome = _PASSED
    except BaseException as error:  # noqa: BLE001 - foreign code may raise anything
        outcome = f"{type(error).__name__}: {error}"[: _LONGEST_ANSWER // 4]
    os.write(answers, json.dumps({"outcome": outcome, "unconfined": unconfined}).encode())
    os._exit(0)


if __name__ == "__main__":
    _main()
