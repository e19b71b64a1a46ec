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
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from detector.arrays import Floats, Ints
from detector.univariate.kernel import native

_OUTER_PASSES = 15


class Decomposition(NamedTuple):
    """The parts of a series, each of its shape ``(n,)``; they add up to it."""

    seasonal: Floats
    trend: Floats
    remainder: Floats


def decompose(series: Floats, period: int) -> Decomposition:
    """Split a series into season, trend and remainder.

    Parameters
    ----------
    series : ndarray of float64, shape (n,)
        Finite, with `n` at least ``2 * period + 1``.
    period : int
        Points in one season, at least 2.
    """
    if native.stl is not None:
        return Decomposition(
            *_compiled_plan(len(series), period).decompose(np.ascontiguousarray(series))
        )
    return _plan(len(series), period).decompose(series)


# A plan of numpy's takes up to 5 MB, a compiled one up to 2 MB.
@lru_cache(maxsize=2)
def _plan(n: int, period: int) -> "_Stl":
    return _Stl(n, period)


@lru_cache(maxsize=16)
def _compiled_plan(n: int, period: int) -> Any:
    full, longer = divmod(n, period)
    window = _seasonal_window(n)
    return native.stl.Passes(
        n,
        period,
        _end_weights(full + 1, window) if longer else np.empty((1, 0)),
        _end_weights(full, window),
        *(native.stl.Loess(**grid.compiled()) for grid in _grids(n, period)),
    )


def _seasonal_window(n: int) -> int:
    return 10 * n + 1


def _grids(n: int, period: int) -> tuple["_Grid", "_Grid"]:
    """Return where the low-pass filter and the trend are smoothed."""
    trend_window = math.ceil(1.5 * period / (1 - 1.5 / _seasonal_window(n)))
    low_pass, trend = (_Grid.of(n, max(3, _next_odd(each))) for each in (period, trend_window))
    return low_pass, trend


class _Stl:
    """Decomposes series of one length and period; safe to share between threads."""

    def __init__(self, n: int, period: int) -> None:
        self._n = n
        self._period = period
        self._cycles = _CycleSmoother(n, period, _seasonal_window(n))
        self._low_pass, self._trend = map(_Loess, _grids(n, period))

    def decompose(self, series: Floats) -> Decomposition:
        """Split `series`, finite and of shape ``(n,)``."""
        n, period = self._n, self._period
        seasonal = trend = np.zeros(n)
        weights = None
        scratch = self._trend.scratch()
        fixed_scratch = self._low_pass.scratch()[:1]
        with np.errstate(invalid="ignore", divide="ignore"):
            for outer_pass in range(_OUTER_PASSES + 1):
                if outer_pass:
                    weights = _robustness_weights(series - (trend + seasonal))
                cycles = self._cycles.smooth(series - trend, weights)
                level = moving_average(moving_average(cycles, period), period)
                level = self._low_pass.smooth(moving_average(level, 3), fixed_scratch)
                seasonal = cycles[period : period + n] - level
                seasonless = series - seasonal
                if weights is None:
                    trend = self._trend.smooth(seasonless, scratch)
                else:
                    trend = self._trend.smooth_robustly(seasonless, weights, scratch)
        return Decomposition(seasonal, trend, series - trend - seasonal)


def _next_odd(length: int) -> int:
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
    weights = size / bound
    np.square(weights, out=weights)
    np.subtract(1, weights, out=weights)
    np.square(weights, out=weights)
    np.copyto(weights, 1, where=size <= 0.001 * bound)
    np.copyto(weights, 0, where=size > 0.999 * bound)
    return weights


def _median(values: Floats) -> float:
    middle = len(values) // 2
    if len(values) % 2:
        return float(np.partition(values, middle)[middle])
    part = np.partition(values, (middle - 1, middle))
    return float((part[middle - 1] + part[middle]) / 2)


def _tricube(distances: Floats, reach: float | Ints) -> Floats:
    """Return loess weights: 1 near the point, 0 from 0.999 of the reach on."""
    weights = np.power(1 - np.power(np.minimum(distances / reach, 1), 3), 3)
    weights[distances <= 0.001 * reach] = 1
    weights[distances > 0.999 * reach] = 0
    return np.asarray(weights)


