"""What the endpoint's container says of itself: to `scripts/doctor`, and to its health check."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from services import HEADER, KEYS, ROOT, Service, free_port, running, until

KEYED = {"API_KEYS": ",".join(KEYS), "DETECTOR_ALLOWED_HOSTS": "plant.example.com"}
SECURE = {"DETECTOR_TLS": "self"}


def probe(folder: Path, port: int, **environment: str) -> dict[str, list[str]]:
    """Ask as `scripts/doctor` does, in the folder and the environment of a service."""
    given = {"PYTHONPATH": str(ROOT / "app"), "PORT": str(port), **environment}
    kept = {name: value for name, value in os.environ.items() if "MLFLOW" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "detector.probe"],
        cwd=folder,
        env=kept | given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return {name: [state, text, advice] for state, name, text, advice in rows}


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return a service with keys, that is called by a name and has no worker."""
    with running(tmp_path_factory.mktemp("keyed"), **KEYED) as service:
        yield service


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return a service that speaks TLS, with a certificate that it has made."""
    with running(tmp_path_factory.mktemp("secure"), **SECURE) as service:
        yield service


def test_a_service_with_keys_is_asked_with_one_and_by_its_name(keyed: Service) -> None:
    told = probe(keyed.folder, keyed.port, **KEYED)
    assert told["endpoint"][0] == "ok", told
    assert "certificate" not in told
    # With a key that the service does not take.
    other = KEYED | {"API_KEYS": "another-key-of-mine"}
    state, text, advice = probe(keyed.folder, keyed.port, **other)["endpoint"]
    assert (state, "401" in text, "logs detector" in advice) == ("fail", True, True)
    assert "another-key-of-mine" not in text


def test_jobs_that_wait_for_long_are_a_warning(keyed: Service) -> None:
    nothing = ["ok", "it can be written to, and nothing waits", ""]
    assert probe(keyed.folder, keyed.port, **KEYED)["queue"] == nothing
    (keyed.folder / "datasets").mkdir()
    (keyed.folder / "datasets" / "two.csv").write_text("timestamp,a,b\n2026-01-01,1,2\n")
    body = {"dataSource": "two.csv", "startTime": "2026-01-01T00:00:00Z",
            "endTime": "2026-01-02T00:00:00Z", "slidingWindow": 28}  # fmt: skip
    headers = {HEADER: KEYS[0], "Host": "plant.example.com"}
    answer = keyed.call("/anomalydetector/v1.1/multivariate/models", body, headers=headers)
    assert answer.status == 201, answer.content
    waiting = probe(keyed.folder, keyed.port, **KEYED)["queue"]
    assert waiting[:2] == ["ok", "waiting jobs: 1, the oldest for 0 minutes"]
    before = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
    with closing(sqlite3.connect(keyed.folder / "mlflow.db")) as store, store:
        store.execute("UPDATE tags SET value = ? WHERE key = 'detector.updated'", [before])
    state, text, advice = probe(keyed.folder, keyed.port, **KEYED)["queue"]
    assert (state, text) == ("warn", "waiting jobs: 1, the oldest for 180 minutes")
    assert "DETECTOR_TRAININGS" in advice


def test_a_service_that_is_down_fails_and_settings_that_it_refuses_are_told(
    tmp_path: Path,
) -> None:
    port = free_port()
    assert probe(tmp_path, port)["endpoint"][:2] == [
        "fail",
        "no answer: <urlopen error [Errno 111] Connection refused>",
    ]
    told = probe(tmp_path, port, DETECTOR_TRAININGS="none")["endpoint"]
    assert told[0] == "fail"
    assert "integer" in told[1]


def test_a_certificate_is_told_with_its_end(secure: Service) -> None:
    told = probe(secure.folder, secure.port, **SECURE)
    assert told["endpoint"][0] == "ok", told
    assert told["certificate"][0] == "ok"
    assert re.search(r"until 20\d\d-\d\d-\d\d$", told["certificate"][1])


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_a_certificate_that_expires_within_two_days_fails(begin: Any, tmp_path: Path) -> None:
    files = {"DETECTOR_TLS_CERTIFICATE": "own.pem", "DETECTOR_TLS_KEY": "own.key"}
    paths = {name: str(tmp_path / file) for name, file in files.items()}
    asked = "-x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    command = f"openssl req {asked} -keyout own.key -out own.pem"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    service = begin(**paths)
    until(lambda: is_listening(service.port), "the service listens")
    told = probe(service.folder, service.port, **paths)
    assert told["certificate"][0] == "fail", told
    assert "docs/tls.md" in told["certificate"][2]


def is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def check(port: int) -> subprocess.CompletedProcess[str]:
    """Check the health as the image does, which knows of no TLS of the command line."""
    return subprocess.run(
        [sys.executable, "-I", str(ROOT / "app" / "detector" / "healthcheck.py")],
        env=dict(os.environ) | {"PORT": str(port)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("name", ["keyed", "secure"])
def test_a_service_is_healthy_once_it_is_ready(request: pytest.FixtureRequest, name: str) -> None:
    done = check(request.getfixturevalue(name).port)
    assert done.returncode == 0, done.stderr
    assert not done.stdout


def test_what_does_not_answer_is_not_healthy() -> None:
    assert check(free_port()).returncode == 1
