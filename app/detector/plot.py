"""The picture of a judged series."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

__all__ = ["figure"]


def figure(judged: pd.DataFrame, *, title: str) -> Figure:
    """Draw a series, the band in which it was expected, and its anomalies.

    Parameters
    ----------
    judged
        One row per point with the columns ``timestamp``, ``value``, ``expected_value``,
        ``upper_margin``, ``lower_margin`` and ``is_anomaly``.
    title
        What stands above the picture.
    """
    picture = Figure(figsize=(11, 4.5), layout="constrained")
    axes = picture.subplots()
    when, expected = judged["timestamp"], judged["expected_value"]
    axes.fill_between(
        when,
        expected - judged["lower_margin"],
        expected + judged["upper_margin"],
        color="#9ecae1",
        alpha=0.6,
        linewidth=0,
        label="expected band",
    )
    axes.plot(when, judged["value"], color="#08519c", linewidth=1.2, label="value")
    anomalies = judged[judged["is_anomaly"]]
    axes.scatter(
        anomalies["timestamp"],
        anomalies["value"],
        color="#d7301f",
        zorder=3,
        s=28,
        label=f"anomaly ({len(anomalies)})",
    )
    axes.set_title(title, loc="left")
    axes.margins(x=0.01)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=3, loc="upper left", bbox_to_anchor=(0, -0.06))
    return picture
