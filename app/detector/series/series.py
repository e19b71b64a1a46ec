"""A validated series and the options of its detection: the one place where input is checked.

The rules and their order are those of Azure AI Anomaly Detector, as are the codes of the errors
and the first sentences of their messages.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from detector.arrays import Floats, Ints
from detector.errors import DetectionError, shown
from detector.series.names import Names
from detector.series.options import (
    STABLE_TREND_WINDOWS,
    ChangePointOptions,
    Options,
    wrong_window,
)
from detector.series.timestamps import Times, check_order, grid_index, read_timestamps
from detector.series.values import as_list, check_length, check_values, malformed, read_values

if TYPE_CHECKING:
    from typing import Self

_FIELDS, _POINT = Names(["series"]), Names(["timestamp", "value"])
# Options by their names on the wire, or options that are read already.
_Request = Mapping[str, Any] | Options | None


@dataclass(frozen=True)
class Columns:
    """The columns of a request, as they were sent.

    Attributes
    ----------
    values : list
        Not checked yet, as are the timestamps.
    timestamps : list or None
        None where not every point has one.
    options : Options
    """

    values: list[Any]
    timestamps: list[Any] | None
    options: Options


@dataclass(frozen=True)
class Series:
    """Points in time, and how to detect anomalies among them.

    Attributes
    ----------
    values : ndarray of float64, shape (n,)
        Finite, 12 to 8640 of them, within 1e100 of zero.
    index : ndarray of int64, shape (n,)
        Where each stands on the grid of the granularity; rises from 0.
    timestamps : list
        As they were given; the numbers from 0 where there were none.
    options : Options
    """

    values: Floats
    index: Ints
    timestamps: Sequence[Any]
    options: Options = field(default_factory=Options)

    @property
    def grid_length(self) -> int:
        """How many points the series would have without gaps."""
        return int(self.index[-1]) + 1

    def times(self) -> Any:
        """Return the timestamps as dates, by the clock they were written by; what was given where
        there is no granularity, as it need not be a date.
        """
        if self.options.granularity == "none":
            return self.timestamps
        return read_timestamps(self.timestamps).wall

    @classmethod
    def of(cls, data: Any, options: Options) -> "Self":
        """Read a series in whatever form Python has it.

        Parameters
        ----------
        data : DataFrame, pandas Series, list of mappings, pair of arrays, or array
            A table with the columns ``timestamp`` and ``value``, or with one column and dates as
            its index; values with dates as their index; records ``{"timestamp": ..., "value":
            ...}``; a tuple of the timestamps and the values; or the values alone.
        options : Options
            How to detect in it; of `ChangePointOptions` for a `ChangePointSeries`.
        """
        if isinstance(data, pd.DataFrame):
            return cls.from_frame(_with_timestamps(data), options)
        if isinstance(data, pd.Series):
            dates = data.index if isinstance(data.index, pd.DatetimeIndex) else None
            return cls.from_arrays(data, dates, options)
        if isinstance(data, tuple) and len(data) == 2:
            timestamps, values = data
            return cls.from_arrays(values, timestamps, options)
        if isinstance(data, list) and data and isinstance(data[0], Mapping):
            return cls.from_records(data, options)
        return cls.from_arrays(data, None, options)

    @classmethod
    def from_request(cls, body: Any) -> "Self":
        """Read a request as it comes over the wire: ``{"series": [...], "granularity": ...}``.

        Parameters
        ----------
        body : mapping
            Of the names of API versions 1.0 and 1.1, in any case; keys unknown to them are
            ignored.
        """
        return cls.from_columns(cls.columns(body))

    @classmethod
    def columns(cls, body: Any) -> Columns:
        """Return the columns of a request, whose fields, options and length are checked.

        Parameters
        ----------
        body
            As in `from_request`.
        """
        records = _records(body)
        options = cls._read_options(body)
        return Columns(*_columns(records, options), options)

    @classmethod
    def from_columns(cls, columns: Columns) -> "Self":
        """Check the values and timestamps of columns."""
        return cls._check(columns.values, columns.timestamps, columns.options)

    @classmethod
    def from_records(cls, records: Any, request: _Request = None) -> "Self":
        """Read ``[{"timestamp": ..., "value": ...}, ...]`` and options."""
        options = cls._read_options(request or {})
        return cls._check(*_columns(records, options), options)

    @classmethod
    def from_frame(cls, frame: Any, request: _Request = None) -> "Self":
        """Read the columns ``timestamp`` and ``value`` of a DataFrame, and options."""
        if not isinstance(frame, pd.DataFrame) or frame.empty:
            raise DetectionError(
                "BadArgument",
                "Invalid Input Format, input data is Empty. Give a DataFrame with the columns "
                f"'timestamp' and 'value', not {shown(frame)}.",
            )
        options = cls._read_options(request or {})
        check_length(len(frame))
        columns = list(frame.columns)
        if columns.count("value") != 1:
            raise malformed(
                "the table must have one column 'value', and has the columns "
                f"{', '.join(map(repr, columns))}"
            )
        if columns.count("timestamp") != 1 and options.granularity != "none":
            raise malformed(
                f"the table must have one column 'timestamp' for the granularity "
                f"'{options.granularity}', and has the columns {', '.join(map(repr, columns))}"
            )
        timestamps = frame["timestamp"] if columns.count("timestamp") == 1 else None
        return cls._check(frame["value"], timestamps, options)

    @classmethod
    def from_arrays(
        cls,
        values: Any,
        timestamps: Any = None,
        request: _Request = None,
    ) -> "Self":
        """Read arrays of shape ``(n,)``, and options."""
        options = cls._read_options(request or {})
        for name, array in (("values", values), ("timestamps", timestamps)):
            if array is not None and np.ndim(array) != 1:
                raise malformed(f"the {name} must be an array of one dimension")
        check_length(0 if values is None else len(values))
        if timestamps is None and options.granularity != "none":
            raise malformed(f"the granularity '{options.granularity}' needs timestamps")
        if timestamps is not None and len(timestamps) != len(values):
            raise malformed(f"there are {len(timestamps)} timestamps for {len(values)} values")
        return cls._check(values, timestamps, options)

    @staticmethod
    def _read_options(request: Any) -> Options:
        if isinstance(request, Options):
            return request
        return Options.from_request(request)

    @classmethod
    def _check(cls, values: Any, timestamps: Any, options: Any) -> "Self":
        numbers_ = read_values(values)
        listed = range(len(numbers_)) if timestamps is None else as_list(timestamps)
        times = None if options.granularity == "none" else read_timestamps(timestamps)
        return cls.from_read(numbers_, times, listed, options)

    @classmethod
    def from_read(
        cls, values: Floats, times: Times | None, timestamps: Sequence[Any], options: Any
    ) -> "Self":
        """Check values and timestamps that are read already.

        Parameters
        ----------
        values : ndarray of float64, shape (n,)
        times : Times or None
            None where there is no granularity.
        timestamps : sequence
            The same as they were given.
        options : Options
        """
        check_values(values, timestamps)
        if times is None:
            index = np.arange(len(values), dtype=np.int64)
        else:
            check_order(times.elapsed, timestamps)
            index = grid_index(times, options, timestamps)
        _check_periods(index, options)
        return cls(values, index, timestamps, options)


@dataclass(frozen=True)
class ChangePointSeries(Series):
    """Points in time to find the change points of, and how to find them; see `Series`."""

    options: ChangePointOptions = field(default_factory=ChangePointOptions)

    @property
    def stable_trend_window(self) -> int:
        """The window asked for, or else that of the granularity where the series is long enough."""
        asked = self.options.stable_trend_window
        if asked is not None:
            return asked
        return min(STABLE_TREND_WINDOWS[self.options.granularity], _longest_window(self.values))

    @staticmethod
    def _read_options(request: Any) -> ChangePointOptions:
        if isinstance(request, ChangePointOptions):
            return request
        return ChangePointOptions.from_request(request)

    @classmethod
    def from_read(
        cls, values: Floats, times: Times | None, timestamps: Sequence[Any], options: Any
    ) -> "Self":
        """Check values and timestamps that are read already; see `Series.from_read`."""
        series = super().from_read(values, times, timestamps, options)
        longest = _longest_window(series.values)
        if options.stable_trend_window is not None and options.stable_trend_window > longest:
            raise wrong_window(
                options.name_of("stable_trend_window"),
                options.stable_trend_window,
                f", and at most {longest} for the {len(series.values)} points of this series",
            )
        return series


def _with_timestamps(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with dates as its index as one with the columns timestamp and value."""
    if "timestamp" in frame.columns or not isinstance(frame.index, pd.DatetimeIndex):
        return frame
    if len(frame.columns) == 1:
        frame = frame.set_axis(["value"], axis=1)
    return frame.rename_axis("timestamp").reset_index()


