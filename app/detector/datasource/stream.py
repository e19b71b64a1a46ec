"""The bytes of one file, counted while they come."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO

from detector.datasource.access import Access
from detector.errors import DetectionError

__all__ = ["LONGEST_LINE", "Budget", "Counted", "File", "shorten"]

LONGEST_LINE = 1024 * 1024
_BLOCK = 64 * 1024
_LONGEST_QUOTE = 80


def shorten(text: str) -> str:
    """Return what of a text from outside a message may quote."""
    text = text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "..."
    return text.encode("unicode_escape", "replace").decode() if not text.isprintable() else text


@dataclass(frozen=True)
class File:
    """A file of a data source.

    Attributes
    ----------
    name : str
        The base name, in messages and for the variable.
    open : callable
        Returns its bytes from the start, in a context that lets go of them; to be called once.
    """

    name: str
    open: Callable[[], AbstractContextManager[BinaryIO]]

    @property
    def stem(self) -> str:
        """The name of the variable."""
        return self.name[:-4] if self.name.lower().endswith(".csv") else self.name


class Budget:
    """What the files of one data source may hold together."""

    def __init__(self, access: Access) -> None:
        self.max_bytes = access.max_bytes
        self.max_cells = access.max_cells
        self._bytes = 0
        self._cells = 0

    def take_bytes(self, count: int, name: str) -> None:
        """Count bytes that were read; refuse those above the limit."""
        self._bytes += count
        if self._bytes > self.max_bytes:
            raise DetectionError(
                "FileSizeTooLarge",
                f"The data source exceeds the limit of {self.max_bytes} bytes, unpacked, with the "
                f"file '{name}' (DETECTOR_MAX_DATA_BYTES).",
            )

    def hold_cells(self, change: int, name: str) -> None:
        """Count values that are kept or, below zero, let go; refuse those above the limit."""
        self._cells += change
        if self._cells > self.max_cells:
            raise DetectionError(
                "TooManyData",
                f"The data source holds more than {self.max_cells} values from the look-back to "
                f"'endTime', counted to the file '{name}': bring 'startTime' and 'endTime' closer "
                "together, or leave out variables (DETECTOR_MAX_DATA_CELLS).",
            )


class Counted:
    """A file whose bytes are counted against a budget; it reads as pyarrow wants a file to."""

    closed = False

    def __init__(self, raw: BinaryIO, name: str, budget: Budget) -> None:
        self._raw = raw
        self._budget = budget
        self._ahead = b""
        self.name = shorten(name)

    def read(self, size: int) -> bytes:
        """Return up to so many bytes, none at the end."""
        if self._ahead:
            block, self._ahead = self._ahead[:size], self._ahead[size:]
            return block
        try:
            block = self._raw.read(size)
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
            raise DetectionError(
                "ReadingFileError", f"The file '{self.name}' cannot be read to its end: {error}."
            ) from error
        self._budget.take_bytes(len(block), self.name)
        return block

    def close(self) -> None:
        """Do nothing: who opened the file closes it."""

    def first_line(self) -> bytes:
        """Take the first line, whichever of the three ends it has, or too much of it."""
        seen = b""
        while True:
            block = self.read(_BLOCK)
            seen += block
            # A line feed that follows a carriage return is left, as an empty line.
            ends = [place for place in map(seen.find, (b"\r", b"\n")) if place >= 0]
            if ends:
                end = min(ends)
                self._ahead = seen[end + 1 :] + self._ahead
                return seen[:end]
            if not block or len(seen) > LONGEST_LINE:
                return seen

    def peek(self) -> bytes:
        """Return the next bytes without taking them, none at the end."""
        if not self._ahead:
            self._ahead = self.read(_BLOCK)
        return self._ahead
