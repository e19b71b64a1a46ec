"""From a file to a series: its dates, its values, and one line of what was understood."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from detector.arrays import Floats, Ints
from detector.errors import listed, shown
from detector.files.columnar import is_parquet, read_parquet
from detector.files.columns import Chosen, choose, columns_of
from detector.files.content import Bounds, Source, load
from detector.files.dates import read_dates
from detector.files.problems import quoted
from detector.files.records import is_json, read_json
from detector.files.sheets import is_workbook, read_sheet
from detector.files.stamps import Dates
from detector.files.steps import Steps, find_steps
from detector.files.table import Table, is_missing
from detector.files.text import decoded, read_text
from detector.files.values import decimal_mark, read_numbers

__all__ = ["Reading", "read"]

_MOST_SHOWN = 5


@dataclass(frozen=True)
class Reading:
    """What was understood of a file.

    Attributes
    ----------
    times : DatetimeIndex or None
        Ascending, and none twice unless `keys` tells series apart; without a zone where the file
        names none. None where the values have no dates.
    values : dict of str to ndarray of float64, shape (n,)
        By the names of the columns, NaN where there is none.
    keys : DataFrame
        The columns that tell several series apart; without any for one series.
    timestamp : str or None
        The name of the column that holds the dates.
    granularity, interval
        Found from the steps; ``none`` and 1 where they are uneven.
    gaps : int
        How many points are missing between the first and the last.
    duplicates : int
        How many points were there twice, the same, and are left out.
    in_order : bool
        Whether the file had them in order of time.
    day_first : bool or None
        None where there was nothing to decide.
    notation : str or None
        How the dates are written: 31 December 2021 in the same way, or the name of a unit.
    columns : list of dict
        ``name`` and ``kind`` of each column: ``dates``, ``times``, ``numbers`` or ``text``.
    options : dict
        Of a JSON request, by their names on the wire.
    notes : tuple of str
        What else a person should know.
    """

    times: pd.DatetimeIndex | None
    values: dict[str, Floats]
    keys: pd.DataFrame
    timestamp: str | None
    steps: Steps
    duplicates: int = 0
    in_order: bool = True
    day_first: bool | None = None
    notation: str | None = None
    columns: list[dict[str, str]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    @property
    def granularity(self) -> str:
        return self.steps.granularity

    @property
    def interval(self) -> int:
        return self.steps.interval

    @property
    def gaps(self) -> int:
        return self.steps.gaps

    @property
    def frame(self) -> pd.DataFrame:
        """The points: the keys, ``timestamp`` where there are dates, a column for each value."""
        frame = self.keys.assign(**self.values)
        if self.times is not None:
            frame.insert(self.keys.shape[1], "timestamp", self.times, allow_duplicates=True)
        return frame

    def series(self, name: str | None = None) -> pd.DataFrame:
        """Return one series as detection takes it: the points that have a value.

        Parameters
        ----------
        name : str, optional
            Of the column of values; the first one by default.

        Returns
        -------
        DataFrame
            With the keys, ``timestamp`` where there are dates, and ``value``.
        """
        values = self.values[next(iter(self.values)) if name is None else name]
        frame = self.keys.assign(value=values)
        if self.times is not None:
            frame.insert(self.keys.shape[1], "timestamp", self.times)
        return frame[~np.isnan(values)].reset_index(drop=True)

    def grid(self, granularity: str | None = None) -> dict[str, Any]:
        """Return the granularity and the interval, by their names on the wire.

        Parameters
        ----------
        granularity : str, optional
            One that counts more than what was found.
        """
        if granularity not in (None, self.granularity):
            return {"granularity": granularity}
        interval = {} if self.interval == 1 else {"customInterval": self.interval}
        return {"granularity": self.granularity, **interval}

    def request(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the options of a detection, by their names on the wire.

        Parameters
        ----------
        given : dict
            Options that count more than those of the file, and these more than what was found.
        """
        theirs = {name for name, value in self.options.items() if value is not None}
        if "granularity" in map(str.lower, theirs) and "granularity" not in given:
            return self.options | given
        return self.grid(given.get("granularity")) | self.options | given

    @property
    def description(self) -> str:
        """What was understood, in one line."""
        named = [quoted(name) for name in ([self.timestamp] if self.timestamp else [])]
        named += [quoted(name) for name in self.values]
        if len(named) > _MOST_SHOWN:
            named[_MOST_SHOWN:] = [f"{len(named) - _MOST_SHOWN} more"]
        columns = " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)
        parts = [f"{self.steps.describe(len(self))} from {columns}"]
        if self.keys.shape[1]:
            parts.append(
                f"series told apart by {' and '.join(quoted(str(each)) for each in self.keys)}"
            )
        if self.times is None:
            parts.append("without dates")
        if self.day_first is not None:
            parts.append("day first" if self.day_first else "month first")
        if self.steps.usual:
            parts.append(f"at uneven steps, most of {self.steps.usual}")
        if self.gaps:
            parts.append(f"{self.gaps} gap{'s' if self.gaps > 1 else ''}")
        if self.duplicates:
            many = "s" if self.duplicates > 1 else ""
            parts.append(f"{self.duplicates} exact duplicate{many} left out")
        if not self.in_order:
            parts.append("now in order of time")
        return ", ".join([*parts, *self.notes])


