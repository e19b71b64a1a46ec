"""Numbers as people write them: 1,234.5 and 1.234,5, with blanks, currencies and percents."""

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from detector.arrays import Floats
from detector.errors import shown
from detector.files.table import MISSING, Table, is_missing

__all__ = ["decimal_mark", "looks_number", "read_numbers"]

_PLAIN = frozenset("0123456789.-+eE")
_SIGNS = "$€£¥₹₩₽円%"
_BLANKS = " \u00a0\u202f\u2009'\u2019"
_NUMBER = re.compile(
    rf"""
    (?P<open>\()? [{re.escape(_SIGNS)}\s]* (?P<sign>[-+\u2212]?) [{re.escape(_SIGNS)}\s]*
    (?P<digits>
        \d+([.,]\d*)? | [.,]\d+
        | \d{{1,3}}([{_BLANKS}]\d{{3}})+([.,]\d*)?
        | \d{{1,3}}(,\d{{3}})+(\.\d*)? | \d{{1,3}}(\.\d{{3}})+(,\d*)?
    )
    (?P<power>[eE][-+]?\d+)?
    [{re.escape(_SIGNS)}\s]* (?(open)\))
    """,
    re.VERBOSE,
)
_POINTS, _COMMA = re.compile(r"\d{1,3}(\.\d{3})+"), re.compile(r"\d{1,3}(,\d{3})+")
_ENOUGH = 1000
# Digits between two marks that group thousands.
_GROUP = 3
# A number has fewer digits; a long text of blanks would take long to tell from one.
_LONGEST = 400


def looks_number(cell: Any) -> bool:
    """Say whether a cell is a number, however it is written."""
    if isinstance(cell, str):
        text = cell.strip()
        if len(text) > _LONGEST:
            return False
        if not text.isascii():
            text = unicodedata.normalize("NFKC", text)
        return _NUMBER.fullmatch(text) is not None
    return isinstance(cell, int | float | np.number) and not isinstance(cell, bool)


def decimal_mark(columns: Iterable[Sequence[Any]], delimiter: str) -> tuple[str, str]:
    """Return the decimal mark of a file, and a word on what its numbers leave open, or nothing.

    Parameters
    ----------
    columns : iterable of sequences
        Those that hold numbers.
    delimiter : str
        Programs that write a decimal comma put semicolons between columns; pasted columns have
        tabs.
    """
    marks: set[str] = set()
    grouped: set[str] = set()
    ungrouped_long = ungrouped = False
    for column in columns:
        whole, threes, decided = _marks(column)
        marks |= decided
        grouped |= threes
        if threes:
            # Years and numbers of shops in another column say nothing about this one.
            ungrouped |= bool(whole)
            ungrouped_long |= max(whole, default=0) > _GROUP
    if marks:
        return (marks.pop(), "") if len(marks) == 1 else (".", "1,234 is read as 1234")
    if len(grouped) > 1 or (grouped == {","} and not ungrouped_long and delimiter != ";"):
        return ".", "1,234 is read as 1234"
    if grouped != {"."} or delimiter not in (";", "\t"):
        return ("," if grouped == {","} else "."), ""
    if ungrouped and not ungrouped_long:
        return ",", "1.234 is read as 1234"
    return ".", "the point in 1.234 is read as a decimal point"


def _marks(column: Sequence[Any]) -> tuple[set[int], set[str], set[str]]:
    """Return what the numbers of a column say of their marks.

    Returns
    -------
    whole : set of int
        How many digits those without a mark have.
    threes : set of str
        The marks with three digits behind them, which may group thousands.
    decided : set of str
        The marks that can only be decimal ones.
    """
    whole: set[int] = set()
    threes: set[str] = set()
    decided: set[str] = set()
    for cell in _written(column):
        digits = _digits(cell)
        comma, point = digits.rfind(","), digits.rfind(".")
        if comma < 0 and point < 0:
            whole |= {len(digits)} - {0}
        elif comma >= 0 and point >= 0:
            decided.add("," if comma > point else ".")
        elif _COMMA.fullmatch(digits) or _POINTS.fullmatch(digits):
            mark = "," if comma >= 0 else "."
            if digits.count(mark) > 1:
                decided.add("." if mark == "," else ",")
            elif digits.startswith("0"):
                decided.add(mark)
            else:
                threes.add(mark)
        else:
            decided.add("," if comma >= 0 else ".")
    return whole, threes, decided


