"""The picture of a judged series."""

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["change_points", "figure"]

_VALUE, _EXPECTED, _ANOMALY = "#1f4e79", "#9fc3e6", "#c0392b"


def figure(judged: pd.DataFrame, *, title: str) -> "Figure":
    """Draw a series, the band in which it was expected, and its anomalies.

    Parameters
    ----------
    judged : DataFrame
        One row for each point with the columns ``timestamp``, ``value``, ``expected_value``,
        ``upper_margin``, ``lower_margin`` and ``is_anomaly``, margins in the unit of the values.
    title : str
        What stands above the picture.

    Returns
    -------
    matplotlib.figure.Figure
        Of no window; ``.savefig("detection.png")`` writes it.
    """
    picture, axes = _axes(title)
    when, expected = judged["timestamp"].to_numpy(), judged["expected_value"].to_numpy()
    axes.fill_between(
        when,
        expected - judged["lower_margin"].to_numpy(),
        expected + judged["upper_margin"].to_numpy(),
        color=_EXPECTED,
        alpha=0.5,
        linewidth=0,
        label="expected band",
    )
    axes.plot(when, judged["value"].to_numpy(), color=_VALUE, linewidth=1.2, label="value")
    anomalies = judged[judged["is_anomaly"]]
    axes.scatter(
        anomalies["timestamp"].to_numpy(),
        anomalies["value"].to_numpy(),
        color=_ANOMALY,
        zorder=3,
        s=28,
        label=f"anomaly ({len(anomalies)})",
    )
    _add_legend(axes)
    return picture


def change_points(judged: pd.DataFrame, *, title: str) -> "Figure":
    """Draw a series, and a line where each of its change points is.

    Parameters
    ----------
    judged : DataFrame
        One row for each point with the columns ``timestamp``, ``value`` and ``is_change_point``.
    title : str
        What stands above the picture.

    Returns
    -------
    matplotlib.figure.Figure
    """
    picture, axes = _axes(title)
    when, values = judged["timestamp"].to_numpy(), judged["value"].to_numpy()
    axes.plot(when, values, color=_VALUE, linewidth=1.2, label="value")
    breaks = when[judged["is_change_point"].to_numpy()]
    axes.vlines(
        breaks,
        *axes.get_ylim(),
        color=_ANOMALY,
        linewidth=1.4,
        label=f"change point ({len(breaks)})",
    )
    _add_legend(axes)
    return picture


def _axes(title: str) -> "tuple[Figure, Axes]":
    # Drawing is rarely asked for, and matplotlib takes half a second to import.
    from matplotlib.figure import Figure

    picture = Figure(figsize=(11, 4.5), layout="constrained")
    axes = picture.subplots()
    axes.set_title(title, loc="left")
    axes.margins(x=0.01)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return picture, axes


def _add_legend(axes: "Axes") -> None:
    axes.legend(frameon=False, ncols=3, loc="upper left", bbox_to_anchor=(0, -0.06))
