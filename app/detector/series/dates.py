"""Dates in other notations than ISO 8601, such as ``12/16/2021 4:39:32 AM``."""

import re
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

__all__ = [
    "WORDS",
    "UnreadableDateError",
    "first_refused",
    "is_written",
    "notations",
    "plain",
    "read_dates",
]

# pandas would take these for the time of the request.
WORDS = ("now", "today")
_WRITTEN = re.compile(
    r"""
    (?P<weekday>[a-z]+,\ )?
    (?:
        (?P<numbers>\d{1,2}(?P<mark>[./-])\d{1,2}(?P=mark)\d{4})
        | (?P<year>\d{4}(?P<year_mark>[./-])\d{1,2}(?P=year_mark)\d{1,2})
        | (?P<day>\d{1,2}(?P<day_mark>[ -])[a-z]+(?P=day_mark)\d{4})
        | [a-z]+\ \d{1,2}(?P<comma>,?)\ \d{4}
    )
    (?:
        (?P<gap>,?\ |T)\d{1,2}:\d\d(?P<seconds>:\d\d)?(?P<fraction>\.\d{1,9})?
        (?:(?P<half_gap>\ ?)[ap]m)?
        (?:(?P<zone_gap>\ ?)(?:(?P<zone>z|utc|gmt)|[+-]\d\d:?\d\d))?
    )?
    """,
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
# 2021年12月16日 4時39分32秒, as people write it in Japan and China.
_EAST = re.compile(
    r"\d{4}年\d{1,2}月(?:\d{1,2}日(?:\([月火水木金土日]\))?"
    r"(?: ?\d{1,2}:\d\d(?::\d\d)?| ?\d{1,2}時\d{1,2}分(?:\d{1,2}秒)?)?)?"
)
_WEEKDAY = re.compile(r"\(.\)")
_PART = re.compile(r"\d+")
_MONTH = re.compile(
    r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)", re.ASCII | re.IGNORECASE
)
_NAME = re.compile(r"[a-z]{3}", re.ASCII | re.IGNORECASE)


class UnreadableDateError(ValueError):
    """Which of a list of dates cannot be read, or not as those before it."""

    def __init__(self, place: int) -> None:
        super().__init__(place)
        self.place = place


def read_dates(texts: Sequence[str]) -> pd.DatetimeIndex:
    """Read dates that are all in one notation, which is that of the first.

    It has a year of four digits, and hours with AM and PM or of 24. Whether a month or a day comes
    first in ``03/04/2021`` is for all of them to say: the month, as with the service, unless that
    makes a month above 12 of any. Without a time zone they are in UTC.

    Parameters
    ----------
    texts : sequence of str
        Not empty.

    Returns
    -------
    DatetimeIndex
        In UTC.

    Raises
    ------
    UnreadableDateError
        Where one is no date, or in another notation.
    """
    written = plain(texts)
    refused = [0]
    for notation in notations(written[0]):
        read = pd.to_datetime(written, format=notation, utc=True, errors="coerce")
        wrong = np.asarray(read.isna()) | np.array([text in WORDS for text in written])
        if not wrong.any():
            return read
        refused.append(int(wrong.argmax()))
    # In the notation that reads the most of them.
    raise UnreadableDateError(max(refused))


def plain(texts: Sequence[str]) -> list[str]:
    """Return dates with single blanks, and those of East Asia with marks in place of words."""
    written = [" ".join(text.split()) for text in texts]
    if "年" not in written[0]:
        return written
    return [_in_marks(text) if _EAST.fullmatch(text) else text for text in written]


def _in_marks(text: str) -> str:
    date, _, time = _WEEKDAY.sub("", text).partition("日")
    date = date.replace("年", "-").replace("月", "-").rstrip("-")
    return f"{date} {':'.join(each.zfill(2) for each in _PART.findall(time))}".rstrip()


def first_refused(read: Callable[[list[Any]], object], dates: list[Any]) -> int:
    """Return which is the first date that a function refuses, which refuses a list for it."""
    low, high = 0, len(dates)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            read(dates[low:middle])
        except (ValueError, TypeError, OverflowError):
            high = middle
        else:
            low = middle
    return low


def is_written(text: str) -> bool:
    """Say whether a text is written as a date is, whatever its numbers."""
    if not _WRITTEN.fullmatch(text):
        return False
    return not _NAME.search(text) or _MONTH.search(text) is not None or "GMT" in text.upper()


def notations(text: str) -> list[str]:
    """Return the notations that a date may be in, the likeliest first, as of `strptime`."""
    found = _WRITTEN.fullmatch(text)
    if not found:
        return []
    if found["numbers"]:
        dates = [found["mark"].join(parts) for parts in (("%m", "%d", "%Y"), ("%d", "%m", "%Y"))]
    elif found["year"]:
        dates = [found["year_mark"].join(("%Y", "%m", "%d"))]
    elif found["day"]:
        dates = [found["day_mark"].join(("%d", month, "%Y")) for month in ("%b", "%B")]
    else:
        dates = [f"{month} %d{found['comma']} %Y" for month in ("%b", "%B")]
    weekdays = ("%a, ", "%A, ") if found["weekday"] else ("",)
    notations = [weekday + date + _time(found) for weekday, date in product(weekdays, dates)]
    # May is short for itself: the others say whether names are.
    return [each for each in notations if _is_read(text, each)]


def _is_read(text: str, notation: str) -> bool:
    return not pd.isna(pd.to_datetime(text, format=notation, errors="coerce"))


def _time(found: re.Match[str]) -> str:
    """Return the notation of the time of the day."""
    if found["gap"] is None:
        return ""
    hour = "%H:%M" if found["half_gap"] is None else "%I:%M"
    parts = [found["gap"], hour, ":%S" if found["seconds"] else ""]
    parts += [".%f" if found["fraction"] else ""]
    parts += ["" if found["half_gap"] is None else f"{found['half_gap']}%p"]
    parts += ["" if found["zone_gap"] is None else found["zone_gap"] + (found["zone"] or "%z")]
    return "".join(parts)
