"""The CSV files of a zip, read without unpacking it anywhere."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from detector.datasource import folder
from detector.datasource.stream import File, shorten
from detector.errors import DetectionError

__all__ = ["SIGNATURE", "members"]

SIGNATURE = b"PK\x03\x04"
_ENCRYPTED = 1
# The directory of 301 files is some 30 kB; it is read at once, before anything in it is known.
_MOST_AT_ONCE = 1024 * 1024


class _Narrow:
    """A file of which little is read at once; what ``zipfile`` asks of one."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size if 0 <= size <= _MOST_AT_ONCE else _MOST_AT_ONCE + 1)
        if len(block) > _MOST_AT_ONCE:
            raise zipfile.BadZipFile("its directory is too large")
        return block


def members(stream: BinaryIO, name: str) -> list[File]:
    """Return the CSV files at the top level of a zip; folders in it are left out.

    Parameters
    ----------
    stream : BinaryIO
        The zip, which can be sought in and stays open while the files are read.
    name : str
        Of the zip, for messages.
    """
    try:
        archive = zipfile.ZipFile(cast(BinaryIO, _Narrow(stream)))
    # What zipfile raises on a directory of garbage is not documented; all of it is the zip's fault.
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise DetectionError(
            "ReadingFileError", f"The zip '{shorten(name)}' cannot be read: {error}."
        ) from error
    top = [entry for entry in archive.infolist() if _is_at_the_top(entry.filename)]
    names = set(folder.chosen((entry.filename for entry in top), name))
    found = [entry for entry in top if entry.filename in names]
    for entry in found:
        _check(entry, name)
    return [_member(archive, entry) for entry in found]


def _is_at_the_top(name: str) -> bool:
    return "/" not in name and "\\" not in name


def _check(entry: zipfile.ZipInfo, archive: str) -> None:
    shown = f"The file '{shorten(entry.filename)}' in '{shorten(archive)}'"
    if entry.flag_bits & _ENCRYPTED:
        raise DetectionError(
            "ReadingFileError", f"{shown} is encrypted. Pack it without a password."
        )
    # The others take memory as the file says.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DetectionError(
            "ReadingFileError",
            f"{shown} is packed with method {entry.compress_type}. Pack it with the usual one, "
            "deflate.",
        )


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> File:
    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        try:
            file = archive.open(entry)
        except (zipfile.BadZipFile, OSError, RuntimeError, ValueError, struct.error) as error:
            raise DetectionError(
                "ReadingFileError",
                f"The file '{shorten(entry.filename)}' cannot be unpacked: {error}.",
            ) from error
        with file:
            yield cast(BinaryIO, file)

    return File(entry.filename, opened)
