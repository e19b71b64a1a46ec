"""The endpoint inside the stack: real clients, and what it does when the rest is away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest

from .conftest import ROOT, Stack, wait_until

SHARED = ROOT.parent / "shared"
DAYS = [
    {"timestamp": f"2026-01-{day:02}T00:00:00Z", "value": 90.0 if day == 20 else 10.0}
    for day in range(1, 29)
]


def detect(stack: Stack) -> dict[str, Any]:
    request = urllib.request.Request(
        stack.endpoint + "/anomalydetector/v1.1/timeseries/entire/detect",
        json.dumps({"series": DAYS, "granularity": "daily"}).encode(),
        {"Ocp-Apim-Subscription-Key": "any"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def is_ready(stack: Stack) -> bool:
    try:
        with urllib.request.urlopen(stack.endpoint + "/health/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.parametrize("program", ["accept_v11_univariate.py", "accept_v10_univariate.py"])
def test_a_program_written_for_azure_runs_unchanged(stack: Stack, program: str) -> None:
    path = SHARED / "acceptance" / program
    if not path.exists():
        pytest.skip("the quick-start programs of Azure's SDKs are not beside this checkout")
    done = subprocess.run(
        [sys.executable, path],
        env=os.environ
        | {
            "ANOMALY_DETECTOR_ENDPOINT": stack.endpoint,
            "ANOMALY_DETECTOR_API_KEY": "any",
            "DATA_PATH": str(SHARED / "fixtures" / "univariate" / "request-data.csv"),
            "STRICT": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("service", ["mlflow", "db", "minio"])
def test_detection_goes_on_while_another_service_is_away(stack: Stack, service: str) -> None:
    wait_until(lambda: is_ready(stack), "the endpoint is ready")
    stack.compose("stop", service)
    try:
        found = detect(stack)
    finally:
        stack.compose("start", service)
    assert [place for place, flag in enumerate(found["isAnomaly"]) if flag] == [19]
    wait_until(stack.can_detect, f"the stack is whole again with {service} back")


def test_a_killed_endpoint_comes_back_ready(stack: Stack) -> None:
    stack.sigkill("detector")
    wait_until(lambda: is_ready(stack), "the endpoint is ready again")
    assert detect(stack)["isAnomaly"][19]


def test_its_models_are_registered_and_aliased_in_mysql(stack: Stack) -> None:
    wait_until(lambda: is_ready(stack), "the endpoint is ready")
    rows = stack.sql("SELECT name FROM registered_model_aliases WHERE alias = 'champion'")
    assert {"univariate-entire", "univariate-latest", "change-point"} <= {name for [name] in rows}


def test_an_open_address_without_keys_is_refused(stack: Stack) -> None:
    open_to_all = {"BIND_ADDRESS": "0.0.0.0", "API_KEYS": ""}  # noqa: S104
    done = stack.compose("run", "--rm", "--no-deps", "detector", check=False, env=open_to_all)
    assert done.returncode != 0
    assert "API_KEYS" in done.stderr
    assert "Traceback" not in done.stderr
