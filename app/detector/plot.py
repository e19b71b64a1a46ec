"""A picture of a judged series."""

from typing import TYPE_CHECKING

import numpy as np

from detector.series import Series
from detector.univariate import Detection

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SERIES, _EXPECTED, _ANOMALY = "#1f4e79", "#8fb8de", "#c0392b"


def figure(series: Series, detection: Detection) -> "Figure":
    """Draw the values, the band in which they were expected, and the anomalies.

    Parameters
    ----------
    series : Series
    detection : Detection
        What `detector.univariate.detect_entire` found in it.

    Returns
    -------
    matplotlib.figure.Figure
        Without a window of its own; ``.savefig("detection.png")`` writes it.
    """
    from matplotlib.figure import Figure

    times = np.asarray(series.times) if series.times is not None else np.arange(len(series.values))
    picture = Figure(figsize=(10, 4), layout="constrained")
    axes = picture.subplots()
    axes.fill_between(
        times,
        detection.expected - detection.lower_margin,
        detection.expected + detection.upper_margin,
        color=_EXPECTED,
        alpha=0.4,
        linewidth=0,
        label="expected range",
    )
    axes.plot(times, detection.expected, color=_EXPECTED, linewidth=1, label="expected")
    axes.plot(times, series.values, color=_SERIES, linewidth=1.2, label="value")
    for flags, marker, label in (
        (detection.is_positive, "^", "positive anomaly"),
        (detection.is_negative, "v", "negative anomaly"),
    ):
        chosen = np.flatnonzero(flags)
        if len(chosen):
            axes.plot(
                times[chosen],
                series.values[chosen],
                marker,
                color=_ANOMALY,
                markersize=7,
                label=f"{label} ({len(chosen)})",
            )
    season = f"period {detection.period}" if detection.period else "no season"
    axes.set_title(f"{int(detection.is_anomaly.sum())} anomalies in {len(times)} points, {season}")
    axes.legend(loc="best", fontsize="small")
    axes.margins(x=0.01)
    return picture
