"""A validated series and the options of its detection: the one place where input is checked.

The rules and their order are those of Azure AI Anomaly Detector, as are the codes of the errors
and the first sentences of their messages.
"""

import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from detector.errors import DetectionError

if TYPE_CHECKING:
    from typing_extensions import Self

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

GRANULARITIES = (
    "none",
    "yearly",
    "monthly",
    "weekly",
    "daily",
    "hourly",
    "minutely",
    "secondly",
    "microsecond",
)
IMPUTE_MODES = ("auto", "previous", "linear", "fixed", "zero", "notFill", "last", "no")
BOUNDARY_VERSIONS = ("V1", "V2", "V3")
DETECTORS = ("spectral_residual", "hbos", "seasonal_series", "dynamic_threshold")
FEWEST_POINTS = 12
MOST_POINTS = 8640
LARGEST_VALUE = 1e100
# What change points take by default, by granularity.
STABLE_TREND_WINDOWS = {
    "none": 100,
    "yearly": 3,
    "monthly": 6,
    "weekly": 3,
    "daily": 5,
    "hourly": 24,
    "minutely": 72,
    "secondly": 72,
    "microsecond": 100,
}
TREND_THRESHOLDS = {name: 0.91 if name == "hourly" else 0.9 for name in GRANULARITIES}
SHORTEST_WINDOW = 3

# Microseconds in one step of the granularities that are not of the calendar.
_STEPS = {
    "weekly": 604_800_000_000,
    "daily": 86_400_000_000,
    "hourly": 3_600_000_000,
    "minutely": 60_000_000,
    "secondly": 1_000_000,
}
_MILLISECOND = 1000
# Longer than any span of timestamps, and still an int64.
_LONGEST_STEP = 2**62
_LONGEST_INTEGER = 1024


@dataclass(frozen=True)
class DetectorChoice:
    """A detection method that the caller names, with its parameters."""

    name: str
    period: int | None
    alpha: float
    threshold: float
    max_anomaly_ratio: float


@dataclass(frozen=True)
class Options:
    """How to detect anomalies in a series.

    Attributes
    ----------
    granularity : str
        The time unit between points, one of `GRANULARITIES`; ``none`` for none.
    interval : int
        How many of these units lie between two points.
    period : int or None
        Points in one season, 0 for no seasons, None to find out.
    max_anomaly_ratio : float
        At most this part of the points is an anomaly, above 0 to 0.49.
    sensitivity : int
        0 to 100; the higher, the narrower the margins.
    impute_mode : str
        How to fill gaps; ``zero`` is held as ``fixed`` with the value 0.
    impute_fixed_value : float
    boundary_version : str
        ``V1`` for the margins of API version 1.0, ``V2`` or ``V3`` for those of 1.1.
    alpha, threshold : float
        The level of the outlier tests, and the least score of spectral residual.
    detector : DetectorChoice or None
        A method to use instead of the one that the series suggests.
    """

    granularity: str = "none"
    interval: int = 1
    period: int | None = None
    max_anomaly_ratio: float = 0.25
    sensitivity: int = 99
    impute_mode: str = "auto"
    impute_fixed_value: float = 0.0
    boundary_version: str = "V1"
    alpha: float = 0.05
    threshold: float = 3.5
    detector: DetectorChoice | None = None

    @classmethod
    def from_request(cls, request: Mapping[str, Any]) -> "Options":
        """Read the options of a request by their names on the wire, such as ``maxAnomalyRatio``.

        An option that is absent or None keeps its default; keys that are none are ignored.

        Raises
        ------
        DetectionError
            For the first wrong option, in the order in which the service looked at them.
        """
        given = _given(request)
        read: dict[str, Any] = {}
        for name, attribute, check in _OPTIONS:
            if name in given:
                read[attribute] = check(given[name])
        read.update(_imputation(given))
        if "boundaryVersion" in given:
            read["boundary_version"] = _one_of(
                "InvalidBoundaryVersion",
                "boundaryVersion",
                given["boundaryVersion"],
                BOUNDARY_VERSIONS,
                "The 'boundaryVersion' field can only be one of the following: {choices}.",
            )
        if isinstance(given.get("detector"), Mapping):
            read["detector"] = _detector(given["detector"], cls(**read))
        return cls(**read)


