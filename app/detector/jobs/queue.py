"""The queues of work that outlives a request.

A queue only says that there is work. What is asked, how far it is and what came of it stand in the
runs of MLflow (`detector.tracking.runs`), so a queue that is lost loses nothing: the worker looks
for runs that are neither READY nor FAILED and that nobody works on, and takes them up again.
"""

from __future__ import annotations

import functools
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

from huey import Huey, RedisHuey, SqliteHuey
from redis.exceptions import RedisError

from detector.settings import JobSettings

_log = logging.getLogger("detector.jobs")
TRAINING, DETECTION = "training", "detection"


def submit_training(model_id: str) -> None:
    """Have a worker train the model."""
    queues()[TRAINING].submit(model_id)


def submit_detection(result_id: str) -> None:
    """Have a worker carry out the batch detection."""
    queues()[DETECTION].submit(result_id)


class Queue:
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
def queues() -> dict[str, Queue]:
    address = JobSettings().queue
    return {kind: Queue(kind, address) for kind in (TRAINING, DETECTION)}
