"""Dates in digits alone: the calendar's, or time that has gone since a day."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from detector.arrays import Floats

__all__ = ["Dates", "parsed", "read_stamps"]

_CALENDAR = (
    (10**3, 2300, "%Y", "2021"),
    (190001, 210012, "%Y%m", "202112"),
    (19000101, 21001231, "%Y%m%d", "20211231"),
    (190001010000, 210012312359, "%Y%m%d%H%M", "202112311639"),
    (19000101000000, 21001231235959, "%Y%m%d%H%M%S", "20211231163932"),
)
# From 1973 to 2100.
_UNIX = tuple(
    (10**8 * factor, 4_102_444_800 * factor, unit, f"Unix {words}")
    for factor, unit, words in (
        (1, "s", "seconds"),
        (10**3, "ms", "milliseconds"),
        (10**6, "us", "microseconds"),
        (10**9, "ns", "nanoseconds"),
    )
)
# From 1954 to 2118.
_EXCEL = (20_000, 80_000)


@dataclass(frozen=True)
class Dates:
    """Dates as they were read.

    Attributes
    ----------
    index : DatetimeIndex
        Without a zone where they were written without, NaT where there is none.
    notation : str
        An example of it, or its name.
    day_first : bool or None
        None where there is nothing to decide.
    notes : tuple of str
    """

    index: pd.DatetimeIndex
    notation: str
    day_first: bool | None = None
    notes: tuple[str, ...] = ()


def parsed(texts: Sequence[str | None], notation: str) -> pd.DatetimeIndex:
    """Read texts in one notation, as of ``strptime``; NaT for those in another."""
    cells: Any = np.array(texts, dtype=object)
    return pd.DatetimeIndex(pd.to_datetime(cells, format=notation, utc=True, errors="coerce"))


def read_stamps(numbers: Floats, *, dated: bool) -> Dates | None:
    """Read numbers as dates, or return None where they are none.

    Parameters
    ----------
    numbers : ndarray of float64, shape (n,)
        NaN where there is none.
    dated : bool
        Whether the column is known to hold dates; else years and the days of Excel are numbers.
    """
    there = numbers[~np.isnan(numbers)]
    if not len(there) or np.isinf(there).any():
        return None
    least, most = there.min(), there.max()
    whole = bool((there == np.floor(there)).all())
    for low, high, notation, example in _CALENDAR if whole else ():
        if low <= least and most <= high and (dated or notation != "%Y"):
            texts = [None if np.isnan(each) else f"{each:.0f}" for each in numbers]
            read = parsed(texts, notation).tz_convert(None)
            if np.count_nonzero(read.notna()) == len(there):
                return Dates(read, example)
    for low, high, unit, example in _UNIX:
        if low <= least and most <= high:
            return Dates(_since(numbers, unit, "unix").tz_localize("UTC"), example)
    if dated and _EXCEL[0] <= least and most <= _EXCEL[1]:
        return Dates(_since(numbers, "D", "1899-12-30").round("ms"), "days of Excel")
    return None


def _since(numbers: Any, unit: Any, origin: str) -> pd.DatetimeIndex:
    read = pd.DatetimeIndex(pd.to_datetime(numbers, unit=unit, origin=origin))
    # A float has no more digits.
    return read.round("us")
