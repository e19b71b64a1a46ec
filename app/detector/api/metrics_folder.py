"""Where several worker processes count together: files in memory, with all their room reserved.

They are mapped into the workers, and a mapped file whose disk is full ends its process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from detector import temporary

__all__ = ["VARIABLE", "made", "reserve"]

_log = logging.getLogger("detector")
# Read by prometheus_client when it is imported.
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "detector-metrics-"
# The files of a worker, and the most that our labels make of one, which is also how it begins.
_FILES, _BYTES = ("counter", "histogram", "gauge_mostrecent"), 1024 * 1024
# Not where uploads and other temporary files lie, where that can be helped.
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it


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
    for each in {_MEMORY, Path(tempfile.gettempdir())}:
        temporary.sweep(_PREFIX, each)
    if workers == 1:
        yield
        return
    place = _place(2 * workers * len(_FILES) * _BYTES)
    with temporary.made(_PREFIX, place) as folder:
        os.environ[VARIABLE] = str(folder)
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
