"""Leases: of several workers one works on a job, whatever the others do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huey import Huey

from detector.jobs import queue
from detector.jobs.leases import Leases


@pytest.fixture
def huey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Huey]:
    """Return the store of a queue of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DETECTOR_QUEUE", raising=False)
    queue.queues.cache_clear()
    yield queue.queues()["training"].huey
    for each in queue.queues().values():
        each.huey.storage.close()
    queue.queues.cache_clear()


def test_a_worker_that_lost_its_lease_takes_none_away(huey: Huey) -> None:
    late, next_one = Leases(huey, seconds=0), Leases(huey, seconds=60)
    assert (late.take("job"), next_one.take("job")) == (1, 2)
    assert late.is_lost("job")
    late.release("job")
    assert next_one.is_held("job")
    assert late.take("job") is None
    # All attempts are forgotten with the last.
    next_one.release("job")
    assert late.take("job") == 1
