"""The passes of STL; `detector.univariate.kernel.stl` has the algorithm and its source.

Every sum is taken in numpy's order and every value is rounded where numpy rounds it.
"""

import numpy as np

from libc.math cimport fabs, sqrt

from detector_native.selection cimport median
from detector_native.sums cimport total

DEF OUTER_PASSES = 15


cdef class Loess:
    """Local linear regression at every tenth of a window, straight lines between.

    It takes what `_Grid` of `detector.univariate.kernel.stl` holds, and `lows` and `highs`, of shape
    ``(kinds,)``: between which places the weights are not nought.
    """

    cdef Py_ssize_t n, jump, grid, rows, width
    cdef long long[::1] at, first, kinds, lows, highs
    cdef double[:, ::1] tricube

    def __init__(self, Py_ssize_t n, Py_ssize_t jump, Py_ssize_t grid, long long[::1] at,
                 long long[::1] first, long long[::1] kinds, double[:, ::1] tricube,
                 long long[::1] lows, long long[::1] highs):
        self.n, self.jump, self.grid = n, jump, grid
        self.at, self.first, self.kinds = at, first, kinds
        self.tricube, self.lows, self.highs = tricube, lows, highs
        self.rows, self.width = at.shape[0], tricube.shape[1]

    cdef int regress(self, Py_ssize_t row, double[::1] weights, double[::1] places) except -1 nogil:
        """Turn the weights of a window into those of its regression at the point of the grid."""
        # Places of 32 bits: processors turn several at once into numbers of 64.
        cdef int i, width = <int>self.width
        cdef Py_ssize_t kind = self.kinds[row], low = self.lows[kind]
        cdef double first = <double>self.first[row], at = <double>self.at[row]
        cdef double centre, start, step, spread, distance, slope
        cdef double whole = total(&weights[low], self.highs[kind] - low)
        if whole <= 0:
            # No point has a weight: the one itself stands for them all.
            for i in range(width):
                weights[i] = 0
            weights[self.at[row] - self.first[row]] = 1
            return 0
        for i in range(width):
            weights[i] = weights[i] / whole
            places[i] = weights[i] * (<double>i + first)
        centre = total(&places[0], width)
        start = first - centre
        step = (start + 1) - start
        for i in range(width):
            slope = <double>i * step + start
            places[i] = slope * slope * weights[i]
        spread = total(&places[0], width)
        distance = at - centre
        slope = distance / spread if sqrt(spread) > 0.001 * <double>(self.n - 1) else 0.0
        for i in range(width):
            weights[i] = weights[i] * ((<double>i * step + start) * slope + 1)
        return 0

    cdef int prepare(self, double[:, ::1] fixed, double[::1] places) except -1 nogil:
        """Put the weights of every window's regression where each point counts alike."""
        cdef Py_ssize_t row, i
        for row in range(self.rows):
            for i in range(self.width):
                fixed[row, i] = self.tricube[self.kinds[row], i]
            self.regress(row, fixed[row], places)
        return 0

    cdef int smooth(self, double[::1] values, double[:, ::1] fixed, double[::1] fitted,
                    double[::1] scratch, double[::1] smoothed) except -1 nogil:
        """Smooth `values` by prepared weights."""
        cdef Py_ssize_t row, i, start
        for row in range(self.rows):
            start = self.first[row] - 1
            for i in range(self.width):
                scratch[i] = fixed[row, i] * values[start + i]
            fitted[row] = total(&scratch[0], self.width)
        return self.between(fitted, smoothed)

    cdef int smooth_robustly(self, double[::1] values, double[::1] robust, double[::1] fitted,
                             double[::1] weights, double[::1] places,
                             double[::1] smoothed) except -1 nogil:
        """Smooth `values`, weighing each of them by `robust` as well."""
        cdef Py_ssize_t row, i, start, kind
        for row in range(self.rows):
            start, kind = self.first[row] - 1, self.kinds[row]
            for i in range(self.width):
                weights[i] = self.tricube[kind, i] * robust[start + i]
            self.regress(row, weights, places)
            for i in range(self.width):
                weights[i] = weights[i] * values[start + i]
            fitted[row] = total(&weights[0], self.width)
        return self.between(fitted, smoothed)

    cdef int between(self, double[::1] fitted, double[::1] smoothed) except -1 nogil:
        """Draw the lines between the points of the grid."""
        cdef Py_ssize_t row, reach = (self.grid - 1) * self.jump
        cdef int i, rest = <int>(self.n - 1 - reach), jump = <int>self.jump
        cdef double slope, knot
        for row in range(self.grid - 1):
            knot = fitted[row]
            slope = (fitted[row + 1] - knot) / <double>self.jump
            for i in range(jump):
                smoothed[row * self.jump + i] = slope * <double>i + knot
        knot = fitted[self.grid - 1]
        if rest:
            slope = (fitted[self.rows - 1] - knot) / <double>rest
            for i in range(rest):
                smoothed[reach + i] = knot + slope * <double>i
            smoothed[self.n - 1] = fitted[self.rows - 1]
        smoothed[reach] = knot
        return 0


