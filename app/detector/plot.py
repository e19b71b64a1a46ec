"""Pictures of series and their anomalies."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["change_points", "multivariate", "sensitivity", "univariate"]

_VALUE, _EXPECTED, _ANOMALY = "#1f4e79", "#9fc3e6", "#c0392b"
# More variables than this share a picture badly: those that contribute most are drawn.
_MOST_DRAWN = 12


def univariate(result: pd.DataFrame, *, title: str) -> "Figure":
    """Draw a series, the band in which it was expected, and its anomalies.

    Parameters
    ----------
    result : DataFrame
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
    when, expected = result["timestamp"].to_numpy(), result["expected_value"].to_numpy()
    axes.fill_between(
        when,
        expected - result["lower_margin"].to_numpy(),
        expected + result["upper_margin"].to_numpy(),
        color=_EXPECTED,
        alpha=0.5,
        linewidth=0,
        label="expected band",
    )
    axes.plot(when, result["value"].to_numpy(), color=_VALUE, linewidth=1.2, label="value")
    anomalies = result[result["is_anomaly"]]
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


def change_points(result: pd.DataFrame, *, title: str) -> "Figure":
    """Draw a series, and a line where each of its change points is.

    Parameters
    ----------
    result : DataFrame
        One row for each point with the columns ``timestamp``, ``value`` and ``is_change_point``.
    title : str
        What stands above the picture.

    Returns
    -------
    matplotlib.figure.Figure
    """
    picture, axes = _axes(title)
    when, values = result["timestamp"].to_numpy(), result["value"].to_numpy()
    axes.plot(when, values, color=_VALUE, linewidth=1.2, label="value")
    breaks = when[result["is_change_point"].to_numpy()]
    axes.vlines(
        breaks,
        *axes.get_ylim(),
        color=_ANOMALY,
        linewidth=1.4,
        label=f"change point ({len(breaks)})",
    )
    _add_legend(axes)
    return picture


def sensitivity(curve: pd.DataFrame, *, suggested: int, expected: float, title: str) -> "Figure":
    """Draw how many points of a series each sensitivity flags.

    Parameters
    ----------
    curve : DataFrame
        One row for each sensitivity with the columns ``sensitivity`` and ``anomalies``.
    suggested : int
        A sensitivity to mark.
    expected : float
        How many points are expected to be anomalies.
    title : str
        What stands above the picture.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.ticker import MaxNLocator

    picture, axes = _axes(title)
    sensitivities, anomalies = curve["sensitivity"].to_numpy(), curve["anomalies"].to_numpy()
    axes.step(
        sensitivities, anomalies, where="mid", color=_VALUE, linewidth=1.6, label="points flagged"
    )
    axes.axhline(expected, color=_EXPECTED, linewidth=1.4, label=f"expected ({expected:.6g})")
    flagged = int(anomalies[sensitivities == suggested][0])
    axes.scatter(
        [suggested],
        [flagged],
        color=_ANOMALY,
        zorder=3,
        s=42,
        label=f"sensitivity {suggested}: {flagged} flagged",
    )
    axes.set_xlabel("sensitivity")
    axes.set_ylabel("points")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, loc="upper left")
    return picture


def multivariate(
    frame: pd.DataFrame,
    result: pd.DataFrame,
    *,
    title: str,
    faults: Sequence[tuple[str, pd.Timestamp, pd.Timestamp]] = (),
) -> "Figure":
    """Draw variables one above the other, their anomalies, and how severe these are.

    Every anomaly is a thin line through all variables, and a dot on the one that contributes most.

    Parameters
    ----------
    frame : DataFrame
        One column for each variable; the index is the timestamps. Of more than 12 variables those
        are drawn that contribute most.
    result : DataFrame
        One row for each timestamp scored with the columns ``timestamp``, ``is_anomaly``,
        ``severity`` (0 to 1) and ``top``, the variable that contributes most or None.
    title : str
        What stands above the picture.
    faults : sequence of (variable, start, end), optional
        Known faults, shaded where they are.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    anomalies = result[result["is_anomaly"]]
    blame = anomalies.groupby("top")["severity"].sum()
    ranked = sorted(frame.columns, key=lambda name: -float(blame.get(name, 0.0)))
    drawn = [name for name in frame.columns if name in ranked[:_MOST_DRAWN]]
    frame = frame.loc[result["timestamp"].min() : result["timestamp"].max()]
    picture = Figure(figsize=(11, 1.6 + 1.05 * len(drawn)), layout="constrained")
    *rows, last = picture.subplots(
        len(drawn) + 1, sharex=True, height_ratios=[1.0] * len(drawn) + [0.8]
    )
    when = anomalies["timestamp"].to_numpy()
    for axes, name in zip(rows, drawn, strict=True):
        values = frame[name].interpolate()
        for variable, start, end in faults:
            if variable == name:
                axes.axvspan(start, end, color=_EXPECTED, alpha=0.5, linewidth=0)
        axes.plot(values.index.to_numpy(), values.to_numpy(), color=_VALUE, linewidth=0.9)
        _mark(axes, when)
        mine = anomalies.loc[anomalies["top"] == name, "timestamp"].to_numpy()
        axes.scatter(mine, values.reindex(mine).to_numpy(), color=_ANOMALY, s=13, zorder=3)
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
    _mark(last, when)
    last.vlines(when, 0, anomalies["severity"].to_numpy(), color=_ANOMALY, linewidth=1.4)
    last.set_ylim(0, max(0.5, 1.1 * float(result["severity"].max())))
    last.set_ylabel("severity", rotation=0, ha="right", va="center")
    for axes in (*rows, last):
        axes.margins(x=0.005)
        axes.grid(axis="y", alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, length=0)
    picture.align_ylabels()
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    last.xaxis.set_major_locator(locator)
    last.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    picture.suptitle(title, x=0.01, ha="left", fontsize=12)
    picture.supxlabel(_legend(len(anomalies), bool(faults)), fontsize=9, color="0.35")
    return picture


def _mark(axes: "Axes", when: "np.ndarray[tuple[int], np.dtype[np.datetime64]]") -> None:
    for moment in when:
        axes.axvline(moment, color=_ANOMALY, alpha=0.15, linewidth=0.8, zorder=0)


def _legend(anomalies: int, faults: bool) -> str:
    lines = f"lines: {anomalies} anomalies; dots: on the variable that contributes most"
    return lines + ("; shaded: the planted faults" if faults else "")


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
