"""The worker: takes trainings and batch detections from the queues."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from detector import datasource
from detector.errors import DetectionError, Stopped
from detector.jobs.leases import Leases
from detector.jobs.queue import DETECTION, TRAINING, queues
from detector.multivariate.requests import DetectionRequest, TrainingRequest
from detector.settings import JobSettings
from detector.tracking import batch_detection, runs, server
from detector.tracking.model_cache import ModelCache
from detector.tracking.records import Unfinished
from detector.tracking.server import is_outage

_log = logging.getLogger("detector.jobs")
_EXPERIMENTS = {TRAINING: runs.MODELS, DETECTION: runs.RESULTS}
_KINDS = {experiment: kind for kind, experiment in _EXPERIMENTS.items()}
# A job that ended its worker this often would do so again.
_MOST_ATTEMPTS = 3
_GIVEN_UP = (
    f"This was begun {_MOST_ATTEMPTS} times and broken off each time: the worker was lost, or "
    "MLflow was away for long. If the worker needs more memory than there is, try fewer variables "
    "or a shorter time range."
)
# How often the worker looks for work that nobody does, and for results that have expired.
_ROUND_SECONDS = 5.0
_EXPIRY_SECONDS = 3600.0
# How often to look whether a running training is still wanted.
_LOOK_SECONDS = 1.0
# How long what runs may take to stop.
STOP_SECONDS = 10.0
# A program that trains by itself writes at least once a minute.
_PATIENCE = timedelta(minutes=10)
# Touched in every round; the health check of the container looks at its age.
ALIVE = Path(tempfile.gettempdir()) / "detector-worker-alive"


class Worker:
    """Takes work from both queues until told to stop."""

    def __init__(self, settings: JobSettings) -> None:
        self._settings = settings
        self._queues = queues()
        self._leases = {
            kind: Leases(queue.huey, settings.lease_seconds) for kind, queue in self._queues.items()
        }
        self._trainings = 0
        self._stopping = threading.Event()
        self._said = ""
        self._models = ModelCache()
        self._queues[TRAINING].perform = functools.partial(self._perform, TRAINING, self._train)
        self._queues[DETECTION].perform = functools.partial(self._perform, DETECTION, self._detect)

    def stop(self, *_: object) -> None:
        self._stopping.set()

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        while not self._can_begin():
            if self._stopping.wait(_ROUND_SECONDS):
                return
        counts = {
            TRAINING: self._settings.trainings,
            DETECTION: self._settings.batch_detections,
        }
        consumers = [
            queue.huey.create_consumer(
                workers=counts[kind], periodic=False, max_delay=1.0, scheduler_interval=60
            )
            for kind, queue in self._queues.items()
        ]
        for consumer in consumers:
            consumer.start()
        # Huey's own handlers end one consumer.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        for task in (self._renew, self._look_round):
            threading.Thread(target=task, name=task.__name__, daemon=True).start()
        _log.info("The worker takes up work.", extra=counts)
        while not self._stopping.wait(_ROUND_SECONDS):
            for consumer in consumers:
                consumer.check_worker_health()
        for consumer in consumers:
            consumer.stop_flag.set()
        deadline = time.monotonic() + STOP_SECONDS
        for consumer in consumers:
            for _, thread in consumer.worker_threads:
                thread.join(max(0.0, deadline - time.monotonic()))
        # What did not stop in time is done again by the next worker, at once.
        for leases in self._leases.values():
            leases.release_all()
        _log.info("The worker has stopped.")

    def _can_begin(self) -> bool:
        try:
            server.connect(patient=True)
        except server.TrackingError as error:
            if str(error) != self._said:
                self._said = str(error)
                _log.warning("The worker waits: %s", error)
            return False
        return True

    def _renew(self) -> None:
        while not self._stopping.wait(self._settings.lease_seconds / 3):
            for leases in self._leases.values():
                with _told("renew its leases"):
                    leases.renew()

    def _look_round(self) -> None:
        next_expiry = 0.0
        while not self._stopping.is_set():
            with _told("look for work that nobody does"):
                self._take_up()
                if time.monotonic() >= next_expiry:
                    runs.expire_results()
                    next_expiry = time.monotonic() + _EXPIRY_SECONDS
                ALIVE.touch()
            self._stopping.wait(_ROUND_SECONDS)

    def _take_up(self) -> None:
        """Put into the queue again what is in no queue and that nobody works on."""
        waiting = {kind: queue.waiting() for kind, queue in self._queues.items()}
        for found in runs.unfinished():
            kind = _KINDS[found.experiment]
            if not found.queued:
                self._give_up(found)
            elif found.identity not in waiting[kind] and not self._leases[kind].is_held(
                found.identity
            ):
                self._queues[kind].submit(found.identity)

    def _give_up(self, found: Unfinished) -> None:
        silence = datetime.now(UTC) - found.updated
        if silence > _PATIENCE:
            reason = (
                "The program that trained this model has given no sign of life for "
                f"{_PATIENCE.seconds // 60} minutes. Start the training again."
            )
            runs.fail(found.identity, found.experiment, DetectionError("UnexpectedError", reason))

    def _perform(self, kind: str, carry_out: Callable[[str], None], identity: str) -> None:
        """Carry out a job if it is still to be done and nobody else does it."""
        experiment = _EXPERIMENTS[kind]
        if self._stopping.is_set() or not runs.is_unfinished(identity, experiment):
            return
        leases = self._leases[kind]
        attempt = leases.take(identity)
        if attempt is None:
            return
        known: dict[str, Any] = {"job": kind, "id": identity, "attempt": attempt}
        _log.info("begun", extra=known)
        started = time.monotonic()
        outcome = "ended"
        try:
            with runs.recording_failure(identity, experiment):
                if attempt > _MOST_ATTEMPTS:
                    raise DetectionError("UnexpectedError", _GIVEN_UP)
                carry_out(identity)
        except Stopped:
            outcome = "stopped"
        except DetectionError as error:
            outcome, known["code"] = "failed", error.code
        except Exception:  # noqa: BLE001 - a job must not end the worker
            # The lease runs out, and another attempt begins where the run is unfinished.
            leases.leave(identity)
            _log.exception("broken off", extra=known)
            return
        leases.release(identity)
        known["seconds"] = round(time.monotonic() - started, 3)
        _log.info(outcome, extra=known)

    def _train(self, model_id: str) -> None:
        """Train in a process of its own: trainings share no interpreter, and one may be ended."""
        self._trainings += 1
        threads = max(1, (os.cpu_count() or 1) // self._trainings)
        try:
            child = subprocess.Popen(
                [sys.executable, "-m", "detector", "train", model_id],
                stdin=subprocess.PIPE,
                env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            )
            code = self._follow(child, model_id)
        finally:
            self._trainings -= 1
        if code is None:
            raise Stopped
        if code == os.EX_TEMPFAIL:
            raise ConnectionError("the training could not reach MLflow")
        if code != 0:
            reason = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise DetectionError(
                "UnexpectedError",
                f"The training process ended with {reason}. If the system ended it for its "
                "memory, try fewer variables or a shorter time range.",
            )

    def _follow(self, child: subprocess.Popen[bytes], model_id: str) -> int | None:
        """Return how the child ended; None where it was stopped, as it is when nobody wants it."""
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(timeout=_LOOK_SECONDS)
            if self._stopping.is_set() or self._is_unwanted(model_id):
                child.terminate()
                try:
                    child.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
                return None

    def _is_unwanted(self, model_id: str) -> bool:
        """Say whether the model was deleted, or another worker has begun with it."""
        if self._leases[TRAINING].is_lost(model_id):
            return True
        try:
            return runs.run_of(model_id, runs.MODELS) is None
        except Exception as error:
            if is_outage(error):
                return False
            raise

    def _detect(self, result_id: str) -> None:
        record = runs.get_result(result_id)
        # Also where the model is at hand: it may be deleted meanwhile.
        schema = runs.get_model(record.model_id).request.schema
        model = self._models.get(record.model_id)
        frame = read_data(record.request, schema, self._settings, model.options.sliding_window)
        batch_detection.detect_batch(result_id, frame, model)


def read_data(
    request: TrainingRequest | DetectionRequest,
    schema: str,
    settings: JobSettings,
    sliding_window: int,
) -> pd.DataFrame:
    return datasource.read(
        request.source,
        datasource.Access.from_settings(settings),
        schema=schema,
        start=request.start,
        end=request.end,
        look_back=sliding_window - 1,
    )


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Log what a round of the worker met, and go on with the next one."""
    try:
        yield
    except Exception:  # noqa: BLE001 - what it is, is logged; the next round may meet it no more
        _log.exception("The worker could not %s; it tries again.", what)