def _longest_window(values: Floats) -> int:
    return (len(values) - 1) // 2


def _records(body: Any) -> Any:
    """Return the series of a request, not checked yet."""
    if not isinstance(body, Mapping) or not body:
        raise DetectionError(
            "InvalidJsonFormat",
            "Invalid Json Format, input data is Empty. Send a JSON object with the field "
            f"'series', not {shown(body)}.",
        )
    fields = _FIELDS.usual(body)
    if "series" not in fields:
        raise DetectionError(
            "RequiredSeries",
            "The 'series' field is required in request. It is a list of points, each with "
            "'timestamp' and 'value'.",
        )
    return fields["series"]


def _columns(records: Any, options: Options) -> tuple[list[Any], list[Any] | None]:
    """Return the values and the timestamps, or None where not every point has one."""
    if records is None:
        raise DetectionError("BadArgument", "The 'series' field cannot be empty.")
    if isinstance(records, (str, bytes, Mapping)) or not isinstance(records, Sequence):
        raise DetectionError(
            "BadArgument",
            "The 'series' field must be array/list type. It is a list of points, each with "
            f"'timestamp' and 'value', not {shown(records)}.",
        )
    check_length(len(records))
    if not _are_timed(records):
        records = _with_values(records)
    values = [record["value"] for record in records]
    timestamps = [record.get("timestamp") for record in records]
    timed = all("timestamp" in record for record in records)
    if not timed and options.granularity != "none":
        place = next(i for i, record in enumerate(records) if "timestamp" not in record)
        raise malformed(
            f"the point at index {place} has no 'timestamp', which the granularity "
            f"'{options.granularity}' needs"
        )
    return values, timestamps if timed else None