@dataclass(frozen=True)
class ChangePointOptions(Options):
    """How to find the change points of a series; of `Options` it reads what is named here.

    Attributes
    ----------
    granularity : str
    interval : int
    period : int or None
        As in `Options`, but there is no default granularity.
    stable_trend_window : int or None
        How many points a trend must last, at least 3 and less than half of the series; None for
        that of the granularity in `STABLE_TREND_WINDOWS`.
    threshold : float
        0.01 to 0.99. A point departs from the trend before it when it misses that by more than
        ``1 - threshold`` of the range: the lower, the fewer change points.
    """

    stable_trend_window: int | None = None
    threshold: float = TREND_THRESHOLDS["none"]

    @classmethod
    def from_request(cls, request: Mapping[str, Any]) -> "ChangePointOptions":
        """Read the options of a request by their names on the wire, such as ``stableTrendWindow``.

        An option that is absent or None keeps its default. Those of anomaly detection, which
        clients send along, are not looked at.

        Raises
        ------
        DetectionError
            For the first wrong option.
        """
        given = _given(request)
        if "granularity" not in given:
            raise _granularity_missing()
        granularity = _granularity(given["granularity"])
        read: dict[str, Any] = {"threshold": TREND_THRESHOLDS[granularity]}
        for name, attribute, check in _CHANGE_POINT_OPTIONS:
            if name in given:
                read[attribute] = check(given[name])
        return cls(**read)


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

    @classmethod
    def from_request(cls, body: Any, *, require_granularity: bool = False) -> "Self":
        """Read a request as it comes over the wire: ``{"series": [...], "granularity": ...}``.

        Parameters
        ----------
        body : mapping
            Of the names of API versions 1.0 and 1.1; keys unknown to them are ignored.
        require_granularity : bool
            True for API version 1.0, which had no default for it.
        """
        _check_fields(body, require_granularity)
        return cls.from_records(body["series"], body)

    @classmethod
    def table(cls, body: Any, *, require_granularity: bool = False) -> pd.DataFrame:
        """Return the points of a request as the table that `from_frame` and the models take.

        Fields and options are checked here, values and timestamps by who reads the table.

        Parameters
        ----------
        body, require_granularity
            As in `from_request`.
        """
        _check_fields(body, require_granularity)
        values, timestamps = _columns(body["series"], cls._read_options(body))
        table = {"timestamp": timestamps, "value": values}
        # Without a change of what was sent: a table of numbers would hide what was none.
        return pd.DataFrame(table if timestamps else {"value": values}, dtype=object)

    @classmethod
    def from_records(cls, records: Any, request: Mapping[str, Any] | None = None) -> "Self":
        """Read ``[{"timestamp": ..., "value": ...}, ...]`` and options by their wire names."""
        options = cls._read_options(request or {})
        return cls._check(*_columns(records, options), options)

    @classmethod
    def from_frame(cls, frame: Any, request: Mapping[str, Any] | None = None) -> "Self":
        """Read the columns ``timestamp`` and ``value`` of a DataFrame, and options by wire name."""
        if not isinstance(frame, pd.DataFrame) or frame.empty:
            raise DetectionError(
                "BadArgument",
                "Invalid Input Format, input data is Empty. Give a DataFrame with the columns "
                f"'timestamp' and 'value', not {_shown(frame)}.",
            )
        options = cls._read_options(request or {})
        _check_length(len(frame))
        columns = list(frame.columns)
        if columns.count("value") != 1:
            raise _malformed(
                "the table must have one column 'value', and has the columns "
                f"{', '.join(map(repr, columns))}"
            )
        if columns.count("timestamp") != 1 and options.granularity != "none":
            raise _malformed(
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
        request: Mapping[str, Any] | None = None,
    ) -> "Self":
        """Read arrays of shape ``(n,)``, and options by their wire names."""
        options = cls._read_options(request or {})
        for name, array in (("values", values), ("timestamps", timestamps)):
            if array is not None and np.ndim(array) != 1:
                raise _malformed(f"the {name} must be an array of one dimension")
        _check_length(0 if values is None else len(values))
        if timestamps is None and options.granularity != "none":
            raise _malformed(f"the granularity '{options.granularity}' needs timestamps")
        if timestamps is not None and len(timestamps) != len(values):
            raise _malformed(f"there are {len(timestamps)} timestamps for {len(values)} values")
        return cls._check(values, timestamps, options)

    @staticmethod
    def _read_options(request: Mapping[str, Any]) -> Options:
        return Options.from_request(request)

    @classmethod
    def _check(cls, values: Any, timestamps: Any, options: Any) -> "Self":
        numbers_ = _numbers(values)
        listed = range(len(numbers_)) if timestamps is None else _listed(timestamps)
        times = None if options.granularity == "none" else _times(timestamps)
        _check_values(numbers_, listed)
        if times is None:
            index = np.arange(len(numbers_), dtype=np.int64)
        else:
            _check_order(times.elapsed, listed)
            index = _grid_index(times, options, listed)
        _check_periods(index, options)
        return cls(numbers_, index, listed, options)


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
    def _read_options(request: Mapping[str, Any]) -> ChangePointOptions:
        return ChangePointOptions.from_request(request)

    @classmethod
    def _check(cls, values: Any, timestamps: Any, options: Any) -> "Self":
        series = super()._check(values, timestamps, options)
        longest = _longest_window(series.values)
        if options.stable_trend_window is not None and options.stable_trend_window > longest:
            raise _wrong_window(
                options.stable_trend_window,
                f", and at most {longest} for the {len(series.values)} points of this series",
            )
        return series


