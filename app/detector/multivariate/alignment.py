"""Variables that were read at different times, brought into one table without gaps."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from detector.arrays import LARGEST_VALUE, Flags, Floats
from detector.errors import DetectionError, listed, shown

Times = npt.NDArray[np.datetime64]
Places = npt.NDArray[np.int64]
Moment = pd.Timestamp | str | None
ALIGN_MODES = ("Inner", "Outer")
FILL_METHODS = ("Previous", "Subsequent", "Linear", "Zero", "Fixed", "NotFill")
MOST_VARIABLES = 301
MOST_ROWS = 1_000_000
_DATE = re.compile(r"\d{4}")


@dataclass(frozen=True)
class AlignPolicy:
    """How variables that were not read at the same times are brought together.

    Attributes
    ----------
    mode : str
        ``Outer`` for every timestamp of any variable, ``Inner`` for those that all share.
    fill : str
        How a gap is filled, with what is then still missing set to 0: ``Previous`` with the value
        before it, at the start the one after; ``Subsequent`` the other way round; ``Linear``
        evenly from the one before to the one after, whatever the time between them; ``Zero``;
        ``Fixed`` with `padding_value`. ``NotFill`` says that there is nothing to fill, which holds
        with ``Inner`` only.
    padding_value : float, optional
        Required with ``Fixed``, not looked at without.
    names : mapping, optional
        What a caller calls a field where that is not its name here, for messages; not kept.

    Raises
    ------
    DetectionError
        ``InvalidAlignMode``, ``InvalidFillNAMethod`` or ``RequiredPaddingValue``.
    """

    mode: str = "Outer"
    fill: str = "Linear"
    padding_value: float | None = None
    names: InitVar[Mapping[str, str] | None] = None

    def __post_init__(self, names: Mapping[str, str] | None) -> None:
        mode, fill, padding_value = (
            f"'{(names or {}).get(name, name)}'" for name in ("mode", "fill", "padding_value")
        )
        if self.mode not in ALIGN_MODES:
            raise DetectionError(
                "InvalidAlignMode",
                f"The {mode} field must be one of the following: 'Inner' or 'Outer'; "
                f"{shown(self.mode)} was given.",
            )
        if self.fill not in FILL_METHODS or (self.fill == "NotFill" and self.mode == "Outer"):
            methods = ", ".join(f"'{method}'" for method in FILL_METHODS)
            raise DetectionError(
                "InvalidFillNAMethod",
                f"The {fill} field must be one of the following: {methods}. It cannot be "
                f"'NotFill' when {mode} is 'Outer'. {shown(self.fill)} was given.",
            )
        if self.fill == "Fixed" and not _is_finite(self.padding_value):
            raise DetectionError(
                "RequiredPaddingValue",
                f"The {padding_value} field is required in the request when {fill} is "
                f"'Fixed', and must be a finite number; {shown(self.padding_value)} was given.",
            )


@dataclass(frozen=True)
class VariableState:
    """What one variable had to offer before its gaps were filled.

    Attributes
    ----------
    variable : str
    filled_na_ratio : float
        The part of the rows, look-back included, in which it had no value.
    effective_count : int
        In how many rows it had one.
    first_timestamp, last_timestamp : Timestamp
        UTC: of its first and last value; of the first and last row where it has no value at all.
    """

    variable: str
    filled_na_ratio: float
    effective_count: int
    first_timestamp: pd.Timestamp
    last_timestamp: pd.Timestamp


@dataclass(frozen=True)
class Table:
    """Variables side by side, with a value in every row.

    Attributes
    ----------
    timestamps : ndarray of datetime64[ns], shape (n,)
        UTC, ascending, none twice.
    variables : tuple of str
        Sorted.
    values : ndarray of float64, shape (n, d)
    states : tuple of VariableState
        The one with the most gaps first; by name where these are equal.
    lead : int
        How many rows lie before the time asked for: they are looked back on, and not scored.
    """

    timestamps: Times
    variables: tuple[str, ...]
    values: Floats
    states: tuple[VariableState, ...]
    lead: int


def align(
    frame: pd.DataFrame,
    *,
    start: Moment = None,
    end: Moment = None,
    sliding_window: int,
    policy: AlignPolicy | None = None,
    names: Mapping[str, str] | None = None,
) -> Table:
    """Bring the variables of a frame into one table without gaps.

    Parameters
    ----------
    frame : DataFrame
        One column for each variable, NaN where it has no value; its index the timestamps, in any
        order, UTC where they name no zone. It is not changed.
    start, end : Timestamp or str, optional
        The first and the last moment that matter, UTC where they name no zone. What lies outside
        the frame is cut to it; by default all of it.
    sliding_window : int
        One less than this many rows are kept before `start`, as far as the frame has them.
    policy : AlignPolicy, optional
        By default every timestamp, with gaps filled evenly.
    names : mapping, optional
        What the caller calls ``start`` and ``end``, for messages.

    Raises
    ------
    DetectionError
        ``InvalidTimestampFormat``, ``MergeDataFailed`` (a timestamp twice), ``NoVariablesFound``,
        ``DuplicatedVariables``, ``DataExceedsLimit`` (more than 301 variables),
        ``VariableParseError`` (no number, or an infinite one), ``NoData``, ``TooManyData`` (more
        than 1,000,000 rows) or ``NotEnoughInput`` (fewer rows than the sliding window).
    """
    policy = policy or AlignPolicy()
    places = _places(frame)
    times = _times(frame)
    rows = np.argsort(times, kind="stable")
    if policy.mode == "Inner":
        rows = rows[frame.notna().all(axis=1).to_numpy()[rows]]
    rows, lead = chosen(
        times, rows, start=start, end=end, sliding_window=sliding_window, names=names
    )
    times = times[rows]
    if len(rows) > MOST_ROWS:
        raise too_many(len(rows), names)
    # Column by column, so that what is done to one never needs room for all.
    values = np.empty((len(rows), len(places)))
    states = []
    for column, (name, place) in enumerate(places.items()):
        read = _as_numbers(name, frame.iloc[:, place].iloc[rows], times)
        states.append(_variable_state(name, read, times))
        values[:, column] = filled(read, policy)
    return Table(
        timestamps=times,
        variables=tuple(places),
        values=values,
        states=tuple(sorted(states, key=lambda state: (-state.filled_na_ratio, state.variable))),
        lead=lead,
    )


def by_time(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with dates as its index: its own, or those in its column ``timestamp``.

    Raises
    ------
    DetectionError
        ``FileColumnsNotExist`` where there are neither, ``InvalidTimestampFormat``.
    """
    if isinstance(frame.index, pd.DatetimeIndex):
        return frame
    if list(frame.columns).count("timestamp") != 1:
        raise DetectionError(
            "FileColumnsNotExist",
            f"The data needs dates as its index or in one column 'timestamp'; it has the columns "
            f"{listed(list(frame.columns))}.",
        )
    times = frame["timestamp"]
    if not pd.api.types.is_datetime64_any_dtype(times.dtype):
        try:
            if times.isin(["now", "today"]).any():
                raise ValueError("'now' and 'today' are no dates")
            times = pd.to_datetime(times, format="ISO8601", utc=True)
        except (ValueError, TypeError, OverflowError) as error:
            raise DetectionError(
                "InvalidTimestampFormat",
                f"Every row must have a date as its timestamp, in ISO 8601: {error}.",
            ) from error
    return frame.drop(columns="timestamp").set_axis(pd.DatetimeIndex(times), axis=0)


