"""Entire and latest detection of the anomalies of one series.

Pure: a validated series goes in, a frozen result comes out, and nothing is kept between calls.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from detector.arrays import Flags, Floats, Ints
from detector.errors import DetectionError
from detector.series.options import DetectorChoice, Options
from detector.series.series import Series
from detector.univariate.decomposition import decompose
from detector.univariate.gaps import fill_gaps, find_season, require_few_missing, require_seasons
from detector.univariate.kernel import margins, spectral_residual
from detector.univariate.kernel.margins import Margins, Points
from detector.univariate.kernel.outliers import Ordered, median_absolute_deviation, vote
from detector.univariate.kernel.stationarity import is_stationary
from detector.univariate.kernel.trend import fit_trend

# Flags closer than this to the expected value are dropped.
_TINY = 1e-8
_MOST_DIFFERENCES = 2
# A histogram bin with more than this part of the series is its majority.
_MAJORITY = 0.6
# The scores of spectral residual that severity starts and ends at.
_LEAST_SCORE, _GREATEST_SCORE = 3.5, 15.0
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
    severity : ndarray of float64
        0 for a normal point to 1.
    period : int
        Points in one season; 0 for a series without.
    """

    expected: Floats
    upper_margin: Floats
    lower_margin: Floats
    is_anomaly: Flags
    is_positive: Flags
    is_negative: Flags
    severity: Floats
    period: int


@dataclass(frozen=True)
class LatestDetection:
    """What is expected of the last point and whether it is an anomaly.

    Attributes
    ----------
    suggested_window : int
        How many points to send for the next detection in this series.
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


def detect_entire(series: Series) -> Detection:
    """Detect anomalies among all points of `series`.

    Raises
    ------
    DetectionError
        With the code the service answered, for a series that does not fit its options.
    """
    with np.errstate(all="ignore"):
        points, period, by_score = _detect(series, latest=False)
        bounds = _compute_margins(points, series.options, by_score, latest=False)
    return Detection(
        expected=points.expected,
        upper_margin=bounds.upper,
        lower_margin=bounds.lower,
        is_anomaly=bounds.is_anomaly,
        is_positive=bounds.is_positive,
        is_negative=bounds.is_negative,
        severity=bounds.severity,
        period=period,
    )


def detect_latest(series: Series) -> LatestDetection:
    """Detect whether the last point of `series` is an anomaly, from those before it.

    Raises
    ------
    DetectionError
        With the code the service answered, for a series that does not fit its options.
    """
    options = series.options
    # Values up to 1e100 may overflow on the way; what comes of that is defined all the same.
    with np.errstate(all="ignore"):
        points, period, by_score = _detect(series, latest=True)
        bounds = _compute_margins(points, options, by_score, latest=True)
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
    )


def _compute_margins(points: Points, options: Options, by_score: bool, *, latest: bool) -> Margins:
    if options.boundary_version == "V1":
        return margins.compute_v1(points, options.sensitivity, by_score=by_score)
    return margins.compute_v2(points, options.sensitivity, last_only=latest)


def _detect(series: Series, *, latest: bool) -> tuple[Points, int, bool]:
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
        points = _detect_seasonal(values, period, options.alpha, ratio, latest)
        return points, period, False, filled
    if _is_spiky_by_nature(options, values):
        points, by_score = _detect_spectral_residual(
            values, options, options.threshold, ratio, latest
        )

        def detect(steps: Floats, share: float) -> Points:
            return _detect_spectral_residual(steps, options, options.threshold, share, latest)[0]
    else:
        trend = fit_trend(values, period)
        points, by_score = _detect_trend(values, trend, options.alpha, ratio, latest), False

        def detect(steps: Floats, share: float) -> Points:
            return _detect_trend(steps, trend, options.alpha, share, latest)

    return _add_outliers_of_differences(points, detect, ratio), period, by_score, filled


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
        points = _detect_seasonal(values, period, detector.alpha, ratio, latest)
        return points, period, False, filled
    if period > 1:
        require_few_missing(series)
    if detector.name == "spectral_residual":
        points, by_score = _detect_spectral_residual(
            values, options, detector.threshold, ratio, latest
        )
        return points, period, by_score, filled
    if period != 0:
        raise DetectionError(
            "InvalidDetector",
            f"The detector 'dynamic_threshold' needs the period 0, not {period}.",
        )
    points = _detect_trend(values, fit_trend(values), detector.alpha, ratio, latest)
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


def _scale(values: Floats) -> Floats:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if low != high else values


def _bridge(values: Floats, holes: Flags) -> Floats:
    """Return `values` with lines across the holes."""
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


def _detect_trend(
    values: Floats, trend: Floats, alpha: float, ratio: float, latest: bool
) -> Points:
    """Detect in a series without seasons: outliers of the values, the trend expected."""
    outliers = vote([Ordered.of(_scale(values))], alpha=alpha, ratio=ratio, last_only=latest)
    if len(outliers):
        holes = np.zeros(len(values), dtype=bool)
        holes[outliers] = True
        trend = fit_trend(_bridge(values, holes))
    return Points(values, trend, *_flag(values, trend, outliers), trend=trend)


def _detect_seasonal(
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


def _detect_spectral_residual(
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


def _add_outliers_of_differences(
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
