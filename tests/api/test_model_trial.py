"""A trial ends: whatever a model does, and however long."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

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


def test_a_model_that_detects_passes_and_shadows_no_module_of_python(tmp_path: Path) -> None:
    write(tmp_path, code_of(EntireAnomalyDetector))
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    try_out(ENTIRE, tmp_path, "it")


# It writes to whatever is open, its answer too, until that takes no more, and then waits for ever.
FLOOD = """
import os
while True:
    for place in range(3, 9):
        try:
            os.write(place, b"x" * 4096)
        except OSError:
            pass
"""


@pytest.mark.parametrize("code", ["while True: pass", FLOOD], ids=["computes", "writes"])
def test_a_model_that_never_returns_is_ended(
    tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_trial, "_SECONDS", 3)
    with pytest.raises(ModelRefusedError, match="it is refused") as refused:
        try_out(ENTIRE, write(tmp_path, code), "it")
    assert "was ended after 3 s" in refused.value.details


def test_a_trial_is_confined_and_its_environment_holds_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("API_KEYS", "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "secret")
    code = "import os\nconfined = 'NoNewPrivs:\\t1' in open('/proc/self/status').read()\n"
    code += "raise RuntimeError(f'confined: {confined}', sorted(os.environ.values()))"
    with pytest.raises(ModelRefusedError) as refused:
        try_out(ENTIRE, write(tmp_path, code), "it")
    assert "true" in refused.value.details
    assert "secret" not in refused.value.details
    # So it ends with the service (tests/test_isolation.py).
    assert "confined: True" in refused.value.details