def _places(frame: pd.DataFrame) -> dict[str, int]:
    """Return in which column each variable is, sorted by name."""
    names = [str(name) for name in frame.columns]
    if not names:
        raise DetectionError(
            "NoVariablesFound", "The data has no variables: it needs a column for each."
        )
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DetectionError(
            "DuplicatedVariables",
            f"Each variable may be there once only; {listed(twice)} is there more often.",
        )
    if len(names) > MOST_VARIABLES:
        raise DetectionError(
            "DataExceedsLimit",
            f"The data has {len(names)} variables; at most {MOST_VARIABLES} are allowed.",
        )
    return {name: names.index(name) for name in sorted(names)}


def _times(frame: pd.DataFrame) -> Times:
    """Return the timestamps of the rows as UTC without a zone, none of them twice."""
    index = frame.index
    if not isinstance(index, pd.DatetimeIndex) or index.hasnans:
        kind = "one that is missing" if isinstance(index, pd.DatetimeIndex) else str(index.dtype)
        raise DetectionError(
            "InvalidTimestampFormat",
            f"Every row must have a date as its timestamp: the index of the data holds {kind}.",
        )
    if index.tz is not None:
        index = index.tz_convert("UTC").tz_localize(None)
    if index.has_duplicates:
        raise twice(index[int(index.duplicated().argmax())])
    return index.to_numpy(dtype="datetime64[ns]")


def twice(time: pd.Timestamp) -> DetectionError:
    """Return the error of a time that two rows have."""
    return DetectionError(
        "MergeDataFailed",
        f"The timestamp {time.isoformat()} is there more than once; each may be there once.",
    )