def read(
    source: Source,
    *,
    name: str | None = None,
    timestamp: str | None = None,
    values: str | Sequence[str] | None = None,
    by: Sequence[str] = (),
    day_first: bool | None = None,
    sheet: str | None = None,
    bounds: Bounds | None = None,
) -> Reading:
    """Read a series, or several of one table, from a file as people have them.

    Parameters
    ----------
    source : str, Path, bytes or binary stream
        A path, ``-`` for standard input, or the content: CSV, Excel, JSON, JSON lines or Parquet,
        packed or not. What it holds decides, and not its name.
    name : str, optional
        Of the file, for messages.
    timestamp : str, optional
        The column of the dates; found by what it holds.
    values : str or sequence of str, optional
        The columns of the values, ``*`` for every one that holds numbers; the only one by default.
    by : sequence of str
        Columns that tell several series of one table apart.
    day_first : bool, optional
        Whether ``03/04/2021`` is in April, where the column does not say.
    sheet : str, optional
        Of a workbook; the one that holds a series by default.
    bounds : Bounds, optional

    Raises
    ------
    FileError
        With one sentence: the file, the line, and what would be right.
    DetectionError
        ``RequiredSeries`` for a JSON request without one.
    """
    table = _table(source, name, sheet, bounds or Bounds())
    wanted = [values] if isinstance(values, str) else values
    chosen = choose(table, timestamp, wanted, by)
    mark, read_as = decimal_mark(
        [table.column(each) for each, kind in chosen.kinds.items() if kind == "numbers"],
        table.delimiter,
    )
    numbers = {each: read_numbers(table, each, mark) for each in chosen.values}
    notes = [*table.content.notes, *table.notes]
    if mark == ",":
        notes.append("decimal comma")
    if read_as:
        notes.append(read_as)
    told_apart = zip(by, chosen.keys, strict=True)
    keys = pd.DataFrame(
        {given: _key(table.column(each)) for given, each in told_apart}, index=range(len(table))
    )
    dates = None
    if chosen.timestamp:
        dates = _dates(table, chosen, day_first)
        notes += dates.notes
    return _Points(table, chosen, dates, numbers, keys).reading(notes)


