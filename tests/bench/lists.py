"""Measures the list of 1,000 models over HTTP: kept in SQLite, and by an MLflow server.

Run as ``python tests/bench/lists.py [--models N]``; nothing is left behind.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
import uuid
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "app"), str(ROOT / "tests")]

import mlflow
import pandas as pd
from mlflow import MlflowClient
from services import Service, free_port, start_detector, start_mlflow

from detector.multivariate.alignment import VariableState
from detector.multivariate.model import Epoch
from detector.multivariate.requests import TrainingRequest
from detector.multivariate.wire import Diagnostics
from detector.tracking import runs, server

MODELS = "/anomalydetector/v1.1/multivariate/models"
VARIABLES, EPOCHS = 5, 100


def make_models(database: Path, count: int) -> None:
    """Make one model as a training does, and copies of its rows."""
    mlflow.set_tracking_uri(f"sqlite:///{database}")
    start = pd.Timestamp("2026-01-01")
    end = start + pd.Timedelta(days=2)
    request = TrainingRequest("https://data.example.com/x.csv?sig=1", start, end, display_name="m")
    model_id = runs.create_model(request, queued=False).model_id
    states = [
        VariableState(f"series_{n}", 0.1 / (n + 1), 2880, start, end) for n in range(VARIABLES)
    ]
    epochs = [Epoch(n, 1 / n, 1.1 / n, 0.123456789) for n in range(10, EPOCHS + 1, 10)]
    runs.store_diagnostics(model_id, Diagnostics(tuple(epochs), tuple(states)))
    run = runs.run_id(model_id)
    for name in ("epochs", "seed", "device", "variables"):
        MlflowClient().log_param(run, name, VARIABLES)
    for name in ("train_loss", "validation_loss", "epoch_seconds"):
        MlflowClient().log_metric(run, name, 0.1)
    MlflowClient().set_tag(run, "mlflow.note.content", "A model of some variables together. " * 4)
    runs.set_status(model_id, runs.READY)
    with closing(sqlite3.connect(database)) as store, store:
        for number in range(count - 1):
            copy = uuid.uuid4().hex
            for table in ("runs", "tags", "params", "latest_metrics"):
                columns = [each[1] for each in store.execute(f"PRAGMA table_info({table})")]
                given = ", ".join("?" if each == "run_uuid" else each for each in columns)
                store.execute(
                    f"INSERT INTO {table} ({', '.join(columns)}) SELECT {given} FROM {table} "
                    "WHERE run_uuid = ?",
                    (copy, run),
                )
            moment = (start + pd.Timedelta(seconds=number)).isoformat() + ".000000+00:00"
            store.execute(
                "UPDATE tags SET value = ? WHERE run_uuid = ? AND key = 'detector.updated'",
                (moment, copy),
            )


@contextmanager
def running(service: Service, path: str) -> Any:
    try:
        yield service.wait(path)
    finally:
        service.stop()


def timed(service: Service, path: str, count: int) -> float:
    started = time.perf_counter()
    answer = service.call(path)
    seconds = time.perf_counter() - started
    assert answer.status == 200, answer.content
    assert answer.json["currentCount"] == count
    return seconds


def measure(name: str, service: Service, count: int) -> None:
    print(f"{name}: the first list {timed(service, f'{MODELS}?top=1000', count):.3f} s")
    for top in (1000, 10):
        tries = [timed(service, f"{MODELS}?top={top}", count) for _ in range(9)]
        print(
            f"{name}: top={top}, median {statistics.median(tries):.3f} s, worst {max(tries):.3f} s"
        )
    model = service.call(MODELS + "?top=1").json["models"][0]["modelId"]
    lists = [
        threading.Thread(target=timed, args=(service, f"{MODELS}?top=1000", count))
        for _ in range(8)
    ]
    for each in lists:
        each.start()
    others = []
    while any(each.is_alive() for each in lists):
        started = time.perf_counter()
        assert service.call(f"{MODELS}/{model}").status == 200
        others.append(time.perf_counter() - started)
    print(f"{name}: a model, asked for beside 8 such lists: worst {max(others):.3f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1000)
    count = parser.parse_args().models
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "sqlite").mkdir()
        os.chdir(folder / "sqlite")
        server.connect()
        make_models(folder / "sqlite" / "mlflow.db", count)
        (folder / "mlflow").mkdir()
        (folder / "mlflow" / "store.db").write_bytes(Path("mlflow.db").read_bytes())
        settings = {"DETECTOR_MODEL_REFRESH_SECONDS": "3600"}
        with running(start_detector(folder / "sqlite", **settings), "/health/ready") as service:
            measure("SQLite", service, count)
        with (
            running(start_mlflow(folder / "mlflow", free_port()), "/health") as tracking,
            running(
                start_detector(folder / "served", MLFLOW_TRACKING_URI=tracking.url, **settings),
                "/health/ready",
            ) as service,
        ):
            measure("MLflow server", service, count)


if __name__ == "__main__":
    main()
