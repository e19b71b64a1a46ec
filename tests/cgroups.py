"""A control group with a limit of memory, as a container has one: version 1 or 2, as there is."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


class Group:
    """A control group; a process that joins it, and what that starts, share its limit."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._is_old = (folder / "memory.limit_in_bytes").exists()
        self.limit = limit
        self._write("memory.limit_in_bytes" if self._is_old else "memory.max", str(limit))
        # Without it a limit of memory is a limit of memory that is not in swap.
        swap = "memory.memsw.limit_in_bytes" if self._is_old else "memory.swap.max"
        if (folder / swap).exists():
            self._write(swap, str(limit if self._is_old else 0))

    @property
    def procs(self) -> Path:
        """The file that a process writes its number to, to join."""
        return self._folder / "cgroup.procs"

    @property
    def peak(self) -> int:
        """The most bytes that were in use at once, file caches included."""
        name = "memory.max_usage_in_bytes" if self._is_old else "memory.peak"
        return int((self._folder / name).read_text())

    @property
    def killed(self) -> int:
        """How many processes the kernel ended because the limit was reached."""
        name = "memory.oom_control" if self._is_old else "memory.events"
        counts = dict(line.split() for line in (self._folder / name).read_text().splitlines())
        return int(counts["oom_kill"])

    def _write(self, name: str, value: str) -> None:
        (self._folder / name).write_text(value)


@contextlib.contextmanager
def memory_limit(limit: int) -> Iterator[Group]:
    """Make a group with a limit in bytes; end what is left in it, and remove it, afterwards.

    Raises
    ------
    PermissionError
        Where this user may make none, or the system has no control groups of memory.
    """
    old = _ROOT / "memory"
    folder = (old if old.is_dir() else _ROOT) / f"detector-{uuid.uuid4().hex[:12]}"
    try:
        if not old.is_dir() and "memory" not in (_ROOT / "cgroup.subtree_control").read_text():
            (_ROOT / "cgroup.subtree_control").write_text("+memory")
        folder.mkdir()
        group = Group(folder, limit)
    except OSError as error:
        raise PermissionError(f"A control group with a limit of memory: {error}") from error
    try:
        yield group
    finally:
        deadline = time.monotonic() + 10
        while (left := group.procs.read_text().split()) and time.monotonic() < deadline:
            for each in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(each), signal.SIGKILL)
            time.sleep(0.05)
        folder.rmdir()
