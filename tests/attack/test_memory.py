"""The limit of memory that these tests set is one."""

from __future__ import annotations

from typing import Any


def test_a_service_starts_within_its_memory(limited: Any) -> None:
    service, group = limited(new=True)
    service.wait()
    assert str(service.process.pid) in group.procs.read_text().split()
    assert 50e6 < group.peak < group.limit / 2
    assert group.killed == 0
