"""The change points of one series: where its level or its trend breaks.

Pure: a validated series goes in, a frozen result comes out, and nothing is kept between calls.

The scores are those of the retired service, as far as its recorded answers tell: the series,
without its seasons, is cut into straight pieces from left to right, and each point is scored by
how far it lies from the line through the piece it ends. E. Keogh, S. Chu, D. Hart, M. Pazzani,
"An Online Algorithm for Segmenting Time Series", IEEE International Conference on Data Mining
(2001), describes this as the sliding window algorithm.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detector.kernel.stl import Stl
from detector.series import ChangePointSeries
from detector.univariate import fill_gaps, find_season, require_seasons

__all__ = ["ChangePoints", "detect_change_points"]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# A range below this part of the largest value is noise of rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class ChangePoints:
    """Which points are change points; arrays have the shape ``(n,)``.

    Attributes
    ----------
    period : int
        Points in one season; 0 for a series without.
    is_change_point : ndarray of bool
        True for the first point that follows another trend than those before it.
    confidence : ndarray of float64
        0 to 1: how far the point departs from the trend before it, in ranges of the trend.
    """

    period: int
    is_change_point: Flags
    confidence: Floats


def detect_change_points(series: ChangePointSeries) -> ChangePoints:
    """Find the change points of `series`.

    Raises
    ------
    DetectionError
        With the code the service answered, for a series that cannot be judged as asked.
    """
    options = series.options
    period = find_season(series) if options.period is None else options.period
    values, filled = fill_gaps(series, period)
    with np.errstate(all="ignore"):
        if period > 1:
            require_seasons(series, len(values), period)
            values = Stl(len(values), period).decompose(values).trend
        trend = _scale(values)
        found, confidence = _segment(trend, 1 - options.threshold)
    if filled:
        found, confidence = found[series.index], confidence[series.index]
    return ChangePoints(period, found, np.clip(confidence, 0, 1))


def _scale(values: Floats) -> Floats:
    low, high = values.min(), values.max()
    if high - low <= _ROUNDING * max(abs(low), abs(high)):
        return np.zeros(len(values))
    return np.asarray((values - low) / (high - low))


def _segment(trend: Floats, tolerance: float) -> tuple[Flags, Floats]:
    """Cut `trend` into straight pieces; return where they start, and the scores."""
    n = len(trend)
    found, confidence = np.zeros(n, dtype=bool), np.zeros(n)
    start = 0
    mean, moment = float(trend[0]), 0.0
    for place, value in enumerate(trend.tolist()):
        if place == start:
            continue
        # The line through the `count` points before this one, and how far this one lies off.
        count = place - start
        spread = count * (count * count - 1) / 12
        ahead = (count + 1) / 2
        departure = value - mean - (moment / spread * ahead if spread else 0.0)
        # The same with this point among those that the line goes through.
        leverage = 1 / (count + 1) + (count / 2) ** 2 * 12 / (count * (count + 1) * (count + 2))
        residual = abs(departure) * (1 - leverage)
        confidence[place] = residual
        if residual > tolerance:
            found[place] = True
            confidence[place] = abs(departure)
            start, mean, moment = place, value, 0.0
            continue
        moment += (value - mean) * ahead * count / (count + 1)
        mean += (value - mean) / (count + 1)
    return found, confidence
