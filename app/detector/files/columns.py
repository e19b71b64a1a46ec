"""Which columns of a table hold the dates and the numbers of a series."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from detector.errors import listed
from detector.files.dates import is_dated
from detector.files.grid import kind_of, kinds_of
from detector.files.stamps import read_stamps
from detector.files.table import Table, is_missing

__all__ = ["EVERY", "Chosen", "choose", "columns_of"]

# The name that stands for every column of numbers.
EVERY = "*"
_SAMPLE = 200
_COUNTERS = ("index", "#", "no", "no.")
_LIKE_OTHERS = ("2021", "days of Excel")
# Of several columns of dates, one of these is meant.
_USUAL = ("timestamp", "datetime", "date", "time")


@dataclass(frozen=True)
class Chosen:
    """The columns that are read.

    Attributes
    ----------
    timestamp : str or None
        None where the values have no dates.
    values : tuple of str
    keys : tuple of str
        Those that tell series apart.
    kinds : dict of str to str
        What each column of the table holds: ``dates``, ``times``, ``numbers`` or ``text``.
    """

    timestamp: str | None
    values: tuple[str, ...]
    keys: tuple[str, ...]
    kinds: dict[str, str]


def choose(
    table: Table, timestamp: str | None, values: Sequence[str] | None, by: Sequence[str]
) -> Chosen:
    """Choose the columns by their names, or else by what they hold.

    Raises
    ------
    FileError
        If there is no such column, or there are several; its details have the ``columns``.
    """
    kinds = {name: _kind(cells) for name, cells in zip(table.names, table.columns, strict=True)}
    keys = [_named(table, name, kinds) for name in by]
    given = [_named(table, name, kinds) for name in values or () if name != EVERY]
    taken = {*keys, *given}
    dates = _named(table, timestamp, kinds) if timestamp else _dates(table, kinds, taken)
    kinds = kinds | ({dates: "dates"} if dates else {})
    if not given or (values and EVERY in values):
        given = _numbers(table, kinds, {*taken, dates}, every=bool(values))
    return Chosen(dates, tuple(given), tuple(keys), kinds)


def columns_of(kinds: dict[str, str]) -> list[dict[str, str]]:
    """Return the columns as an answer shows them."""
    return [{"name": name, "kind": kind} for name, kind in kinds.items()]


def _kind(cells: Any) -> str:
    if isinstance(cells, pd.DatetimeIndex):
        return "dates"
    dtype = getattr(cells, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "iuf":
        return "numbers"
    sample = cells[:: max(1, len(cells) // _SAMPLE)]
    kind = kinds_of(sample)
    if kind == "missing":
        # Values that are seldom there.
        some = [cell for cell in cells if kind_of(cell) != "missing"][:_SAMPLE]
        kind = kinds_of(some)
    return "text" if kind == "missing" else kind


def _named(table: Table, name: str, kinds: dict[str, str]) -> str:
    if name in table.names:
        return name
    alike = [each for each in table.names if each.lower() == name.strip().lower()]
    if len(alike) == 1:
        return alike[0]
    raise table.content.problem(
        f"has no column {name!r}: it has {listed(table.names, 10)}.", columns=columns_of(kinds)
    )


def _dates(table: Table, kinds: dict[str, str], taken: set[str]) -> str | None:
    """Return the column of dates, None where there is none."""
    free = [name for name in table.names if name not in taken]
    found = [name for name in free if kinds[name] == "dates"]
    if len(found) > 1:
        usual = [name for word in _USUAL for name in found if name.lower() == word]
        found = usual[:1] or found
    if len(found) > 1:
        raise table.content.problem(
            f"has several columns of dates: {listed(found)}. Choose one by --timestamp NAME "
            "(timestamp over HTTP).",
            columns=columns_of(kinds),
            choose="timestamp",
        )
    if found:
        return found[0]
    numbers = [name for name in free if kinds[name] == "numbers"]
    stamps = [name for name in numbers if is_dated(name) and _stamps(table, name, dated=True)]
    if stamps:
        return stamps[0]
    # One that is called so and holds something else: the line that is wrong will be shown. A time
    # may be that of a clock that began with the first point.
    wrong = [name for name in numbers if name.lower() in _USUAL[:-1]]
    if wrong:
        return wrong[0]
    called = [name for name in free if is_dated(name) and kinds[name] == "text"]
    if called and not [name for name in called if name.lower() in _USUAL]:
        called = called if len(called) == 1 else []
    called.sort(key=lambda name: name.lower() not in _USUAL)
    if called:
        return called[0]
    rising = [name for name in numbers if _stamps(table, name, dated=False)]
    return rising[0] if rising and len(numbers) > 1 else None


def _stamps(table: Table, name: str, *, dated: bool) -> bool:
    """Say whether a column of numbers holds dates: by its name, or because they only rise."""
    try:
        cells = [cell for cell in table.column(name) if not is_missing(cell)]
        numbers = np.array([float(cell) for cell in cells])
    except (ValueError, TypeError, OverflowError):
        return False
    read = read_stamps(numbers, dated=dated) if len(numbers) else None
    if read is None:
        return False
    steps = np.diff(numbers)
    # A duration in a column such as `response time` may look like a year.
    sure = dated and read.notation not in _LIKE_OTHERS
    return sure or bool((steps >= 0).all() or (steps <= 0).all())


def _numbers(
    table: Table, kinds: dict[str, str], taken: set[str | None], *, every: bool
) -> list[str]:
    free = [name for name in table.names if name not in taken]
    found = [name for name in free if kinds[name] == "numbers"]
    if len(found) > 1:
        found = [name for name in found if not _counts(table, name)]
    if every and found:
        return found
    usual = [name for name in free if name.lower() == "value"]
    if len(usual) == 1:
        return usual
    if len(found) == 1:
        return found
    if found:
        raise table.content.problem(
            f"has several columns of numbers: {listed(found, 10)}. Choose one by --value NAME, or "
            "take all in turn by --each (value over HTTP).",
            columns=columns_of(kinds),
            choose="value",
        )
    raise table.content.problem(
        f"has no column of numbers: it has {listed(table.names, 10)}.", columns=columns_of(kinds)
    )


def _counts(table: Table, name: str) -> bool:
    """Say whether a column without a name counts the rows, as pandas writes its index."""
    if not (name.startswith(("column ", "Unnamed:")) or name.lower() in _COUNTERS):
        return False
    try:
        numbers = np.array([float(cell) for cell in table.column(name)])
    except (ValueError, TypeError, OverflowError):
        return False
    return bool((np.diff(numbers) == 1).all()) and numbers[0] in (0, 1)