def _end_weights(cycles: int, window: int) -> Floats:
    """Return the weights of the cycles before the first, first, last and after the last.

    Few cycles lie so close together, beside so long a window, that all weights are 1; then
    one row stands for all four. The shape is ``(1 or 4, cycles)``.
    """
    positions = np.arange(1, cycles + 1)
    weights = np.stack(
        [
            _tricube(
                np.abs(positions - at).astype(float),
                max(at - 1, cycles - at) + (window - cycles) // 2,
            )
            for at in (0, 1, cycles, cycles + 1)
        ]
    )
    return weights[:1] if (weights == 1).all() else weights


@dataclass(frozen=True)
class _Phases:
    """The phases of the season that have the same number of cycles."""

    phases: slice
    cycles: int
    index: Ints  # (phases, cycles), where their points lie in the series
    weights: Floats  # (1 or 4, 1, cycles); see _end_weights


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
                slice(start, stop),
                cycles,
                np.arange(start, stop)[:, None] + period * np.arange(cycles),
                _end_weights(cycles, window)[:, None, :],
            )
            for start, stop, cycles in ((0, longer, full + 1), (longer, period, full))
            if start < stop
        ]

    def smooth(self, values: Floats, robust: Floats | None) -> Floats:
        """Return shape ``(n + 2 * period,)``: one more cycle before and after."""
        period = self._period
        # A last cycle may be cut short; the place for the rest of it is cut off again.
        smoothed = np.empty((-(-self._n // period) + 2, period))
        for group in self._groups:
            points = values[group.index]
            weights = group.weights if robust is None else group.weights * robust[group.index]
            total = weights.sum(axis=2, keepdims=True)
            ends = (weights / total * points).sum(axis=2)
            if robust is not None and not total.all():
                # Where every weight of a phase is nought, its own ends stand for the means.
                lost = np.flatnonzero(total[0, :, 0] <= 0)
                ends = np.broadcast_to(ends, (4, ends.shape[1])).copy()
                ends[:2, lost] = points[lost, 0]
                ends[2:, lost] = points[lost, -1]
            line = smoothed[: group.cycles + 2, group.phases]
            if len(ends) == 1:
                line[:] = ends
                continue
            line[0], line[1], line[-2], line[-1] = ends
            if group.cycles > 2:
                slope = (ends[2] - ends[1]) / (group.cycles - 1)
                line[2:-2] = slope * np.arange(1, group.cycles - 1)[:, None]
                line[2:-2] += ends[1]
        return smoothed.reshape(-1)[: self._n + 2 * period]


@dataclass(frozen=True)
class _Grid:
    """Where a series is smoothed: at every tenth of a window.

    Attributes
    ----------
    n, jump, grid : int
        Length of the series, steps between the points of the grid, and how many it has.
    at, first : ndarray of int64, shape (rows,)
        Where each point of the grid, and the last of the series, lies, and where its window starts;
        both from 1.
    kinds : ndarray of int64, shape (rows,)
        Which of the weights each one has.
    tricube : ndarray of float64, shape (kinds, width)
    """

    n: int
    jump: int
    grid: int
    at: Ints
    first: Ints
    kinds: Ints
    tricube: Floats

    @classmethod
    def of(cls, n: int, window: int) -> "_Grid":
        jump = min(math.ceil(window / 10), n - 1)
        width = min(window, n)
        at = np.arange(1, n + 1, jump)
        first = np.clip(at - (window + 1) // 2 + 1, 1, n - width + 1)
        grid = len(at)
        if at[-1] != n:
            # The last point is smoothed from the window of the grid's last point.
            at = np.append(at, n)
            first = np.append(first, first[-1])
        offsets, kinds = np.unique(at - first, return_inverse=True)
        reaches = np.maximum(offsets, width - 1 - offsets) + max(window - n, 0) // 2
        distances = np.abs(np.arange(width) - offsets[:, None]).astype(float)
        return cls(n, jump, grid, at, first, kinds, _tricube(distances, reaches[:, None]))

    def compiled(self) -> dict[str, Any]:
        """Return the arguments of `native.stl.Loess`."""
        lows, highs = _used(self.tricube)
        return vars(self) | {"lows": lows, "highs": highs}


class _Loess:
    """Local linear regression at the points of a grid, straight lines between."""

    def __init__(self, grid: _Grid) -> None:
        self._n, self._jump, self._grid = grid.n, grid.jump, grid.grid
        self._at, self._first = grid.at, grid.first
        self._tricube = grid.tricube[grid.kinds]
        self._positions = np.arange(self._tricube.shape[1], dtype=float)
        self._places = self._positions + self._first[:, None]
        self._runs = list(_weighted_runs(self._tricube))
        self._strides = _even_steps(self._first)
        fixed = np.array(self._tricube)
        self._to_regression(fixed, *self.scratch()[:2])
        self._fixed = fixed

    def scratch(self) -> tuple[Floats, Floats, Floats]:
        """Return room for one smoothing at a time."""
        shape = self._tricube.shape
        return np.empty(shape), np.empty(shape), np.empty(shape)

    def _windows(self, values: Floats) -> list[tuple[slice, Floats]]:
        """Return views of the windows of `values`, a run of evenly spaced ones at a time."""
        item = values.itemsize
        width = len(self._positions)
        return [
            (
                rows,
                np.ndarray(
                    (rows.stop - rows.start, width),
                    float,
                    values,
                    start * item,
                    (step * item, item),
                ),
            )
            for rows, start, step in self._strides
        ]

    def _to_regression(self, weights: Floats, places: Floats, square: Floats) -> None:
        """Turn the weights of each window, ``(points, width)``, into those of its regression."""
        if len(self._runs) == 1:
            total = weights[:, self._runs[0][1]].sum(axis=1)
        else:
            total = np.concatenate([weights[rows, used].sum(axis=1) for rows, used in self._runs])
        lost = None
        if not total.all():
            lost = np.flatnonzero(total <= 0)
            total[lost] = 1
        weights /= total[:, None]
        np.multiply(weights, self._places, out=places)
        centre = places.sum(axis=1)
        start = self._first - centre
        step = (start + 1) - start
        if (step == 1).all():
            np.add(self._positions, start[:, None], out=places)
        else:
            np.multiply(self._positions, step[:, None], out=places)
            places += start[:, None]
        np.square(places, out=square)
        square *= weights
        spread = square.sum(axis=1)
        distance = self._at - centre
        steep = np.sqrt(spread) > 0.001 * (self._n - 1)
        slope = np.divide(distance, spread, out=np.zeros_like(distance), where=steep)
        places *= slope[:, None]
        places += 1
        weights *= places
        if lost is not None:
            weights[lost] = 0
            weights[lost, (self._at - self._first)[lost]] = 1

    def smooth(self, values: Floats, scratch: tuple[Floats, ...]) -> Floats:
        """Return the smoothed values, ``(n,)``."""
        products = scratch[0]
        for rows, windows in self._windows(values):
            np.multiply(self._fixed[rows], windows, out=products[rows])
        return self._between(products.sum(axis=1))

    def smooth_robustly(
        self, values: Floats, robust: Floats, scratch: tuple[Floats, Floats, Floats]
    ) -> Floats:
        """Return the smoothed values, ``(n,)``, weighing each point by `robust` as well."""
        weights, places, square = scratch
        for rows, windows in self._windows(robust):
            np.multiply(self._tricube[rows], windows, out=weights[rows])
        self._to_regression(weights, places, square)
        for rows, windows in self._windows(values):
            weights[rows] *= windows
        return self._between(weights.sum(axis=1))

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


def _weighted_runs(weights: Floats) -> list[tuple[slice, slice]]:
    """Group neighbouring windows whose weights are nought in the same places.

    Leading and trailing noughts are left out of a sum, for they would shift its order.
    """
    lows, highs = _used(weights)
    breaks = np.flatnonzero((np.diff(lows) != 0) | (np.diff(highs) != 0)) + 1
    edges = [0, *breaks.tolist(), len(weights)]
    return [
        (slice(start, stop), slice(int(lows[start]), int(highs[start])))
        for start, stop in pairwise(edges)
    ]


def _used(weights: Floats) -> tuple[Ints, Ints]:
    """Return between which places the weights of each window are not nought."""
    used = weights > 0
    return used.argmax(axis=1), weights.shape[1] - used[:, ::-1].argmax(axis=1)


def _even_steps(first: Ints) -> list[tuple[slice, int, int]]:
    """Group neighbouring windows that lie evenly spaced: rows, start in the series, step."""
    runs = []
    start = 0
    while start < len(first):
        stop = start + 1
        step = int(first[stop] - first[start]) if stop < len(first) else 0
        while stop < len(first) and first[stop] - first[stop - 1] == step:
            stop += 1
        runs.append((slice(start, stop), int(first[start]) - 1, step))
        start = stop
    return runs
