"""What the attacks share: services to attack, some in a control group with the stack's limit."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cgroups
import mlflow
import numpy as np
import pandas as pd
import pytest
from services import ROOT, Service, prepare, start_detector

from detector.multivariate.model import TrainingOptions
from detector.multivariate.requests import ONE_TABLE, TrainingRequest
from detector.tracking import runs, server, training

NAMES = [f"variable{place:03}" for place in range(300)]
ROWS, WINDOW = 200, 28
MODELS = "/anomalydetector/v1.1/multivariate/models"


def stack_memory(service: str) -> int:
    """Return the limit of memory that a service has in the stack, in bytes."""
    text = (ROOT / "docker-compose.yml").read_text()
    found = re.search(rf"^  {service}:\n(?:.+\n|\n)*?    mem_limit: (\d+)([mg])", text, re.M)
    assert found, f"{service} has no mem_limit"
    return int(found[1]) * 1024 ** {"m": 2, "g": 3}[found[2]]


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Callable[..., tuple[Service, cgroups.Group]]]:
    """Return what starts a service with the memory of the stack's, as a container has it."""
    with contextlib.ExitStack() as stack:

        def start(*, new: bool = False, **environment: str) -> tuple[Service, cgroups.Group]:
            try:
                group = stack.enter_context(cgroups.memory_limit(stack_memory("detector")))
            except PermissionError as error:
                pytest.skip(f"{error}; run as root")
            folder = tmp_path / group.procs.parent.name
            if not new:
                prepare(folder)
            service = start_detector(folder, group=group, **environment)
            stack.callback(service.stop)
            return service, group

        yield start


@pytest.fixture(scope="session")
def frame() -> pd.DataFrame:
    minutes = pd.date_range("2026-01-01", periods=ROWS, freq="min")
    values = np.random.default_rng(1).normal(size=(ROWS, len(NAMES)))
    return pd.DataFrame(values, index=minutes, columns=NAMES)


@pytest.fixture
def many_variables(
    limited: Any, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Return a service with its limit of memory, its group, and a model of 300 variables."""
    service, group = limited()
    service.wait()
    before = mlflow.get_tracking_uri()
    monkeypatch.chdir(service.folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    server.connect()
    record = runs.create_model(
        TrainingRequest(
            source="data.csv", schema=ONE_TABLE, start=frame.index[0], end=frame.index[-1]
        ),
        queued=False,
    )
    options = TrainingOptions(sliding_window=WINDOW, epochs=1)
    training.train_model(record.model_id, lambda: frame, options)
    yield service, group, f"{MODELS}/{record.model_id}:detect-last"
    mlflow.set_tracking_uri(before)