def chosen(
    times: Times,
    rows: npt.NDArray[np.intp],
    *,
    start: Moment,
    end: Moment,
    sliding_window: int,
    names: Mapping[str, str] | None = None,
) -> tuple[npt.NDArray[np.intp], int]:
    """Return the rows from start to end with those looked back on, and how many these are.

    Parameters
    ----------
    times : ndarray of datetime64[ns], shape (n,)
        UTC.
    rows : ndarray of int64
        Where the times to choose from are, in order of time.
    start, end, sliding_window, names
        As `align` takes them.

    Raises
    ------
    DetectionError
        ``NoData`` or ``NotEnoughInput``.
    """
    span = {(names or {}).get(name, name): at for name, at in (("start", start), ("end", end))}
    start_name, end_name = span
    ordered = times[rows]
    first, stop = 0, len(rows)
    if start is not None:
        first = int(ordered.searchsorted(utc(start_name, start)))
    if end is not None:
        stop = int(ordered.searchsorted(utc(end_name, end), side="right"))
    if first >= stop:
        asked = " and ".join(
            f"{name} {shown(moment)}" for name, moment in span.items() if moment is not None
        )
        there = "after alignment no row is left"
        if len(ordered):
            there = f"it goes from {_isoformat(ordered[0])} to {_isoformat(ordered[-1])}"
        raise DetectionError(
            "NoData", f"There is no data{' between ' + asked if asked else ''}: {there}."
        )
    lead = min(first, sliding_window - 1)
    rows = rows[first - lead : stop]
    if len(rows) < sliding_window:
        raise DetectionError(
            "NotEnoughInput",
            f"Not enough data. The length of data is {len(rows)}, but the minimum length should "
            f"be the sliding window, which is {sliding_window}.",
        )
    return rows, lead


def too_many(rows: int, names: Mapping[str, str] | None = None) -> DetectionError:
    """Return the error of more rows than `align` takes, those looked back on among them."""
    span = " and ".join((names or {}).get(name, name) for name in ("start", "end"))
    return DetectionError(
        "TooManyData",
        f"There are {rows} timestamps between {span}, with the look-back of one sliding window; "
        f"at most {MOST_ROWS} are allowed. Shorten the time.",
    )


def utc(name: str, moment: pd.Timestamp | str) -> np.datetime64:
    """Return a moment in UTC; DetectionError, with what it is called, for what is no date."""
    try:
        # A string that is less than a date pandas would take for a time of this day.
        if isinstance(moment, str) and not _DATE.match(moment):
            raise ValueError("not a date")
        read = pd.Timestamp(moment)
    except (ValueError, TypeError) as error:
        raise DetectionError(
            "InvalidTimestampFormat",
            f"Invalid timestamp format. The '{name}' field is {shown(moment)}, and no date.",
        ) from error
    if read.tz is not None:
        read = read.tz_convert("UTC").tz_localize(None)
    return read.to_datetime64()


def _as_numbers(name: str, column: pd.Series[Any], times: Times) -> Floats:
    """Return the values, NaN where there is none, refusing what cannot be computed with."""
    read, wrong = as_numbers(column)
    if wrong.any():
        at = int(wrong.argmax())
        raise no_number(name, column.iloc[at], times[at])
    return read


def as_numbers(column: pd.Series[Any]) -> tuple[Floats, Flags]:
    """Return the values, NaN where there is none, and where they cannot be computed with."""
    read = pd.to_numeric(column, errors="coerce")
    if np.iscomplexobj(read):
        read = read.where(read.to_numpy().imag == 0).map(np.real)
    numbers_read = read.to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = (np.isnan(numbers_read) & column.notna().to_numpy()) | (
        np.abs(numbers_read) > LARGEST_VALUE
    )
    if column.dtype.kind in "mM":
        wrong = column.notna().to_numpy()
    return numbers_read, wrong


def no_number(name: str, value: object, time: np.datetime64) -> DetectionError:
    """Return the error of a value that cannot be computed with."""
    return DetectionError(
        "VariableParseError",
        f"The variable '{name}' is {shown(value)} at {_isoformat(time)}; a value must be a number "
        f"within {LARGEST_VALUE:g} of zero, or missing.",
    )


def filled(values: Floats, policy: AlignPolicy, places: Places | None = None) -> Floats:
    """Return the values of a variable without gaps.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        In order of time, NaN where there is none.
    policy : AlignPolicy
    places : ndarray of int64, shape (n,), optional
        Where they are among all rows, if rows between them are left out.
    """
    series = pd.Series(values, index=places)
    if policy.fill == "Previous":
        series = series.ffill().bfill()
    elif policy.fill == "Subsequent":
        series = series.bfill().ffill()
    elif policy.fill == "Linear":
        series = series.interpolate(method="index", limit_direction="both")
    elif policy.fill == "Fixed":
        series = series.fillna(policy.padding_value)
    return series.fillna(0.0).to_numpy()


def _variable_state(name: str, values: Floats, times: Times) -> VariableState:
    there = ~np.isnan(values)
    count = int(there.sum())
    known = times[there] if count else times
    return VariableState(
        variable=name,
        filled_na_ratio=1 - count / len(values),
        effective_count=count,
        first_timestamp=pd.Timestamp(known[0]),
        last_timestamp=pd.Timestamp(known[-1]),
    )


def _is_finite(value: object) -> bool:
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and math.isfinite(value)  # type: ignore[arg-type]


def _isoformat(time: np.datetime64) -> str:
    return pd.Timestamp(time).isoformat()
