"""Entire and latest detection of the anomalies of one series.

Pure: a validated series goes in, a frozen result comes out, and nothing is kept between calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from detector import plot
from detector.arrays import Flags, Floats
from detector.errors import DetectionError
from detector.series.options import DetectorChoice, Options
from detector.series.series import Series
from detector.univariate import methods
from detector.univariate.gaps import fill_gaps, find_season, require_few_missing, require_seasons
from detector.univariate.kernel import margins
from detector.univariate.kernel.margins import Margins, Points
from detector.univariate.kernel.outliers import median_absolute_deviation
from detector.univariate.kernel.trend import fit_trend

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Flags closer than this to the expected value are dropped.
_TINY = 1e-8
# A histogram bin with more than this part of the series is its majority.
_MAJORITY = 0.6
_DEFAULT_WINDOWS = {
    "daily": 28,
    "minutely": 1440,
    "hourly": 168,
    "weekly": 12,
    "monthly": 12,
    "yearly": 12,
    "secondly": 1440,
    "microsecond": 1000,
    "none": 1440,
}


@dataclass(frozen=True)
class Detection:
    """What is expected and what is anomalous of each point; arrays have the shape ``(n,)``.

    Attributes
    ----------
    expected : ndarray of float64
        In the unit of the values, as are the margins.
    upper_margin, lower_margin : ndarray of float64
        How far above and below the expected value a point is still normal.
    is_anomaly, is_positive, is_negative : ndarray of bool
        A positive anomaly lies above the expected value, a negative one below.
    severity : ndarray of float64
        0 for a normal point to 1.
    period : int
        Points in one season; 0 for a series without.
    series : Series
        What was detected in.

    Examples
    --------
    >>> import detector
    >>> found = detector.detect_entire([1, 2, 3] * 5 + [9, 2, 3], period=3)
    >>> found.is_anomaly.nonzero()[0].tolist()
    [15]
    >>> [round(float(number[15]), 2) for number in (found.values, found.expected, found.severity)]
    [9.0, 1.0, 1.0]
    """

    expected: Floats
    upper_margin: Floats
    lower_margin: Floats
    is_anomaly: Flags
    is_positive: Flags
    is_negative: Flags
    severity: Floats
    period: int
    series: Series = field(repr=False, compare=False)

    @property
    def timestamps(self) -> Sequence[Any]:
        """The timestamps as they were given; the numbers from 0 where there were none."""
        return self.series.timestamps

    @property
    def values(self) -> Floats:
        """The values, shape ``(n,)``."""
        return self.series.values

    def columns(self) -> dict[str, Any]:
        """Return what was found as arrays of shape ``(n,)`` by the names of `to_frame`."""
        return {
            "expected_value": self.expected,
            "upper_margin": self.upper_margin,
            "lower_margin": self.lower_margin,
            "is_anomaly": self.is_anomaly,
            "is_positive_anomaly": self.is_positive,
            "is_negative_anomaly": self.is_negative,
            "severity": self.severity,
            "period": np.full(len(self.expected), self.period),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each point: ``timestamp``, ``value``, and what was found."""
        known = {"timestamp": self.timestamps, "value": self.values}
        return pd.DataFrame(known | self.columns())

    def plot(self, *, title: str = "") -> "Figure":
        """Draw the series, the band in which it was expected, and its anomalies."""
        return plot.univariate(self.to_frame().assign(timestamp=self.series.times()), title=title)


