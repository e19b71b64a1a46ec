"""How well periods explain a series; `detector.univariate.kernel.period` asks for it.

The error is that of the upstream package, which rounds each step to single precision.
"""

import numpy as np

from libc.math cimport INFINITY, fabs, sqrt

from detector_native.selection cimport select
from detector_native.sums cimport total

DEF MAD_TO_SIGMA = 1.4826


def unexplained(const double[::1] values, Py_ssize_t period):
    """Return the cross-validated error of a period's means, of at least two periods."""
    cdef float[::1] singles = np.empty(values.shape[0], dtype=np.float32)
    cdef float[::1] sums = np.empty(period, dtype=np.float32)
    cdef float[::1] squares = np.empty(period, dtype=np.float32)
    cdef double error
    with nogil:
        round_to_singles(values, singles)
        error = error_of(singles, period, sums, squares)
    return error


def best_period(const double[::1] values, const long long[::1] periods):
    """Return the first of the periods that has the least error, and that error.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
    periods : ndarray of int64
        Each at most half of `n`.
    """
    cdef float[::1] singles = np.empty(values.shape[0], dtype=np.float32)
    cdef float[::1] sums = np.empty(max(periods), dtype=np.float32)
    cdef float[::1] squares = np.empty(max(periods), dtype=np.float32)
    cdef Py_ssize_t i, best = 0
    cdef double error, least = INFINITY
    with nogil:
        round_to_singles(values, singles)
        for i in range(periods.shape[0]):
            error = error_of(singles, periods[i], sums, squares)
            if error < least:
                best, least = periods[i], error
    return best, least


cdef int round_to_singles(const double[::1] values, float[::1] singles) except -1 nogil:
    cdef Py_ssize_t i
    for i in range(values.shape[0]):
        singles[i] = <float>values[i]
    return 0


cdef double error_of(const float[::1] values, Py_ssize_t period, float[::1] sums,
                     float[::1] squares) except? -1 nogil:
    """Return the error of a period: of each phase what its mean, without the point, misses."""
    cdef Py_ssize_t phase, cycle, n = values.shape[0], full = n // period, longer = n % period
    cdef Py_ssize_t start, cycles
    cdef float value, error = 0
    cdef double weight
    if full < 2:
        raise ZeroDivisionError("float division")
    for phase in range(period):
        value = values[phase]
        sums[phase] = value
        squares[phase] = value * value
    for cycle in range(1, full + 1):
        start = cycle * period
        for phase in range(period if cycle < full else longer):
            value = values[start + phase]
            sums[phase] = sums[phase] + value
            squares[phase] = squares[phase] + value * value
    for phase in range(period):
        cycles = full + 1 if phase < longer else full
        weight = <double>cycles / (<double>cycles - 1)
        value = squares[phase] - sums[phase] * sums[phase] / <float>cycles
        error = <float>(error + weight * weight * value)
    error = error / <float>n
    return 0.0 if fabs(error) <= 1e-8 else error


def spikes(const double[::1] values):
    """Return which values lie three deviations out, or None for none of them."""
    cdef Py_ssize_t i, n = values.shape[0], found = 0
    cdef double mean, spread
    far = np.empty(n, dtype=bool)
    cdef unsigned char[::1] flags = far.view(np.uint8)
    cdef double[::1] scratch = np.empty(n)
    with nogil:
        mean = total(&values[0], n) / <double>n
        for i in range(n):
            scratch[i] = values[i] - mean
            scratch[i] = scratch[i] * scratch[i]
        spread = sqrt(total(&scratch[0], n) / <double>n) + 1e-8
        for i in range(n):
            flags[i] = fabs(values[i] - mean) / spread >= 3
            found += flags[i]
    return far if found else None


def level_phases(const double[::1] values, Py_ssize_t period):
    """Return `values` with the median in place of what exceeds it by three deviations of a phase."""
    cdef Py_ssize_t phase, cycle, cycles, n = values.shape[0]
    cdef double median, deviation
    levelled = np.array(values)
    cdef double[::1] changed = levelled, above = np.empty(n // period + 1)
    cdef double[::1] scratch = np.empty(n // period + 1)
    with nogil:
        for phase in range(min(period, n)):
            cycles = (n - 1 - phase) // period + 1
            for cycle in range(cycles):
                scratch[cycle] = <float>values[phase + cycle * period]
            median = single_median(scratch, cycles)
            for cycle in range(cycles):
                above[cycle] = values[phase + cycle * period] - median
                scratch[cycle] = <float>above[cycle]
            deviation = MAD_TO_SIGMA * single_median(scratch, cycles) + 1e-8
            for cycle in range(cycles):
                if above[cycle] / deviation >= 3:
                    changed[phase + cycle * period] = median
    return levelled


cdef inline double single_median(double[::1] values, Py_ssize_t n) except? -1 nogil:
    """Return the median of `n` values of single precision, in single precision."""
    cdef Py_ssize_t i, middle = n // 2
    cdef double upper = select(&values[0], n, middle), lower
    if n % 2:
        return upper
    lower = values[0]
    for i in range(1, middle):
        if values[i] > lower:
            lower = values[i]
    return (<float>lower + <float>upper) * <float>0.5
