"""The processes that work: a worker, one beside the service, and one for each training."""

from __future__ import annotations

import contextlib
import logging
import logging.config
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pandas as pd

from detector import isolation
from detector.errors import DetectionError, Stopped
from detector.jobs.queue import QueueError
from detector.jobs.worker import STOP_SECONDS, Worker, read_data
from detector.log import CONFIGURATION, ignore_foreign_warnings
from detector.settings import JobSettings
from detector.tracking import runs, server, training
from detector.tracking.server import is_outage

_log = logging.getLogger("detector.jobs")


def train_in_this_process(model_id: str) -> int:
    """Train one model in this process, for the worker that started it.

    Returns
    -------
    int
        0 when the model is READY; ``EX_DATAERR`` when it is FAILED and says why;
        ``EX_TEMPFAIL`` when MLflow or the queue was away.
    """
    _set_up()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    # The worker is gone when its end of the pipe is, and somebody else may begin this job.
    _when_stdin_closes(lambda: os._exit(1))
    settings = JobSettings()
    try:
        server.connect(patient=True)
        record = runs.get_model(model_id)
        request = record.request
        options = request.options(epochs=settings.epochs, device=settings.device)

        def read() -> pd.DataFrame:
            return read_data(record, request.schema, settings, options.sliding_window)

        training.train_model(model_id, read, options, stop=stop.is_set)
    except DetectionError as error:
        # Written already, unless what was asked for cannot be read from the run.
        runs.fail(model_id, runs.MODELS, error)
        _log.warning("failed", extra={"id": model_id, "code": error.code})
        return os.EX_DATAERR
    except Stopped:
        return 0
    except Exception as error:
        if not (isinstance(error, server.TrackingError) or is_outage(error)):
            raise
        if isinstance(error, QueueError):
            _log.error("The training ends, and is begun again. %s", error)
        else:
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
    # The service, which imports this module, decides where it counts before that of metrics is.
    from detector.jobs.metrics import Metrics

    settings = JobSettings()
    metrics = Metrics(settings.queue)
    if settings.worker_metrics:
        metrics.listen(settings.worker_metrics)
    worker = Worker(settings, metrics)
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
    """Log as the service does, and keep secrets as it does."""
    isolation.hide_memory()
    logging.config.dictConfig(CONFIGURATION)
    ignore_foreign_warnings()
    logging.getLogger("mlflow").setLevel(logging.WARNING)


@contextlib.contextmanager
def run_embedded_worker() -> Iterator[None]:
    """Run a worker beside the service as long as that runs; start it again when it dies."""
    ended = threading.Event()
    # As it is now: the service sets its own tries for requests to MLflow when it connects.
    environment = dict(os.environ)
    started: list[subprocess.Popen[bytes]] = []

    def keep() -> None:
        while not ended.is_set():
            started[:] = [
                subprocess.Popen(
                    [sys.executable, "-m", "detector", "worker", "--until-stdin-closes"],
                    stdin=subprocess.PIPE,
                    env=environment,
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
                worker.wait(2 * STOP_SECONDS)
            worker.kill()
