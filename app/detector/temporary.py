"""Folders for temporary files that are removed also when the process that made them was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["made", "sweep"]

_LOCK = "lock"
# A folder is locked just after it is made.
_MADE_SECONDS = 60


@contextlib.contextmanager
def made(prefix: str, place: Path) -> Iterator[Path]:
    """Make a folder and remove it at the end; `sweep` leaves it alone meanwhile.

    Raises
    ------
    OSError
        Where there is no room for it.
    """
    with (
        tempfile.TemporaryDirectory(prefix=prefix, dir=place) as name,
        (Path(name) / _LOCK).open("w") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(name)


def sweep(prefix: str, place: Path) -> None:
    """Remove the folders of processes that were killed."""
    for folder in place.glob(f"{prefix}*"):
        # It may be swept by another process meanwhile.
        with contextlib.suppress(OSError):
            if not _is_in_use(folder):
                shutil.rmtree(folder)


def _is_in_use(folder: Path) -> bool:
    if folder.lstat().st_uid != os.geteuid():
        return True
    with contextlib.suppress(FileNotFoundError):
        # Whoever made the folder may have put anything in place of the file.
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False
    # Metrics of an older version, whose workers are in the names; or made just now.
    numbers = [re.search(r"_(\d+)\.db$", path.name) for path in folder.iterdir()]
    if any(number and Path(f"/proc/{number[1]}").exists() for number in numbers):
        return True
    return time.time() - folder.stat().st_mtime < _MADE_SECONDS and not any(numbers)
