"""The service starts with settings that make sense, and stops when it is told to."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pytest
from services import ROOT, Service, free_port

ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"


def hourly(points: int) -> dict[str, Any]:
    series = [{"value": (place * 7919 % 101) + place % 24} for place in range(points)]
    return {"series": series, "period": 24}


@pytest.mark.parametrize(
    "environment",
    [
        {"DETECTOR_HOST": "192.0.2.1"},
        {"DETECTOR_HOST": "192.0.2.1", "BIND_ADDRESS": "127.0.0.1"},
        {"BIND_ADDRESS": "192.0.2.1", "DETECTOR_IN_CONTAINER": "true"},
    ],
)
def test_it_does_not_listen_to_others_without_keys(begin: Any, environment: Any) -> None:
    service = begin(**environment)
    assert service.process.wait(30) == 2
    assert "which others can reach, with no key: set API_KEYS" in service.output
    assert len(service.output.splitlines()) == 1


def test_a_setting_that_makes_no_sense_is_named(begin: Any) -> None:
    service = begin(DETECTOR_WORKERS="none")
    assert service.process.wait(30) == 2
    assert "DETECTOR_WORKERS" in service.output
    assert "Traceback" not in service.output


def test_it_finishes_what_it_has_begun_when_it_is_stopped(begin: Any) -> None:
    service = begin().wait()
    body = json.dumps(hourly(8640)).encode()
    with ThreadPoolExecutor() as threads:
        work = [threads.submit(service.call, ENTIRE, body) for _ in range(6)]
        # The first is answered, so the others, sent with it, have been begun.
        next(as_completed(work))
        service.process.send_signal(signal.SIGTERM)
        answers = [each.result().status for each in work]
    assert answers == [200] * 6
    assert service.process.wait(20) == 0


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({}, "it keeps its queue in /proc, where it cannot write"),
        ({"DETECTOR_QUEUE": "redis://localhost"}, "it keeps its models in /proc"),
    ],
)
def test_a_folder_that_it_cannot_write_to_is_named_once(
    environment: dict[str, str], text: str
) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    done = subprocess.run(
        [sys.executable, "-m", "detector", "serve"],
        # Nobody makes a file there, root included.
        cwd="/proc",
        env=kept | {"PYTHONPATH": str(ROOT / "app")} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_address_of_a_model_has_the_scheme_that_a_trusted_proxy_says(
    begin: Any, kit: Any
) -> None:
    service = begin(DETECTOR_TRUSTED_PROXIES="127.0.0.2, 10.0.0.0/8").wait()
    (service.folder / "datasets").mkdir()
    kept = service.call("/datasets/a", b"timestamp,a\n2021-01-01,1\n", method="PUT").json
    body = json.dumps({"startTime": "2021-01-01", "endTime": "2021-01-02", **kept})
    headers = {kit.HEADER: "any", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
    for source, scheme in (("127.0.0.1", "http"), ("127.0.0.2", "https")):
        client = http.client.HTTPConnection(
            "127.0.0.1", service.port, source_address=(source, 0), timeout=30
        )
        with contextlib.closing(client):
            client.request("POST", "/anomalydetector/v1.1/multivariate/models", body, headers)
            answer = client.getresponse()
            assert answer.status == 201, answer.read()
            assert (answer.headers["Location"] or "").startswith(f"{scheme}://127.0.0.1")


def test_the_server_closes_connections_when_they_have_been_idle_for_so_long(
    tmp_path: Path,
) -> None:
    (tmp_path / "hasty.py").write_text(
        "from detector.api import server\nserver.IDLE_SECONDS = 1\nserver.serve({})\n"
    )
    port = free_port()
    service = Service(tmp_path, ["hasty"], port, PORT=str(port), DETECTOR_EMBEDDED_WORKER="false")
    try:
        service.wait("/health/live")
        # Uvicorn's own time is longer.
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=4)) as kept:
            kept.request("GET", "/health/live")
            assert kept.getresponse().read()
            assert kept.sock.recv(1) == b""
    finally:
        service.stop()


def test_it_may_open_as_many_files_as_the_system_allows(service: Any) -> None:
    limits = Path(f"/proc/{service.process.pid}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max open files")]
    soft, hard = line.split()[3:5]
    assert soft == hard
