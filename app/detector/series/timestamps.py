"""The timestamps of a series: read, checked, and placed on the grid of the granularity."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from detector.arrays import Flags, Ints
from detector.errors import DetectionError, shown
from detector.series.dates import WORDS, UnreadableDateError, first_refused, read_dates
from detector.series.options import Options
from detector.series.values import as_list, malformed

# Microseconds in one step of the granularities that are not of the calendar.
_STEPS = {
    "weekly": 604_800_000_000,
    "daily": 86_400_000_000,
    "hourly": 3_600_000_000,
    "minutely": 60_000_000,
    "secondly": 1_000_000,
}
_MILLISECOND = 1000
_NANOSECONDS = np.dtype("datetime64[ns]")
# Longer than any span of timestamps, and still an int64.
_LONGEST_STEP = 2**62


# Clients write nearly all timestamps like one of these, in UTC: the least and the greatest
# character at each place, by the length and what stands between day and hour.
_PLAIN = {
    (len(least), least[10:11]): tuple(np.frombuffer(each, np.uint8) for each in (least, greatest))
    for least, greatest in (
        (b"1000-00-00", b"9999-99-99"),
        (b"1000-00-00T00:00:00", b"9999-99-99T99:99:99"),
        (b"1000-00-00 00:00:00", b"9999-99-99 99:99:99"),
        (b"1000-00-00T00:00:00Z", b"9999-99-99T99:99:99Z"),
        (b"1000-00-00 00:00:00Z", b"9999-99-99 99:99:99Z"),
    )
}
# The length of a date alone, and where month, day, hour, minute and second stand.
_DATE, _PLACES = 10, [5, 8, 11, 14, 17]
_GREATEST_PARTS = np.array([12, 31, 23, 59, 59], np.uint8)
_SECONDS = np.array([3600, 60, 1])
# The years that fit into nanoseconds as a whole.
_EARLIEST_YEAR, _LATEST_YEAR = 1678, 2261
_MONTHS_TO_1970 = 1970 * 12 + 1


@dataclass(frozen=True)
class Times:
    """Timestamps, shape ``(n,)``: microseconds in UTC, and what the clock of their zone showed."""

    elapsed: Ints
    clock: npt.NDArray[np.datetime64]

    @property
    def wall(self) -> pd.DatetimeIndex:
        """The clock's times as pandas has them, with the parts of the calendar."""
        return pd.DatetimeIndex(self.clock)


def read_timestamps(timestamps: Any) -> Times:
    """Read timestamps: dates, or strings in ISO 8601 or all in one other notation."""
    dtype = getattr(timestamps, "dtype", None)
    if isinstance(dtype, np.dtype | pd.DatetimeTZDtype) and (
        pd.api.types.is_datetime64_any_dtype(dtype)
    ):
        if dtype == _NANOSECONDS:
            return _in_utc(np.asarray(timestamps))
        return _of_index(pd.DatetimeIndex(timestamps))
    listed = as_list(timestamps)
    plain = read_plain(listed)
    return _of_index(_parsed(listed)) if plain is None else _in_utc(plain)


def read_plain(timestamps: list[Any]) -> npt.NDArray[np.datetime64] | None:
    """Read strings that are all written in the same of the most usual notations, or return None.

    It takes a twentieth of the time of the general way, and knows none of its errors: what it
    refuses is read again.
    """
    first = timestamps[0]
    if not isinstance(first, str):
        return None
    try:
        length = len(first)
        least, greatest = _PLAIN[length, first[10:11].encode()]
        joined = "".join(timestamps).encode("ascii")
        if set(map(len, timestamps)) != {length}:
            return None
    except (KeyError, TypeError, ValueError):
        return None
    written = np.frombuffer(joined, np.uint8).reshape(-1, length)
    if ((written < least) | (written > greatest)).any():
        return None
    digits = written - np.uint8(ord("0"))
    pairs = digits[:, :-1] * np.uint8(10) + digits[:, 1:]
    places = _PLACES if length > _DATE else _PLACES[:2]
    parts = pairs[:, places]
    if (parts > _GREATEST_PARTS[: len(places)]).any() or not parts[:, :2].all():
        return None
    years = pairs[:, 0].astype(np.int64) * 100 + pairs[:, 2]
    if years.min() < _EARLIEST_YEAR or years.max() > _LATEST_YEAR:
        return None
    # numpy has a parser of its own, which ends the process when it meets a date that is none.
    months = (years * 12 + parts[:, 0] - _MONTHS_TO_1970).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (parts[:, 1].astype(np.int64) - 1)
    if (days.astype("datetime64[M]") != months).any():
        return None
    clock: npt.NDArray[np.datetime64] = days.astype(_NANOSECONDS)
    if length > _DATE:
        clock += (parts[:, 2:] @ _SECONDS).astype("timedelta64[s]")
    return clock


def _in_utc(clock: npt.NDArray[np.datetime64]) -> Times:
    missing = np.isnat(clock)
    if missing.any():
        raise _missing(int(missing.argmax()))
    # What is finer than a microsecond is cut off, as datetime does.
    return Times(clock.astype("datetime64[us]").astype(np.int64), clock)


def _of_index(index: pd.DatetimeIndex) -> Times:
    if index.hasnans:
        raise _missing(int(np.flatnonzero(index.isna())[0]))
    wall = index.tz_localize(None).to_numpy()
    universal = wall if index.tz is None else index.tz_convert(None).to_numpy()
    return Times(_in_utc(universal).elapsed, wall)


