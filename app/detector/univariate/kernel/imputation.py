"""Putting values where timestamps are missing from a series."""

import numpy as np
from scipy.interpolate import interp1d

from detector.arrays import Floats, Ints
from detector.univariate.kernel import native

# Gaps longer than this are never bridged by a curve.
_LONGEST_CURVE = 6
_SEASONS_EITHER_SIDE = 3
_SEASON_WEIGHTS = np.array([0.1, 0.3, 0.6, 0.6, 0.3, 0.1])
# What the weights of so many seasons before and behind sum up to.
_TOTALS = np.array([[_SEASON_WEIGHTS[3 - i : 3 + j].sum() for j in range(4)] for i in range(4)])


def hold_previous(values: Floats, index: Ints, count: int) -> Floats:
    """Return ``(count,)`` values, each missing one that of the last one present.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
    index : ndarray of int64, shape (n,)
        Where the values belong; rises from 0 to ``count - 1``.
    count : int
    """
    if native.imputation is not None:
        held = native.imputation.hold_previous(
            np.ascontiguousarray(values), np.ascontiguousarray(index, dtype=np.int64), count
        )
        return np.asarray(held)
    return np.asarray(values[np.searchsorted(index, np.arange(count), side="right") - 1])


def hold_fixed(values: Floats, index: Ints, count: int, *, value: float) -> Floats:
    """Return ``(count,)`` values, each missing one the given one."""
    full = np.full(count, value)
    full[index] = values
    return full


def draw_line(values: Floats, index: Ints, count: int) -> Floats:
    """Return ``(count,)`` values, the missing ones on lines between their neighbours."""
    return np.asarray(np.interp(np.arange(count), index, values))


def follow_season(values: Floats, index: Ints, count: int, *, period: int) -> Floats:
    """Return ``(count,)`` values: short gaps curved, long ones as in the neighbouring seasons.

    Parameters
    ----------
    period : int
        Points in one season; without seasons, 1 or less, lines fill all gaps.
    """
    if period <= 1:
        return draw_line(values, index, count)
    if native.imputation is not None:
        full, unknown = native.imputation.follow_season(
            interp1d(index, values, kind="cubic")(np.arange(count)),
            np.ascontiguousarray(values),
            np.ascontiguousarray(index, dtype=np.int64),
            period,
            min(_LONGEST_CURVE, period // 4),
            _SEASON_WEIGHTS,
            _TOTALS,
        )
        if not unknown:
            return np.asarray(full)
        present = np.flatnonzero(~np.isnan(full))
        return draw_line(full[present], present, count)
    full = _bridge_short_gaps(values, index, count, period)
    if np.isnan(full).any():
        full = _borrow_seasons(full, period)
    present = np.flatnonzero(~np.isnan(full))
    return draw_line(full[present], present, count) if len(present) < count else full


def _gaps(index: Ints) -> list[tuple[int, int, int]]:
    """Return where each gap in `index` starts, its length, and which value comes before it."""
    steps = np.diff(index)
    before = np.flatnonzero(steps > 1)
    starts, lengths = index[before] + 1, steps[before] - 1
    return list(zip(starts.tolist(), lengths.tolist(), before.tolist(), strict=True))


def _bridge_short_gaps(values: Floats, index: Ints, count: int, period: int) -> Floats:
    """Curve through short gaps, straight where the curve would leave a rise or fall."""
    full = np.asarray(interp1d(index, values, kind="cubic")(np.arange(count)))
    missing = np.ones(count, dtype=bool)
    missing[index] = False
    low, high = values.min(), values.max()
    for start, length, before in _gaps(index):
        gap = slice(start, start + length)
        if length > _LONGEST_CURVE or length > period / 4:
            full[gap] = np.nan
            continue
        around = [
            float(full[place])
            for place in (start - 2, start - 1, start + length, start + length + 1)
            if 0 < place < count and not missing[place]
        ]
        if len(around) > 2 and around in (sorted(around), sorted(around, reverse=True)):
            bottom, top = min(around[0], around[-1]), max(around[0], around[-1])
            if (full[gap] < bottom).any() or (full[gap] > top).any():
                ends = values[before : before + 2]
                full[gap] = np.interp(np.linspace(0, 1, length + 2), [0, 1], ends)[1:-1]
        full[gap] = np.minimum(np.maximum(full[gap], low), high)
    return full


def _borrow_seasons(full: Floats, period: int) -> Floats:
    """Fill gaps by the weighted mean of up to three seasons either side that have the value."""
    borrowed = full.copy()
    gap_start, gap_end = np.zeros(len(full), dtype=int), np.zeros(len(full), dtype=int)
    gaps = _gaps(np.flatnonzero(~np.isnan(full)))
    for start, length, _ in gaps:
        gap_start[start : start + length] = start
        gap_end[start : start + length] = start + length
    known = full.tolist()
    first, last = gap_start.tolist(), gap_end.tolist()
    weights = _SEASON_WEIGHTS.tolist()
    ends = range(_SEASONS_EITHER_SIDE + 1)
    totals = {
        (start, _SEASONS_EITHER_SIDE + after): float(
            _SEASON_WEIGHTS[start : _SEASONS_EITHER_SIDE + after].sum()
        )
        for start in ends
        for after in ends
    }
    for start, length, _ in gaps:
        for place in range(start, start + length):
            before: list[float] = []
            after: list[float] = []
            at = place - period
            for _ in range(_SEASONS_EITHER_SIDE):
                if at < 0:
                    break
                if last[at]:
                    # A look into a gap counts once, however many seasons the gap is long.
                    at -= (at - first[at]) // period * period
                else:
                    before.insert(0, known[at])
                at -= period
            at = place + period
            for _ in range(_SEASONS_EITHER_SIDE):
                if at >= len(known):
                    break
                if last[at]:
                    at += (last[at] - at - 1) // period * period
                else:
                    after.append(known[at])
                at += period
            if before or after:
                span = _SEASONS_EITHER_SIDE - len(before), _SEASONS_EITHER_SIDE + len(after)
                weighted = 0.0
                for value, weight in zip(before + after, weights[slice(*span)], strict=True):
                    weighted += value * weight
                borrowed[place] = weighted / totals[span]
    return borrowed
