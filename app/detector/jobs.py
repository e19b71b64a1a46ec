"""The work that outlives a request: a queue, and the worker that takes from it.

The queue only says that there is work. What is asked, how far it is and what came of it stand in
the runs of MLflow (`detector.runs`), so a queue that is lost loses nothing: the worker looks for
runs that are neither READY nor FAILED and that nobody works on, and takes them up again.

Who works on what is a lease in the queue's own store, renewed while the work goes on. A worker
that is killed stops renewing; after ``DETECTOR_LEASE_SECONDS`` the next attempt may begin. Each
attempt has a number and only one worker can take it.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import logging.config
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
from cachetools import LRUCache
from huey import Huey, RedisHuey, SqliteHuey
from redis.exceptions import RedisError

from detector import datasource, registry, runs, work
from detector.errors import DetectionError, Stopped
from detector.log import CONFIGURATION, ignore_foreign_warnings
from detector.multivariate import MultivariateModel
from detector.settings import JobSettings

__all__ = [
    "run_embedded_worker",
    "run_worker",
    "submit_detection",
    "submit_training",
    "train_in_this_process",
]

_log = logging.getLogger("detector.jobs")

_TRAINING, _DETECTION = "training", "detection"
_EXPERIMENTS = {_TRAINING: runs.MODELS, _DETECTION: runs.RESULTS}
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
_STOP_SECONDS = 10.0
_MODELS_KEPT = 4
# A program that trains by itself writes at least once a minute.
_PATIENCE = timedelta(minutes=10)
# Touched in every round; the health check of the container looks at its age.
ALIVE = Path(tempfile.gettempdir()) / "detector-worker-alive"


def submit_training(model_id: str) -> None:
    """Have a worker train the model."""
    _jobs()[_TRAINING].submit(model_id)


def submit_detection(result_id: str) -> None:
    """Have a worker carry out the batch detection."""
    _jobs()[_DETECTION].submit(result_id)


class _Queue:
    """One of the two queues: trainings must not keep detections waiting."""

    def __init__(self, kind: str, address: str) -> None:
        if address.startswith(("redis://", "rediss://")):
            self.huey: Huey = RedisHuey(f"detector-{kind}", url=address, results=False)
        else:
            Path(address).parent.mkdir(parents=True, exist_ok=True)
            self.huey = SqliteHuey(kind, filename=address, results=False, timeout=30)
        self.perform: Callable[[str], None] = _nobody
        self._task = self.huey.task(name=kind)(lambda identity: self.perform(identity))

    def submit(self, identity: str) -> None:
        try:
            self._task(identity)
        except (OSError, sqlite3.Error, RedisError):
            # Not lost: the worker looks for runs that nobody works on.
            _log.exception("The queue cannot be written to", extra={"id": identity})

    def waiting(self) -> set[str]:
        """Return what is in the queue."""
        return {task.args[0] for task in self.huey.pending()}


def _nobody(identity: str) -> None:
    raise RuntimeError(f"{identity} was taken from the queue by a process that is no worker")


@functools.lru_cache
def _jobs() -> dict[str, _Queue]:
    address = JobSettings().queue
    return {kind: _Queue(kind, address) for kind in (_TRAINING, _DETECTION)}


class _Leases:
    """Who works on what, in the store of a queue: one entry for each attempt at a job."""

    def __init__(self, huey: Huey, seconds: float) -> None:
        self._huey = huey
        self.seconds = seconds
        self._worker = str(uuid.uuid4())
        self._held: dict[str, int] = {}

    def is_held(self, identity: str) -> bool:
        return self._last(identity)[1] > time.time()

    def take(self, identity: str) -> int | None:
        """Take the next attempt and return its number; None where somebody works on it."""
        attempt, until = self._last(identity)
        if until > time.time():
            return None
        mine = {"worker": self._worker, "until": time.time() + self.seconds}
        if not self._huey.put_if_empty(_key(identity, attempt + 1), mine):
            return None
        self._held[identity] = attempt + 1
        return attempt + 1

    def is_lost(self, identity: str) -> bool:
        """Say whether the next attempt has begun, which it may when this one did not renew."""
        attempt = self._held.get(identity, 0)
        return self._huey.get(_key(identity, attempt + 1), peek=True) is not None

    def renew(self) -> None:
        for identity, attempt in list(self._held.items()):
            mine = {"worker": self._worker, "until": time.time() + self.seconds}
            self._huey.put(_key(identity, attempt), mine)

    def leave(self, identity: str) -> None:
        """Stop renewing: the lease runs out, and the next attempt may begin."""
        self._held.pop(identity, None)

    def release(self, identity: str) -> None:
        """Forget every attempt."""
        last = self._held.pop(identity, 0)
        for attempt in range(1, last + 1):
            self._huey.delete(_key(identity, attempt))

    def release_all(self) -> None:
        for identity in list(self._held):
            self.release(identity)

    def _last(self, identity: str) -> tuple[int, float]:
        """Return the number of the last attempt, 0 for none, and until when it is held."""
        attempt, until = 0, 0.0
        while (entry := self._huey.get(_key(identity, attempt + 1), peek=True)) is not None:
            attempt, until = attempt + 1, entry["until"]
        return attempt, until


def _key(identity: str, attempt: int) -> str:
    return f"lease:{identity}:{attempt}"


class _Worker:
    """Takes work from both queues until told to stop."""

    def __init__(self, settings: JobSettings) -> None:
        self._settings = settings
        self._queues = _jobs()
        self._leases = {
            kind: _Leases(queue.huey, settings.lease_seconds)
            for kind, queue in self._queues.items()
        }
        self._trainings = 0
        self._stopping = threading.Event()
        self._models: LRUCache[str, MultivariateModel] = LRUCache(_MODELS_KEPT)
        self._models_lock = threading.Lock()
        self._queues[_TRAINING].perform = functools.partial(self._perform, _TRAINING, self._train)
        self._queues[_DETECTION].perform = functools.partial(
            self._perform, _DETECTION, self._detect
        )

    def stop(self, *_: object) -> None:
        self._stopping.set()

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        while not self._can_begin():
            if self._stopping.wait(_ROUND_SECONDS):
                return
        counts = {
            _TRAINING: self._settings.trainings,
            _DETECTION: self._settings.batch_detections,
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
        deadline = time.monotonic() + _STOP_SECONDS
        for consumer in consumers:
            for _, thread in consumer.worker_threads:
                thread.join(max(0.0, deadline - time.monotonic()))
        # What did not stop in time is done again by the next worker, at once.
        for leases in self._leases.values():
            leases.release_all()
        _log.info("The worker has stopped.")

    def _can_begin(self) -> bool:
        try:
            registry.connect()
        except registry.TrackingError as error:
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

    def _give_up(self, found: runs.Unfinished) -> None:
        silence = datetime.now(timezone.utc) - found.updated
        if silence > _PATIENCE:
            reason = (
                "The program that trained this model has given no sign of life for "
                f"{_PATIENCE.seconds // 60} minutes. Start the training again."
            )
            runs.set_status(
                found.identity, runs.FAILED, [DetectionError("UnexpectedError", reason)]
            )

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
                    child.wait(_STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()
                return None

    def _is_unwanted(self, model_id: str) -> bool:
        """Say whether the model was deleted, or another worker has begun with it."""
        if self._leases[_TRAINING].is_lost(model_id):
            return True
        try:
            return runs.run_of(model_id, runs.MODELS) is None
        except Exception as error:
            if runs.is_outage(error):
                return False
            raise

    def _detect(self, result_id: str) -> None:
        record = runs.get_result(result_id)
        # Also where the model is at hand: it may be deleted meanwhile.
        info = runs.get_model(record.model_id).info
        with self._models_lock:
            model = self._models.get(record.model_id) or runs.load_model(record.model_id)
            self._models[record.model_id] = model
        asked = {"dataSchema": info["dataSchema"], **record.setup}
        frame = _read(asked, self._settings, model.options.sliding_window)
        work.detect_batch(result_id, frame, model)


def _read(asked: Mapping[str, Any], settings: JobSettings, sliding_window: int) -> pd.DataFrame:
    frame: pd.DataFrame = datasource.read(
        asked["dataSource"],
        datasource.Access.from_settings(settings),
        schema=asked["dataSchema"],
        start=work.moment(asked["startTime"]),
        end=work.moment(asked["endTime"]),
        look_back=sliding_window - 1,
    )
    return frame


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Log what a round of the worker met, and go on with the next one."""
    try:
        yield
    except Exception:  # noqa: BLE001 - what it is, is logged; the next round may meet it no more
        _log.exception("The worker could not %s; it tries again.", what)


