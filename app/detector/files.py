"""Reads a series, and the options that may come with it, from a file or from standard input."""

import io
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from detector.errors import DetectionError

__all__ = ["read_request", "read_series"]

STANDARD_INPUT = "-"


def read_series(path: str | Path) -> pd.DataFrame:
    """Read a table with the columns ``timestamp`` and ``value``, the timestamps as dates.

    Parameters
    ----------
    path : str or Path
        CSV, JSON (a list of records, or a request with its ``series``) or Parquet by the ending
        of its name; ``-`` for standard input, CSV or JSON.

    Raises
    ------
    DetectionError
        If there is no such file, it is not of that kind, or it lacks a column.
    """
    frame, _ = read_request(path)
    missing = [name for name in ("timestamp", "value") if name not in frame.columns]
    if missing:
        raise DetectionError(
            "BadArgument",
            f"'{path}' has the columns {', '.join(map(repr, frame.columns))}, and lacks "
            f"{' and '.join(map(repr, missing))}.",
        )
    try:
        dates = pd.to_datetime(frame["timestamp"])
    except (ValueError, TypeError) as error:
        raise DetectionError(
            "BadArgument", f"'{path}' has a timestamp that is no date: {error}."
        ) from error
    return frame.assign(timestamp=dates)[["timestamp", "value"]]


def read_request(path: str | Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read a table as it stands in the file, and the options of a JSON request beside it.

    Returns
    -------
    DataFrame
        The points; neither names nor types of its columns are checked.
    dict
        Options by their names on the wire; empty unless the file is a whole request.
    """
    if str(path) == STANDARD_INPUT:
        content = sys.stdin.buffer.read()
        # JSON starts with a bracket or a brace, a table of two columns with neither.
        is_json = content.lstrip()[:1] in (b"[", b"{")
        return _parse(_json if is_json else _csv, io.BytesIO(content), "standard input")
    suffix = Path(path).suffix.lower()
    parse = {".json": _json, ".parquet": _parquet}.get(suffix, _csv)
    try:
        with Path(path).open("rb") as file:
            return _parse(parse, file, f"'{path}'")
    except OSError as error:
        reason = error.strerror or str(error)
        raise DetectionError("BadArgument", f"'{path}' cannot be read: {reason}.") from error


_Request = tuple[pd.DataFrame, dict[str, Any]]


def _parse(parse: Callable[[BinaryIO], _Request], file: BinaryIO, name: str) -> _Request:
    try:
        return parse(file)
    except DetectionError:
        raise
    except (ValueError, TypeError, pd.errors.ParserError) as error:
        kind = parse.__name__.strip("_")
        raise DetectionError("BadArgument", f"{name} is no {kind} of a series: {error}.") from error


def _csv(file: BinaryIO) -> _Request:
    return pd.read_csv(file), {}


def _parquet(file: BinaryIO) -> _Request:
    return pd.read_parquet(file), {}


def _json(file: BinaryIO) -> _Request:
    body = json.load(file)
    options: dict[str, Any] = {}
    if isinstance(body, Mapping):
        if "series" not in body:
            raise DetectionError(
                "RequiredSeries", "The 'series' field is required in a JSON object."
            )
        options = {name: value for name, value in body.items() if name != "series"}
        body = body["series"]
    return pd.DataFrame.from_records(body), options
