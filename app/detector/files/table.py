"""A table as a file holds it: columns of cells, none read yet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from detector.files.content import Content
from detector.files.problems import FileError

__all__ = ["MISSING", "Cells", "Table", "is_missing"]

# What stands for a value that there is none of.
_WORDS = "na n/a #n/a #na nan null none nil nat <na> #null! #value! #ref! #div/0! #num! #name?"
MISSING = frozenset(["", *_WORDS.split(), "-", "--", "\u2013", "\u2014", "?", ".", "\u2026"])
_LONGEST = max(map(len, MISSING)) + 1
# Strings, numbers, dates and None, or an array that has a type.
Cells = Sequence[Any] | np.ndarray[Any, Any] | pd.DatetimeIndex


def is_missing(cell: Any) -> bool:
    """Say whether a cell holds nothing."""
    if isinstance(cell, str):
        # A long one that begins with something is none of them.
        return not (len(cell) > _LONGEST and cell[0] > " ") and cell.strip().lower() in MISSING
    # A NaN is not itself.
    return cell is None or bool(cell != cell)


@dataclass
class Table:
    """The cells of a file by columns.

    Attributes
    ----------
    content : Content
        What it was read from.
    names : list of str
        Of the columns, none twice.
    columns : list of sequences
        Each of the same length: lists and tuples of strings, numbers, dates and None, or arrays
        that have a type.
    place : callable
        Takes the number of a row; returns where it stands, such as ``line 57``.
    delimiter : str
        Between the columns of a text; empty for other files.
    options : dict
        Of a JSON request, by their names on the wire.
    notes : list of str
        What a person should know of how it was read.
    """

    content: Content
    names: list[str]
    columns: list[Cells]
    place: Callable[[int], str]
    delimiter: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.columns[0]) if self.columns else 0

    def column(self, name: str) -> Any:
        """Return the cells of a column."""
        return self.columns[self.names.index(name)]

    def problem(self, row: int, says: str, **details: Any) -> FileError:
        """Return the error of a row: the file, the line, and what is wrong with it."""
        return FileError(f"{self.content.name}, {self.place(row)}: {says}", **details)
