"""What a worker tells Prometheus: of the queues, as it saw them last, and of its own jobs.

Only a worker imports this: the service counts elsewhere (`detector.api.metrics`), and must say so
before prometheus_client is imported.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from detector.jobs.queue import DETECTION, TRAINING

__all__ = ["Metrics"]

_log = logging.getLogger("detector.jobs")
# How an attempt at a job ends: with a result, with a reason why there is none, because the worker
# was told to stop, or so that it is tried again.
_OUTCOMES = ("ended", "failed", "stopped", "broken off")
_KINDS = (TRAINING, DETECTION)
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The figures of one worker.

    Parameters
    ----------
    queue : str
        The address of the queue: where it is a file, the room beside it is told too.
    """

    def __init__(self, queue: str) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._running = Gauge(
            "detector_jobs_running", "Jobs that this worker works on.", ["kind"], registry=registry
        )
        self._attempts = Counter(
            "detector_jobs_total",
            "Attempts of this worker at jobs, by how they ended.",
            ["kind", "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "detector_job_seconds",
            "How long its attempts took.",
            ["kind"],
            buckets=(1, 5, 15, 60, 300, 900, 3600, 14400, 86400),
            registry=registry,
        )
        self._looked = Gauge(
            "detector_worker_looked_timestamp_seconds",
            "When this worker last looked for work in the queue and in MLflow.",
            registry=registry,
        )
        self._looked.set_to_current_time()
        for kind in _KINDS:
            self._running.labels(kind)
            self._seconds.labels(kind)
            for outcome in _OUTCOMES:
                # A counter that is not there before it counts rises from nowhere.
                self._attempts.labels(kind, outcome)
        self._queues = _Queues()
        registry.register(self._queues)
        registry.register(_Room(queue))

    def listen(self, address: str) -> None:
        """Answer Prometheus at an address, ``HOST:PORT``; where that is taken, work without."""
        host, _, port = address.rpartition(":")
        try:
            start_http_server(int(port), host, self.registry)
        except (OSError, OverflowError) as error:
            _log.error(
                "The worker tells Prometheus nothing: it cannot listen on %s (%s). Name another "
                "address in DETECTOR_WORKER_METRICS.",
                address,
                error,
            )

    def saw(
        self, kind: str, waiting: int, asked: Collection[datetime], signs: Collection[datetime]
    ) -> None:
        """Keep what a look at the queues found.

        Parameters
        ----------
        waiting : int
            How many jobs are in the queue.
        asked : collection of datetime
            Since when they wait.
        signs : collection of datetime
            When each running job, of whatever worker, last gave a sign of life.
        """
        self._queues.seen[kind] = (waiting, _earliest(asked), _earliest(signs))

    def looked(self) -> None:
        """Keep that a look was a whole one."""
        self._looked.set_to_current_time()

    @contextlib.contextmanager
    def at_work(self, kind: str) -> Iterator[None]:
        """Count a job that runs."""
        with self._running.labels(kind).track_inprogress():
            yield

    def left(self, kind: str, outcome: str, seconds: float) -> None:
        """Count an attempt that is over."""
        self._attempts.labels(kind, outcome).inc()
        self._seconds.labels(kind).observe(seconds)


class _Queues(Collector):
    """The queues as they were seen last; ages go on growing where nobody looks any more."""

    def __init__(self) -> None:
        # By kind: how many wait, since when the first one does, and the oldest sign of life.
        self.seen: dict[str, tuple[int, float | None, float | None]] = dict.fromkeys(
            _KINDS, (0, None, None)
        )

    def collect(self) -> Iterator[GaugeMetricFamily]:
        waiting = GaugeMetricFamily(
            "detector_jobs_waiting", "Jobs in the queue, of all workers.", labels=["kind"]
        )
        oldest = GaugeMetricFamily(
            "detector_jobs_oldest_seconds",
            "How long the first of them has waited; 0 where none waits.",
            labels=["kind"],
        )
        silent = GaugeMetricFamily(
            "detector_jobs_silent_seconds",
            "How long ago the running job, of all workers, that is silent for longest gave a sign "
            "of life; 0 where none runs.",
            labels=["kind"],
        )
        now = time.time()
        for kind, (count, asked, sign) in self.seen.items():
            waiting.add_metric([kind], count)
            oldest.add_metric([kind], _ago(asked, now))
            silent.add_metric([kind], _ago(sign, now))
        yield from (waiting, oldest, silent)


class _Room(Collector):
    """What is free where the worker writes."""

    def __init__(self, queue: str) -> None:
        self._queue = None if "://" in queue else Path(queue).resolve().parent

    def collect(self) -> Iterator[GaugeMetricFamily]:
        free = GaugeMetricFamily(
            "detector_worker_free_bytes",
            "Bytes free where the queue lies, and where temporary files do.",
            labels=["folder"],
        )
        for name, folder in (("queue", self._queue), ("temporary", Path(tempfile.gettempdir()))):
            if folder is not None:
                # One that is not there is told of elsewhere; the other figures still count.
                with contextlib.suppress(OSError):
                    free.add_metric([name], shutil.disk_usage(folder).free)
        yield free


def _earliest(moments: Collection[datetime]) -> float | None:
    return min(moments).timestamp() if moments else None


def _ago(moment: float | None, now: float) -> float:
    return 0.0 if moment is None else max(0.0, now - moment)
