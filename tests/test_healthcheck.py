"""The image's health check asks the service as the service is set up."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from services import ROOT, free_port

FILE = ROOT / "app" / "detector" / "healthcheck.py"


def check(port: int) -> subprocess.CompletedProcess[str]:
    # As the image runs it. Whether TLS is spoken may be said on the service's command line only.
    return subprocess.run(
        [sys.executable, "-I", str(FILE)],
        env=dict(os.environ) | {"PORT": str(port)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("environment", [{}, {"DETECTOR_TLS": "self"}], ids=["http", "https"])
def test_a_service_is_healthy_once_it_is_ready(begin: Any, environment: dict[str, str]) -> None:
    service = begin(**environment).wait()
    done = check(service.port)
    assert done.returncode == 0, done.stderr
    assert not done.stdout


def test_what_does_not_answer_is_not_healthy() -> None:
    assert check(free_port()).returncode == 1
