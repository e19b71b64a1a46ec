"""Who works on what: leases in the store of a queue.

A lease is renewed while the work goes on. A worker that is killed stops renewing; after
``DETECTOR_LEASE_SECONDS`` the next attempt may begin. Each attempt has a number, and only one
worker can take it.
"""

from __future__ import annotations

import time
import uuid

from huey import Huey
from huey.constants import EmptyData

from detector.jobs.queue import held_until, lease_key


class Leases:
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
        if not self._huey.put_if_empty(lease_key(identity, attempt + 1), mine):
            return None
        self._held[identity] = attempt + 1
        return attempt + 1

    def is_lost(self, identity: str) -> bool:
        """Say whether the next attempt has begun, which it may when this one did not renew."""
        return self._until(identity, self._held.get(identity, 0) + 1) is not None

    def renew(self) -> None:
        for identity, attempt in list(self._held.items()):
            mine = {"worker": self._worker, "until": time.time() + self.seconds}
            self._huey.put(lease_key(identity, attempt), mine)

    def leave(self, identity: str) -> None:
        """Stop renewing: the lease runs out, and the next attempt may begin."""
        self._held.pop(identity, None)

    def release(self, identity: str) -> None:
        """Forget every attempt; where the next one has begun, they are for its worker to forget."""
        is_lost = self.is_lost(identity)
        last = self._held.pop(identity, 0)
        if is_lost:
            return
        for attempt in range(1, last + 1):
            self._huey.delete(lease_key(identity, attempt))

    def release_all(self) -> None:
        for identity in list(self._held):
            self.release(identity)

    def _last(self, identity: str) -> tuple[int, float]:
        """Return the number of the last attempt, 0 for none, and until when it is held."""
        attempt, last = 0, 0.0
        while (until := self._until(identity, attempt + 1)) is not None:
            attempt, last = attempt + 1, until
        return attempt, last

    def _until(self, identity: str, attempt: int) -> float | None:
        """Return until when an attempt is held; None where it was not begun."""
        entry = self._huey.get_raw(lease_key(identity, attempt), peek=True)
        return None if entry is EmptyData else held_until(entry)
