"""The methods of detection: by season, by trend, by spectral residual, and by differences."""

import math
from collections.abc import Callable

import numpy as np

from detector.arrays import Flags, Floats, Ints
from detector.series.options import Options
from detector.univariate.decomposition import decompose
from detector.univariate.kernel import spectral_residual
from detector.univariate.kernel.margins import Points
from detector.univariate.kernel.outliers import Ordered, vote
from detector.univariate.kernel.stationarity import is_stationary
from detector.univariate.kernel.trend import fit_trend

_MOST_DIFFERENCES = 2
# The scores of spectral residual that severity starts and ends at.
_LEAST_SCORE, _GREATEST_SCORE = 3.5, 15.0


def _scale(values: Floats) -> Floats:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if low != high else values


def _bridge(values: Floats, holes: Flags) -> Floats:
    """Return `values` with lines across the holes; as they are where there is nothing else."""
    if holes.all():
        return values
    whole = values.copy()
    kept = np.flatnonzero(~holes)
    whole[holes] = np.interp(np.flatnonzero(holes), kept, values[kept])
    return whole


def _flag(values: Floats, expected: Floats, outliers: Ints) -> tuple[Flags, Flags, Flags]:
    """Return which points are anomalies, positive ones and negative ones."""
    flagged = np.zeros(len(values), dtype=bool)
    flagged[outliers] = True
    negative = expected > values
    return flagged, flagged & ~negative, flagged & negative


def detect_trend(values: Floats, trend: Floats, alpha: float, ratio: float, latest: bool) -> Points:
    """Detect in a series without seasons: outliers of the values, the trend expected."""
    outliers = vote([Ordered.of(_scale(values))], alpha=alpha, ratio=ratio, last_only=latest)
    if len(outliers):
        holes = np.zeros(len(values), dtype=bool)
        holes[outliers] = True
        trend = fit_trend(_bridge(values, holes))
    return Points(values, trend, *_flag(values, trend, outliers), trend=trend)


def detect_seasonal(
    values: Floats, period: int, alpha: float, ratio: float, latest: bool
) -> Points:
    """Detect in a seasonal series: outliers of the deseasonalised values, and of the residual."""
    n = len(values)
    seasonal, trend = decompose(values, period, latest)
    flat = values - seasonal
    outliers = vote(
        [Ordered.of(_scale(flat)), Ordered.of(_scale(flat - trend))],
        alpha=alpha,
        ratio=max(ratio, 1 / n),
        last_only=latest,
    )
    if len(outliers):
        holes = np.zeros(n, dtype=bool)
        holes[outliers] = True
        tail = period // 2
        if np.count_nonzero(outliers >= n - tail) >= 0.5 * tail:
            holes[n - tail :] = True
        trend = _bridge(trend, holes)
    expected = trend + seasonal
    return Points(values, expected, *_flag(values, expected, outliers), trend=trend)


def detect_spectral_residual(
    values: Floats, options: Options, threshold: float, ratio: float, latest: bool
) -> tuple[Points, bool]:
    """Detect by spectral residual; also return whether the scores give the margins."""
    n = len(values)
    most = max(int(n * ratio), 1)
    if latest:
        scores, by_z_score = spectral_residual.score_latest(values, most)
    else:
        scores, by_z_score = spectral_residual.score_entire(values)
    calm = scores <= spectral_residual.SKELETON
    if latest:
        expected = values.copy()
        expected[-1] = _mean(values[calm][np.count_nonzero(calm) // 2 :])
    else:
        expected = _mean_of_calm(values, calm)
    trend = fit_trend(expected) if options.boundary_version != "V1" else None
    salient = np.flatnonzero(scores >= threshold)
    # Falling scores, the later of equal ones first as a reversed sort leaves them.
    order = len(salient) - 1 - np.argsort(scores[salient][::-1])[::-1]
    outliers = salient[order][:most]
    result = Points(
        values,
        expected,
        *_flag(values, expected, outliers),
        trend=trend,
        scores=np.clip(scores - _LEAST_SCORE / (_GREATEST_SCORE - _LEAST_SCORE), 0.0, 1.0),
    )
    return result, not by_z_score


def _mean(values: Floats) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def _mean_of_calm(values: Floats, calm: Flags) -> Floats:
    """Expect of a calm point its value, of others the mean of the calm later half of the past."""
    n = len(values)
    counts = np.concatenate([[0], np.cumsum(calm)])
    sums = np.concatenate([[0], np.cumsum(np.multiply(values, calm))])
    ends, starts = np.arange(1, n + 1), np.arange(n) // 2
    count = counts[ends] - counts[starts]
    means = (sums[ends] - sums[starts]) / count
    for place in np.flatnonzero(count == 0):
        means[place] = np.mean(values[: place + 1])
    return spectral_residual.trailing_mean(np.where(calm, values, means), 5)


def add_outliers_of_differences(
    points: Points, detect: Callable[[Floats, float], Points], ratio: float
) -> Points:
    """Add what stands out in the differences of a series that is not stationary itself."""
    values = points.values
    n = len(values)
    spare = max(int(n * ratio), 1) - int(np.count_nonzero(points.is_anomaly))
    if spare <= 0:
        return points
    order, steps = _make_stationary(values)
    if order <= 0:
        return points
    found = detect(steps, spare / n)
    new = np.flatnonzero(~points.is_anomaly & found.is_anomaly)
    if not len(new):
        return points
    expected = _undo_differences(new, points.expected, found.expected, order, values)
    trend, scores = points.trend, points.scores
    if trend is not None and found.trend is not None:
        trend = _undo_differences(new, trend, found.trend, order, values)
    if scores is not None and found.scores is not None:
        scores = scores.copy()
        scores[new] = found.scores[new]
    flagged, positive, negative = (
        points.is_anomaly.copy(),
        points.is_positive.copy(),
        points.is_negative.copy(),
    )
    flagged[new] = True
    negative[new] = expected[new] >= values[new]
    positive[new] = ~negative[new]
    return Points(values, expected, flagged, positive, negative, trend, scores)


def _make_stationary(values: Floats) -> tuple[int, Floats]:
    """Return how often to take differences, -1 for none that helps, and the differences."""
    steps = values
    for order in range(_MOST_DIFFERENCES + 1):
        if is_stationary(steps):
            return order, steps
        steps = np.diff(steps)[order:]
        steps = np.concatenate([np.full(order + 1, steps[0]), steps])
    return -1, values


def _undo_differences(
    places: Ints, original: Floats, steps: Floats, order: int, values: Floats
) -> Floats:
    """Return `original` with what the differences expect, added to the point before, at places."""
    if order == _MOST_DIFFERENCES:
        start = np.full(order, values[1] - values[0])
        steps = np.concatenate([start[:-1], np.cumsum(np.append(start[-1], steps[order:]))])
    undone = original.copy()
    places = places[places > 0]
    undone[places] = original[places - 1] + steps[places]
    return undone
