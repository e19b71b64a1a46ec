"""The queues of work that outlives a request.

The runs of MLflow (`detector.tracking.runs`) hold what is asked, how far it is and what came of it,
so the worker finds the jobs of a lost queue again. The queue alone holds the address of data whose
query grants access to it: a job that loses it is FAILED.

A row is the id of a job, as JSON. Huey's own rows are pickles, which run the code of whoever wrote
them.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from huey import Huey
from huey.storage import RedisStorage, SqliteStorage
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from detector.multivariate.requests import redacted
from detector.settings import JobSettings

_log = logging.getLogger("detector.jobs")
TRAINING, DETECTION = "training", "detection"
_JOB = "job"
_LEASE, _SOURCE = "lease:", "source:"
# How long to wait before a queue that does not answer is asked again.
_PAUSE_SECONDS = 1.0
_REDIS = re.compile(
    r"rediss?://([^/@?#\s]*@)?(\[[0-9a-fA-F:.]+\]|[^/@?#:\[\]\s]+)(:\d{1,5})?(/\d*)?(\?[^#\s]*)?",
    re.ASCII,
)
_FULL = ("disk is full", "No space left", "OOM command")


class QueueError(ConnectionError):
    """A queue cannot be used; the message says what was tried and what to do."""


class Queue:
    """One of the two queues: trainings must not keep detections waiting."""

    def __init__(self, kind: str, address: str) -> None:
        self.huey = _Jobs(kind, address)
        self.perform: Callable[[str], None] = _nobody
        self._task = self.huey.task(name=kind)(lambda identity: self.perform(identity))
        self.huey.task_of = self._task.s

    def submit(self, identity: str) -> None:
        """Have a worker carry out a job.

        Raises
        ------
        QueueError
            If the queue cannot be written to; so do all that follow.
        """
        self._task(identity)

    def keep_source(self, identity: str, source: str) -> None:
        """Keep the address of a job's data, with what grants access to it, until `forget_source`.

        It stands nowhere else: MLflow shows its tags to everybody.
        """
        self.huey.put(_SOURCE + identity, source)

    def source(self, identity: str) -> str | None:
        """Return the address that was kept; None where it is lost."""
        with contextlib.suppress(ValueError):
            source = self.huey.get(_SOURCE + identity, peek=True)
            return source if isinstance(source, str) else None
        return None

    def forget_source(self, identity: str) -> None:
        self.huey.delete(_SOURCE + identity)

    def sources(self) -> set[str]:
        """Return the jobs whose address is kept."""
        return set(self._kept(_SOURCE))

    def check(self) -> None:
        """Raise `QueueError` where the queue cannot be written to."""
        self.huey.delete("nothing")

    def waiting(self) -> set[str]:
        """Return what is in the queue."""
        rows = map(_job_of, self.huey.storage.enqueued_items())
        return {identity for identity in rows if identity is not None}

    def unfinished(self) -> set[str]:
        """Return what is in the queue, and what a worker has taken and still works on.

        A lease that ran out may be of a job that has ended; a job that has not is put into the
        queue again.
        """
        now, leases = time.time(), self._kept(_LEASE)
        held = {key.split(":")[0] for key, entry in leases.items() if held_until(entry) > now}
        return self.waiting() | held

    def leased(self) -> set[str]:
        """Return the jobs that have a lease, also one that ran out."""
        return {key.split(":")[0] for key in self._kept(_LEASE)}

    def forget_leases(self, identity: str) -> None:
        """Forget every attempt at a job."""
        for key in self._kept(f"{_LEASE}{identity}:"):
            self.huey.delete(f"{_LEASE}{identity}:{key}")

    def _kept(self, prefix: str) -> dict[str, bytes]:
        kept = self.huey.storage.result_items()
        return {
            key.removeprefix(prefix): value for key, value in kept.items() if key.startswith(prefix)
        }


@functools.lru_cache
def queues() -> dict[str, Queue]:
    """Return the queues that the settings name.

    Raises
    ------
    QueueError
        If there is no such queue; the next call looks again.
    """
    address = JobSettings().queue
    return {kind: Queue(kind, address) for kind in (TRAINING, DETECTION)}


def lease_key(identity: str, attempt: int) -> str:
    """Return under which key of its queue a worker's lease of a job is kept."""
    return f"{_LEASE}{identity}:{attempt}"


def held_until(entry: bytes) -> float:
    """Return until when a lease holds, in seconds since 1970."""
    try:
        return float(_Json().deserialize(entry)["until"])
    except (ValueError, TypeError, KeyError, IndexError):
        # A lease of an older version, or none at all: nobody renews it.
        return 0.0


def _nobody(identity: str) -> None:
    raise RuntimeError(f"{identity} was taken from the queue by a process that is no worker")


