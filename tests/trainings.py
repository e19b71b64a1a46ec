"""Trains and detects in many variables through the endpoint of a stack."""

from __future__ import annotations

import json
import math
import random
import urllib.error
import urllib.request
from typing import Any

from compose import Stack, wait_until
from services import HEADER

KEY = {HEADER: "any"}
MODELS = "/anomalydetector/v1.1/multivariate/models"


def call(stack: Stack, path: str, body: Any = None, method: str | None = None) -> tuple[int, Any]:
    """Return status and answer; 0 where nobody answers."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(stack.endpoint + path, data, KEY, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
    except OSError:
        return 0, None


def minute(place: int) -> str:
    return f"2026-01-{1 + place // 1440:02}T{place // 60 % 24:02}:{place % 60:02}:00Z"


def upload(stack: Stack, name: str, rows: int, variables: int) -> str:
    """Upload variables that go together; return the address to train on."""
    noise = random.Random(7)  # noqa: S311
    lines = ["timestamp," + ",".join(f"v{each}" for each in range(variables))]
    for row in range(rows):
        values = (math.sin(row / 9 + each) + noise.gauss(0, 0.1) for each in range(variables))
        lines.append(f"{minute(row)}," + ",".join(f"{value:.4f}" for value in values))
    path = f"/datasets/{name}"
    wait_until(lambda: call(stack, path, "\n".join(lines).encode(), "PUT")[0] == 201, "uploaded")
    return str(call(stack, path, "\n".join(lines).encode(), "PUT")[1]["dataSource"])


def train(stack: Stack, source: str, rows: int, window: int) -> str:
    times = {"startTime": minute(0), "endTime": minute(rows - 1)}
    asked = {"dataSource": source, "slidingWindow": window, **times}
    status, model = call(stack, MODELS, asked)
    assert status == 201, model
    return str(model["modelId"])


def state(stack: Stack, model_id: str) -> str:
    status, model = call(stack, f"{MODELS}/{model_id}")
    return str(model["modelInfo"]["status"]) if status == 200 else f"{status}"


def detect(stack: Stack, model_id: str) -> Any:
    """Detect in 30 minutes at once."""
    names = call(stack, f"{MODELS}/{model_id}")[1]["modelInfo"]["diagnosticsInfo"]["variableStates"]
    times = [minute(place) for place in range(30)]
    variables = [
        {"variable": each["variable"], "timestamps": times, "values": [0.1 * k for k in range(30)]}
        for each in names
    ]
    return call(stack, f"{MODELS}/{model_id}:detect-last", {"variables": variables})
