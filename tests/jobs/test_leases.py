"""Leases: of several workers one works on a job, whatever the others do."""

from __future__ import annotations

from pathlib import Path

import pytest
from huey import Huey, SqliteHuey

from detector.jobs.leases import Leases


@pytest.fixture
def huey(tmp_path: Path) -> Huey:
    return SqliteHuey(filename=str(tmp_path / "queue.db"))


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
