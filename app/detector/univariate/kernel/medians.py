"""Medians: of a moving window, and of the slopes between all pairs of points."""

from bisect import bisect_right
from typing import Any

import numpy as np
import numpy.typing as npt

from detector.arrays import Floats, Ints, Singles
from detector.univariate.kernel import native

# Below this many compared values a sort of every window is quickest.
_SORT_AT_MOST = 20_000
# Up to this many points the differences of all pairs fit beside each other.
_OUTER_AT_MOST = 64
_ROWS = 16


def moving_median(values: Floats, window: int, *, ends: bool = False) -> Singles:
    """Return the median of the window around each of `values`, in single precision.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
    window : int
        Its half, rounded down, reaches to either side.
    ends : bool
        Where the window does not fit: True shortens it, False leaves the value itself.

    Returns
    -------
    ndarray of float32, shape (n,)
    """
    with np.errstate(over="ignore"):
        singles = values.astype(np.float32)
    half = window // 2
    width = 2 * half + 1
    n = len(singles)
    if n < width:
        return singles
    if native.medians is not None:
        return native.medians.moving_median(  # type: ignore[no-any-return]
            np.ascontiguousarray(values), singles, np.argsort(singles), window, ends
        )
    result = singles.copy()
    middle = np.arange(half, n - half)
    result[middle] = _select(singles, middle - half, width, half)
    if ends and half:
        result[:half] = _growing_medians(singles, half, width)
        result[n - half :] = _shrinking_medians(values, singles, half, width)
    return result


def _select(values: Singles, starts: Ints, width: int, rank: int) -> Singles:
    """Return the value of the given rank in each window of `width` from `starts`."""
    if len(starts) * width <= _SORT_AT_MOST:
        return np.asarray(np.partition(windows(values, width)[starts], rank, axis=1)[:, rank])
    # A wavelet matrix: the ranks of the values, bit by bit from the top, those with a cleared
    # bit moved before those with a set one; counting cleared bits in a window finds the bit of
    # the value sought, for all windows at once.
    order = np.argsort(values, kind="stable")
    keys = np.empty(len(values), dtype=np.int32)
    keys[order] = np.arange(len(values), dtype=np.int32)
    low = starts.astype(np.int32)
    high = low + np.int32(width)
    wanted = np.full(len(starts), rank, dtype=np.int32)
    found = np.zeros(len(starts), dtype=np.int32)
    for bit in reversed(range(max(1, (len(values) - 1).bit_length()))):
        is_set = (keys >> bit) & 1
        cleared = np.concatenate([[0], np.cumsum(1 - is_set)]).astype(np.int32)
        below_low, below_high = cleared[low], cleared[high]
        here = below_high - below_low
        goes_up = wanted >= here
        wanted = np.where(goes_up, wanted - here, wanted)
        low = np.where(goes_up, cleared[-1] + low - below_low, below_low)
        high = np.where(goes_up, cleared[-1] + high - below_high, below_high)
        found |= goes_up.astype(np.int32) << bit
        keys = np.concatenate([keys[is_set == 0], keys[is_set == 1]])
    return np.asarray(values[order[found]])


def _middle(window: list[float]) -> np.float32:
    half = len(window) // 2
    if len(window) % 2:
        return np.float32(window[half])
    return (np.float32(window[half - 1]) + np.float32(window[half])) / np.float32(2)


def _growing_medians(values: Singles, half: int, width: int) -> list[np.float32]:
    seen: list[float] = values[:half].tolist()
    seen.sort()
    medians = []
    for value in values[half : width - 1].tolist():
        seen.insert(bisect_right(seen, value), value)
        medians.append(_middle(seen))
    return medians


def _shrinking_medians(values: Floats, singles: Singles, half: int, width: int) -> list[np.float32]:
    """Return the medians of the last windows, which lose their first value one by one.

    The upstream package looks the value to drop up in double precision among values in single
    precision. Where rounding has raised it, it drops the next smaller one instead.
    """
    n = len(values)
    window: list[float] = np.sort(singles[n - width :]).tolist()
    medians = []
    for leaving in values[n - width : n - half - 1].tolist():
        place = bisect_right(window, leaving) - 1
        if place < 0:
            # Its index -1 means the end of the full window: harmless once that has shrunk.
            if len(window) == width:
                window[-1] = window[0]
            place = 0
        del window[place]
        medians.append(_middle(window))
    return medians


def median_slope(values: npt.NDArray[np.floating[Any]]) -> float:
    """Return the Theil-Sen slope of equidistant `values`, shape ``(n,)``, at least 2.

    It is the median of the slopes between all pairs of points (Sen, JASA 63, 1968).
    """
    if native.medians is not None:
        return float(native.medians.median_slope(np.ascontiguousarray(values)))
    n = len(values)
    if n <= _OUTER_AT_MOST:
        distance = np.subtract.outer(np.arange(n), np.arange(n))
        later = distance > 0
        return _median(np.subtract.outer(values, values)[later] / distance[later])
    # Turning the series by d against itself pairs points d apart, and n - d where it wraps; a
    # half turn of an even number pairs each two points twice.
    half = n // 2
    turned = windows(np.concatenate([values, values]), n)[1 : half + 1]
    wrap = np.zeros(2 * n)
    wrap[n:] = n
    wrapped = windows(wrap, n)[1 : half + 1]
    slopes = np.empty((half, n))
    distance = np.empty((_ROWS, n))
    for start in range(0, half, _ROWS):
        rows = slice(start, min(start + _ROWS, half))
        between = distance[: rows.stop - start]
        apart = np.arange(start + 1, rows.stop + 1)[:, None]
        np.subtract(apart, wrapped[rows], out=between)
        # In the precision of the values first, as the definition has it.
        np.divide(turned[rows] - values, between, out=slopes[rows])
    every = slopes.reshape(-1)
    return _median(every if n % 2 else every[: -(n - half)])


def windows(values: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    """Return a view of all windows of `values`, ``(n - width + 1, width)``; do not write to it."""
    item = values.itemsize
    return np.ndarray((len(values) - width + 1, width), values.dtype, values, 0, (item, item))


def _median(values: Floats) -> float:
    middle = len(values) // 2
    low, high = (middle, middle) if len(values) % 2 else (middle - 1, middle)
    if len(values) > _SORT_AT_MOST:
        # The middle lies between two quantiles of a sample, almost surely; only what lies
        # between them needs an order.
        sample = values[:: len(values) // 4000]
        ends = int(0.46 * len(sample)), int(0.54 * len(sample))
        floor, ceiling = np.partition(sample, ends)[list(ends)]
        below = int(np.count_nonzero(values < floor))
        between = values[(values >= floor) & (values <= ceiling)]
        if below <= low and high < below + len(between):
            values, low, high = between, low - below, high - below
    part = np.partition(values, (low, high))
    return float((part[low] + part[high]) / 2) if low != high else float(part[low])