class _Json:
    """What Huey writes rows and values with."""

    def serialize(self, value: Any) -> bytes:
        return json.dumps(value).encode()

    def deserialize(self, text: bytes) -> Any:
        """Return the value; ValueError for what is no JSON, such as a pickle."""
        try:
            return json.loads(text)
        except (TypeError, RecursionError) as error:
            raise ValueError("not JSON") from error


def _job_of(row: bytes) -> str | None:
    """Return the id of the job that a row names; None for a row that is none of ours."""
    try:
        value = _Json().deserialize(row)
    except ValueError:
        return None
    identity = value.get(_JOB) if isinstance(value, dict) else None
    return identity if isinstance(identity, str) else None


class _Jobs(Huey):  # type: ignore[misc]
    """Huey, with rows that are the ids of jobs."""

    def __init__(self, kind: str, address: str) -> None:
        self._address = address
        self._told_of_rows = self._told_of_error = False
        self.task_of: Callable[[str], Any]
        super().__init__(kind, results=False, serializer=_Json())

    def get_storage(self) -> _Storage:
        return _Storage(self.name, self._address)

    def serialize_task(self, task: Any) -> bytes:
        return self.serializer.serialize({_JOB: task.args[0]})  # type: ignore[no-any-return]

    def dequeue(self) -> Any:
        """Return the next task, None where there is none; what is no row of ours is dropped."""
        try:
            while (row := self.storage.dequeue()) is not None:
                self._told_of_error = False
                identity = _job_of(row)
                if identity is not None:
                    return self.task_of(identity)
                if not self._told_of_rows:
                    self._told_of_rows = True
                    _log.warning(
                        "The queue holds rows that are not its own, such as those of an older "
                        "version: they are dropped unread, and their jobs found in MLflow.",
                        extra={"job": self.name},
                    )
        except QueueError as error:
            if not self._told_of_error:
                self._told_of_error = True
                _log.error("The worker waits for its queue. %s", error)
            time.sleep(_PAUSE_SECONDS)
        return None

    def read_schedule(self, timestamp: object = None) -> list[Any]:
        # Nothing here is to be done later, and nothing is revoked.
        return []

    def is_revoked(self, *_: object) -> bool:
        return False


class _Storage:
    """Where Huey keeps its rows; what goes wrong there is told in a sentence."""

    def __init__(self, name: str, address: str) -> None:
        self._address = address
        with self._explained():
            if address.startswith(("redis://", "rediss://")):
                self._storage = _redis(f"detector-{name}", address)
            else:
                _make_private(Path(address))
                self._storage = SqliteStorage(name, filename=address, timeout=30)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._storage, name)
        if not callable(found):
            return found

        def call(*arguments: object, **options: object) -> Any:
            with self._explained():
                return found(*arguments, **options)

        return call

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except QueueError:
            raise
        except (OSError, sqlite3.Error, RedisError) as error:
            # Not chained: a message of Redis may name its user.
            raise QueueError(_explanation(error, redacted(self._address))) from None


def _redis(name: str, address: str) -> RedisStorage:
    with contextlib.suppress(ValueError):
        # Else a part of a password would pass for the host, and be quoted.
        if _REDIS.fullmatch(address):
            return RedisStorage(name, url=address)
    raise QueueError(
        "DETECTOR_QUEUE is no address of a Redis: write redis://HOST:6379/0 or "
        "rediss://USER:PASSWORD@HOST:6379/0, user and password percent-encoded."
    )


def _make_private(path: Path) -> None:
    """Make the file of a queue for its owner alone: it may keep what grants access to data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    with contextlib.suppress(PermissionError):
        path.chmod(path.stat().st_mode & ~0o007)


def _explanation(error: Exception, address: str) -> str:
    queue = f"The queue of trainings and batch detections, {address} (DETECTOR_QUEUE),"
    if any(each in str(error) for each in _FULL):
        return f"{queue} has no room left: make some on its disk or in its memory."
    if isinstance(error, (AuthenticationError, NoPermissionError)):
        return (
            f"{queue} refuses the user or password in its address: write "
            "redis://USER:PASSWORD@HOST:6379/0, or rediss:// for TLS, with both percent-encoded."
        )
    reason = str(error).split("\n")[0][:200].rstrip(".")
    if isinstance(error, RedisError):
        return (
            f"{queue} does not answer: {reason}. See that a Redis runs there and can be reached, "
            "with TLS where the address begins with rediss://."
        )
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return (
            f"{queue} is damaged, or no file that a queue made: {reason}. Stop the service and its "
            "workers, move the file away and start them again; what was asked stands in MLflow."
        )
    return f"{queue} cannot be used: {reason}. See that its folder is there and can be written to."
