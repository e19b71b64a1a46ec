"""The dates of a column: in which notation they are, and what they are."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from detector.arrays import Floats
from detector.errors import shown
from detector.files.notations import COARSE, SHORT, formats_of, is_day_first, is_zoned
from detector.files.stamps import Dates, parsed, read_stamps
from detector.files.steps import find_steps
from detector.files.table import Table, is_missing
from detector.files.values import looks_number
from detector.series.dates import is_written, plain
from detector.series.timestamps import read_plain

__all__ = ["is_dated", "looks_date", "looks_time", "read_dates"]

_DATED = re.compile(
    r"date|time|stamp|zeit|datum|fecha|(?:^|[^a-z])(?:day|month|year|week|hour|quarter|period|"
    r"ts|ds|epoch|unix|data|jour|mois|monat|tag|jahr)(?:[^a-z]|$)|日|時|年|月"
)
_ISO = re.compile(
    r"""
    \d{4}-\d{1,2}
    (?:-\d{1,2}
        (?:[T\ ](?:\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?|\d\d(?:\d\d){0,2})
            (?:\ ?(?:Z|UTC|[+-]\d\d:?(?:\d\d)?))?
        )?
    )?
    | \d{8}T\d{4,6}Z?
    """,
    re.IGNORECASE | re.VERBOSE,
)
_TIME = re.compile(r"\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?: ?[ap]m)?", re.IGNORECASE)
_QUARTER = re.compile(r"(?:(\d{4})[ /-]?Q([1-4])|Q([1-4])[ /-]?(\d{4}))", re.IGNORECASE)
_WEEK = re.compile(r"\d{4}-W\d{1,2}", re.IGNORECASE)
_OFFSET = re.compile(r" ?(?:Z|UTC|[+-]\d\d(?::?\d\d)?)$", re.IGNORECASE)
_SAMPLE, _LONGEST = 200, 100
# An example of a notation shows which part is the day.
_EXAMPLE = pd.Timestamp("2021-12-31 16:39:32")
# Two readings of the same digits: one is clear where it has a point at nearly all of its places
# and the other has not.
_CLEAR, _UNCLEAR = 0.9, 0.5
_FEWEST_IN_ORDER = 4
# Dec-16 may be in 2016, or the sixteenth.
_MAY_BE_DAYS = ("%b %y", "%b-%y")
_FEWEST_YEARS = 2


def is_dated(name: str) -> bool:
    """Say whether a column is called as one of dates is."""
    return _DATED.search(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()) is not None


def looks_time(cell: Any) -> bool:
    """Say whether a cell is a time of the day alone."""
    return isinstance(cell, str) and _TIME.fullmatch(cell.strip()) is not None


def looks_date(cell: Any) -> bool:
    """Say whether a cell is a date, however it is written; a number is none."""
    if not isinstance(cell, str):
        return isinstance(cell, date | np.datetime64) and not pd.isna(cell)
    if len(cell) > _LONGEST:
        return False
    text = _neat(cell)
    if _ISO.fullmatch(text):
        return True
    if is_written(text):
        return True
    short = SHORT.fullmatch(text) is not None and not looks_number(text)
    return short or any(pattern.fullmatch(text) for pattern, _ in COARSE)


def _neat(cell: str) -> str:
    text = cell if cell.isascii() else unicodedata.normalize("NFKC", cell)
    [text] = plain([text])
    return _with_month(text)


def _with_month(text: str) -> str:
    """Return a quarter as its first month, and a week as its first day."""
    quarter = _QUARTER.fullmatch(text)
    if quarter:
        year, number = quarter[1] or quarter[4], quarter[2] or quarter[3]
        return f"{year}-{3 * int(number) - 2:02}"
    return f"{text}-1" if _WEEK.fullmatch(text) else text


def read_dates(table: Table, name: str, day_first: bool | None) -> Dates:
    """Read the dates of a column.

    Parameters
    ----------
    table : Table
    name : str
        Of the column.
    day_first : bool, optional
        Which of day and month comes first where the column leaves it open.

    Raises
    ------
    FileError
        For the first cell that is no date, with its line; for digits that may be read in two ways,
        with both.
    """
    cells = table.column(name)
    if isinstance(cells, pd.DatetimeIndex):
        return Dates(cells, "dates")
    dtype = getattr(cells, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "iuf":
        return _of_numbers(table, name, np.asarray(cells, dtype=float))
    kinds = set(map(type, cells))
    if kinds == {str}:
        quick = read_plain(list(cells))
        if quick is not None:
            index = pd.DatetimeIndex(quick)
            zoned = cells[0].endswith("Z")
            return Dates(index.tz_localize("UTC") if zoned else index, _iso_example(cells[0]))
        return _of_texts(table, name, cells, day_first)
    kinds = {type(cell) for cell in cells if not is_missing(cell)}
    if kinds and all(issubclass(kind, date | np.datetime64) for kind in kinds):
        return _of_objects(table, name, cells)
    if kinds <= {int, float}:
        return _of_numbers(table, name, np.array([_number(cell) for cell in cells], dtype=float))
    return _of_texts(table, name, cells, day_first)


def _number(cell: Any) -> float:
    try:
        return np.nan if is_missing(cell) else float(cell)
    except OverflowError:
        return np.inf


def _of_objects(table: Table, name: str, cells: Sequence[Any]) -> Dates:
    try:
        given: Any = [None if is_missing(cell) else cell for cell in cells]
        read = pd.to_datetime(given, utc=True)
    except (ValueError, TypeError, OverflowError):
        raise table.content.problem(
            f"has a date in '{name}' before 1678 or after 2261, which cannot be read."
        ) from None
    return Dates(pd.DatetimeIndex(read).tz_convert(None), "dates")


def _of_texts(table: Table, name: str, cells: Sequence[Any], day_first: bool | None) -> Dates:
    missing = np.array([is_missing(cell) for cell in cells], dtype=bool)
    texts = [cell if isinstance(cell, str) else str(cell) for cell in cells]
    if not "".join(texts).isascii():
        texts = [unicodedata.normalize("NFKC", text) for text in texts]
    rows = np.flatnonzero(~missing)
    given = [texts[row] for row in rows]
    if not given:
        raise table.content.problem(f"has no date in '{name}': the column is empty.")
    if all(text.strip().isdigit() or _is_decimal(text) for text in _sampled(given)):
        return _of_digits(table, name, texts, missing)
    worded = _is_worded(given)
    if worded:
        given = plain(given)
        if any(_with_month(text) != text for text in _sampled(given)):
            given = [_with_month(text) for text in given]
    read = None if worded and not _ISO.fullmatch(given[0]) else _iso(given)
    if read is None:
        read = _otherwise(table, name, given, rows, day_first)
    full = pd.DatetimeIndex([pd.NaT] * len(cells)) if missing.any() else None
    if full is None:
        return read
    index = pd.Series(read.index).reindex(np.cumsum(~missing) - 1)
    return replace(read, index=pd.DatetimeIndex(index.where(~missing)))


def _is_decimal(text: str) -> bool:
    return text.strip().replace(".", "", 1).isdigit()


def _sampled(texts: Sequence[str]) -> list[str]:
    return list(texts[:: max(1, len(texts) // _SAMPLE)])


def _is_worded(texts: Sequence[str]) -> bool:
    """Say whether dates need more than what a parser of ISO 8601 does."""
    return not all(_ISO.fullmatch(text) for text in _sampled(texts))


def _iso(texts: Sequence[str]) -> Dates | None:
    try:
        cells: Any = np.array(texts, dtype=object)
        read = pd.to_datetime(cells, format="ISO8601", utc=True)
    except (ValueError, TypeError, OverflowError):
        return None
    if read.hasnans or not all(map(str.strip, texts)) or {"now", "today"} & set(texts):
        return None
    offsets = {_offset(text) for text in set(texts)}
    if offsets == {None}:
        return Dates(read.tz_convert(None), _iso_example(texts[0]))
    if len(offsets) == 1:
        return Dates(read.tz_convert(_zone(str(offsets.pop()))), _iso_example(texts[0]))
    if None in offsets:
        return None
    return _of_offsets(texts, read)


def _offset(text: str) -> str | None:
    if len(text) <= len("2021-12-16"):
        return None
    found = _OFFSET.search(text, len("2021-12-16"))
    return found[0].strip().upper() if found else None


def _zone(offset: str) -> Any:
    return "UTC" if offset in ("Z", "UTC") else pd.Timestamp(f"2000-01-01T00:00:00{offset}").tz


def _iso_example(text: str) -> str:
    if len(text) <= len("2021-12"):
        return "2021-12" if "-" in text else "2021"
    return "2021-12-31" if len(text) <= len("2021-12-31") else "2021-12-31 16:39:32"


def _of_offsets(texts: Sequence[str], read: pd.DatetimeIndex) -> Dates:
    """Read dates of several offsets: in UTC, or by the clock where only it is even."""
    note = "the offsets differ, so the times are in UTC"
    example = _iso_example(texts[0])
    in_utc = Dates(read, example, notes=(note,))
    clock = pd.to_datetime([_OFFSET.sub("", text) for text in texts], format="ISO8601")
    if clock.has_duplicates or _evenness(read.tz_convert(None)) >= _evenness(clock):
        return in_utc
    note = "the offsets differ, so the times are by the clock that they were written by"
    return Dates(clock, example, notes=(note,))


def _evenness(index: pd.DatetimeIndex) -> float:
    return find_steps(index.dropna().unique().sort_values()).taken


def _otherwise(
    table: Table, name: str, texts: Sequence[str], rows: Any, day_first: bool | None
) -> Dates:
    """Read dates in a notation of people."""
    shapes: dict[str, list[str]] = {}
    for text in _sampled(texts):
        shape = re.sub(r"\d", "0", text)
        # One that is no day of its month says nothing of the others.
        if not shapes.get(shape):
            shapes[shape] = formats_of(text)
    formats = list(dict.fromkeys(each for found in shapes.values() for each in found))
    if not formats:
        wrong = next((at for at, text in enumerate(texts) if not looks_date(text)), 0)
        raise _no_date(table, int(rows[wrong]), name, texts[wrong], "")
    readings: dict[bool | None, Dates] = {}
    refused: list[tuple[int, str]] = []
    for same in _orders(_sampled(texts), formats):
        order, read = is_day_first(same[0]), _in_any(texts, same)
        example = _EXAMPLE.strftime(same[0])
        zoned = [each for each in same if is_zoned(each)]
        if read.hasnans:
            refused.append((int(read.isna().argmax()), example))
        elif zoned and len(zoned) < len(same) and _in_any(texts, zoned).hasnans:
            without = int(_in_any(texts, zoned).isna().argmax())
            raise table.problem(
                int(rows[without]),
                f"{shown(texts[without].strip())} in '{name}' has no time zone, and others have "
                "one: write it in all of them, or in none.",
            )
        else:
            readings[order] = (
                _in_zone(texts, read, example, order)
                if zoned
                else Dates(read.tz_convert(None), example, order)
            )
    if not readings:
        wrong, example = max(refused)
        raise _no_date(table, int(rows[wrong]), name, texts[wrong], example)
    if formats[0] in _MAY_BE_DAYS:
        _refuse_days(table, int(rows[0]), name, texts, readings)
    return _decided(table, name, texts, readings, day_first)


def _refuse_days(
    table: Table, row: int, name: str, texts: Sequence[str], readings: dict[bool | None, Dates]
) -> None:
    """Refuse dates that are rather days without a year, as in Dec 30, Dec 31, Jan 01."""
    for dates in readings.values():
        index = dates.index
        one_month = len(index) > _FEWEST_YEARS and len(set(index.month)) == 1
        if one_month or not _is_in_order(dates):
            raise table.problem(
                row,
                f"{shown(texts[0].strip())} in '{name}' may be a day without a year, or a month: "
                "write it as in 2021-12-31, or as in 2021-12.",
            )


def _in_zone(
    texts: Sequence[str], read: pd.DatetimeIndex, example: str, order: bool | None
) -> Dates:
    """Return times by the clock of their offset, where there is but one."""
    offsets = {_offset(text) or "Z" for text in set(texts)}
    if len(offsets) == 1:
        return Dates(read.tz_convert(_zone(offsets.pop())), example, order)
    note = "the offsets differ, so the times are in UTC"
    return Dates(read, example, order, (note,))


def _orders(sample: Sequence[str], formats: list[str]) -> list[list[str]]:
    """Return the notations by which of day and month comes first; those that read the sample."""
    orders = [
        [each for each in formats if is_day_first(each) == order]
        for order in dict.fromkeys(map(is_day_first, formats))
    ]
    return [same for same in orders if not _in_any(sample, same).hasnans] or orders


def _in_any(texts: Sequence[str], formats: list[str]) -> pd.DatetimeIndex:
    """Read each text in the first of several notations that reads it."""
    read = parsed(texts, formats[0])
    for other in formats[1:]:
        if not read.hasnans:
            break
        read = read.where(read.notna(), parsed(texts, other))
    return read


def _no_date(table: Table, row: int, name: str, text: str, example: str) -> Exception:
    as_others = f" as {example} is" if example else ", such as 2021-12-31 or 2021-12-31T16:39:32Z"
    return table.problem(row, f"{shown(text.strip())} in '{name}' must be a date{as_others}.")


def _decided(
    table: Table,
    name: str,
    texts: Sequence[str],
    readings: dict[bool | None, Dates],
    day_first: bool | None,
) -> Dates:
    """Return the reading that is asked for, or the one that is clear."""
    if len(readings) == 1:
        return next(iter(readings.values()))
    asked = readings.get(day_first) if day_first is not None else None
    if asked:
        return asked
    found = list(readings.values())
    if all(each.index.equals(found[0].index) for each in found):
        return replace(found[0], day_first=None)
    clear = _clear(found, lambda each: _evenness(each.index) >= _CLEAR, _is_uneven)
    if clear is None and len(texts) >= _FEWEST_IN_ORDER:
        clear = _clear(found, _is_in_order, lambda each: not _is_in_order(each))
    if clear:
        return clear
    apart = next(at for at in range(len(texts)) if len({each.index[at] for each in found}) > 1)
    choices = [
        {"dayFirst": bool(each.day_first), "example": _as_read(each, apart)}
        for each in found
        if each.day_first is not None
    ]
    both = " or ".join(_as_read(each, apart) for each in found)
    raise table.content.problem(
        f"has dates in '{name}' whose day and month cannot be told apart: {texts[apart].strip()} "
        f"is {both}. Say --day-first or --month-first (dayFirst over HTTP), or write dates as in "
        "2021-12-31.",
        readings=choices,
    )


def _clear(
    found: list[Dates], good: Callable[[Dates], bool], bad: Callable[[Dates], bool]
) -> Dates | None:
    chosen = [each for each in found if good(each)]
    others = [each for each in found if not good(each)]
    return chosen[0] if len(chosen) == 1 and all(map(bad, others)) else None


def _is_uneven(dates: Dates) -> bool:
    return _evenness(dates.index) < _UNCLEAR


def _is_in_order(dates: Dates) -> bool:
    index = dates.index
    return bool(index.is_monotonic_increasing or index.is_monotonic_decreasing)


def _as_read(dates: Dates, at: int) -> str:
    return str(dates.index[at].strftime("%-d %B %Y"))


def _of_digits(table: Table, name: str, texts: list[str], missing: Any) -> Dates:
    numbers = np.full(len(texts), np.nan)
    for row in np.flatnonzero(~missing):
        text = texts[row].strip()
        if not _is_decimal(text):
            raise _no_date(table, int(row), name, text, texts[int(np.flatnonzero(~missing)[0])])
        numbers[row] = float(text)
    return _of_numbers(table, name, numbers)


def _of_numbers(table: Table, name: str, numbers: Floats) -> Dates:
    read = read_stamps(numbers, dated=True)
    if read is None:
        there = np.flatnonzero(~np.isnan(numbers))
        if not len(there):
            raise table.content.problem(f"has no date in '{name}': the column is empty.")
        row = int(there[0])
        raise _no_date(table, row, name, f"{numbers[row]:.15g}", "")
    return read