cdef class Passes:
    """The passes over series of one length and period; safe to share between threads.

    Parameters
    ----------
    n, period : int
    longer, shorter : ndarray of float64, shape (1 or 4, cycles)
        The weights of the cycles for the phases that have one more of them, and for the others.
    low_pass, trend : Loess
    """

    cdef Py_ssize_t n, period
    cdef double[:, ::1] longer, shorter
    cdef Loess low_pass, trend

    def __init__(self, Py_ssize_t n, Py_ssize_t period, double[:, ::1] longer,
                 double[:, ::1] shorter, Loess low_pass, Loess trend):
        self.n, self.period = n, period
        self.longer, self.shorter = longer, shorter
        self.low_pass, self.trend = low_pass, trend

    def decompose(self, const double[::1] series):
        """Return season, trend and remainder of a series of shape ``(n,)`` as ``(3, n)``."""
        if series.shape[0] != self.n:
            raise ValueError(f"The series has {series.shape[0]} points for a plan of {self.n}.")
        cdef Py_ssize_t i, n = self.n, period = self.period, outer_pass, long = n + 2 * period
        cdef Loess low_pass = self.low_pass, trend_ = self.trend
        parts = np.zeros((3, n))
        cdef double[:, ::1] rows = parts
        cdef double[::1] seasonal = rows[0], trend = rows[1], remainder = rows[2]
        cdef double[:, ::1] fixed_low = np.empty((low_pass.rows, low_pass.width))
        cdef double[:, ::1] fixed_trend = np.empty((trend_.rows, trend_.width))
        cdef double[::1] rest = np.empty(n), robust = np.empty(n), cycles = np.empty(long)
        cdef double[::1] once = np.empty(long), twice = np.empty(long), scratch = np.empty(n)
        cdef double[::1] weights = np.empty(max(low_pass.width, trend_.width, n))
        cdef double[::1] places = np.empty(max(low_pass.width, trend_.width))
        cdef double[::1] fitted = np.empty(max(low_pass.rows, trend_.rows))
        cdef double[::1] level = np.empty(n)
        with nogil:
            low_pass.prepare(fixed_low, places)
            trend_.prepare(fixed_trend, places)
            for outer_pass in range(OUTER_PASSES + 1):
                if outer_pass:
                    for i in range(n):
                        rest[i] = series[i] - (trend[i] + seasonal[i])
                    weigh(rest, scratch, robust)
                for i in range(n):
                    rest[i] = series[i] - trend[i]
                self.smooth_cycles(rest, robust, outer_pass > 0, cycles, weights, scratch)
                moving_average(cycles, once, long, period)
                moving_average(once, twice, long - period + 1, period)
                moving_average(twice, once, n + 2, 3)
                low_pass.smooth(once, fixed_low, fitted, weights, level)
                for i in range(n):
                    seasonal[i] = cycles[period + i] - level[i]
                    rest[i] = series[i] - seasonal[i]
                if outer_pass:
                    trend_.smooth_robustly(rest, robust, fitted, weights, places, trend)
                else:
                    trend_.smooth(rest, fixed_trend, fitted, weights, trend)
            for i in range(n):
                remainder[i] = series[i] - trend[i] - seasonal[i]
        return parts

    cdef int smooth_cycles(self, double[::1] values, double[::1] robust, bint robustly,
                           double[::1] smoothed, double[::1] weights,
                           double[::1] scratch) except -1 nogil:
        """Smooth each phase of the season over its cycles, and one cycle beyond both ends."""
        cdef Py_ssize_t full = self.n // self.period, more = self.n % self.period
        if more:
            self.smooth_phases(values, robust, robustly, smoothed, weights, scratch,
                               self.longer, 0, more, full + 1)
        self.smooth_phases(values, robust, robustly, smoothed, weights, scratch,
                           self.shorter, more, self.period, full)
        return 0

    cdef int smooth_phases(self, double[::1] values, double[::1] robust, bint robustly,
                           double[::1] smoothed, double[::1] weights, double[::1] scratch,
                           double[:, ::1] of_cycles, Py_ssize_t start, Py_ssize_t stop,
                           Py_ssize_t cycles) except -1 nogil:
        """Smooth the phases from `start` to before `stop`, which have the same cycles."""
        cdef Py_ssize_t phase, cycle, row, place, period = self.period, kinds = of_cycles.shape[0]
        cdef double whole, slope
        cdef double[4] ends
        cdef double[4] wholes
        for phase in range(start, stop):
            for row in range(kinds):
                for cycle in range(cycles):
                    weights[cycle] = of_cycles[row, cycle]
                if robustly:
                    for cycle in range(cycles):
                        weights[cycle] = weights[cycle] * robust[phase + cycle * period]
                whole = total(&weights[0], cycles)
                wholes[row] = whole
                for cycle in range(cycles):
                    scratch[cycle] = weights[cycle] / whole * values[phase + cycle * period]
                ends[row] = total(&scratch[0], cycles)
            for row in range(kinds, 4):
                ends[row] = ends[0]
            if robustly and wholes[0] <= 0:
                # Where every weight of a phase is nought, its own ends stand for the means.
                ends[0] = ends[1] = values[phase]
                ends[2] = ends[3] = values[phase + (cycles - 1) * period]
            smoothed[phase] = ends[0]
            smoothed[phase + period] = ends[1]
            smoothed[phase + cycles * period] = ends[2]
            smoothed[phase + (cycles + 1) * period] = ends[3]
            slope = (ends[2] - ends[1]) / <double>(cycles - 1)
            for cycle in range(1, cycles - 1):
                place = phase + (cycle + 1) * period
                smoothed[place] = slope * <double>cycle + ends[1]
        return 0


cdef int moving_average(double[::1] values, double[::1] means, Py_ssize_t n,
                        Py_ssize_t width) except -1 nogil:
    """Put the means of every `width` neighbours of `n` values, whose sum is carried along."""
    cdef Py_ssize_t i
    cdef double carried = total(&values[0], width)
    means[0] = carried / <double>width
    for i in range(n - width):
        carried -= values[i]
        carried += values[i + width]
        means[i + 1] = carried / <double>width
    return 0


cdef int weigh(double[::1] remainder, double[::1] scratch, double[::1] weights) except -1 nogil:
    """Put the bisquare weights of the remainders."""
    cdef Py_ssize_t i, n = remainder.shape[0]
    cdef double size, bound, share
    for i in range(n):
        scratch[i] = fabs(remainder[i])
    bound = 6 * median(&scratch[0], n)
    for i in range(n):
        size = fabs(remainder[i])
        share = size / bound
        share = 1 - share * share
        share = share * share
        if size <= 0.001 * bound:
            share = 1
        if size > 0.999 * bound:
            share = 0
        weights[i] = share
    return 0