def _table(source: Source, name: str | None, sheet: str | None, bounds: Bounds) -> Table:
    content = load(source, name, bounds)
    if is_parquet(content):
        return read_parquet(content, bounds)
    if is_workbook(content):
        return read_sheet(content, sheet, bounds)
    text = decoded(content)
    if max(map(text.count, ",;\t|\n")) > bounds.cells:
        raise content.problem(
            f"holds more than {bounds.cells} cells, the most that are read: cut out the time or "
            "the columns that matter."
        )
    return read_json(content, text) if is_json(content, text) else read_text(content, text)


def _key(cells: Sequence[Any]) -> Any:
    """Return a column that tells series apart, whole numbers as such."""
    if all(
        isinstance(cell, str) and cell.isdigit() and (cell == "0" or cell[0] != "0")
        for cell in set(cells)
    ):
        return pd.to_numeric(pd.Series(cells, dtype=object), errors="coerce")
    return pd.Series(cells, dtype=None if hasattr(cells, "dtype") else object)


def _differ(cell: Any, other: Any) -> bool:
    return bool(cell != other) and not (is_missing(cell) and is_missing(other))


def _clock(times: pd.DatetimeIndex) -> Ints:
    return times.tz_localize(None).to_numpy().astype(np.int64)


def _dates(table: Table, chosen: Chosen, day_first: bool | None) -> Dates:
    name = chosen.timestamp or ""
    times = [each for each, kind in chosen.kinds.items() if kind == "times"]
    if len(times) != 1:
        return read_dates(table, name, day_first)
    days = [_day(cell) for cell in table.column(name)]
    if any(":" in day for day in days):
        return read_dates(table, name, day_first)
    hours = table.column(times[0])
    joined = [
        f"{day} {hour.strip()}".strip() if not is_missing(hour) else day
        for day, hour in zip(days, hours, strict=True)
    ]
    columns = [
        joined if each == name else cells
        for each, cells in zip(table.names, table.columns, strict=True)
    ]
    dates = read_dates(replace(table, columns=columns), name, day_first)
    return replace(dates, notes=(*dates.notes, f"times of the day from {quoted(times[0])}"))


def _day(cell: Any) -> str:
    if isinstance(cell, date):
        return str(cell).removesuffix(" 00:00:00")
    return "" if is_missing(cell) else str(cell).strip()