@dataclass(frozen=True)
class LatestDetection:
    """What is expected of the last point and whether it is an anomaly.

    Attributes
    ----------
    expected, upper_margin, lower_margin : float
        In the unit of the values.
    is_anomaly, is_positive, is_negative : bool
        A positive anomaly lies above the expected value, a negative one below.
    severity : float
        0 for a normal point to 1.
    period : int
        Points in one season; 0 for a series without.
    suggested_window : int
        How many points to send for the next detection in this series.
    series : Series
        What was detected in.

    Examples
    --------
    >>> import detector
    >>> found = detector.detect_latest([1, 2, 3] * 5 + [9], period=3)
    >>> found.is_anomaly, found.is_positive, round(found.expected, 1), found.suggested_window
    (True, True, 1.0, 13)
    """

    expected: float
    upper_margin: float
    lower_margin: float
    is_anomaly: bool
    is_positive: bool
    is_negative: bool
    severity: float
    period: int
    suggested_window: int
    series: Series = field(repr=False, compare=False)

    @property
    def timestamp(self) -> Any:
        """The timestamp of the last point as it was given; its number where there was none."""
        return self.series.timestamps[-1]

    @property
    def value(self) -> float:
        """The value of the last point."""
        return float(self.series.values[-1])

    def columns(self) -> dict[str, Any]:
        """Return what was found by the names of `to_frame`."""
        return {
            "expected_value": self.expected,
            "upper_margin": self.upper_margin,
            "lower_margin": self.lower_margin,
            "is_anomaly": self.is_anomaly,
            "is_positive_anomaly": self.is_positive,
            "is_negative_anomaly": self.is_negative,
            "severity": self.severity,
            "period": self.period,
            "suggested_window": self.suggested_window,
        }

    def to_frame(self) -> pd.DataFrame:
        """Return the one row of the last point: ``timestamp``, ``value``, and what was found."""
        row = {"timestamp": self.timestamp, "value": self.value, **self.columns()}
        return pd.DataFrame([row])

    def plot(self, *, title: str = "") -> "Figure":
        """Draw the series, the band in which all of it is expected, and the last point's result."""
        # The last point alone is no picture: it is drawn at the end of its series.
        drawn = entire(self.series).to_frame().assign(is_anomaly=False)
        last = self.columns()
        for name in ("expected_value", "upper_margin", "lower_margin", "is_anomaly"):
            drawn.loc[drawn.index[-1], name] = last[name]
        return plot.univariate(drawn.assign(timestamp=self.series.times()), title=title)


def entire(series: Series) -> Detection:
    """Detect anomalies among all points of `series`.

    Raises
    ------
    DetectionError
        With the code the service answered, for a series that does not fit its options.
    """
    with np.errstate(all="ignore"):
        points, period, by_score = find_outliers(series, latest=False)
        bounds = compute_margins(points, series.options, by_score, latest=False)
    return Detection(
        expected=points.expected,
        upper_margin=bounds.upper,
        lower_margin=bounds.lower,
        is_anomaly=bounds.is_anomaly,
        is_positive=bounds.is_positive,
        is_negative=bounds.is_negative,
        severity=bounds.severity,
        period=period,
        series=series,
    )


def latest(series: Series) -> LatestDetection:
    """Detect whether the last point of `series` is an anomaly, from those before it.

    Raises
    ------
    DetectionError
        With the code the service answered, for a series that does not fit its options.
    """
    options = series.options
    # Values up to 1e100 may overflow on the way; what comes of that is defined all the same.
    with np.errstate(all="ignore"):
        points, period, by_score = find_outliers(series, latest=True)
        bounds = compute_margins(points, options, by_score, latest=True)
    return LatestDetection(
        expected=float(points.expected[-1]),
        upper_margin=float(bounds.upper[-1]),
        lower_margin=float(bounds.lower[-1]),
        is_anomaly=bool(bounds.is_anomaly[-1]),
        is_positive=bool(bounds.is_positive[-1]),
        is_negative=bool(bounds.is_negative[-1]),
        severity=float(bounds.severity[-1]),
        period=period,
        suggested_window=4 * period + 1 if period else _DEFAULT_WINDOWS[options.granularity] + 1,
        series=series,
    )


def compute_margins(points: Points, options: Options, by_score: bool, *, latest: bool) -> Margins:
    """Return the margins of points, and the flags and the severity that they leave.

    Of all options the sensitivity and the boundary version count here, and nowhere else.
    """
    if options.boundary_version == "V1":
        return margins.compute_v1(points, options.sensitivity, by_score=by_score)
    return margins.compute_v2(points, options.sensitivity, last_only=latest)


