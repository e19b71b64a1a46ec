"""The endpoint inside the stack: real clients, and what it does when the rest is away."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
import quick_starts
from compose import Stack, wait_until

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


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "quick_start", [quick_starts.univariate, quick_starts.univariate_version_1_0]
)
def test_a_quick_start_of_azure_finds_what_azure_found(stack: Stack, quick_start: Any) -> None:
    wait_until(lambda: is_ready(stack), "the endpoint is ready")
    assert quick_start(stack.endpoint, "any").found == quick_starts.AZURE_FOUND


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
