"""What the tests of clients share: services that they call, and the programs written for Node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from services import KEYS, Service, start_detector

FOLDER = Path(__file__).parent
MODULES = FOLDER / "node_modules"


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return a service with keys and a worker."""
    service = start_detector(
        tmp_path_factory.mktemp("served"),
        API_KEYS=",".join(KEYS),
        DETECTOR_EMBEDDED_WORKER="true",
        DETECTOR_TRAINING_EPOCHS="10",
    )
    try:
        yield service.wait()
    finally:
        service.stop()


@pytest.fixture(scope="session")
def run_javascript() -> Callable[..., Any]:
    """Return what runs a program of the folder ``javascript`` and reads what it found."""
    if not shutil.which("node") or not MODULES.exists():
        pytest.skip("Azure's clients for Node are not here: install npm, then run make clients")

    def run(program: str, *arguments: str, asked: Any, endpoint: str, **environment: str) -> Any:
        done = subprocess.run(
            ["node", str(FOLDER / "javascript" / program), *arguments],
            input=json.dumps(asked),
            env=os.environ
            | {"ANOMALY_DETECTOR_ENDPOINT": endpoint, "ANOMALY_DETECTOR_API_KEY": KEYS[0]}
            | environment,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