def find_outliers(series: Series, *, latest: bool) -> tuple[Points, int, bool]:
    """Return the flagged points, the period, and whether the scores give the margins."""
    detector = series.options.detector
    if detector is None:
        points, period, by_score, filled = _choose_method(series, latest)
    else:
        points, period, by_score, filled = _use_named_method(series, detector, latest)
    if filled:
        points = points.only(series.index)
    off = ~(np.abs(points.values - points.expected) < _TINY)
    points = replace(
        points,
        is_anomaly=points.is_anomaly & off,
        is_positive=points.is_positive & off,
        is_negative=points.is_negative & off,
    )
    return points, period, by_score


def _choose_method(series: Series, latest: bool) -> tuple[Points, int, bool, bool]:
    """Choose the method by the period, the granularity and the values."""
    options = series.options
    ratio = options.max_anomaly_ratio
    if latest:
        ratio = _ratio_beside_majority(series.values, ratio)
    period = find_season(series) if options.period is None else options.period
    values, filled = series.values, False
    if period > 1 or options.impute_mode in ("fixed", "last", "previous", "linear"):
        values, filled = fill_gaps(series, period)
    if period > 1:
        require_seasons(series, len(values), period)
        points = methods.detect_seasonal(values, period, options.alpha, ratio, latest)
        return points, period, False, filled
    if _is_spiky_by_nature(options, values):
        points, by_score = methods.detect_spectral_residual(
            values, options, options.threshold, ratio, latest
        )

        def detect(steps: Floats, share: float) -> Points:
            found = methods.detect_spectral_residual(
                steps, options, options.threshold, share, latest
            )
            return found[0]
    else:
        trend = fit_trend(values, period)
        points, by_score = methods.detect_trend(values, trend, options.alpha, ratio, latest), False

        def detect(steps: Floats, share: float) -> Points:
            return methods.detect_trend(steps, trend, options.alpha, share, latest)

    return methods.add_outliers_of_differences(points, detect, ratio), period, by_score, filled


def _use_named_method(
    series: Series, detector: DetectorChoice, latest: bool
) -> tuple[Points, int, bool, bool]:
    """Detect with the method and the parameters that the request names."""
    options = series.options
    period = options.period if detector.period is None else detector.period
    if period is None:
        raise DetectionError(
            "InvalidDetector",
            f"The detector '{detector.name}' needs a period: give 'period' in its parameters "
            "or in the request, 0 for a series without seasons.",
        )
    values, filled = series.values, False
    if period > 1 or options.impute_mode == "fixed":
        values, filled = fill_gaps(series, period)
    ratio = detector.max_anomaly_ratio
    if detector.name == "seasonal_series":
        if period < 2:
            raise DetectionError(
                "InvalidDetector",
                f"The detector 'seasonal_series' needs a period of at least 2, not {period}.",
            )
        require_seasons(series, len(values), period)
        points = methods.detect_seasonal(values, period, detector.alpha, ratio, latest)
        return points, period, False, filled
    if period > 1:
        require_few_missing(series)
    if detector.name == "spectral_residual":
        points, by_score = methods.detect_spectral_residual(
            values, options, detector.threshold, ratio, latest
        )
        return points, period, by_score, filled
    if period != 0:
        raise DetectionError(
            "InvalidDetector",
            f"The detector 'dynamic_threshold' needs the period 0, not {period}.",
        )
    points = methods.detect_trend(values, fit_trend(values), detector.alpha, ratio, latest)
    return points, period, False, filled


def _ratio_beside_majority(values: Floats, ratio: float) -> float:
    """Lower the ratio of anomalies for a series most of which lies in one narrow band."""
    try:
        majority = float(np.histogram(values, bins=20)[0].max()) / len(values)
    except (IndexError, ValueError):
        # Bins narrower than the steps between numbers of this size: there is no telling.
        return ratio
    if majority <= _MAJORITY:
        return ratio
    return max((1 - majority) * ratio, min(0.05, ratio))


def _is_spiky_by_nature(options: Options, values: Floats) -> bool:
    """Return whether points lie less than an hour apart, and most differ."""
    bound = {"minutely": 60, "secondly": 3600}.get(options.granularity, 0)
    return options.interval < bound and median_absolute_deviation(values) >= _TINY
