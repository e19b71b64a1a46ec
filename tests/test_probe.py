"""What the container of the endpoint says of itself to `scripts/doctor`."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from services import KEYS, ROOT, Service, until


def probe(service: Service, **environment: str) -> dict[str, list[str]]:
    """Ask as `scripts/doctor` does, in the service's folder and environment."""
    given = {"PYTHONPATH": str(ROOT / "app"), "PORT": str(service.port), **environment}
    kept = {name: value for name, value in os.environ.items() if "MLFLOW" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "detector.probe"],
        cwd=service.folder,
        env=kept | given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return {name: [state, text, advice] for state, name, text, advice in rows}


def test_a_service_with_keys_is_asked_with_one_and_by_its_name(begin: Any) -> None:
    settings = {"API_KEYS": ",".join(KEYS), "DETECTOR_ALLOWED_HOSTS": "plant.example.com"}
    service = begin(**settings).wait()
    told = probe(service, **settings)
    assert told["endpoint"][0] == "ok", told
    assert told["queue"] == ["ok", "it can be written to, and nothing waits", ""]
    assert "certificate" not in told
    # With a key that the service does not take.
    state, text, advice = probe(service, **settings | {"API_KEYS": "another-key-of-mine"})[
        "endpoint"
    ]
    assert (state, "401" in text, "logs detector" in advice) == ("fail", True, True)
    assert "another-key-of-mine" not in text


def test_a_service_that_is_down_fails_and_settings_that_it_refuses_are_told(begin: Any) -> None:
    service = begin()
    service.stop()
    assert probe(service)["endpoint"][:2] == [
        "fail",
        "no answer: <urlopen error [Errno 111] Connection refused>",
    ]
    told = probe(service, DETECTOR_TRAININGS="none")["endpoint"]
    assert told[0] == "fail"
    assert "integer" in told[1]


def test_a_certificate_is_told_with_its_end(begin: Any) -> None:
    service = begin(DETECTOR_TLS="self").wait()
    told = probe(service, DETECTOR_TLS="self")
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
    told = probe(service, **paths)
    assert told["certificate"][0] == "fail", told
    assert "docs/tls.md" in told["certificate"][2]


def is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_jobs_that_wait_for_long_are_a_warning(begin: Any) -> None:
    service = begin().wait()
    (service.folder / "datasets").mkdir(exist_ok=True)
    (service.folder / "datasets" / "two.csv").write_text("timestamp,a,b\n2026-01-01,1,2\n")
    body = {"dataSource": "two.csv", "startTime": "2026-01-01T00:00:00Z",
            "endTime": "2026-01-02T00:00:00Z", "slidingWindow": 28}  # fmt: skip
    answer = service.call("/anomalydetector/v1.1/multivariate/models", body)
    assert answer.status == 201, answer.content
    assert probe(service)["queue"][:2] == ["ok", "waiting jobs: 1, the oldest for 0 minutes"]
    before = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
    with closing(sqlite3.connect(service.folder / "mlflow.db")) as store, store:
        store.execute("UPDATE tags SET value = ? WHERE key = 'detector.updated'", [before])
    state, text, advice = probe(service)["queue"]
    assert (state, text) == ("warn", "waiting jobs: 1, the oldest for 180 minutes")
    assert "DETECTOR_TRAININGS" in advice
