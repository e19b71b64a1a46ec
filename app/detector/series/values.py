"""The values of a series: read as numbers, and checked."""

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from detector.arrays import LARGEST_VALUE, Floats
from detector.errors import DetectionError, shown

FEWEST_POINTS = 12
MOST_POINTS = 8640


def malformed(why: str) -> DetectionError:
    return DetectionError(
        "BadArgument", f"'timestamp' or 'value' is malformed in 'series' Field: {why}."
    )


def whole_number(value: Any) -> int | None:
    """Return a whole number given as an integer or as a float, else None."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    number = real_number(value)
    return int(number) if number is not None and number.is_integer() else None


def real_number(value: Any) -> float | None:
    """Return a finite number, else None."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def check_length(count: int) -> None:
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


def as_list(timestamps: Any) -> list[Any]:
    return timestamps.tolist() if hasattr(timestamps, "tolist") else list(timestamps)


def read_values(values: Any) -> Floats:
    """Return the values as float64, numeric strings as the numbers they spell."""
    dtype = getattr(values, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind in "fiub":
        return np.array(values, dtype=float)
    listed = as_list(values)
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
            raise malformed(
                f"the value at index {place} is {shown(value)}, and must be a number"
            ) from None
    raise malformed("the values must be numbers")


def _none_value(place: int, timestamp: Any = None) -> DetectionError:
    at = f"at index {place}" + (f" ({shown(timestamp)})" if timestamp is not None else "")
    return DetectionError(
        "BadArgument",
        f"The 'series' field cannot have none values. The value {at} is not a number: leave "
        "the point out, and the gap is filled as 'imputeMode' says.",
    )


def _too_large(place: int, value: Any, timestamp: Any = None) -> DetectionError:
    at = f"at index {place}" + (f" ({shown(timestamp)})" if timestamp is not None else "")
    return DetectionError(
        "InvalidSeries",
        "The magnitude of data in 'value' in 'series' filed is too large. The value "
        f"{at} is {shown(value)}, and must lie within {LARGEST_VALUE:g} of zero.",
    )


def check_values(values: Floats, timestamps: Sequence[Any]) -> None:
    fine = np.abs(values) <= LARGEST_VALUE
    if fine.all():
        return
    large = np.flatnonzero(np.abs(values) > LARGEST_VALUE)
    if len(large):
        place = int(large[0])
        raise _too_large(place, float(values[place]), timestamps[place])
    place = int(np.flatnonzero(~fine)[0])
    raise _none_value(place, timestamps[place])