def _missing(place: int) -> DetectionError:
    return malformed(f"the timestamp at index {place} is missing")


def _parsed(timestamps: list[Any]) -> pd.DatetimeIndex:
    for place, timestamp in enumerate(timestamps):
        if isinstance(timestamp, str):
            dated = timestamp not in WORDS
        else:
            dated = isinstance(timestamp, np.datetime64) or hasattr(timestamp, "year")
        if not dated:
            raise _unreadable(place, timestamp)
    try:
        index = _iso(timestamps)
    except (ValueError, TypeError, OverflowError):
        index = _otherwise_written(timestamps)
    zones = {_zone(timestamp) for timestamp in timestamps}
    # Months and years are counted on the clock that the timestamps were written by.
    return index.tz_convert(zones.pop()) if len(zones) == 1 else index


def _otherwise_written(timestamps: list[Any]) -> pd.DatetimeIndex:
    place = first_refused(_iso, timestamps)
    # All must be in the notation of the first.
    if place == 0 and all(isinstance(timestamp, str) for timestamp in timestamps):
        try:
            return read_dates(timestamps)
        except UnreadableDateError as error:
            place = error.place
    raise _unreadable(place, timestamps[place])


def _iso(timestamps: list[Any]) -> pd.DatetimeIndex:
    return pd.to_datetime(timestamps, format="ISO8601", utc=True)


def _zone(timestamp: Any) -> Any:
    """Return the time zone of a timestamp, UTC where it has none."""
    if isinstance(timestamp, str):
        tail = timestamp[-6:]
        if tail[:1] in "+-" and tail[3:4] == ":" and len(timestamp) > 10:
            return _offset(tail)
        return "UTC"
    return getattr(timestamp, "tzinfo", None) or "UTC"


@lru_cache(maxsize=4096)
def _offset(written: str) -> Any:
    """Return the time zone of an offset such as ``+05:30``."""
    return pd.Timestamp(f"2000-01-01T00:00:00{written}").tz


def _unreadable(place: int, timestamp: Any) -> DetectionError:
    return malformed(
        f"the timestamp at index {place} is {shown(timestamp)}, and must be a date and time "
        "as in ISO 8601, such as 2018-03-01T00:00:00Z, or all must be in one other notation with a "
        "year of four digits, such as 12/16/2021 4:39:32 AM"
    )


def check_order(elapsed: Ints, timestamps: Sequence[Any]) -> None:
    steps = np.diff(elapsed)
    wrong = np.flatnonzero(steps <= 0)
    if not len(wrong):
        return
    place = int(wrong[0]) + 1
    if steps[place - 1] < 0:
        raise DetectionError(
            "InvalidSeries",
            "The 'series' field must be sorted by timestamp in ascending order. The timestamp at "
            f"index {place} ({timestamps[place]}) comes before the one at index {place - 1} "
            f"({timestamps[place - 1]}).",
        )
    raise DetectionError(
        "InvalidSeries",
        "The 'series' field cannot have duplicated timestamp. The timestamps at index "
        f"{place - 1} and {place} are both {timestamps[place]}.",
    )


def grid_index(times: Times, options: Options, timestamps: Sequence[Any]) -> Ints:
    """Return where each point stands on the grid that starts at the first one."""
    if options.granularity in ("monthly", "yearly"):
        index, off = _calendar_index(times.wall, options)
    elif options.granularity == "microsecond":
        index, off = _fine_index(times.elapsed, options.interval)
    else:
        step = min(_STEPS[options.granularity] * options.interval, _LONGEST_STEP)
        index, rest = np.divmod(times.elapsed - times.elapsed[0], step)
        off = rest != 0
    # Two points of one month, the 29th and the 31st, can both count as its end.
    off[1:] |= np.diff(index) <= 0
    if off.any():
        place = int(off.argmax())
        raise DetectionError(
            "InvalidSeries",
            f"The 'timestamp' at index {place} is invalid in {options.granularity} granularity "
            f"with {shown(options.interval)} gran as interval. It is {timestamps[place]}, and "
            f"must lie a whole number of such intervals after the first, {timestamps[0]}; the one "
            f"before it is {timestamps[place - 1]}.",
        )
    return np.asarray(index, dtype=np.int64)


def _fine_index(elapsed: Ints, interval: int) -> tuple[Ints, Flags]:
    """Count in milliseconds, as the service did under this name, or else in microseconds."""
    since = elapsed - elapsed[0]
    for unit in (_MILLISECOND, 1):
        index, rest = np.divmod(since, min(unit * interval, _LONGEST_STEP))
        if not rest.any():
            break
    return index, rest != 0


def _calendar_index(wall: pd.DatetimeIndex, options: Options) -> tuple[Ints, Flags]:
    """Count months or years; the last day of a month is as good as a later day it lacks."""
    year, month, day, length = (
        np.asarray(part, dtype=np.int64)
        for part in (wall.year, wall.month, wall.day, wall.days_in_month)
    )
    months = (year - year[0]) * 12 + month - month[0]
    ends, starts_at_end = day == length, day[0] == length[0]
    aligned = (day == day[0]) | (ends & starts_at_end)
    aligned |= (length != length[0]) & ((ends & (day[0] > day)) | (starts_at_end & (day > day[0])))
    aligned &= (months != 0) | (day == day[0])
    step = min(options.interval * (12 if options.granularity == "yearly" else 1), _LONGEST_STEP)
    if not aligned.all():
        return months // step, ~aligned
    index, rest = np.divmod(months, step)
    return index, rest != 0