def _longest_window(values: Floats) -> int:
    return (len(values) - 1) // 2


def _wrong_window(value: Any, bound: str = "") -> DetectionError:
    return DetectionError(
        "InvalidModelArgument",
        f"The 'stableTrendWindow' field must be an integer >= {SHORTEST_WINDOW} and < half of "
        f"series' length. It is {_shown(value)}{bound}.",
    )


def _stable_trend_window(value: Any) -> int:
    whole = _whole(value)
    if whole is None or whole < SHORTEST_WINDOW:
        raise _wrong_window(value)
    return whole


def _trend_threshold(value: Any) -> float:
    number = _real(value)
    if number is None or not 0.01 <= number <= 0.99:
        raise DetectionError(
            "InvalidModelArgument",
            f"The 'threshold' field must be an float between 0.01 and 0.99. It is {_shown(value)}.",
        )
    return number


def _check_fields(body: Any, require_granularity: bool) -> None:
    if not isinstance(body, Mapping) or not body:
        raise DetectionError(
            "InvalidJsonFormat",
            "Invalid Json Format, input data is Empty. Send a JSON object with the field "
            f"'series', not {_shown(body)}.",
        )
    if "series" not in body:
        raise DetectionError(
            "RequiredSeries",
            "The 'series' field is required in request. It is a list of points, each with "
            "'timestamp' and 'value'.",
        )
    if require_granularity and body.get("granularity") is None:
        raise _granularity_missing()


def _columns(records: Any, options: Options) -> tuple[list[Any], list[Any] | None]:
    """Return the values and the timestamps, or None where not every point has one."""
    if records is None:
        raise DetectionError("BadArgument", "The 'series' field cannot be empty.")
    if isinstance(records, (str, bytes, Mapping)) or not isinstance(records, Sequence):
        raise DetectionError(
            "BadArgument",
            "The 'series' field must be array/list type. It is a list of points, each with "
            f"'timestamp' and 'value', not {_shown(records)}.",
        )
    _check_length(len(records))
    for place, record in enumerate(records):
        if not isinstance(record, Mapping) or "value" not in record:
            raise _malformed(
                f"the point at index {place} is {_shown(record)}, and must be an object "
                "with a 'value'"
            )
    values = [record["value"] for record in records]
    timed = all("timestamp" in record for record in records)
    timestamps = [record.get("timestamp") for record in records]
    if not timed and options.granularity != "none":
        place = next(i for i, record in enumerate(records) if "timestamp" not in record)
        raise _malformed(
            f"the point at index {place} has no 'timestamp', which the granularity "
            f"'{options.granularity}' needs"
        )
    return values, timestamps if timed else None


