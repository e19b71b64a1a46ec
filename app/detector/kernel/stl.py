"""Robust periodic seasonal-trend decomposition by loess (STL).

Cleveland, Cleveland, McRae and Terpenning, "STL: A Seasonal-Trend Decomposition Procedure Based
on Loess", Journal of Official Statistics 6 (1990), with the settings of R's
``stl(x, "periodic", robust=TRUE)``: a seasonal window of ten times the series, one inner and
fifteen outer passes, and loess evaluated at every tenth of a window.

Sums are taken in the order in which the upstream package takes them, so that its results are met
to the last bit: a series that fits exactly leaves a remainder of rounding noise, and what is
flagged in that noise would otherwise differ.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_OUTER_PASSES = 15


class Decomposition(NamedTuple):
    """The parts of a series, each of its shape ``(n,)``; they add up to it."""

    seasonal: Floats
    trend: Floats
    remainder: Floats


class Stl:
    """Decomposes series of one length and period; safe to share between threads.

    Parameters
    ----------
    n : int
        Length of the series, at least ``2 * period + 1``.
    period : int
        Points in one season, at least 2.
    """

    def __init__(self, n: int, period: int) -> None:
        seasonal_window = 10 * n + 1
        trend_window = math.ceil(1.5 * period / (1 - 1.5 / seasonal_window))
        self._n = n
        self._period = period
        self._cycles = _CycleSmoother(n, period, seasonal_window)
        self._low_pass = _Loess(n, max(3, next_odd(period)))
        self._trend = _Loess(n, max(3, next_odd(trend_window)))

    def decompose(self, series: Floats) -> Decomposition:
        """Split `series`, finite and of shape ``(n,)``."""
        n, period = self._n, self._period
        trend = np.zeros(n)
        weights = None
        for outer_pass in range(_OUTER_PASSES + 1):
            if outer_pass:
                weights = _robustness_weights(series - (trend + seasonal))
            cycles = self._cycles.smooth(series - trend, weights)
            level = moving_average(moving_average(cycles, period), period)
            level = self._low_pass.smooth(moving_average(level, 3), None)
            seasonal = cycles[period : period + n] - level
            trend = self._trend.smooth(series - seasonal, weights)
        return Decomposition(seasonal, trend, series - trend - seasonal)


def next_odd(length: int) -> int:
    """Return `length`, or the next number if it is even."""
    return length | 1


def moving_average(values: Floats, width: int) -> Floats:
    """Return the means of every `width` neighbours, from shape ``(n,)`` to ``(n - width + 1,)``.

    The sum is carried along: what leaves the window is taken off, then what enters is added.
    """
    steps = len(values) - width
    carried = np.empty(2 * steps + 1)
    carried[0] = values[:width].sum()
    np.negative(values[:steps], out=carried[1::2])
    carried[2::2] = values[width:]
    return np.asarray(np.cumsum(carried)[::2] / width)


def _robustness_weights(remainder: Floats) -> Floats:
    """Return the bisquare weights: 1 for small remainders, 0 from six times their median."""
    size = np.abs(remainder)
    bound = 6 * _median(size)
    weights = np.zeros(len(size))
    if bound > 0:
        # Beyond 0.999 of the bound the square of a negative number would come back positive.
        ratio = np.minimum(size / bound, 1)
        np.square(1 - np.square(ratio), out=weights)
    weights[size <= 0.001 * bound] = 1
    weights[size > 0.999 * bound] = 0
    return weights


def _median(values: Floats) -> float:
    middle = len(values) // 2
    if len(values) % 2:
        return float(np.partition(values, middle)[middle])
    part = np.partition(values, (middle - 1, middle))
    return float((part[middle - 1] + part[middle]) / 2)


def _tricube(distances: Floats, reach: float) -> Floats:
    """Return loess weights: 1 near the point, 0 from 0.999 of the reach on."""
    weights = np.power(1 - np.power(np.minimum(distances / reach, 1), 3), 3)
    weights[distances <= 0.001 * reach] = 1
    weights[distances > 0.999 * reach] = 0
    return np.asarray(weights)


@dataclass(frozen=True)
class _Phases:
    """The phases of the season that have the same number of cycles."""

    index: Ints  # (phases, cycles), where their points lie in the series
    weights: Floats  # (4, cycles), of the cycles before the first, first, last and after the last


class _CycleSmoother:
    """Smooths each phase of the season over the cycles by a weighted mean.

    The window is far longer than the series, so the mean is taken at both ends only, and one
    point beyond each; between the ends lies a straight line.
    """

    def __init__(self, n: int, period: int, window: int) -> None:
        self._n = n
        self._period = period
        full, longer = divmod(n, period)
        self._groups = [
            _Phases(
                index=phases[:, None] + period * np.arange(cycles),
                weights=self._end_weights(cycles, window),
            )
            for phases, cycles in (
                (np.arange(longer), full + 1),
                (np.arange(longer, period), full),
            )
            if len(phases)
        ]

    @staticmethod
    def _end_weights(cycles: int, window: int) -> Floats:
        positions = np.arange(1, cycles + 1)
        return np.stack(
            [
                _tricube(
                    np.abs(positions - at).astype(float),
                    max(at - 1, cycles - at) + (window - cycles) // 2,
                )
                for at in (0, 1, cycles, cycles + 1)
            ]
        )

    def smooth(self, values: Floats, weights: Floats | None) -> Floats:
        """Return shape ``(n + 2 * period,)``: one more cycle before and after."""
        smoothed = np.empty(self._n + 2 * self._period)
        for group in self._groups:
            phases, cycles = group.index.shape
            points = values[group.index]
            ends = np.empty((4, phases))
            robust = None if weights is None else weights[group.index]
            for row, base in enumerate(group.weights):
                share = np.broadcast_to(base, (1, cycles)) if robust is None else base * robust
                total = share.sum(axis=1, keepdims=True)
                with np.errstate(invalid="ignore", divide="ignore"):
                    ends[row] = (share / total * points).sum(axis=1)
            if robust is not None:
                # Where every weight of a phase is nought, its own ends stand for the means.
                lost = np.flatnonzero(total[:, 0] <= 0)
                ends[:2, lost] = points[lost, 0]
                ends[2:, lost] = points[lost, -1]
            line = np.empty((cycles + 2, phases))
            line[0], line[1], line[-2], line[-1] = ends
            if cycles > 2:
                slope = (ends[2] - ends[1]) / (cycles - 1)
                line[2:-2] = ends[1] + slope * np.arange(1, cycles - 1)[:, None]
            first = group.index[0, 0]
            for cycle in range(cycles + 2):
                start = cycle * self._period + first
                smoothed[start : start + phases] = line[cycle]
        return smoothed


class _Loess:
    """Local linear regression at every tenth of a window, straight lines between."""

    def __init__(self, n: int, window: int) -> None:
        jump = min(math.ceil(window / 10), n - 1)
        width = min(window, n)
        at = np.arange(1, n + 1, jump)
        first = np.clip(at - (window + 1) // 2 + 1, 1, n - width + 1)
        self._n = n
        self._jump = jump
        self._grid = len(at)
        if at[-1] != n:
            # The last point is judged from the window of the grid's last point.
            at = np.append(at, n)
            first = np.append(first, first[-1])
        self._at = at
        self._first = first
        self._positions = np.arange(width, dtype=float)
        offsets, kinds = np.unique(at - first, return_inverse=True)
        self._tricube = np.stack([self._window_weights(k, width, window, n) for k in offsets])[
            kinds
        ]
        self._runs = list(_weighted_runs(self._tricube))
        self._width = width
        self._fixed = self._linear_weights(self._tricube.copy())

    @staticmethod
    def _window_weights(offset: int, width: int, window: int, n: int) -> Floats:
        reach = max(offset, width - 1 - offset) + (max(window - n, 0)) // 2
        return _tricube(np.abs(np.arange(width) - offset).astype(float), reach)

    def _linear_weights(self, weights: Floats) -> Floats:
        """Turn the weights of each window, ``(points, width)``, into those of its regression."""
        total = np.concatenate([weights[rows, used].sum(axis=1) for rows, used in self._runs])
        lost = total <= 0
        if lost.any():
            total[lost] = 1
        weights /= total[:, None]
        places = self._positions + self._first[:, None]
        centre = np.multiply(weights, places, out=places).sum(axis=1)
        distance = self._at - centre
        start = self._first - centre
        step = (start + 1) - start
        places = np.multiply(self._positions, step[:, None], out=places)
        places += start[:, None]
        square = np.square(places)
        square *= weights
        spread = square.sum(axis=1)
        steep = np.sqrt(spread) > 0.001 * (self._n - 1)
        slope = np.divide(distance, spread, out=np.zeros_like(distance), where=steep)
        places *= slope[:, None]
        places += 1
        weights *= places
        if lost.any():
            weights[lost] = 0
            rows = np.flatnonzero(lost)
            weights[rows, (self._at - self._first)[rows]] = 1
        return weights

    def smooth(self, values: Floats, robust: Floats | None) -> Floats:
        """Return the smoothed values, ``(n,)``; `robust` weighs each, or all the same."""
        if robust is None:
            weights = self._fixed
        else:
            weights = sliding_window_view(robust, self._width)[self._first - 1]
            weights *= self._tricube
            weights = self._linear_weights(weights)
        windows = sliding_window_view(values, self._width)[self._first - 1]
        windows *= weights
        return self._between(windows.sum(axis=1))

    def _between(self, fitted: Floats) -> Floats:
        if self._jump == 1:
            return fitted
        n, jump, grid = self._n, self._jump, self._grid
        smoothed = np.empty(n)
        knots = fitted[:grid]
        reach = (grid - 1) * jump
        slope = (knots[1:] - knots[:-1]) / jump
        lines = smoothed[:reach].reshape(grid - 1, jump)
        np.multiply(slope[:, None], np.arange(jump), out=lines)
        lines += knots[:-1, None]
        rest = n - 1 - reach
        if rest:
            last = (fitted[-1] - knots[-1]) / rest
            smoothed[reach:] = knots[-1] + last * np.arange(rest + 1)
            smoothed[-1] = fitted[-1]
        smoothed[reach] = knots[-1]
        return smoothed


def _weighted_runs(weights: Floats) -> "list[tuple[slice, slice]]":
    """Group neighbouring windows whose weights are nought in the same places.

    Leading and trailing noughts are left out of a sum, for they would shift its order.
    """
    used = weights > 0
    lows = used.argmax(axis=1)
    highs = weights.shape[1] - used[:, ::-1].argmax(axis=1)
    breaks = np.flatnonzero((np.diff(lows) != 0) | (np.diff(highs) != 0)) + 1
    edges = [0, *breaks.tolist(), len(weights)]
    return [
        (slice(start, stop), slice(int(lows[start]), int(highs[start])))
        for start, stop in zip(edges, edges[1:], strict=False)
    ]
