"""Many variables in the stack: trained by the worker, kept in MLflow, whatever is killed."""

from __future__ import annotations

import pytest
import quick_starts
import recordings
from compose import Stack, wait_until
from trainings import MODELS, call, detect, state, train, upload


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
    before = [model["modelId"] for model in call(stack, MODELS)[1]["models"]]
    done = stack.compose(
        "exec", "-T", "workspace", "python", "app/multivariate.py", "--epochs", "40", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert stack.sql(
        "SELECT alias FROM registered_model_aliases WHERE name = 'multivariate-quickstart'"
    ) == [["champion"]]
    models = call(stack, MODELS)[1]["models"]
    [listed] = [model for model in models if model["modelId"] not in before]
    assert listed["modelInfo"]["status"] == "READY"
    assert call(stack, f"{MODELS}/{listed['modelId']}", method="DELETE")[0] == 204
