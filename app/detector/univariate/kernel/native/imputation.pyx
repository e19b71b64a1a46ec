"""What follows the season in gaps; see `detector.univariate.kernel.imputation`."""

import numpy as np

from libc.math cimport NAN

DEF SEASONS = 3


def hold_previous(const double[::1] values, const long long[::1] index, Py_ssize_t count):
    """Return ``(count,)`` values, each missing one that of the last one present."""
    cdef Py_ssize_t i, at = 0, n = index.shape[0]
    full = np.empty(count)
    cdef double[::1] held = full
    with nogil:
        for i in range(count):
            while at + 1 < n and index[at + 1] <= i:
                at += 1
            held[i] = values[at]
    return full


def follow_season(const double[::1] curve, const double[::1] values, const long long[::1] index,
                  Py_ssize_t period, Py_ssize_t longest, const double[::1] weights,
                  const double[:, ::1] totals):
    """Return the values with short gaps curved, long ones borrowed or NaN, and how many are NaN.

    Parameters
    ----------
    curve : ndarray of float64, shape (count,)
        Through all values.
    values, index : ndarray of float64 and of int64, shape (n,)
    period : int
    longest : int
        Longer gaps are not curved.
    weights : ndarray of float64, shape (6,)
        Of three seasons either side.
    totals : ndarray of float64, shape (4, 4)
        The sums of the weights of so many seasons before and behind.
    """
    cdef Py_ssize_t i, n = index.shape[0], count = curve.shape[0], unknown = 0
    cdef double low, high
    full = np.array(curve)
    cdef double[::1] filled = full
    # Of the points of long gaps: where theirs starts, and its end; 0 for others.
    cdef long long[::1] firsts = np.zeros(count, np.int64), ends = np.zeros(count, np.int64)
    with nogil:
        low = high = values[0]
        for i in range(1, n):
            if values[i] < low:
                low = values[i]
            if values[i] > high:
                high = values[i]
        for i in range(n - 1):
            if index[i + 1] - index[i] > 1:
                if index[i + 1] - index[i] - 1 > longest:
                    firsts[index[i] + 1:index[i + 1]] = index[i] + 1
                    ends[index[i] + 1:index[i + 1]] = index[i + 1]
                else:
                    bridge(filled, values, index, i, low, high)
        for i in range(count):
            if ends[i]:
                filled[i] = borrow(filled, firsts, ends, i, period, weights, totals)
                unknown += filled[i] != filled[i]
    return full, unknown


cdef int bridge(double[::1] full, const double[::1] values, const long long[::1] index,
                Py_ssize_t before, double low, double high) except -1 nogil:
    """Draw a line through a gap behind a value where the curve would leave a rise or fall."""
    cdef Py_ssize_t i, start = index[before] + 1, stop = index[before + 1], known = 0
    cdef double bottom, top, step, rise
    cdef double[4] around
    cdef bint rises = True, falls = True, leaves = False
    if before > 1 and index[before - 1] == start - 2:
        around[known] = full[start - 2]
        known += 1
    if before > 0:
        around[known] = full[start - 1]
        known += 1
    around[known] = full[stop]
    known += 1
    if before + 2 < index.shape[0] and index[before + 2] == stop + 1:
        around[known] = full[stop + 1]
        known += 1
    for i in range(known - 1):
        rises = rises and around[i] <= around[i + 1]
        falls = falls and around[i] >= around[i + 1]
    if known > 2 and (rises or falls):
        bottom, top = min(around[0], around[known - 1]), max(around[0], around[known - 1])
        for i in range(start, stop):
            leaves = leaves or full[i] < bottom or full[i] > top
        if leaves:
            step, rise = 1 / <double>(stop - start + 1), values[before + 1] - values[before]
            for i in range(start, stop):
                full[i] = rise * (<double>(i - start + 1) * step) + values[before]
    for i in range(start, stop):
        full[i] = min(max(full[i], low), high)
    return 0


cdef double borrow(double[::1] full, long long[::1] firsts, long long[::1] ends, Py_ssize_t place,
                   Py_ssize_t period, const double[::1] weights,
                   const double[:, ::1] totals) except? -1 nogil:
    """Return the mean of what up to three seasons either side have in place of a point, or NaN."""
    cdef Py_ssize_t season, at = place - period, before = 0, behind = 0
    cdef double weighted = 0
    cdef double[SEASONS] earlier
    for season in range(SEASONS):
        if at < 0:
            break
        if ends[at]:
            # A look into a gap counts once, however many seasons the gap is long.
            at -= (at - firsts[at]) // period * period
        else:
            earlier[before] = full[at]
            before += 1
        at -= period
    for season in range(before):
        weighted += earlier[before - 1 - season] * weights[SEASONS - before + season]
    at = place + period
    for season in range(SEASONS):
        if at >= full.shape[0]:
            break
        if ends[at]:
            at += (ends[at] - at - 1) // period * period
        else:
            weighted += full[at] * weights[SEASONS + behind]
            behind += 1
        at += period
    return weighted / totals[before, behind] if before + behind else NAN
