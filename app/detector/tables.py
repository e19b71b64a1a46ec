"""Results as text, for people at a terminal and for programs."""

import json
from typing import Any

import pandas as pd

__all__ = ["FORMATS", "csv", "records", "sensitivities", "summary", "table"]

_WIDEST_BAR = 40


def table(result: pd.DataFrame) -> str:
    """Write a row for each point, and a sentence on what was found."""
    lines = [result.to_string(index=False, float_format=lambda number: f"{number:.6g}")]
    flag, kind = ("is_anomaly", "anomalies")
    if flag not in result:
        flag, kind = ("is_change_point", "change points")
    count = int(result[flag].sum())
    period = result["period"].iloc[0]
    season = f"the period is {period}" if period else "there is no season"
    lines.append(f"{count} of {len(result)} points are {kind}; {season}.")
    return "\n".join(lines) + "\n"


def csv(result: pd.DataFrame) -> str:
    """Write a table as CSV."""
    text: Any = result.to_csv(index=False)
    return str(text)


def records(result: pd.DataFrame) -> str:
    """Write a JSON object for each row."""
    if "timestamp" in result:
        result = result.assign(timestamp=result["timestamp"].astype(str))
    # JSON has no word for a number that is none.
    missing: Any = None
    written = result.astype(object).where(result.notna(), missing).to_dict(orient="records")
    return json.dumps(written, indent=2) + "\n"


FORMATS = {"table": table, "csv": csv, "json": records}


def summary(found: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return one row for each of many series."""
    flag, kind = ("is_anomaly", "anomalies")
    if flag not in found:
        flag, kind = ("is_change_point", "change_points")
    about = {
        "points": (flag, "size"),
        kind: (flag, "sum"),
        "period": ("period", "first"),
        "error": ("error", "first"),
    }
    rows: pd.DataFrame = found.groupby(by, sort=False, dropna=False).agg(**about).reset_index()
    return rows


def sensitivities(curve: pd.DataFrame, *, points: int, suggested: int, anomaly_share: float) -> str:
    """Write how many points of a series each sensitivity flags, and which one is suggested.

    Parameters
    ----------
    curve : DataFrame
        One row for each sensitivity with the columns ``sensitivity`` and ``anomalies``.
    points : int
        How many points the series has.
    suggested : int
        One of the sensitivities.
    anomaly_share : float
        The share of anomalies that was asked for, 0 to 1.

    Returns
    -------
    str
        A line with a bar for each run of sensitivities that flag equally many, and a sentence.
    """
    most = max(int(curve["anomalies"].max()), 1)
    runs = curve.groupby((curve["anomalies"].diff() != 0).cumsum())
    lines = ["sensitivity  anomalies    share"]
    for _, run in runs:
        first, last = int(run["sensitivity"].iloc[0]), int(run["sensitivity"].iloc[-1])
        count = int(run["anomalies"].iloc[0])
        name = f"{first}" if first == last else f"{first} to {last}"
        mark = "  <- suggested" if first <= suggested <= last and len(runs) > 1 else ""
        # What is flagged at all can be seen.
        bar = "#" * -(-count * _WIDEST_BAR // most)
        line = f"{name:<11}  {count:>9}  {_percent(count / points):>7}  {bar}{mark}"
        lines.append(line.rstrip())
    flagged = int(curve.loc[curve["sensitivity"] == suggested, "anomalies"].iloc[0])
    lines.append(_sentence(len(runs) == 1, points, suggested, flagged, anomaly_share))
    return "\n".join(lines) + "\n"


def _sentence(flat: bool, points: int, suggested: int, flagged: int, share: float) -> str:
    if flat and not flagged:
        return (
            f"No sensitivity flags any of the {points} points: the method finds no outlier, so "
            "there is nothing to choose by."
        )
    if flat:
        return (
            f"Every sensitivity flags {flagged} of the {points} points, so there is nothing to "
            "choose by."
        )
    wanted = _percent(share) if share * points >= 1 else f"{_percent(share)}, at least one point"
    if not flagged:
        return (
            f"Sensitivity {suggested} is the highest that flags none of the {points} points, "
            f"nearest to {wanted}."
        )
    return (
        f"Sensitivity {suggested} flags {flagged} of the {points} points "
        f"({_percent(flagged / points)}), nearest to {wanted}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
