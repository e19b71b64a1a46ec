"""What the tests of clients share: services that they call, and what runs the programs."""

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
from clients.azurite import PROGRAM, Azurite
from clients.azurite import running as running_azurite
from services import KEYS, Service, keep_data, running, until

FOLDER = Path(__file__).parent
MODULES = FOLDER / "node_modules"
SETTINGS = {
    # The last is what is sent where a test names none.
    "API_KEYS": ",".join([*KEYS, "any"]),
    "DETECTOR_EMBEDDED_WORKER": "true",
    "DETECTOR_TRAINING_EPOCHS": "10",
}


@pytest.fixture(scope="session", autouse=True)
def _node_18() -> Iterator[None]:
    """Let Node 18, which Debian 12 has, run packages of today that want Node 20."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NODE_OPTIONS", "--experimental-global-webcrypto")
        yield


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """Return a blob storage; a test that asks for it is skipped where it is not installed."""
    with running_azurite() as started:
        yield started


@pytest.fixture(scope="session")
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Return a service with keys and a worker, and data that it may read."""
    folder = tmp_path_factory.mktemp("served")
    keep_data(folder)
    # The blob storage, where it is installed, is there before the service, which has its address.
    host = request.getfixturevalue("azurite").host if PROGRAM.exists() else ""
    with running(folder, DETECTOR_PRIVATE_DATA_HOSTS=host, **SETTINGS) as service:
        yield service


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return such a service over TLS, of two processes, with an authority of its own."""
    with running(
        tmp_path_factory.mktemp("secured"),
        DETECTOR_TLS="self",
        DETECTOR_WORKERS="2",
        DETECTOR_ALLOWED_HOSTS="anomalies.example.com, *",
        **SETTINGS,
    ) as service:
        until(lambda: service.output.count('"model loaded"') >= 6, "both processes are ready")
        yield service


def _trust(service: Service) -> dict[str, str]:
    """Return the variables by which clients for Python and Node trust a service over TLS."""
    if service.url.startswith("http:"):
        return {}
    return dict.fromkeys(("REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"), str(service.authority))


@pytest.fixture(params=["http", "https"])
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Return a service over http, and over TLS, which this process trusts."""
    found: Service = request.getfixturevalue("served" if request.param == "http" else "secured")
    for variable, file in _trust(found).items():
        monkeypatch.setenv(variable, file)
    return found


class Programs:
    """Runs the programs of this folder, which are quick starts with a client of Azure's.

    Each is asked, as JSON, and returns what it found.
    """

    def javascript(self, name: str, *arguments: str, asked: Any, service: Service) -> Any:
        """Run a program for Node."""
        if not shutil.which("node") or not MODULES.exists():
            pytest.skip("Azure's clients for Node are not here: install npm, then run make clients")
        command = ["node", str(FOLDER / "javascript" / name), *arguments]
        return self._run(command, asked, service)

    def python(self, name: str, package: str, *, asked: Any, service: Service) -> Any:
        """Run a program for Python with a package that lies in a folder of its own."""
        folder = FOLDER / "python" / package
        if not folder.exists():
            pytest.skip(f"the client {package} is not here: run make clients")
        command = [sys.executable, "-W", "ignore", str(FOLDER / "python" / name)]
        return self._run(command, asked, service, PYTHONPATH=str(folder))

    def _run(self, command: list[str], asked: Any, service: Service, **environment: str) -> Any:
        named = {
            "ANOMALY_DETECTOR_ENDPOINT": service.url,
            "ANOMALY_DETECTOR_API_KEY": KEYS[0],
        }
        done = subprocess.run(
            command,
            input=json.dumps(asked),
            env=os.environ | named | _trust(service) | environment,
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
