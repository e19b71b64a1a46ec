"""How far points lie apart: the granularity, the interval and the gaps of a series."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from detector.arrays import Ints

__all__ = ["Steps", "find_steps"]

# Microseconds in a unit, the longest first.
_UNITS = (
    ("weekly", 604_800_000_000),
    ("daily", 86_400_000_000),
    ("hourly", 3_600_000_000),
    ("minutely", 60_000_000),
    ("secondly", 1_000_000),
    # By this name the service counted milliseconds.
    ("microsecond", 1_000),
)
_NAMES = {
    "yearly": "years",
    "monthly": "months",
    "weekly": "weeks",
    "daily": "days",
    "hourly": "hours",
    "minutely": "minutes",
    "secondly": "seconds",
    "microsecond": "milliseconds",
}
_DAY = 86_400_000_000
_SHORTEST_MONTH = 28 * _DAY
# A grid on which fewer of the places are taken is one by chance.
_LEAST_TAKEN = 0.5


@dataclass(frozen=True)
class Steps:
    """The grid that points lie on.

    Attributes
    ----------
    granularity : str
        ``none`` where they lie on no grid.
    interval : int
        How many units of the granularity lie between two points.
    gaps : int
        How many places of the grid have no point.
    taken : float
        The part of the places that have one, 0 where there is no grid.
    usual : str
        The most frequent step in words, where there is no grid.
    """

    granularity: str
    interval: int
    gaps: int
    taken: float
    usual: str = ""

    def describe(self, count: int) -> str:
        """Return what so many points are, such as ``120 daily points``."""
        points = "point" if count == 1 else "points"
        if self.granularity == "none":
            return f"{count} {points}"
        if self.interval == 1 and self.granularity != "microsecond":
            return f"{count} {self.granularity} {points}"
        return f"{count} {points} every {_in_words(self.granularity, self.interval)}"


def find_steps(times: pd.DatetimeIndex) -> Steps:
    """Find the grid of points in time.

    Parameters
    ----------
    times : DatetimeIndex
        Ascending, none twice; counted by the clock of its zone.
    """
    times = times.tz_localize(None)
    elapsed: Ints = times.to_numpy().astype("datetime64[us]").astype(np.int64)
    steps = np.diff(elapsed)
    if not len(steps):
        return Steps("none", 1, 0, 0.0)
    calendar = _by_calendar(times) if steps.min() >= _SHORTEST_MONTH else None
    if calendar:
        return calendar
    base = int(np.gcd.reduce(steps))
    span = int(elapsed[-1] - elapsed[0])
    places = span // base + 1
    usual = _usual(steps)
    taken = len(times) / places
    unit = _unit(base)
    if unit is None or (base != usual and taken < _LEAST_TAKEN):
        most = _unit(usual)
        return Steps("none", 1, 0, 0.0, _in_words(*most) if most else f"{usual} microseconds")
    return Steps(*unit, places - len(times), taken)


def _usual(steps: Ints) -> int:
    values, counts = np.unique(steps, return_counts=True)
    return int(values[counts.argmax()])


def _unit(step: int) -> tuple[str, int] | None:
    """Return a step in the longest unit that measures it, None where none does."""
    return next(((name, step // size) for name, size in _UNITS if step % size == 0), None)


def _in_words(granularity: str, interval: int) -> str:
    units = _NAMES[granularity]
    return units.removesuffix("s") if interval == 1 else f"{interval} {units}"


def _by_calendar(times: pd.DatetimeIndex) -> Steps | None:
    """Return the grid of months or years, None where there is none."""
    month, day, last = (np.asarray(each) for each in (times.month, times.day, times.days_in_month))
    count = np.asarray(times.year, dtype=np.int64) * 12 + month
    time = times - times.normalize()
    # The 30th stands for the 31st where a month has none, and so does its last day.
    aligned = (day == day.max()) | (day == last)
    if not aligned.all() or len(np.unique(time)) > 1:
        return None
    base = int(np.gcd.reduce(np.diff(count)))
    places = int(count[-1] - count[0]) // base + 1
    taken = len(times) / places
    name, interval = ("yearly", base // 12) if base % 12 == 0 else ("monthly", base)
    return Steps(name, interval, places - len(times), taken)
