"""Files below the allowed folders: resolved, checked, and then opened without following links."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from detector.datasource import folder
from detector.datasource.access import Access
from detector.datasource.stream import File, shorten
from detector.errors import DetectionError
from detector.multivariate.requests import redacted

__all__ = ["find", "path_of"]

# Opened without waiting for a writer, should it be a FIFO.
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OPEN_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


def path_of(source: str, access: Access) -> Path:
    """Return where a path or ``file://`` address leads, which is below an allowed folder.

    Raises
    ------
    DetectionError
        ``InvalidBlobURL`` where it leads anywhere else, ``FileNotExist`` where nothing is there.
    """
    shown = shorten(redacted(source))
    if source[:5].lower() == "file:":
        source = _path_in(source, shown)
    try:
        path = (access.folders[0] / source).resolve()
        inside = any(path.is_relative_to(folder) for folder in access.folders)
        exists = inside and path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        # A name that is too long, links that go in a circle, a NUL.
        raise DetectionError(
            "InvalidBlobURL", f"The 'dataSource' '{shown}' is no path of a file."
        ) from error
    if not inside:
        raise DetectionError(
            "InvalidBlobURL",
            f"The 'dataSource' '{shown}' does not lie below a folder that may be read "
            "(DETECTOR_DATA_FOLDERS). Upload the file with PUT /datasets/{name}, or put it there.",
        )
    if not exists:
        raise DetectionError("FileNotExist", f"File '{shown}' does not exist.")
    return path


def find(source: str, access: Access) -> File | list[File]:
    """Return the file at a path, or the CSV files of the folder there."""
    path = path_of(source, access)
    if not path.is_dir():
        return File(path.name, lambda: _open(path, access))
    with os.scandir(path) as entries:
        # A folder may be called like a file: Spark does that.
        names = (entry.name for entry in entries if not (path / entry.name).is_dir())
        return [_inside(path / name, access) for name in folder.chosen(names, source)]


def _inside(entry: Path, access: Access) -> File:
    # A link in the folder must not lead out of it either; its own name is the variable's.
    path = path_of(str(entry), access)
    return File(entry.name, lambda: _open(path, access))


@contextmanager
def _open(path: Path, access: Access) -> Iterator[BinaryIO]:
    """Open what a resolved path named when it was checked: no part of it may be a link by now."""
    folder = next(folder for folder in access.folders if path.is_relative_to(folder))
    *parents, name = path.relative_to(folder).parts
    try:
        descriptor = os.open(folder, _OPEN_FOLDER)
        for parent in parents:
            below = os.open(parent, _OPEN_FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        opened = os.open(name, _OPEN_FILE, dir_fd=descriptor)
        os.close(descriptor)
    except OSError as error:
        raise DetectionError(
            "ReadingFileError",
            f"The file '{shorten(path.name)}' cannot be opened: {error.strerror}.",
        ) from error
    with os.fdopen(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise DetectionError(
                "ReadingFileError",
                f"'{shorten(path.name)}' is no ordinary file, and only those are read.",
            )
        yield file


def _path_in(address: str, shown: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        parts = None
    if parts and parts.netloc in ("", "localhost") and not (parts.query or parts.fragment):
        return unquote(parts.path)
    raise DetectionError(
        "InvalidBlobURL",
        f"The 'dataSource' '{shown}' is no address of a local file: it must be file:///, then a "
        "path below a folder that may be read (DETECTOR_DATA_FOLDERS).",
    )
