"""A trial ends: whatever a model does, and however long."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml
from services import ROOT, until

from detector.api import model_trial
from detector.api.model_kinds import ENTIRE
from detector.api.model_trial import ModelRefusedError, try_out
from detector.models import EntireAnomalyDetector
from detector.tracking.model_files import code_of


def write(folder: Path, code: str) -> Path:
    flavor = {"loader_module": "mlflow.pyfunc.loaders.code_model", "model_code_path": "model.py"}
    about = {"flavors": {"python_function": flavor}, "utc_time_created": "2026-01-01", "run_id": ""}
    (folder / "MLmodel").write_text(yaml.safe_dump(about))
    (folder / "model.py").write_text(code)
    return folder


def test_a_model_that_detects_passes(tmp_path: Path) -> None:
    try_out(ENTIRE, write(tmp_path, code_of(EntireAnomalyDetector)), "it")


@pytest.mark.parametrize("code", ["import time\ntime.sleep(600)", "while True: pass"])
def test_a_model_that_never_returns_is_ended(
    tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_trial, "_SECONDS", 3)
    with pytest.raises(ModelRefusedError, match="it is refused") as refused:
        try_out(ENTIRE, write(tmp_path, code), "it")
    assert "was ended after 3 s" in refused.value.details


TRY_OUT = """
import sys
from pathlib import Path
from detector.api.model_trial import try_out
try_out("univariate-entire", Path(sys.argv[1]), "it")
"""


def is_confined(process: psutil.Process) -> bool:
    # What is imported may start a process that is gone by now.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return "NoNewPrivs:\t1" in Path(f"/proc/{process.pid}/status").read_text()
    return False


def test_a_trial_ends_with_the_service(tmp_path: Path) -> None:
    folder = write(tmp_path, "import time\ntime.sleep(600)")
    service = subprocess.Popen(
        [sys.executable, "-c", TRY_OUT, str(folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "app")},
    )
    try:
        started = psutil.Process(service.pid)
        [trial] = until(
            lambda: [each for each in started.children() if is_confined(each)],
            "the trial is confined",
        )
    finally:
        service.kill()
        service.wait()
    until(lambda: not trial.is_running(), "the trial has ended")


def test_a_model_cannot_shadow_a_module_of_python(tmp_path: Path) -> None:
    write(tmp_path, code_of(EntireAnomalyDetector))
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    try_out(ENTIRE, tmp_path, "it")


def test_a_model_that_writes_without_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_trial, "_SECONDS", 3)
    flood = "import os\nwhile True:\n    for place in range(3, 9):\n        try:\n"
    flood += "            os.write(place, b'x' * 4096)\n        except OSError:\n            pass\n"
    with pytest.raises(ModelRefusedError):
        try_out(ENTIRE, write(tmp_path, flood), "it")


def test_the_environment_of_a_trial_holds_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("API_KEYS", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "secret")
    code = "import os\nraise RuntimeError(sorted(os.environ.values()))"
    with pytest.raises(ModelRefusedError) as refused:
        try_out(ENTIRE, write(tmp_path, code), "it")
    assert "true" in refused.value.details
    assert "secret" not in refused.value.details