def _are_timed(records: Sequence[Any]) -> bool:
    """Say whether all are points with a value and a timestamp, written as usual."""
    return _are_objects(records) and all(
        "value" in record and "timestamp" in record for record in records
    )


def _are_objects(records: Sequence[Any]) -> bool:
    # Of JSON; other mappings take their time.
    return set(map(type, records)) == {dict}


def _with_values(records: Sequence[Any]) -> Sequence[Mapping[str, Any]]:
    """Return points by the usual names of their fields; refuse what is none or has no value."""
    points = records
    if not _are_objects(records):
        points = [record for record in records if isinstance(record, Mapping)]
    points = _POINT.all_usual(points)
    if len(points) < len(records) or not all("value" in point for point in points):
        of = iter(points)
        for place, record in enumerate(records):
            if not isinstance(record, Mapping) or "value" not in next(of):
                raise malformed(
                    f"the point at index {place} is {shown(record)}, and must be an object "
                    "with a 'value'"
                )
    return points


def _check_periods(index: Ints, options: Options) -> None:
    period = options.period
    if period is None or options.granularity == "none":
        return
    count = int(index[-1]) + 1
    if options.impute_mode in ("notFill", "no"):
        count = len(index)
    if count < 2 * period + 1:
        raise DetectionError(
            "InvalidModelArgument",
            "The 'series' field must have more than 2 periods points: with the period "
            f"{period} at least {2 * period + 1}, and it has {count}.",
        )
