"""The change points of one series: where its level or its trend breaks.

Pure: a validated series goes in, a frozen result comes out, and nothing is kept between calls.

The scores are those of the retired service, as far as its recorded answers tell: the trend of the
series is cut into straight pieces from left to right, and each point is scored by how far it lies
from the line through the piece it ends. E. Keogh, S. Chu, D. Hart, M. Pazzani, "An Online
Algorithm for Segmenting Time Series", IEEE International Conference on Data Mining (2001),
describes this as the sliding window algorithm.

Such a cut is a change point only near a break that stands out from the noise; see
`detector.kernel.breaks`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detector.kernel.breaks import find_breaks
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
    window = series.stable_trend_window
    period = find_season(series) if options.period is None else options.period
    values, filled = fill_gaps(series, period)
    trend, lead = values, 0
    with np.errstate(all="ignore"):
        if period > 1:
            require_seasons(series, len(values), period)
            parts = Stl(len(values), period).decompose(values)
            # A smooth trend bends before the values do.
            trend, values, lead = parts.trend, values - parts.seasonal, window
        smallest = _ROUNDING * float(np.abs(series.values).max())
        breaks = find_breaks(_scale(values, smallest), window)
        found, confidence = _segment(
            _scale(trend, smallest).tolist(), 1 - options.threshold, breaks, window, lead
        )
    if filled:
        found, confidence = found[series.index], confidence[series.index]
    return ChangePoints(period, found, np.clip(confidence, 0, 1))


def _scale(values: Floats, smallest: float) -> Floats:
    """Return `values` from 0 to 1, or all 0 where they span no more than `smallest`."""
    low, high = values.min(), values.max()
    if not high - low > smallest:
        return np.zeros(len(values))
    return np.asarray((values - low) / (high - low))


def _segment(
    trend: list[float], tolerance: float, breaks: list[int], window: int, lead: int
) -> tuple[Flags, Floats]:
    """Cut `trend` into straight pieces at most once for each break.

    Returns
    -------
    ndarray of bool, shape (n,)
        Where a piece starts, but for the first.
    ndarray of float64, shape (n,)
        How far each point lies from the line through its piece up to itself; where a piece
        starts, from the line through the piece before.
    """
    n = len(trend)
    found, confidence = np.zeros(n, dtype=bool), np.zeros(n)
    piece, place, crossed = _Piece(0, trend[0]), 1, False
    nearest = 0
    while place < n:
        while nearest + 1 < len(breaks) and place >= breaks[nearest + 1] - lead:
            nearest += 1
        departure = piece.depart(place, trend[place])
        inside = departure * piece.share_outside(place)
        confidence[place] = inside
        crosses = inside > tolerance
        if crosses and nearest < len(breaks):
            at = breaks[nearest]
            # Who departs before the break is reached departs for another reason.
            if place >= at or (place >= at - lead and not crossed):
                # A slow departure shows late.
                place = place if place <= at + window else max(at, piece.start + 1)
                found[place], confidence[place] = True, departure
                piece, place, crossed = _Piece(place, trend[place]), place + 1, False
                nearest += 1
                continue
        crossed = crosses
        piece.add(place, trend[place])
        place += 1
    return found, confidence


class _Piece:
    """A run of a series and the line through it, one point added at a time."""

    def __init__(self, start: int, value: float) -> None:
        self.start = start
        self._mean = value
        self._moment = 0.0

    def depart(self, place: int, value: float) -> float:
        """Return how far `value`, at `place` behind the piece, lies from its line."""
        count = place - self.start
        spread = count * (count * count - 1) / 12
        slope = self._moment / spread if spread else 0.0
        return abs(value - self._mean - slope * (count + 1) / 2)

    def share_outside(self, place: int) -> float:
        """Return which part of a departure is left once the line heeds the point at `place`."""
        count = place - self.start
        return 1 - 1 / (count + 1) - 3 * count / ((count + 1) * (count + 2))

    def add(self, place: int, value: float) -> None:
        """Have the line heed the point `value` at `place`, right behind the piece."""
        count = place - self.start
        step = (value - self._mean) / (count + 1)
        self._moment += step * count * (count + 1) / 2
        self._mean += step
