"""What cannot be read of a file: one sentence, and what a person may choose from."""

import os
from typing import Any

from detector.errors import DetectionError, shown

__all__ = ["FileError", "quoted"]

_LONGEST_NAME = 60


class FileError(DetectionError):
    """A file that cannot be read as it is, with what would be right.

    Parameters
    ----------
    message : str
        One sentence, which names the file and, where there is one, the line.
    details : object
        What a program may offer to choose from: ``columns`` (and ``choose``, which of the two that
        are needed), ``readings`` or ``sheets``.
    """

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__("BadArgument", message)
        self.details = details


def quoted(name: str | os.PathLike[str]) -> str:
    """Return the name of a file or of a column for a message."""
    text = os.fspath(name)
    if len(text) > _LONGEST_NAME:
        text = f"{text[:_LONGEST_NAME]}..."
    return f"'{text}'" if text.isprintable() else shown(text)
