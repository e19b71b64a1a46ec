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
from typing import TYPE_CHECKING, Any

import pandas as pd

from detector import datasource, temporary
from detector.errors import DetectionError, Stopped
from detector.jobs.leases import Leases
from detector.jobs.queue import DETECTION, TRAINING, Queue, QueueError, queues
from detector.settings import JobSettings
from detector.tracking import batch_detection, runs, server
from detector.tracking.model_cache import ModelCache
from detector.tracking.records import ModelRecord, ResultRecord, Unfinished
from detector.tracking.server import is_outage

if TYPE_CHECKING:
    from detector.jobs.metrics import Metrics

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
# Whoever begins a run keeps the address of its data, and then puts the job into the queue.
_BEGUN = timedelta(minutes=1)
_SOURCE_LOST = (
    "The address of the data has a part that grants access to it. That part was kept in the queue "
    "(DETECTOR_QUEUE) only, and the queue was lost. Send the request again."
)
# Touched in every round, in the folder for temporary files; the health check of the container looks
# at its age.
_ALIVE = "detector-worker-alive"
# Of the worker's own temporary files, and of those of its trainings.
_FOLDER = "detector-work-"


class Worker:
    """Takes work from both queues until told to stop."""

    def __init__(self, settings: JobSettings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._queues: dict[str, Queue] = {}
        self._leases: dict[str, Leases] = {}
        self._waits_for = ""
        self._met: dict[str, str] = {}
        self._alive = Path()
        self._trainings = 0
        self._stopping = threading.Event()
        self._models = ModelCache()

    def stop(self, *_: object) -> None:
        self._stopping.set()

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        while not self._can_begin():
            if self._stopping.wait(_ROUND_SECONDS):
                return
        with self._own_folder():
            self._work()

    @contextlib.contextmanager
    def _own_folder(self) -> Iterator[None]:
        """Keep what is temporary, also of the trainings, where the next worker removes it."""
        place = self._alive.parent
        temporary.sweep(_FOLDER, place)
        with contextlib.ExitStack() as stack:
            try:
                folder = stack.enter_context(temporary.made(_FOLDER, place))
            except OSError as error:
                _log.warning("The worker has no folder of its own in %s: %s", place, error.strerror)
            else:
                tempfile.tempdir = str(folder)
                stack.callback(setattr, tempfile, "tempdir", str(place))
            yield

    def _work(self) -> None:
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
            self._alive = Path(tempfile.gettempdir()) / _ALIVE
            self._queues = queues()
            server.connect(patient=True)
        # FileNotFoundError: no folder takes a temporary file.
        except (QueueError, server.TrackingError, FileNotFoundError) as error:
            if str(error) != self._waits_for:
                self._waits_for = str(error)
                _log.warning("The worker waits: %s", error)
            return False
        for kind, carry_out in ((TRAINING, self._train), (DETECTION, self._detect)):
            queue = self._queues[kind]
            self._leases[kind] = Leases(queue.huey, self._settings.lease_seconds)
            queue.perform = functools.partial(self._perform, kind, carry_out)
        return True

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Log what a round of the worker met, once, and go on with the next one."""
        try:
            yield
        except QueueError as error:
            if self._met.get(what) != str(error):
                self._met[what] = str(error)
                _log.warning("The worker could not %s; it tries again. %s", what, error)
        except Exception:  # noqa: BLE001 - what it is, is logged; the next round may not meet it
            _log.exception("The worker could not %s; it tries again.", what)
        else:
            self._met.pop(what, None)

    def _renew(self) -> None:
        while not self._stopping.wait(self._settings.lease_seconds / 3):
            for leases in self._leases.values():
                with self._told("renew its leases"):
                    leases.renew()

    def _look_round(self) -> None:
        next_expiry = 0.0
        while not self._stopping.is_set():
            with self._told("look for work that nobody does"):
                self._take_up()
            if time.monotonic() >= next_expiry:
                with self._told("delete what has expired"):
                    runs.expire_results()
                    self._forget_ended()
                    next_expiry = time.monotonic() + _EXPIRY_SECONDS
            # Also where it failed: what it met is another's, and no new start would mend it.
            with self._told("tell that it is alive"):
                self._alive.touch()
            self._stopping.wait(_ROUND_SECONDS)

    def _take_up(self) -> None:
        """Put into the queue again what is in no queue and that nobody works on."""
        waiting = {kind: queue.waiting() for kind, queue in self._queues.items()}
        asked: dict[str, list[datetime]] = {kind: [] for kind in waiting}
        signs: dict[str, list[datetime]] = {kind: [] for kind in waiting}
        for found in runs.unfinished():
            kind = _KINDS[found.experiment]
            if not found.queued:
                self._give_up(found)
            elif found.identity in waiting[kind]:
                asked[kind].append(found.updated)
            elif self._leases[kind].is_held(found.identity):
                signs[kind].append(found.updated)
            elif not self._is_being_begun(found):
                self._queues[kind].submit(found.identity)
        for kind, rows in waiting.items():
            self._metrics.saw(kind, len(rows), asked[kind], signs[kind])
        self._metrics.looked()

    def _is_being_begun(self, found: Unfinished) -> bool:
        """Say whether the address of the data may still be on its way into the queue."""
        if not found.withheld or datetime.now(UTC) - found.updated > _BEGUN:
            return False
        return self._queues[_KINDS[found.experiment]].source(found.identity) is None

    def _forget_ended(self) -> None:
        """Forget what the queue keeps of jobs that were deleted, or ended while it was away."""
        for kind, queue in self._queues.items():
            for identity in queue.sources() | queue.leased():
                if not runs.is_unfinished(identity, _EXPERIMENTS[kind]):
                    queue.forget_source(identity)
                    queue.forget_leases(identity)

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
        if self._stopping.is_set():
            return
        if not runs.is_unfinished(identity, experiment):
            self._queues[kind].forget_source(identity)
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
            with self._metrics.at_work(kind), runs.recording_failure(identity, experiment):
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
            self._metrics.left(kind, "broken off", time.monotonic() - started)
            _log.exception("broken off", extra=known)
            return
        leases.release(identity)
        if outcome != "stopped":
            self._queues[kind].forget_source(identity)
        seconds = time.monotonic() - started
        self._metrics.left(kind, outcome, seconds)
        known["seconds"] = round(seconds, 3)
        _log.info(outcome, extra=known)

    def _train(self, model_id: str) -> None:
        """Train in a process of its own: trainings share no interpreter, and one may be ended."""
        self._trainings += 1
        threads = max(1, (os.cpu_count() or 1) // self._trainings)
        try:
            # Whatever ends the child, its temporary files go with it.
            with tempfile.TemporaryDirectory() as folder:
                child = subprocess.Popen(
                    [sys.executable, "-m", "detector", "train", model_id],
                    stdin=subprocess.PIPE,
                    env=os.environ | {"OMP_NUM_THREADS": str(threads), "TMPDIR": folder},
                )
                code = self._follow(child, model_id)
        finally:
            self._trainings -= 1
        if code is None:
            raise Stopped
        if code == os.EX_TEMPFAIL:
            raise ConnectionError(
                "the training could not reach MLflow or the queue; its log says which"
            )
        if code == os.EX_DATAERR:
            # It has written why.
            raise DetectionError("ModelFailed", "The training failed; its run says why.")
        if code != 0:
            reason = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise DetectionError(
                "UnexpectedError",
                f"The training process ended with {reason}. If the system ended it for its "
                "memory, try fewer variables or a shorter time range.",
            )

    def _follow(self, child: subprocess.Popen[bytes], model_id: str) -> int | None:
        """Return how the child ended; None where it was stopped, as it is when nobody wants it."""
        limit = self._settings.training_seconds
        deadline = time.monotonic() + limit
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(timeout=_LOOK_SECONDS)
            if self._stopping.is_set() or self._is_unwanted(model_id):
                _end(child)
                return None
            if time.monotonic() >= deadline:
                # It tells of its last epochs before it ends.
                _end(child)
                raise _too_long("training", limit, "DETECTOR_TRAINING_SECONDS")

    def _is_unwanted(self, model_id: str) -> bool:
        """Say whether the model was deleted, or another worker has begun with it."""
        try:
            if self._leases[TRAINING].is_lost(model_id):
                return True
            return runs.run_of(model_id, runs.MODELS) is None
        except Exception as error:
            if is_outage(error):
                return False
            raise

    def _detect(self, result_id: str) -> None:
        limit = self._settings.batch_seconds
        deadline = time.monotonic() + limit

        def stop() -> bool:
            return self._stopping.is_set() or time.monotonic() >= deadline

        record = runs.get_result(result_id)
        # Also where the model is at hand: it may be deleted meanwhile.
        schema = runs.get_model(record.model_id).request.schema
        model = self._models.get(record.model_id)
        frame = read_data(record, schema, self._settings, model.options.sliding_window)
        try:
            batch_detection.detect_batch(result_id, frame, model, stop=stop)
        except Stopped:
            if time.monotonic() < deadline:
                raise
            raise _too_long("batch detection", limit, "DETECTOR_BATCH_SECONDS") from None


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _too_long(what: str, seconds: float, setting: str) -> DetectionError:
    return DetectionError(
        "UnexpectedError",
        f"The {what} was ended after {seconds:g} seconds, the most that one may take ({setting}). "
        "Try fewer variables or a shorter time range, or ask the operator for more time.",
    )


def read_data(
    record: ModelRecord | ResultRecord, schema: str, settings: JobSettings, sliding_window: int
) -> pd.DataFrame:
    """Read the data of a job.

    Raises
    ------
    DetectionError
        As `datasource.read`, and where a part of its address is lost.
    """
    request = record.request
    source: str | None = request.source
    if record.withheld:
        kind, identity = (
            (TRAINING, record.model_id)
            if isinstance(record, ModelRecord)
            else (DETECTION, record.result_id)
        )
        source = queues()[kind].source(identity)
    if source is None:
        raise DetectionError("UnexpectedError", _SOURCE_LOST)
    return datasource.read(
        source,
        datasource.Access.from_settings(settings),
        schema=schema,
        start=request.start,
        end=request.end,
        look_back=sliding_window - 1,
    )