def _shown(value: Any) -> str:
    """Return a short form of a value for a message."""
    if isinstance(value, int) and value.bit_length() > _LONGEST_INTEGER:
        # Python refuses to write out very long integers.
        return f"an integer of {value.bit_length()} bits"
    text = value.__class__.__name__ if isinstance(value, pd.DataFrame) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _given(request: Any) -> dict[str, Any]:
    """Return the options that are given and not null."""
    if not isinstance(request, Mapping):
        raise DetectionError(
            "InvalidJsonFormat",
            f"The options must be an object of names and values, not {_shown(request)}.",
        )
    return {name: value for name, value in request.items() if value is not None}


def _granularity_missing() -> DetectionError:
    return DetectionError(
        "RequiredGranularity",
        f"The 'granularity' field is required in request. It is one of {', '.join(GRANULARITIES)}.",
    )


def _malformed(why: str) -> DetectionError:
    return DetectionError(
        "BadArgument", f"'timestamp' or 'value' is malformed in 'series' Field: {why}."
    )


def _one_of(code: str, name: str, value: Any, choices: Iterable[str], message: str) -> str:
    if isinstance(value, str):
        for choice in choices:
            if value == choice:
                return choice
    listed = ", ".join(choices)
    raise DetectionError(code, f"{message.format(choices=listed)} It is {_shown(value)}.")


def _whole(value: Any) -> int | None:
    """Return a whole number given as an integer or as a float, else None."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    number = _real(value)
    return int(number) if number is not None and number.is_integer() else None


def _real(value: Any) -> float | None:
    """Return a finite number, else None."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _granularity(value: Any) -> str:
    return _one_of(
        "InvalidGranularity",
        "granularity",
        value,
        GRANULARITIES,
        "The 'granularity' field can only be one of the following: {choices}.",
    )


def _interval(value: Any) -> int:
    whole = _whole(value)
    if whole is None or whole <= 0:
        raise DetectionError(
            "InvalidCustomInterval",
            f"The 'customInterval' field must be an integer > 0. It is {_shown(value)}.",
        )
    return whole


def _period(value: Any) -> int:
    whole = _whole(value)
    if whole is None or whole < 0:
        raise DetectionError(
            "InvalidPeriod",
            f"The 'period' field must be an integer >= 0. It is {_shown(value)}.",
        )
    return whole


def _alpha(value: Any) -> float:
    number = _real(value)
    if number is None or number <= 0:
        raise DetectionError(
            "InvalidModelArgument", f"The 'alpha' field must > 0. It is {_shown(value)}."
        )
    return number


def _ratio(value: Any) -> float:
    number = _real(value)
    if number is None or not 0 < number <= 0.49:
        raise DetectionError(
            "InvalidModelArgument",
            "The 'maxAnomalyRatio' field must be less than 50% of the series points "
            f"(0 < maxAnomalyRatio < 0.5), at most 0.49. It is {_shown(value)}.",
        )
    return number


def _sensitivity(value: Any) -> int:
    whole = _whole(value)
    if whole is None or not 0 <= whole <= 100:
        raise DetectionError(
            "InvalidModelArgument",
            f"The 'sensitivity' field must be an integer between 0 and 99. It is {_shown(value)}.",
        )
    return whole


def _threshold(value: Any) -> float:
    number = _real(value)
    if number is None:
        raise DetectionError(
            "InvalidModelArgument",
            f"The 'threshold' field must be a float. It is {_shown(value)}.",
        )
    return number


# On the wire, in Options, and how it is read; in the order in which the service looked.
_OPTIONS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("granularity", "granularity", _granularity),
    ("customInterval", "interval", _interval),
    ("period", "period", _period),
    ("alpha", "alpha", _alpha),
    ("maxAnomalyRatio", "max_anomaly_ratio", _ratio),
    ("sensitivity", "sensitivity", _sensitivity),
    ("threshold", "threshold", _threshold),
)
_CHANGE_POINT_OPTIONS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("granularity", "granularity", _granularity),
    ("customInterval", "interval", _interval),
    ("period", "period", _period),
    ("threshold", "threshold", _trend_threshold),
    ("stableTrendWindow", "stable_trend_window", _stable_trend_window),
)


