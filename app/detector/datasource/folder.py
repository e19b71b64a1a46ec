"""Which files of a folder are read, wherever the folder lies."""

from __future__ import annotations

import re
from collections.abc import Iterable

from detector.datasource.stream import shorten
from detector.errors import DetectionError
from detector.multivariate.alignment import MOST_VARIABLES
from detector.multivariate.requests import redacted

__all__ = ["MOST_PARTS", "chosen", "is_csv", "is_part"]

MOST_PARTS = 1000
# Of a file system.
_LONGEST_NAME = 255
# As Spark names what a task writes: part-00000-, perhaps more, the UUID of the whole, -c000.csv.
# A last ending says how it is packed; such parts are refused, and not left out.
_PART = re.compile(
    r"part-\d+-(.*-)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}([-._].*)?\.csv(\.\w+)?"
)


def is_part(name: str) -> bool:
    """Return whether a file is a part of one table, by the name that Spark gave it."""
    return len(name) <= _LONGEST_NAME and _PART.fullmatch(name) is not None


def is_csv(name: str) -> bool:
    """Return whether a file is one that is read."""
    return (name.lower().endswith(".csv") and not name.startswith(".")) or is_part(name)


def chosen(names: Iterable[str], source: str) -> list[str]:
    """Return those of the names in a folder that are read, in order: variables or parts.

    Parameters
    ----------
    names : iterable of str
        Base names. No more are taken from it than it takes to see that there are too many.
    source : str
        The address of the folder, for messages.

    Raises
    ------
    DetectionError
        ``DataExceedsLimit`` for too many of them, ``ReadingFileError`` for some of both.
    """
    variables: list[str] = []
    parts: list[str] = []
    for name in filter(is_csv, names):
        (parts if is_part(name) else variables).append(name)
        if len(variables) > MOST_VARIABLES:
            raise DetectionError(
                "DataExceedsLimit",
                f"'{_shown(source)}' holds more than {MOST_VARIABLES} CSV files, and at most "
                f"{MOST_VARIABLES} variables can be scored together.",
            )
        if len(parts) > MOST_PARTS:
            raise DetectionError(
                "DataExceedsLimit",
                f"'{_shown(source)}' holds a table in more than {MOST_PARTS} parts. Let Spark "
                "write fewer: coalesce(1) before write.",
            )
    if parts and variables:
        raise DetectionError(
            "ReadingFileError",
            f"'{_shown(source)}' holds parts of a table that Spark wrote ('{shorten(parts[0])}') "
            f"and other CSV files ('{shorten(variables[0])}'). Keep them in folders of their own.",
        )
    return sorted(parts or variables)


def _shown(source: str) -> str:
    return shorten(redacted(source))
