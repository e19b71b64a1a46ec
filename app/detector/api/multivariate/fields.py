"""The fields of a request about many variables, read one by one."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from detector.arrays import LARGEST_VALUE
from detector.errors import DetectionError, shown
from detector.series.dates import UnreadableDateError, first_refused, read_dates
from detector.series.names import Names
from detector.series.values import real_number, whole_number

__all__ = ["bad", "given", "moments", "number", "whole"]

# Less than this pandas would read too: years and weeks, "now" and "today".
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?", re.ASCII)


def given(body: Any, names: Names) -> dict[str, Any]:
    """Return the fields of an object that are not null, by their usual names."""
    if not isinstance(body, Mapping):
        what = "empty" if body is None else shown(body)
        raise DetectionError(
            "InvalidJsonFormat", f"Invalid JSON format. The body must be an object; it is {what}."
        )
    return {name: value for name, value in names.usual(body).items() if value is not None}


def number(value: Any, *, nan: bool = False) -> float | None:
    """Return a number that may be written as a string; None for anything else."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if nan and isinstance(value, float) and math.isnan(value):
        return value
    read = real_number(value)
    return read if read is not None and abs(read) <= LARGEST_VALUE else None


def whole(value: Any) -> int | None:
    """Return a whole number that may be written as a string; None for anything else."""
    return whole_number(number(value))


def bad(field: str, rule: str, value: Any) -> DetectionError:
    """Return the refusal of a field."""
    return DetectionError("BadArgument", f"The '{field}' field must {rule}; it is {shown(value)}.")


def moments(fields: Sequence[tuple[str, list[Any]]]) -> list[pd.DatetimeIndex]:
    """Return the moments in fields, in UTC without a zone; where none is given it is UTC.

    Each field is in ISO 8601, or else in the one other notation of all those that are not.

    Parameters
    ----------
    fields
        What messages call each, and its moments as they were sent.

    Raises
    ------
    DetectionError
        ``InvalidTimestampFormat``.
    """
    read = [_in_iso(field, sent) for field, sent in fields]
    others = [each for each, index in zip(fields, read, strict=True) if index is None]
    rest = iter(_in_other_notation(others) if others else ())
    return [(next(rest) if index is None else index).as_unit("ns") for index in read]


def _in_iso(field: str, sent: list[Any]) -> pd.DatetimeIndex | None:
    """Return moments in ISO 8601; None where they are strings of which the first is not."""
    try:
        return _iso(sent)
    except ValueError:
        place = first_refused(_iso, sent)
        strings = [isinstance(moment, str) for moment in sent]
        if place or not all(strings):
            raise _invalid(field, sent, place or strings.index(False)) from None
    return None


def _iso(sent: list[Any]) -> pd.DatetimeIndex:
    if not all(isinstance(moment, str) and _DATE.fullmatch(moment) for moment in sent):
        raise ValueError("not a date")
    return pd.DatetimeIndex(pd.to_datetime(sent, format="ISO8601", utc=True)).tz_convert(None)


def _in_other_notation(fields: Sequence[tuple[str, list[Any]]]) -> list[pd.DatetimeIndex]:
    # Nearly always the same moments are in all of them.
    different = list(dict.fromkeys(moment for _, sent in fields for moment in sent))
    try:
        read = read_dates(different).tz_convert(None)
    except UnreadableDateError as error:
        wrong = different[error.place]
        field, sent = next(each for each in fields if wrong in each[1])
        raise _invalid(field, sent, sent.index(wrong)) from None
    places = {moment: place for place, moment in enumerate(different)}
    return [read.take([places[moment] for moment in sent]) for _, sent in fields]


def _invalid(field: str, sent: list[Any], place: int) -> DetectionError:
    at = f" is at index {place}, and" if len(sent) > 1 else ""
    return DetectionError(
        "InvalidTimestampFormat",
        f"Invalid timestamp format. In '{field}' {shown(sent[place])} is not a valid format; "
        f"it{at} must be a date and time as in ISO 8601, such as 2021-01-02T00:00:00Z, or in one "
        "other notation with all others, such as 1/2/2021 12:00:00 AM, from 1678 to 2261.",
    )
