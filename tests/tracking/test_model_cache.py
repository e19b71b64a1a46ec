"""A model that is loaded answers while MLflow is away, and no longer once it is deleted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from detector.errors import DetectionError
from detector.multivariate.model import TrainingOptions
from detector.multivariate.requests import TrainingRequest
from detector.tracking import model_cache, runs, server, training
from detector.tracking.model_cache import ModelCache
from detector.tracking.server import is_outage


@pytest.fixture
def tracking(tmp_path: Path, kit: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return an MLflow server that this process uses."""
    started = kit.start_mlflow(tmp_path / "mlflow", kit.free_port())
    before = mlflow.get_tracking_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", started.url)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    try:
        started.wait("/health")
        server.connect()
        yield started
    finally:
        started.stop()
        mlflow.set_tracking_uri(before)


def trained() -> str:
    times = pd.date_range("2026-01-01", periods=120, freq="min")
    frame = pd.DataFrame(
        np.random.default_rng(1).normal(size=(120, 2)), index=times, columns=["a", "b"]
    )
    request = TrainingRequest(source="data.csv", start=times[0], end=times[-1], sliding_window=28)
    record = runs.create_model(request, queued=False)
    options = TrainingOptions(sliding_window=28, epochs=1)
    training.train_model(record.model_id, lambda: frame, options)
    return record.model_id


def test_a_loaded_model_answers_while_mlflow_is_away(
    tracking: Any, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_cache, "_AWAY_SECONDS", 0.2)
    loaded, other = trained(), trained()
    cache = ModelCache()
    model = cache.get(loaded)

    tracking.stop()

    assert cache.get(loaded) is model
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever means that it is away
        cache.get(other)
    assert is_outage(raised.value)

    again = kit.start_mlflow(tracking.folder, tracking.port).wait("/health")
    try:
        runs.delete_model(loaded)

        def is_gone() -> bool:
            try:
                return cache.get(loaded) is None
            except DetectionError as error:
                return error.code == "ModelNotExist"

        kit.until(is_gone, "it answers no more")
        assert cache.get(other).variables == ("a", "b")
    finally:
        again.stop()
