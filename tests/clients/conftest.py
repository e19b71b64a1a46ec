"""What the tests of clients share: services that they call, and the programs written for Node."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
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


class Programs:
    """Runs the programs of this folder, which are quick starts with a client of Azure's."""

    def javascript(self, name: str, *arguments: str, **asked: Any) -> Any:
        """Run a program for Node, and return what it found."""
        if not shutil.which("node") or not MODULES.exists():
            pytest.skip("Azure's clients for Node are not here: install npm, then run make clients")
        return self._run(["node", str(FOLDER / "javascript" / name), *arguments], {}, **asked)

    def python(self, name: str, package: str, **asked: Any) -> Any:
        """Run a program for Python with a package that lies in a folder of its own."""
        folder = FOLDER / "python" / package
        if not folder.exists():
            pytest.skip(f"the client {package} is not here: run make clients")
        program = str(FOLDER / "python" / name)
        return self._run(
            [sys.executable, "-W", "ignore", program], {"PYTHONPATH": str(folder)}, **asked
        )

    def _run(
        self,
        command: list[str],
        environment: dict[str, str],
        *,
        asked: Any,
        endpoint: str,
        **more: str,
    ) -> Any:
        done = subprocess.run(
            command,
            input=json.dumps(asked),
            env=os.environ
            | {"ANOMALY_DETECTOR_ENDPOINT": endpoint, "ANOMALY_DETECTOR_API_KEY": KEYS[0]}
            | environment
            | more,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="session")
def programs() -> Programs:
    """Return what runs the quick starts."""
    return Programs()
