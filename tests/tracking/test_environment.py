"""What MLflow's client is told, and that the environment has the last word."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from detector.tracking import environment

TRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"


@pytest.mark.parametrize(("patient", "tries"), [(False, "2"), (True, "6")])
def test_work_in_the_background_tries_for_longer(
    monkeypatch: pytest.MonkeyPatch, patient: bool, tries: str
) -> None:
    monkeypatch.setattr(os, "environ", {})
    environment.set_tries(patient=patient)
    assert os.environ[TRIES] == tries


def test_the_environment_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {TRIES: "0"})
    environment.set_tries(patient=True)
    assert os.environ[TRIES] == "0"


def test_it_is_said_before_mlflow_is_imported() -> None:
    program = (
        "import sys; from detector.tracking import environment; environment.quiet();"
        "print('mlflow' in sys.modules)"
    )
    app = Path(__file__).parents[2] / "app"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=app, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
