"""The one error that detection raises, and the exception of a training that was told to stop."""

import reprlib
from collections.abc import Sequence

__all__ = ["DetectionError", "Stopped", "described", "listed", "shown"]


class DetectionError(ValueError):
    """A request that cannot be answered, and what to change in it.

    Parameters
    ----------
    code : str
        The code Azure AI Anomaly Detector answered with, such as ``InvalidSeries``.
    message : str
        A full sentence naming the field, the value and what would be right.

    Examples
    --------
    >>> from detector import DetectionError, detect_entire
    >>> try:
    ...     detect_entire([1.0, 2.0, 3.0])
    ... except DetectionError as error:
    ...     print(error.code, error.message, sep=": ")
    InvalidSeries: The 'series' field must have at least 12 points. It has 3.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Stopped(Exception):  # noqa: N818 - nothing is wrong with it
    """A training was told to stop before its last epoch.

    Examples
    --------
    >>> import pandas as pd
    >>> from detector import MultivariateModel, Stopped
    >>> minutes = pd.date_range("2026-01-01", periods=100, freq="min")
    >>> frame = pd.DataFrame({"a": range(100)}, index=minutes)
    >>> try:
    ...     MultivariateModel.fit(frame, sliding_window=28, stop=lambda: True)
    ... except Stopped:
    ...     print("no model")
    no model
    """


_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 60
# Python refuses to write out very long integers.
_LONGEST_INTEGER = 1024


# Of a message, which may quote what was sent.
_LONGEST_MESSAGE = 1000


def described(code: str, message: str) -> dict[str, str]:
    """Return a code and a message as the service answers with them."""
    return {"code": code, "message": message[:_LONGEST_MESSAGE].encode(errors="replace").decode()}


def shown(value: object) -> str:
    """Return a short form of a value for a message, whatever was given."""
    if isinstance(value, int) and value.bit_length() > _LONGEST_INTEGER:
        return f"an integer of {value.bit_length()} bits"
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    if hasattr(value, "columns"):
        return type(value).__name__
    return _REPR.repr(value)


def listed(names: Sequence[object], most: int = 5) -> str:
    """Return a short list of names for a message."""
    text = ", ".join(shown(name) for name in names[:most])
    return text if len(names) <= most else f"{text} and {len(names) - most} more"
