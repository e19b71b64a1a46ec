"""The change points of one series: where its level or its trend breaks.

Pure: a validated series goes in, a frozen result comes out, and nothing is kept between calls.

The scores are those of the retired service, as far as its recorded answers tell: the trend of the
series is cut into straight pieces from left to right, and each point is scored by how far it lies
from the line through the piece it ends. E. Keogh, S. Chu, D. Hart, M. Pazzani, "An Online
Algorithm for Segmenting Time Series", IEEE International Conference on Data Mining (2001),
describes this as the sliding window algorithm.

Such a cut is a change point only near a break that stands out from the noise; see
`detector.univariate.segmentation`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from detector import plot
from detector.arrays import Flags, Floats, Ints
from detector.series.series import ChangePointSeries
from detector.univariate.gaps import fill_gaps, find_season, require_seasons
from detector.univariate.kernel import native, stl
from detector.univariate.kernel.medians import moving_median
from detector.univariate.segmentation import find_breaks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ChangePoints", "change_points"]
# A range below this part of the largest value is noise of rounding.
_ROUNDING = 1e-9
# In median bends of the series from point to point, 1.65 standard deviations of normal noise.
_FAR = 5
# On a longer grid than so many times its points a series is taken with its gaps, as on one that is
# longer than `fill_gaps` fills: else a dozen points would cost as much as thousands.
_MOST_FILLED, _SHORT_GRID = 10, 2000
# Running sums over 17,280 values between 0 and 1 miss the line through so many points, followed
# for as many, by less than so much.
_LONG, _DOUBT = 64, 1e-5


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
    series : ChangePointSeries
        Whose change points they are.

    Examples
    --------
    >>> import detector
    >>> found = detector.detect_change_points([0.0] * 20 + [5.0] * 20, granularity="none")
    >>> found.is_change_point.nonzero()[0].tolist()
    [20]
    >>> found.to_frame()["confidence_score"].round(2).max() == found.confidence[20]
    True
    """

    period: int
    is_change_point: Flags
    confidence: Floats
    series: ChangePointSeries = field(repr=False, compare=False)

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
            "is_change_point": self.is_change_point,
            "confidence_score": self.confidence,
            "period": np.full(len(self.confidence), self.period),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each point: ``timestamp``, ``value``, and what was found."""
        known = {"timestamp": self.timestamps, "value": self.values}
        return pd.DataFrame(known | self.columns())

    def plot(self, *, title: str = "") -> "Figure":
        """Draw the series, and a line where each of its change points is."""
        frame = self.to_frame().assign(timestamp=self.series.times())
        return plot.change_points(frame, title=title)


def change_points(series: ChangePointSeries) -> ChangePoints:
    """Find the change points of `series`.

    Raises
    ------
    DetectionError
        With the code the service answered, for a series that does not fit its options.
    """
    options = series.options
    window = series.stable_trend_window
    period = find_season(series) if options.period is None else options.period
    values, filled = series.values, False
    if series.grid_length <= max(_MOST_FILLED * len(values), _SHORT_GRID):
        values, filled = fill_gaps(series, period)
    trend, lead = values, 0
    with np.errstate(all="ignore"):
        if period > 1:
            require_seasons(series, len(values), period)
            parts = stl.decompose(values, period)
            # A smooth trend bends before the values do.
            trend, values, lead = parts.trend, values - parts.seasonal, window
        smallest = _ROUNDING * float(np.abs(series.values).max())
        breaks = _find_breaks(_scale(values, smallest), window)
        found, confidence = _segment(
            _scale(trend, smallest), 1 - options.threshold, breaks, window, lead
        )
    if filled:
        found, confidence = _only_present(found, confidence, series)
    return ChangePoints(period, found, np.clip(confidence, 0, 1), series)


def _only_present(
    found: Flags, confidence: Floats, series: ChangePointSeries
) -> tuple[Flags, Floats]:
    """Return the answers for the points sent, a change in a gap at the point behind it."""
    filled = np.flatnonzero(found)
    places = np.searchsorted(series.index, filled)
    flags, scores = np.zeros(len(series.index), dtype=bool), confidence[series.index]
    flags[places], scores[places] = True, confidence[filled]
    return flags, scores


def _find_breaks(values: Floats, window: int) -> list[int]:
    """Return the breaks of the values, and those that only short excursions hide, rising."""
    breaks = find_breaks(values, window)
    usual = moving_median(values, 2 * window - 1, ends=True)
    # An excursion leaves the median around it, far, for less than the window: F. Hampel, "The
    # Influence Curve and Its Role in Robust Estimation", JASA 69 (1974).
    far = np.abs(values - usual) > _FAR * _median_bend(values)
    if far.any():
        hidden = find_breaks(_scale(np.where(far, usual, values), _ROUNDING), window)
        is_near = np.zeros(len(values), dtype=bool)
        for known in breaks:
            is_near[max(known - window + 1, 0) : known + window] = True
        breaks += [at for at in hidden if not is_near[at]]
    return sorted(breaks)


def _median_bend(values: Floats) -> float:
    if native.changepoint is not None:
        return float(native.changepoint.median_bend(values))
    return float(np.median(np.abs(np.diff(values, 2))))


def _scale(values: Floats, smallest: float) -> Floats:
    """Return `values` from 0 to 1, or all 0 where they span no more than `smallest`."""
    low, high = values.min(), values.max()
    if not high - low > smallest:
        return np.zeros(len(values))
    return np.asarray((values - low) / (high - low))


def _segment(
    trend: Floats, tolerance: float, breaks: list[int], window: int, lead: int
) -> tuple[Flags, Floats]:
    """Cut `trend` into straight pieces, at most once for each break.

    Parameters
    ----------
    trend : ndarray of float64, shape (n,)
    tolerance : float
        How far a point may lie off.
    breaks : list of int
    window, lead : int
        A trend shows a break up to half a window late and so many points early.

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
    piece, strays = _piece(trend, 0), _Strays(trend)
    for at, next_at in pairwise([*breaks, n]):
        departure = piece.follow(confidence, at - lead, at, min(at + window // 2 + 1, n), tolerance)
        if not departure > tolerance:
            departure = strays.beyond(tolerance, piece.start, at, next_at)
            if not departure:
                continue
            piece.stop = at
        departure = _pass_excursion(piece, trend, confidence, tolerance, window) or departure
        found[piece.stop], confidence[piece.stop] = True, departure
        piece = type(piece)(piece.values, piece.stop)
    piece.follow(confidence, n, n, n, tolerance)
    return found, confidence


def _pass_excursion(
    piece: "_Piece", trend: Floats, confidence: Floats, tolerance: float, window: int
) -> float:
    """Score the points that leave the line of `piece` just before it ends, and the next departure.

    The service began a new piece wherever the trend left its line. It dropped those shorter than
    the window: the next one departs from the line before them as if they were not there.

    Returns
    -------
    float
        How far the next piece so departs; 0 where no points have to be dropped.
    """
    start, stop = piece.start, piece.stop
    off = np.flatnonzero(confidence[start + 1 : stop] > tolerance)
    first = start + 1 + int(off[0]) if len(off) else stop
    if not 0 < stop - first < window:
        return 0.0
    departure = abs(trend[stop] - _extend(trend[start:first], first - start))
    before = confidence[first:stop].copy()
    short = type(piece)(piece.values, first)
    while short.follow(confidence, first, first, stop + 1, tolerance) and short.stop < stop:
        short = type(piece)(piece.values, short.stop)
    if short.stop == stop and departure > tolerance:
        return float(departure)
    # The service would have begun its next piece elsewhere, or have seen no change.
    confidence[first:stop] = before
    return 0.0


def _extend(run: Floats, places: "int | Ints") -> Floats:
    """Return the least-squares line through `run` at places counted from its start."""
    middle = (len(run) - 1) / 2
    place = np.arange(len(run)) - middle
    slope = (place @ run) / (place @ place)
    return np.asarray(run.mean() + slope * (places - middle))


class _Strays:
    """How far a trend gets from lines through runs of it."""

    def __init__(self, trend: Floats) -> None:
        self._trend = trend
        self._sums, self._moments = (
            np.concatenate([[0.0], np.cumsum(terms)])
            for terms in (trend, np.arange(len(trend)) * trend)
        )

    def beyond(self, tolerance: float, start: int, at: int, stop: int) -> float:
        """Return how far it gets from the line through ``start`` to before ``at``, if too far.

        The line is followed to `stop`, but for no longer than it was drawn. Where it gets no
        farther than `tolerance` the answer is 0.
        """
        count = at - start
        stop = min(stop, at + count)
        if count < 2 or (count >= _LONG and not self._may_leave(tolerance, start, at, stop)):
            return 0.0
        line = _extend(self._trend[start:at], np.arange(count, stop - start))
        distance = float(np.abs(self._trend[at:stop] - line).max())
        return distance if distance > tolerance else 0.0

    def _may_leave(self, tolerance: float, start: int, at: int, stop: int) -> bool:
        """Return False where running sums, which cost the same for any run, leave no doubt."""
        count, centre = at - start, (start + at - 1) / 2
        total = self._sums[at] - self._sums[start]
        moment = self._moments[at] - self._moments[start] - centre * total
        slope = moment / (count * (count * count - 1) / 12)
        line = total / count + slope * (np.arange(at, stop) - centre)
        return bool(np.abs(self._trend[at:stop] - line).max() > tolerance - _DOUBT)


def _piece(trend: Floats, start: int) -> "_Piece":
    if native.changepoint is not None:
        compiled: _Piece = native.changepoint.Piece(np.ascontiguousarray(trend), start)
        return compiled
    return _Piece(trend.tolist(), start)


class _Piece:
    """A run of a series from `start` to before `stop`, and the line through it."""

    def __init__(self, values: list[float], start: int) -> None:
        self.values = values
        self.start = start
        self.stop = start + 1
        self._mean = values[start]
        self._moment = 0.0
        self._is_off = False

    def follow(self, confidence: Floats, since: int, at: int, stop: int, tolerance: float) -> float:
        """Extend the piece, scoring its points, until one departs or `stop` is reached.

        From `since` on a point may depart that is the first to lie off the line, from `at` on
        any. Its departure is returned, 0 for none; the piece then ends before it.
        """
        while self.stop < stop:
            count = self.stop - self.start
            value = self.values[self.stop]
            above = value - self._mean
            spread = count * (count * count - 1) / 12
            slope = self._moment / spread if spread else 0.0
            departure = abs(above - slope * (count + 1) / 2)
            # What is left of it once the line heeds the point itself.
            inside = departure * (1 - 1 / (count + 1) - 3 * count / ((count + 1) * (count + 2)))
            confidence[self.stop] = inside
            is_off = inside > tolerance
            if is_off and (self.stop >= at or (self.stop >= since and not self._is_off)):
                return departure
            self._is_off = is_off
            self._moment += above * count / 2
            self._mean += above / (count + 1)
            self.stop += 1
        return 0.0
