"""A model that is loaded answers while MLflow is away, and no longer once it is deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from detector.errors import DetectionError
from detector.multivariate.model import TrainingOptions
from detector.multivariate.requests import TrainingRequest
from detector.tracking import model_cache, runs, training
from detector.tracking.model_cache import ModelCache
from detector.tracking.server import is_outage


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
    store: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_cache, "_AWAY_SECONDS", 0.2)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    loaded, other = trained(), trained()
    cache = ModelCache()
    model = cache.get(loaded)

    here = mlflow.get_tracking_uri()
    # Nothing listens there.
    mlflow.set_tracking_uri(f"http://127.0.0.1:{kit.free_port()}")

    assert cache.get(loaded) is model
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever means that it is away
        cache.get(other)
    assert is_outage(raised.value)

    mlflow.set_tracking_uri(here)
    runs.delete_model(loaded)

    def is_gone() -> bool:
        try:
            return cache.get(loaded) is None
        except DetectionError as error:
            return error.code == "ModelNotExist"

    kit.until(is_gone, "it answers no more")
    assert cache.get(other).variables == ("a", "b")
