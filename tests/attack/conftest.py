"""What the attacks on memory share: a service in a control group with the stack's limit."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import cgroups
import mlflow
import numpy as np
import pandas as pd
import pytest
from services import ROOT, Service, start_detector

from detector.multivariate.model import TrainingOptions
from detector.multivariate.requests import ONE_TABLE, TrainingRequest
from detector.tracking import runs, server, training

NAMES = [f"variable{place:03}" for place in range(300)]
ROWS, WINDOW = 80, 28
MODELS = "/anomalydetector/v1.1/multivariate/models"


def stack_memory(service: str) -> int:
    """Return the limit of memory that a service has in the stack, in bytes."""
    text = (ROOT / "docker-compose.yml").read_text()
    found = re.search(rf"^  {service}:\n(?:.+\n|\n)*?    mem_limit: (\d+)([mg])", text, re.M)
    assert found, f"{service} has no mem_limit"
    return int(found[1]) * 1024 ** {"m": 2, "g": 3}[found[2]]


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, cgroups.Group]]:
    """Return a new service with the memory of the stack's, as a container has it."""
    with contextlib.ExitStack() as stack:
        try:
            group = stack.enter_context(cgroups.memory_limit(stack_memory("detector")))
        except PermissionError as error:
            pytest.skip(f"{error}; run as root")
        service = start_detector(tmp_path_factory.mktemp("limited"), group=group)
        stack.callback(service.stop)
        yield service.wait(), group


def train(service: Service) -> str:
    """Train a model of 300 variables beside a service; return its id."""
    minutes = pd.date_range("2026-01-01", periods=ROWS, freq="min")
    values = np.random.default_rng(1).normal(size=(ROWS, len(NAMES)))
    frame = pd.DataFrame(values, index=minutes, columns=NAMES)
    request = TrainingRequest(
        source="data.csv", schema=ONE_TABLE, start=minutes[0], end=minutes[-1]
    )
    before = mlflow.get_tracking_uri()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(service.folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        server.connect()
        model_id = runs.create_model(request, queued=False).model_id
        options = TrainingOptions(sliding_window=WINDOW, epochs=1)
        training.train_model(model_id, lambda: frame, options)
    mlflow.set_tracking_uri(before)
    return model_id