def train_in_this_process(model_id: str) -> int:
    """Train one model in this process, for the worker that started it.

    Returns
    -------
    int
        0 when the model is READY, or FAILED and says why; ``EX_TEMPFAIL`` when MLflow was away.
    """
    _set_up()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    # The worker is gone when its end of the pipe is, and somebody else may begin this job.
    _when_stdin_closes(lambda: os._exit(1))
    settings = JobSettings()
    try:
        registry.connect()
        info = runs.get_model(model_id).info
        with runs.recording_failure(model_id, runs.MODELS):
            options = work.options_of(info, epochs=settings.epochs, device=settings.device)
            frame = _read(info, settings, options.sliding_window)
            work.train_model(model_id, frame, options, stop=stop.is_set)
    except DetectionError as error:
        _log.warning("failed", extra={"id": model_id, "code": error.code})
        return 0
    except Stopped:
        return 0
    except Exception as error:
        if not (isinstance(error, registry.TrackingError) or runs.is_outage(error)):
            raise
        _log.exception("MLflow was away for too long.")
        return os.EX_TEMPFAIL
    return 0


def run_worker(*, until_stdin_closes: bool = False) -> None:
    """Take up work until told to stop.

    Parameters
    ----------
    until_stdin_closes
        Stop also when the process that started this one is gone.
    """
    _set_up()
    worker = _Worker(JobSettings())
    if until_stdin_closes:
        _when_stdin_closes(worker.stop)
    worker.run()


