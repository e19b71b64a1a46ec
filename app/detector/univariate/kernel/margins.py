"""Margins around the expected values, the flags they leave standing, and severity.

V1 is that of API version 1.0, a share of the expected value; V2 that of version 1.1, a multiple
of the size of the trend from a table of factors.
"""

from dataclasses import dataclass

import numpy as np

from detector.arrays import Flags, Floats, Ints
from detector.univariate.kernel.upstream import margin_factors

_TINY = 1e-8
_LEAST_UNIT = 0.3
# At this sensitivity the margin gives way to an anomaly inside it.
_YIELDING = 99


@dataclass(frozen=True)
class Points:
    """Points and what a detection says of them; all arrays have the shape ``(n,)``.

    Without a trend of their own the expected values are it.
    """

    values: Floats
    expected: Floats
    is_anomaly: Flags
    is_positive: Flags
    is_negative: Flags
    trend: Floats | None = None
    scores: Floats | None = None

    def only(self, chosen: Ints) -> "Points":
        """Return the points with these indices."""
        return Points(
            self.values[chosen],
            self.expected[chosen],
            self.is_anomaly[chosen],
            self.is_positive[chosen],
            self.is_negative[chosen],
            None if self.trend is None else self.trend[chosen],
            None if self.scores is None else self.scores[chosen],
        )


@dataclass(frozen=True)
class Margins:
    """Margins, final flags and severity of points; all arrays have the shape ``(n,)``."""

    upper: Floats
    lower: Floats
    is_anomaly: Flags
    is_positive: Flags
    is_negative: Flags
    severity: Floats


def compute_v1(points: Points, sensitivity: int, *, by_score: bool) -> Margins:
    """Bound `points` by a share of the expected values, or by their scores.

    Parameters
    ----------
    points : Points
    sensitivity : int
        0 to 100; the higher, the narrower the margins.
    by_score : bool
        True for points scored by spectral residual.
    """
    values, expected = points.values, points.expected
    if by_score and points.scores is not None:
        margin = _score_margin(values, expected, points.scores, sensitivity)
    else:
        margin = np.abs(expected) * (100 - sensitivity) / 100
    top, bottom = expected + margin, expected - margin
    top = np.clip(top, top.min(), max(values.max(), expected.max()))
    bottom = np.clip(bottom, min(values.min(), expected.min()), bottom.max())
    upper, lower = top - expected, expected - bottom

    inside = points.is_anomaly & (top >= values) & (values >= bottom)
    above = (values > top) & ~points.is_anomaly
    below = (values < bottom) & ~points.is_anomaly
    upper[above] = (values[above] - expected[above]) * 1.01
    lower[above] = upper[above]
    lower[below] = (expected[below] - values[below]) * 1.01
    upper[below] = lower[below]
    kept = points.is_anomaly
    positive, negative = points.is_positive, points.is_negative
    if sensitivity == 100:
        upper[inside] = 0.0
        lower[inside] = 0.0
    else:
        kept, positive, negative = kept & ~inside, positive & ~inside, negative & ~inside
    base = np.abs(expected)
    base = np.where(base <= _TINY, _LEAST_UNIT, base)
    severity = np.where(kept, np.minimum(np.abs(values - expected) / base, 1.0), 0.0)
    return Margins(upper, lower, kept, positive, negative, severity)


def _score_margin(values: Floats, expected: Floats, scores: Floats, sensitivity: int) -> Floats:
    normal = scores <= _TINY
    margin = np.zeros(len(values))
    if normal.any():
        margin[:] = (values[normal].max() - values[normal].min()) * 0.01
    share = 1 - sensitivity / 100.0
    odd = ~normal
    margin[odd] = np.abs(values[odd] - expected[odd]) / scores[odd] * share
    return margin


def compute_v2(points: Points, sensitivity: int, *, last_only: bool) -> Margins:
    """Bound `points` by a multiple of the size of their trend.

    Parameters
    ----------
    points : Points
        With their trend.
    sensitivity : int
        0 to 100; the higher, the narrower the margins.
    last_only : bool
        True returns the last point alone. Its severity is that from before the margins were
        applied, as the service answered.
    """
    units = _units(points)
    if last_only:
        points, units = points.only(np.array([-1])), units[-1:]
    values, expected, flagged = points.values, points.expected, points.is_anomaly
    distance = np.abs(expected - values)
    margin = units * margin_factors()[sensitivity]
    wide = distance + margin * 0.5
    upper = np.where(flagged, margin, np.where(values > expected, wide, wide / 3.0))
    lower = np.where(flagged, margin, np.where(values > expected, wide / 3.0, wide))
    if sensitivity == _YIELDING:
        yields = flagged & (margin * 0.0001 < distance) & (distance < margin)
        upper = np.where(yields, distance * 0.5, upper)
        lower = np.where(yields, distance * 0.5, lower)
    positive = flagged & (values > expected + upper)
    negative = flagged & (values < expected - lower)
    kept = positive | negative
    severity = np.where(flagged if last_only else kept, _score(distance / units) / 100.0, 0.0)
    return Margins(upper, lower, kept, positive, negative, severity)


def _units(points: Points) -> Floats:
    size: Floats = np.abs(points.expected if points.trend is None else points.trend)
    normal = size[~points.is_anomaly]
    if (normal < _TINY).all():
        return np.full(len(size), _LEAST_UNIT)
    return np.asarray(np.maximum(size * 0.5 + np.mean(normal) * 0.5, _LEAST_UNIT))


def _score(distance: Floats) -> Floats:
    """Return 0 to 100: the least sensitivity whose margin excludes the point, interpolated."""
    margins = margin_factors()[::-1]
    place = np.searchsorted(margins, distance, side="left")
    above = np.clip(place, 1, 100)
    low, high = margins[above - 1], margins[above]
    score = above - 1 + (distance - low) / (high - low)
    return np.where(place == 0, 0.0, np.where(place >= 100, 100.0, score))