@dataclass(frozen=True)
class _Points:
    """The points of a file as they stand in it."""

    table: Table
    chosen: Chosen
    dates: Dates | None
    values: dict[str, Floats]
    keys: pd.DataFrame

    def reading(self, notes: list[str]) -> Reading:
        """Return them in order of time, without those that are there twice or have no value."""
        missing = np.logical_and.reduce([np.isnan(each) for each in self.values.values()])
        if self.dates is None:
            return self._undated(missing, notes)
        index = self.dates.index
        undated = np.asarray(index.isna())
        if (undated & ~missing).any():
            row = int((undated & ~missing).argmax())
            raise self.table.problem(row, f"there is no date in '{self.chosen.timestamp}'.")
        rows: Ints = np.flatnonzero(~missing)
        if not len(rows):
            raise self.table.content.problem(f"has no value in {listed(self.chosen.values)}.")
        times, codes = index[rows], self._codes(rows)
        order, in_order = self._order(times, codes)
        rows, times, codes = rows[order], times[order], codes[order]
        kept = self._kept(rows, times, codes)
        rows, times, codes = rows[kept], times[kept], codes[kept]
        if self.keys.shape[1]:
            # The longest series says for all.
            longest = np.bincount(codes).argmax()
            steps = replace(find_steps(times[codes == longest].sort_values()), gaps=0)
        else:
            steps = find_steps(times)
        lost = index[missing & ~undated]
        if steps.granularity != "none" and not self.keys.shape[1]:
            # Those between others are gaps.
            lost = lost[(lost < times[0]) | (lost > times[-1])]
        if len(lost):
            notes.append(f"{len(lost)} without a value left out")
        return Reading(
            times,
            {name: each[rows] for name, each in self.values.items()},
            self.keys.iloc[rows].reset_index(drop=True),
            self.chosen.timestamp,
            steps,
            int((~kept).sum()),
            in_order,
            self.dates.day_first,
            self.dates.notation,
            columns_of(self.chosen.kinds),
            self.table.options,
            tuple(notes),
        )

    def _undated(self, missing: Any, notes: list[str]) -> Reading:
        rows = np.flatnonzero(~missing)
        if not len(rows):
            raise self.table.content.problem(f"has no value in {listed(self.chosen.values)}.")
        dropped = len(missing) - len(rows)
        if dropped:
            notes.append(f"{dropped} without a value left out")
        return Reading(
            None,
            {name: each[rows] for name, each in self.values.items()},
            self.keys.iloc[rows].reset_index(drop=True),
            None,
            Steps("none", 1, 0, 0.0),
            columns=columns_of(self.chosen.kinds),
            options=self.table.options,
            notes=tuple(notes),
        )

    def _codes(self, rows: Ints) -> Ints:
        """Return a number for the series of each row."""
        codes = np.zeros(len(rows), dtype=np.int64)
        for name in self.keys:
            each, kinds = pd.factorize(self.keys[name].iloc[rows], use_na_sentinel=False)
            codes, _ = pd.factorize(codes * len(kinds) + each)
        return codes

    @staticmethod
    def _order(times: pd.DatetimeIndex, codes: Ints) -> tuple[Ints, bool]:
        """Return the order of series and time, and whether each series was in order."""
        clock = _clock(times)
        by_series = np.argsort(codes, kind="stable")
        ordered, same = clock[by_series], np.diff(codes[by_series]) == 0
        in_order = not bool((same & (np.diff(ordered) < 0)).any())
        return (by_series if in_order else np.lexsort((clock, codes))), in_order

    def _kept(self, rows: Ints, times: pd.DatetimeIndex, codes: Ints) -> Any:
        """Return which points stay; refuse those of one time that differ."""
        again = np.zeros(len(rows), dtype=bool)
        again[1:] = (np.diff(_clock(times)) == 0) & (np.diff(codes) == 0)
        words = self._others()
        for place in np.flatnonzero(again):
            now, before = rows[place], rows[place - 1]
            for each in self.values.values():
                if each[now] != each[before] and not np.isnan([each[now], each[before]]).all():
                    raise self._twice(rows, int(place), times)
            if any(_differ(cells[now], cells[before]) for cells in words.values()):
                raise self._twice(rows, int(place), times)
        return ~again

    def _others(self) -> dict[str, Any]:
        """Return the columns that may tell series apart; one that only counts rows does not."""
        names = {*self.chosen.values, self.chosen.timestamp, *self.chosen.keys}
        found = {
            name: self.table.column(name)
            for name, kind in self.chosen.kinds.items()
            if name not in names and kind in ("text", "numbers")
        }
        return {
            name: cells
            for name, cells in found.items()
            if self.chosen.kinds[name] == "text" or len(set(cells)) < len(cells)
        }

    def _twice(self, rows: Ints, place: int, times: pd.DatetimeIndex) -> Exception:
        both = [
            ", ".join(f"{each[row]:g}" for each in self.values.values())
            for row in rows[[place - 1, place]]
        ]
        now, before = rows[[place, place - 1]]
        apart = [
            name for name, cells in self._others().items() if _differ(cells[now], cells[before])
        ]
        hint = "keep one of them"
        if apart:
            hint += f", or say which column tells series apart, such as --by {shown(apart[0])}"
        elif (times != times.normalize()).any():
            hint += ", or write the offset where a clock was set back, as in 02:00+01:00"
        moment = str(times[place]).removesuffix(" 00:00:00")
        return self.table.problem(
            int(rows[place]),
            f"{moment} is there twice in '{self.chosen.timestamp}', with {both[1]} here and "
            f"{both[0]} in {self.table.place(int(rows[place - 1]))}: {hint}.",
        )