def _written(column: Sequence[Any]) -> Iterable[str]:
    """Return cells that have a mark between digits, and some others."""
    texts = [cell for cell in column if isinstance(cell, str)]
    marked = [text for text in texts if "," in text or "." in text]
    if len(marked) > _ENOUGH:
        # Those that decide are seldom: the shortest and the longest ones are among them.
        marked = sorted(set(marked), key=len)
        marked = marked[:_ENOUGH] + marked[-_ENOUGH:]
    return marked + texts[:_ENOUGH]


def _digits(cell: str) -> str:
    text = cell.strip()
    found = _NUMBER.fullmatch(text) if len(text) <= _LONGEST else None
    return re.sub(f"[{_BLANKS}]", "", found["digits"]) if found else ""


@dataclass(frozen=True)
class _Notation:
    """How the numbers of a file are written."""

    mark: str

    def number(self, cell: Any) -> float:
        """Return the number of a cell, NaN where it is missing; refuse what is none."""
        if is_missing(cell):
            return math.nan
        if not isinstance(cell, str):
            return _as_number(cell)
        text = cell.strip()
        if not text.isascii():
            text = unicodedata.normalize("NFKC", text).replace("\u2212", "-")
        found = _NUMBER.fullmatch(text) if len(text) <= _LONGEST else None
        if not found:
            raise ValueError
        digits = re.sub(f"[{_BLANKS}]", "", found["digits"])
        other = "," if self.mark == "." else "."
        grouped = rf"\d{{1,3}}({re.escape(other)}\d{{3}})+({re.escape(self.mark)}\d*)?"
        if other in digits:
            if not re.fullmatch(grouped, digits):
                raise ValueError
            digits = digits.replace(other, "")
        number = float(digits.replace(",", ".") + (found["power"] or ""))
        return -number if found["sign"] == "-" or found["open"] else number


def _as_number(cell: Any) -> float:
    if isinstance(cell, bool) or not isinstance(cell, int | float | np.number):
        raise ValueError
    return float(cell)


def read_numbers(table: Table, name: str, mark: str) -> Floats:
    """Return the numbers of a column, NaN where there is none.

    Raises
    ------
    FileError
        For the first cell that is no number, with its line.
    """
    cells = table.column(name)
    dtype = getattr(cells, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "fiu":
        quick: Floats | None = np.array(cells, dtype=float)
    else:
        quick = _quickly(cells, mark)
    if quick is not None and not np.isinf(quick).any():
        return quick
    notation = _Notation(mark)
    numbers = np.empty(len(cells))
    # Of a large table most cells are there more than once.
    known: dict[Any, float] = {}
    for row, cell in enumerate(cells):
        try:
            number = known.get(cell)
            if number is None:
                number = known[cell] = notation.number(cell)
            if math.isinf(number):
                raise ValueError
        except (ValueError, TypeError, OverflowError):
            example = f"1234{mark}5"
            raise table.problem(
                row, f"{shown(cell)} in '{name}' must be a number such as {example}, or empty."
            ) from None
        numbers[row] = number
    return numbers


def _quickly(cells: Sequence[Any], mark: str) -> Floats | None:
    """Read numbers that are written as programs do, or return None."""
    kinds = set(map(type, cells))
    if kinds <= {int, float}:
        try:
            return np.array(cells, dtype=float)
        except OverflowError:
            return None
    if kinds != {str}:
        return None
    texts = np.array(cells, dtype=object)
    if not set("".join(cells)) <= _PLAIN:
        missing = np.array([cell.strip().lower() in MISSING for cell in cells])
        texts = np.array([cell.strip() for cell in cells], dtype=object)
    else:
        missing = np.array([cell in MISSING for cell in cells])
    texts[missing] = "nan"
    if mark != "." and any("." in text for text in texts[~missing]):
        return None
    if mark != ".":
        texts = np.array([text.replace(",", ".", 1) for text in texts], dtype=object)
    if not set("".join(texts[~missing])) <= _PLAIN:
        return None
    read = np.asarray(pd.to_numeric(texts, errors="coerce"), dtype=float)
    return read if (np.isfinite(read) == ~missing).all() else None
