"""Where several worker processes count together: files in memory, with all their room reserved.

They are mapped into the workers, and a mapped file whose disk is full ends its process.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["VARIABLE", "made", "reserve"]

_log = logging.getLogger("detector")
# Read by prometheus_client when it is imported.
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX, _LOCK = "detector-metrics-", "lock"
# The files of a worker, and the most that our labels make of one, which is also how it begins.
_FILES, _BYTES = ("counter", "histogram", "gauge_mostrecent"), 1024 * 1024
# Not where uploads and other temporary files lie, where that can be helped.
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
_MADE_SECONDS = 60


@contextlib.contextmanager
def made(workers: int) -> Iterator[None]:
    """Make the folder for so many workers, and name it in the environment; one needs none.

    Raises
    ------
    ValueError
        Where there is no room for it, or none for anything temporary.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        raise ValueError(
            "The service does not start: every folder for temporary files is full or cannot be "
            "written to. Make room in one, or name another in TMPDIR."
        ) from None
    os.environ.pop(VARIABLE, None)
    _sweep()
    if workers == 1:
        yield
        return
    place = _place(2 * workers * len(_FILES) * _BYTES)
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX, dir=place) as name,
        (Path(name) / _LOCK).open("w") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.environ[VARIABLE] = name
        yield


def reserve() -> None:
    """Reserve the room of this worker's files; without any, it counts by itself in memory."""
    folder = os.environ.get(VARIABLE)
    if folder is None:
        return
    try:
        for kind in _FILES:
            with (Path(folder) / f"{kind}_{os.getpid()}.db").open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, _BYTES)
    except OSError as error:
        del os.environ[VARIABLE]
        _log.error(
            "The metrics of this worker are its own: there is no room for them in %s (%s).",
            folder,
            error.strerror,
        )


def _place(needed: int) -> Path:
    for place in (_MEMORY, Path(tempfile.gettempdir())):
        if os.access(place, os.W_OK) and shutil.disk_usage(place).free >= needed:
            return place
    raise ValueError(
        f"The service does not start: the metrics of its workers need {needed} bytes free in "
        f"{_MEMORY} or in the folder for temporary files (TMPDIR). Make room, or start one worker "
        "(DETECTOR_WORKERS)."
    )


def _sweep() -> None:
    """Remove what services that were killed have left."""
    for place in {_MEMORY, Path(tempfile.gettempdir())}:
        for folder in place.glob(f"{_PREFIX}*"):
            # It may be another user's, or be swept by another service.
            with contextlib.suppress(OSError):
                if not _is_in_use(folder):
                    shutil.rmtree(folder)


def _is_in_use(folder: Path) -> bool:
    lock = folder / _LOCK
    if lock.exists():
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False
    # Of an older version, whose workers are in the names; or made just now.
    numbers = [re.search(r"_(\d+)\.db$", path.name) for path in folder.iterdir()]
    if any(number and Path(f"/proc/{number[1]}").exists() for number in numbers):
        return True
    return time.time() - folder.stat().st_mtime < _MADE_SECONDS and not any(numbers)
