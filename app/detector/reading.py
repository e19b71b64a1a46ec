"""Reads a series from a file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from detector.errors import DetectionError

__all__ = ["read_series"]


def read_series(path: str | Path) -> pd.DataFrame:
    """Read a CSV file with the columns ``timestamp`` and ``value``.

    Raises
    ------
    DetectionError
        If there is no such file, it is not CSV, or it lacks a column.
    """
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DetectionError("BadArgument", f"'{path}' cannot be read: {error}") from error
    missing = [name for name in ("timestamp", "value") if name not in frame.columns]
    if missing:
        raise DetectionError(
            "BadArgument",
            f"'{path}' has the columns {', '.join(map(repr, frame.columns))}, and lacks "
            f"{' and '.join(map(repr, missing))}.",
        )
    frame["timestamp"] = pd.to_datetime(frame["timestamp"])
    return frame[["timestamp", "value"]]
