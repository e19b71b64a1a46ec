"""Many variables in the stack: trained by the worker, kept in MLflow, whatever is killed."""

from __future__ import annotations

import json
import math
import random
import urllib.error
import urllib.request
from typing import Any

import pytest
import quick_starts
import recordings
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


@pytest.mark.filterwarnings("ignore")
def test_the_multivariate_quick_start_of_azure(stack: Stack) -> None:
    sample = recordings.SAMPLE.read_bytes()
    wait_until(lambda: call(stack, "/datasets/sample", sample, "PUT")[0] == 201, "uploaded")
    answers = quick_starts.multivariate(
        stack.endpoint, "any", "s3://datasets/sample.csv", seconds=400
    )
    assert len(answers.batch.results) == 301
    assert all(result.value for result in answers.batch.results)
    assert len(answers.last.results) == 1


def test_killing_everything_during_a_training_loses_nothing(stack: Stack) -> None:
    first = train(stack, upload(stack, "small", 300, 3), 300, 28)
    wait_until(lambda: state(stack, first) == "READY", "the first model is READY")
    before = detect(stack, first)
    assert before[0] == 200
    long = train(stack, upload(stack, "long", 12_000, 10), 12_000, 200)
    wait_until(lambda: state(stack, long) == "RUNNING", "the training has begun")

    for service in ("detector", "db", "mlflow", "worker"):
        assert state(stack, long) in ("RUNNING", "0", "503"), f"before {service} is killed"
        stack.sigkill(service)
        wait_until(
            lambda: state(stack, long) in ("RUNNING", "READY"),
            f"the endpoint tells of the model after {service} was killed",
        )

    wait_until(lambda: state(stack, long) == "READY", "the training has ended", seconds=400)
    assert call(stack, f"{MODELS}/{long}")[1]["modelInfo"]["errors"] == []
    assert detect(stack, first) == before
    for model_id in (first, long):
        assert call(stack, f"{MODELS}/{model_id}", method="DELETE")[0] == 204


def test_the_walk_through_of_many_variables_runs_in_the_workspace(stack: Stack) -> None:
    done = stack.compose(
        "exec", "-T", "workspace", "python", "app/multivariate.py", "--epochs", "40", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert stack.sql(
        "SELECT alias FROM registered_model_aliases WHERE name = 'multivariate-quickstart'"
    ) == [["champion"]]
    [listed] = call(stack, MODELS)[1]["models"]
    assert listed["modelInfo"]["status"] == "READY"
    assert call(stack, f"{MODELS}/{listed['modelId']}", method="DELETE")[0] == 204