def _when_stdin_closes(then: Callable[[], None]) -> None:
    """Do something when the process at the other end of standard input is gone."""

    def wait() -> None:
        # Not through sys.stdin, whose lock the interpreter asks for at its end.
        while os.read(0, 1):
            pass
        then()

    threading.Thread(target=wait, name="stdin", daemon=True).start()


def _set_up() -> None:
    """Log as the service does, and have MLflow's client wait out a restart of its server."""
    logging.config.dictConfig(CONFIGURATION)
    ignore_foreign_warnings()
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # Tries after 0, 4, 8, 16, 32 and 64 seconds.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "6")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "2")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


@contextlib.contextmanager
def run_embedded_worker() -> Iterator[None]:
    """Run a worker beside the service as long as that runs; start it again when it dies."""
    ended = threading.Event()
    started: list[subprocess.Popen[bytes]] = []

    def keep() -> None:
        while not ended.is_set():
            started[:] = [
                subprocess.Popen(
                    [sys.executable, "-m", "detector", "worker", "--until-stdin-closes"],
                    stdin=subprocess.PIPE,
                )
            ]
            code = started[0].wait()
            if not ended.is_set():
                _log.error("The worker ended with code %d; it is started again.", code)
                ended.wait(1.0)

    thread = threading.Thread(target=keep, name="worker", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        for worker in started:
            worker.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(2 * _STOP_SECONDS)
            worker.kill()
