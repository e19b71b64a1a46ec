"""A training, from the beginning of its run to its end.

A script calls the same function as the worker, so a model is the same model whoever trained it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from requests.exceptions import RequestException

from detector.errors import Stopped
from detector.multivariate.alignment import Table, align
from detector.multivariate.model import Epoch, MultivariateModel, TrainingOptions, train
from detector.multivariate.requests import TrainingRequest
from detector.multivariate.wire import NAMES, Diagnostics
from detector.tracking import records, registry, reporting, runs
from detector.tracking.server import is_outage

# The service told the losses of every tenth epoch.
_TOLD_EVERY = 10
# While it trains, each of so many last epochs is told: people watch them one by one.
_WATCHED = 100
# How long to wait for more before what there is is sent, and after a failure.
_PAUSE_SECONDS = 1.0
# How often a training with long epochs gives a sign of life.
_SIGN_SECONDS = 60.0


def train_model(
    model_id: str,
    read: Callable[[], pd.DataFrame],
    options: TrainingOptions,
    *,
    on_epoch: Callable[[Epoch], None] | None = None,
    stop: Callable[[], bool] | None = None,
    registered_as: str | None = None,
    alias: str | None = None,
) -> MultivariateModel:
    """Train the model of a run, telling MLflow how it goes, and log it.

    Parameters
    ----------
    model_id
        Of a model that `runs.create_model` began.
    read
        Returns the variables as columns, rows by time; `align` says more.
    on_epoch, stop
        As in `detector.multivariate.train`.
    registered_as, alias
        As in `detector.tracking.registry.log_multivariate`.

    Raises
    ------
    DetectionError
        If the data cannot be trained on; the run is then FAILED and says why.
    Stopped
        If `stop` asked for it; the run's status stays as it is.
    """
    with runs.recording_failure(model_id, runs.MODELS):
        runs.set_status(model_id, runs.RUNNING)
        request = runs.get_model(model_id).request
        table = aligned_table(read(), request.start, request.end, options)
        with _Report(model_id, table) as report:

            def told(epoch: Epoch) -> None:
                report(epoch)
                if on_epoch is not None:
                    on_epoch(epoch)

            model = train(table, options, on_epoch=told, stop=stop)
        with mlflow.start_run(run_id=runs.run_id(model_id)):
            _log_training(request, model, table)
            if registered_as is None or alias is None:
                registry.log_multivariate(model, _rows(table))
            else:
                registry.log_multivariate(
                    model, _rows(table), registered_as=registered_as, alias=alias
                )
        runs.set_status(model_id, runs.READY)
        return model


def aligned_table(
    frame: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp, options: TrainingOptions
) -> Table:
    return align(
        frame,
        start=start,
        end=end,
        sliding_window=options.sliding_window,
        policy=options.align,
        names=NAMES,
    )


def _log_training(request: TrainingRequest, model: MultivariateModel, table: Table) -> None:
    """Log to the active run what the model was trained on, and how."""
    options = model.options
    mlflow.log_params(
        {
            "epochs": options.epochs,
            "seed": options.seed,
            "device": options.device,
            records.VARIABLES: len(model.variables),
        }
    )
    reporting.log_data(
        _rows(table),
        source=request.public_source,
        name=request.display_name or "training data",
        context="training",
    )
    reporting.add_note(
        f"A model of {len(model.variables)} variables together: "
        f"{', '.join(model.variables)[:500]}. It was trained on {len(table.values)} rows, from "
        f"{request.start} to {request.end}."
    )


def _rows(table: Table) -> pd.DataFrame:
    rows = pd.DataFrame(table.values, columns=list(table.variables))
    rows.insert(0, "timestamp", table.timestamps)
    return rows


class _Report:
    """Tells MLflow of each epoch from a thread of its own: training waits for nobody."""

    def __init__(self, model_id: str, table: Table) -> None:
        self._model_id = model_id
        self._table = table
        self._metrics: list[Metric] = []
        self._epochs: list[Epoch] = []
        self._begun = False
        self._seen = time.monotonic()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)

    def __enter__(self) -> _Report:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._closing.set()
        self._thread.join()
        if kind is None:
            self._send(watched=0)
        elif issubclass(kind, Stopped):
            # A run that was deleted takes nothing any more.
            with contextlib.suppress(MlflowException, RequestException):
                self._send(watched=1)

    def __call__(self, epoch: Epoch) -> None:
        now = int(pd.Timestamp.now("UTC").timestamp() * 1000)
        figures = {
            "train_loss": epoch.train_loss,
            "validation_loss": epoch.validation_loss,
            "epoch_seconds": epoch.seconds,
        }
        with self._lock:
            self._metrics += [
                Metric(name, value, now, epoch.number) for name, value in figures.items()
            ]
            self._epochs.append(epoch)

    def _run(self) -> None:
        while True:
            try:
                self._send()
            except Exception as error:
                if not is_outage(error):
                    raise
                # What could not be sent is sent with the next.
            if self._closing.wait(_PAUSE_SECONDS):
                return

    def _send(self, *, watched: int | None = None) -> None:
        """Send what is new; with `watched`, which ends it, every tenth epoch and so many last."""
        with self._lock:
            metrics, epochs = list(self._metrics), list(self._epochs)
        if metrics:
            MlflowClient().log_batch(runs.run_id(self._model_id), metrics=metrics)
        if metrics or not self._begun or watched is not None:
            first = len(epochs) - (_WATCHED if watched is None else watched)
            told = tuple(
                epoch
                for place, epoch in enumerate(epochs)
                if place >= first or epoch.number % _TOLD_EVERY == 0
            )
            runs.store_diagnostics(self._model_id, Diagnostics(told, self._table.states))
            self._begun = True
        elif time.monotonic() > self._seen + _SIGN_SECONDS:
            runs.heartbeat(self._model_id)
        else:
            return
        self._seen = time.monotonic()
        with self._lock:
            del self._metrics[: len(metrics)]
