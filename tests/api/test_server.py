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
from services import ROOT, Service, free_port, prepare

from detector.cli import main

ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"


def hourly(points: int) -> dict[str, Any]:
    series = [{"value": (place * 7919 % 101) + place % 24} for place in range(points)]
    return {"series": series, "period": 24}


def test_a_folder_that_it_cannot_write_to_is_named_once() -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    done = subprocess.run(
        [sys.executable, "-m", "detector", "serve"],
        # Nobody makes a file there, root included.
        cwd="/proc",
        env=kept | {"PYTHONPATH": str(ROOT / "app")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "it keeps its queue in /proc, where it cannot write" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("API_KEYS", "", "which others can reach, with no key: set API_KEYS"),
        ("DETECTOR_WORKERS", "none", "The service does not start: DETECTOR_WORKERS: "),
        ("DETECTOR_QUEUE", "redis://localhost", "it keeps its models in /proc"),
    ],
)
def test_a_setting_that_it_cannot_start_with_is_named_once(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    text: str,
) -> None:
    monkeypatch.chdir("/proc")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    # It cannot listen there: were it not refused, it would end all the same.
    monkeypatch.setenv("DETECTOR_HOST", "192.0.2.1")
    monkeypatch.setenv("API_KEYS", "the-key-of-this-test")
    monkeypatch.setenv(name, value)
    assert main(["serve"]) == 2
    said = capsys.readouterr().err
    assert text in said
    assert said.count("\n") == 1


def test_it_closes_idle_connections_and_finishes_what_it_has_begun_when_it_is_stopped(
    tmp_path: Path,
) -> None:
    (tmp_path / "hasty.py").write_text(
        "from detector.api import server\nserver.IDLE_SECONDS = 1\nserver.serve({})\n"
    )
    prepare(tmp_path)
    port = free_port()
    service = Service(tmp_path, ["hasty"], port, PORT=str(port), DETECTOR_EMBEDDED_WORKER="false")
    try:
        service.wait()
        # Uvicorn's own time is longer.
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=4)) as kept:
            kept.request("GET", "/health/live")
            assert kept.getresponse().read()
            assert kept.sock.recv(1) == b""

        body = json.dumps(hourly(8640)).encode()
        with ThreadPoolExecutor() as threads:
            work = [threads.submit(service.call, ENTIRE, body) for _ in range(6)]
            # The first is answered, so the others, sent with it, have been begun.
            next(as_completed(work))
            service.process.send_signal(signal.SIGTERM)
            answers = [each.result().status for each in work]
        assert answers == [200] * 6
        assert service.process.wait(20) == 0
    finally:
        service.stop()


def test_the_address_of_a_model_has_the_scheme_that_a_trusted_proxy_says(
    keyed: Any, kit: Any
) -> None:
    key = {kit.HEADER: kit.KEYS[0]}
    kept = keyed.call("/datasets/a", b"timestamp,a\n2021-01-01,1\n", method="PUT", headers=key).json
    body = json.dumps({"startTime": "2021-01-01", "endTime": "2021-01-02", **kept})
    headers = key | {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
    for source, scheme in (("127.0.0.1", "http"), ("127.0.0.2", "https")):
        client = http.client.HTTPConnection(
            "127.0.0.1", keyed.port, source_address=(source, 0), timeout=30
        )
        with contextlib.closing(client):
            client.request("POST", "/anomalydetector/v1.1/multivariate/models", body, headers)
            answer = client.getresponse()
            assert answer.status == 201, answer.read()
            assert (answer.headers["Location"] or "").startswith(f"{scheme}://127.0.0.1")
    assert keyed.call("/datasets/a", method="DELETE", headers=key).status == 204


def test_it_may_open_as_many_files_as_the_system_allows(service: Any) -> None:
    limits = Path(f"/proc/{service.process.pid}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max open files")]
    soft, hard = line.split()[3:5]
    assert soft == hard