def _imputation(given: Mapping[str, Any]) -> dict[str, Any]:
    """Read how to fill gaps; the first previews called it ``fillUpMode`` and ``fixedValue``."""
    name, value_name = "imputeMode", "imputeFixedValue"
    if name not in given and "fillUpMode" in given:
        name, value_name = "fillUpMode", "fixedValue"
    if name not in given:
        return {}
    mode = _one_of(
        "InvalidImputeMode",
        name,
        given[name],
        IMPUTE_MODES,
        f"The '{name}' field is required and should be one of the following: {{choices}}.",
    )
    if mode == "zero":
        return {"impute_mode": "fixed", "impute_fixed_value": 0.0}
    if mode != "fixed":
        return {"impute_mode": mode}
    number = _real(given.get(value_name))
    if number is None or abs(number) > LARGEST_VALUE:
        raise DetectionError(
            "InvalidImputeFixedValue",
            f"The '{value_name}' field must be a number. With the {name} 'fixed' it is the "
            f"value of every missing point, and it is {_shown(given.get(value_name))}.",
        )
    return {"impute_mode": mode, "impute_fixed_value": number}


def _detector(request: Mapping[str, Any], options: Options) -> DetectorChoice:
    if "parameters" not in request:
        raise DetectionError(
            "MissingDetectorParameters",
            "The 'parameters' field is missing in 'detector' in request.",
        )
    parameters = request["parameters"]
    if not isinstance(parameters, Mapping):
        raise DetectionError(
            "InvalidDetectorParameters",
            "The 'parameters' field of 'detector' is malformed in request: it must be an "
            f"object, not {_shown(parameters)}.",
        )
    if "name" not in request:
        raise DetectionError(
            "MissingDetectorName", "The 'name' field is missing in 'detector' in request."
        )
    name = _one_of(
        "InvalidDetector",
        "name",
        request["name"],
        DETECTORS,
        "The 'name' field of 'detector' can only be one of the following: {choices}.",
    )
    if name == "hbos":
        raise DetectionError(
            "InvalidDetector",
            "The detector 'hbos' rests on a library that the kernel does not bring along. "
            "Use 'seasonal_series' or 'dynamic_threshold'.",
        )
    given = {key: value for key, value in parameters.items() if value is not None}
    return DetectorChoice(
        name=name,
        period=_period(given["period"]) if "period" in given else None,
        alpha=_alpha(given.get("alpha", options.alpha)),
        threshold=_threshold(given.get("threshold", options.threshold)),
        max_anomaly_ratio=_ratio(given.get("maxAnomalyRatio", options.max_anomaly_ratio)),
    )


def _check_length(count: int) -> None:
    if count == 0:
        raise DetectionError("BadArgument", "The 'series' field cannot be empty.")
    if count < FEWEST_POINTS:
        raise DetectionError(
            "InvalidSeries",
            f"The 'series' field must have at least {FEWEST_POINTS} points. It has {count}.",
        )
    if count > MOST_POINTS:
        raise DetectionError(
            "InvalidSeries",
            f"The 'series' field cannot have more than {MOST_POINTS} points. It has {count}.",
        )


def _listed(timestamps: Any) -> list[Any]:
    return timestamps.tolist() if hasattr(timestamps, "tolist") else list(timestamps)


