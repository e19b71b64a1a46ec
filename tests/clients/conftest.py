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


def _serve(folder: Path, **environment: str) -> Iterator[Service]:
    service = start_detector(
        folder,
        API_KEYS=",".join(KEYS),
        DETECTOR_EMBEDDED_WORKER="true",
        DETECTOR_TRAINING_EPOCHS="10",
        **environment,
    )
    try:
        yield service.wait()
    finally:
        service.stop()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return a service with keys and a worker."""
    yield from _serve(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return such a service over TLS, with an authority of its own."""
    yield from _serve(tmp_path_factory.mktemp("secured"), DETECTOR_TLS="self")


def _trust(service: Service, variable: str) -> dict[str, str]:
    return {variable: str(service.authority)} if service.url.startswith("https:") else {}


class Programs:
    """Runs the programs of this folder, which are quick starts with a client of Azure's.

    Each is asked, as JSON, and returns what it found.
    """

    def javascript(self, name: str, *arguments: str, asked: Any, service: Service) -> Any:
        """Run a program for Node."""
        if not shutil.which("node") or not MODULES.exists():
            pytest.skip("Azure's clients for Node are not here: install npm, then run make clients")
        environment = (
            {"NODE_EXTRA_CA_CERTS": str(service.authority)} if service.authority.exists() else {}
        )
        command = ["node", str(FOLDER / "javascript" / name), *arguments]
        return self._run(command, environment, asked, service)

    def python(self, name: str, package: str, *, asked: Any, service: Service) -> Any:
        """Run a program for Python with a package that lies in a folder of its own."""
        folder = FOLDER / "python" / package
        if not folder.exists():
            pytest.skip(f"the client {package} is not here: run make clients")
        environment = {"PYTHONPATH": str(folder)} | _trust(service, "REQUESTS_CA_BUNDLE")
        command = [sys.executable, "-W", "ignore", str(FOLDER / "python" / name)]
        return self._run(command, environment, asked, service)

    def _run(
        self, command: list[str], environment: dict[str, str], asked: Any, service: Service
    ) -> Any:
        named = {
            "ANOMALY_DETECTOR_ENDPOINT": service.url,
            "ANOMALY_DETECTOR_API_KEY": KEYS[0],
        }
        done = subprocess.run(
            command,
            input=json.dumps(asked),
            env=os.environ | named | environment,
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
