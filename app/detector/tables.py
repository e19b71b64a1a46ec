"""Tables as text, for people at a terminal."""

import pandas as pd

__all__ = ["sensitivities"]

_WIDEST_BAR = 40


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
    if not flagged:
        return (
            f"Sensitivity {suggested} is the highest that flags none of the {points} points, and "
            f"that is nearest to {_percent(share)} of them."
        )
    return (
        f"Sensitivity {suggested} flags {flagged} of the {points} points "
        f"({_percent(flagged / points)}), nearest to {_percent(share)}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%"