def _numbers(values: Any) -> Floats:
    """Return the values as float64, numeric strings as the numbers they spell."""
    dtype = getattr(values, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "fiub":
        return np.array(values, dtype=float)
    listed = _listed(values)
    try:
        return np.array([float(value) for value in listed])
    except (TypeError, ValueError, OverflowError):
        pass
    for place, value in enumerate(listed):
        if value is None or value is pd.NA or value is pd.NaT:
            raise _none_value(place)
        try:
            float(value)
        except OverflowError:
            raise _too_large(place, value) from None
        except (TypeError, ValueError):
            raise _malformed(
                f"the value at index {place} is {_shown(value)}, and must be a number"
            ) from None
    raise _malformed("the values must be numbers")


def _none_value(place: int, timestamp: Any = None) -> DetectionError:
    at = f"at index {place}" + (f" ({timestamp})" if timestamp is not None else "")
    return DetectionError(
        "BadArgument",
        f"The 'series' field cannot have none values. The value {at} is not a number: leave "
        "the point out, and the gap is filled as 'imputeMode' says.",
    )


def _too_large(place: int, value: Any, timestamp: Any = None) -> DetectionError:
    at = f"at index {place}" + (f" ({timestamp})" if timestamp is not None else "")
    return DetectionError(
        "InvalidSeries",
        "The magnitude of data in 'value' in 'series' filed is too large. The value "
        f"{at} is {_shown(value)}, and must lie within {LARGEST_VALUE:g} of zero.",
    )


def _check_values(values: Floats, timestamps: Sequence[Any]) -> None:
    fine = np.abs(values) <= LARGEST_VALUE
    if fine.all():
        return
    large = np.flatnonzero(np.abs(values) > LARGEST_VALUE)
    if len(large):
        place = int(large[0])
        raise _too_large(place, float(values[place]), timestamps[place])
    place = int(np.flatnonzero(~fine)[0])
    raise _none_value(place, timestamps[place])


@dataclass(frozen=True)
class _Times:
    """Timestamps, shape ``(n,)``: microseconds in UTC, and the calendar's wall-clock time."""

    elapsed: Ints
    wall: pd.DatetimeIndex


def _times(timestamps: Any) -> _Times:
    """Parse timestamps: dates, or strings in ISO 8601."""
    if isinstance(getattr(timestamps, "dtype", None), np.dtype | pd.DatetimeTZDtype) and (
        pd.api.types.is_datetime64_any_dtype(timestamps.dtype)
    ):
        index = pd.DatetimeIndex(timestamps)
    else:
        index = _parsed(_listed(timestamps))
    if index.hasnans:
        place = int(np.flatnonzero(index.isna())[0])
        raise _malformed(f"the timestamp at index {place} is missing")
    wall = index.tz_localize(None)
    universal = wall if index.tz is None else index.tz_convert(None)
    # What is finer than a microsecond is cut off, as datetime does.
    elapsed = universal.to_numpy().astype("datetime64[us]").astype(np.int64)
    return _Times(elapsed, wall)


def _parsed(timestamps: list[Any]) -> pd.DatetimeIndex:
    for place, timestamp in enumerate(timestamps):
        dated = isinstance(timestamp, (str, np.datetime64)) or hasattr(timestamp, "year")
        if not dated:
            raise _unreadable(place, timestamp)
    try:
        index = pd.to_datetime(timestamps, format="ISO8601", utc=True)
    except (ValueError, TypeError, OverflowError):
        for place, timestamp in enumerate(timestamps):
            try:
                pd.to_datetime([timestamp], format="ISO8601", utc=True)
            except (ValueError, TypeError, OverflowError):
                raise _unreadable(place, timestamp) from None
        raise
    zones = {_zone(timestamp) for timestamp in timestamps}
    # Months and years are counted on the clock that the timestamps were written by.
    return index.tz_convert(zones.pop()) if len(zones) == 1 else index


def _zone(timestamp: Any) -> Any:
    """Return the time zone of a timestamp, UTC where it has none."""
    if isinstance(timestamp, str):
        tail = timestamp[-6:]
        if tail[:1] in "+-" and tail[3:4] == ":" and len(timestamp) > 10:
            return pd.Timestamp(timestamp).tz
        return "UTC"
    return getattr(timestamp, "tzinfo", None) or "UTC"


def _unreadable(place: int, timestamp: Any) -> DetectionError:
    return _malformed(
        f"the timestamp at index {place} is {_shown(timestamp)}, and must be a date and time "
        "as in ISO 8601, such as 2018-03-01T00:00:00Z"
    )


def _check_order(elapsed: Ints, timestamps: Sequence[Any]) -> None:
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


def _grid_index(times: _Times, options: Options, timestamps: Sequence[Any]) -> Ints:
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
            f"with {options.interval} gran as interval. It is {timestamps[place]}, and must lie "
            f"a whole number of such intervals after the first, {timestamps[0]}; the one before it "
            f"is {timestamps[place - 1]}.",
        )
    return np.asarray(index, dtype=np.int64)


def _fine_index(elapsed: Ints, interval: int) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Count in milliseconds, as the service did under this name, or else in microseconds."""
    since = elapsed - elapsed[0]
    for unit in (_MILLISECOND, 1):
        index, rest = np.divmod(since, min(unit * interval, _LONGEST_STEP))
        if not rest.any():
            break
    return index, rest != 0


def _calendar_index(wall: pd.DatetimeIndex, options: Options) -> tuple[Ints, npt.NDArray[np.bool_]]:
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
