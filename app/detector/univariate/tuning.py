"""How many points of a series each sensitivity flags, to choose one by.

Pure: a validated series goes in, a frozen result comes out. Sensitivity decides nothing but the
margins, so the outliers are found once and bounded anew for each sensitivity.
"""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from detector import plot
from detector.arrays import Ints
from detector.errors import DetectionError, shown
from detector.series.options import Options
from detector.series.series import Series
from detector.series.values import real_number
from detector.univariate import detection
from detector.univariate.kernel.margins import Points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEFAULT_SHARE = 0.01
# Detection itself never flags more.
LARGEST_SHARE = 0.49
SENSITIVITIES = np.arange(100)
SENSITIVITIES.setflags(write=False)


@dataclass(frozen=True)
class SensitivityCurve:
    """How many points of a series each sensitivity flags; arrays have the shape ``(100,)``.

    Attributes
    ----------
    sensitivities : ndarray of int64
        0 to 99.
    anomalies : ndarray of int64
        How many points `detect_entire` flags with each.
    anomaly_share : float
        The part of the points that was expected to be anomalies.
    sensitivity : int
        The one that flags the part nearest to it; of equally near ones the lowest, but the highest
        where that flags nothing.
    series : Series
        What was detected in.

    Examples
    --------
    >>> import detector
    >>> curve = detector.tune_sensitivity([10, 20, 30] * 9 + [90, 35, 30], period=3)
    >>> curve.to_frame().drop_duplicates("anomalies")["anomalies"].tolist()
    [1, 2]
    """

    sensitivities: Ints
    anomalies: Ints
    anomaly_share: float
    sensitivity: int
    series: Series = field(repr=False, compare=False)

    @property
    def points(self) -> int:
        """How many points the series has."""
        return len(self.series.values)

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each sensitivity: ``sensitivity``, ``anomalies`` and their ``share``.

        The share is that of all points, 0 to 1.
        """
        return pd.DataFrame(
            {
                "sensitivity": self.sensitivities,
                "anomalies": self.anomalies,
                "share": self.anomalies / self.points,
            }
        )

    def plot(self, *, title: str = "") -> "Figure":
        """Draw how many points each sensitivity flags, and the one that is suggested."""
        return plot.sensitivity(
            self.to_frame(),
            suggested=self.sensitivity,
            expected=self.anomaly_share * self.points,
            title=title,
        )


def tune(series: Series, anomaly_share: Any = DEFAULT_SHARE) -> SensitivityCurve:
    """Count what each sensitivity flags in `series`, whatever sensitivity its options have.

    Parameters
    ----------
    series : Series
    anomaly_share : float
        Which part of the points is expected to be anomalies, above 0 to 0.49.

    Raises
    ------
    DetectionError
        ``InvalidModelArgument`` for a share that is none, and what detection raises.
    """
    share = read_share(series.options.name_of("anomaly_share"), anomaly_share)
    with np.errstate(all="ignore"):
        points, _, by_score = detection.find_outliers(series, latest=False)
        anomalies = count_flags(points, series.options, by_score)
    nearest = nearest_count(anomalies, share * len(series.values))
    return SensitivityCurve(SENSITIVITIES, anomalies, share, int(SENSITIVITIES[nearest]), series)


def count_flags(points: Points, options: Options, by_score: bool) -> Ints:
    """Return how many of `points` stay flagged at each of `SENSITIVITIES`.

    Parameters
    ----------
    points : Points
        Of shape ``(n,)``, with the outliers flagged.
    options : Options
        Their boundary version counts.
    by_score : bool
        Whether the scores of the points give the margins.
    """
    counts = []
    for sensitivity in SENSITIVITIES.tolist():
        chosen = replace(options, sensitivity=sensitivity)
        bounds = detection.compute_margins(points, chosen, by_score, latest=False)
        counts.append(np.count_nonzero(bounds.is_anomaly))
    return np.array(counts, dtype=np.int64)


def nearest_count(counts: Ints, wanted: float) -> int:
    """Return the place of the count nearest to `wanted`, the first one of several.

    Sensitivities that flag the same points of the past differ in what they will flag: the lower
    one has the wider margins, and so raises fewer false alarms. But where none is to be flagged the
    last place without a flag is returned, because the lowest sensitivity would never flag anything.
    """
    nearest = int(np.argmin(np.abs(counts - wanted)))
    return nearest if counts[nearest] else int(np.flatnonzero(counts == 0)[-1])


def read_share(name: str, value: Any) -> float:
    """Return the share of anomalies that a caller gives under `name`."""
    number = real_number(value)
    if number is None or not 0 < number <= LARGEST_SHARE:
        raise DetectionError(
            "InvalidModelArgument",
            f"The '{name}' field must be the part of the points that are anomalies: above 0, and "
            f"at most {LARGEST_SHARE}. It is {shown(value)}.",
        )
    return number
