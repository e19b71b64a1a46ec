"""What a training tells of its epochs while it runs, and when it has ended."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import services

from detector.multivariate.model import Epoch
from detector.multivariate.requests import TrainingRequest
from detector.tracking import runs, training

ROWS = 40
TIMES = pd.date_range("2026-01-01", periods=ROWS, freq="min")
FRAME = pd.DataFrame(
    {name: np.sin(np.arange(ROWS) / 7 + place) for place, name in enumerate("ab")}, index=TIMES
)


def test_each_epoch_is_told_while_it_trains_and_every_tenth_afterwards(store: Path) -> None:
    request = TrainingRequest(source="ab.csv", start=TIMES[0], end=TIMES[-1], sliding_window=28)
    model_id = runs.create_model(request, queued=False).model_id
    watched: list[list[int]] = []

    def told() -> list[int]:
        return [epoch.number for epoch in runs.get_model(model_id).diagnostics.epochs]

    def watch(epoch: Epoch) -> None:
        if epoch.number in (13, 125):
            services.until(lambda: told()[-1:] == [epoch.number], "the epoch is told")
            assert runs.get_model(model_id).status == runs.RUNNING
            watched.append(told())

    options = request.options(epochs=126, device="cpu")
    training.train_model(model_id, lambda: FRAME, options, on_epoch=watch)

    assert watched == [list(range(1, 14)), [10, 20, *range(26, 126)]]
    assert told() == list(range(10, 126, 10))
    assert runs.get_model(model_id).status == runs.READY
