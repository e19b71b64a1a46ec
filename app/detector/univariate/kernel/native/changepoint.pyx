"""The lines that a trend is followed along; see `detector.univariate.changepoint`."""

import numpy as np

from libc.math cimport fabs

from detector_native.selection cimport median


def median_bend(const double[::1] values):
    """Return the median size of the second differences of values of shape ``(n,)``."""
    cdef Py_ssize_t i, n = values.shape[0] - 2
    cdef double[::1] bends = np.empty(n)
    cdef double usual
    with nogil:
        for i in range(n):
            bends[i] = fabs((values[i + 2] - values[i + 1]) - (values[i + 1] - values[i]))
        usual = median(&bends[0], n)
    return usual


cdef class Piece:
    """A run of a series from `start` to before `stop`, and the line through it."""

    cdef public Py_ssize_t stop
    cdef readonly Py_ssize_t start
    cdef readonly const double[::1] values
    cdef double mean, moment
    cdef bint is_off

    def __init__(self, const double[::1] values, Py_ssize_t start):
        self.values, self.start, self.stop = values, start, start + 1
        self.mean, self.moment, self.is_off = values[start], 0, False

    def follow(self, double[::1] confidence, Py_ssize_t since, Py_ssize_t at, Py_ssize_t stop,
               double tolerance):
        """Extend the piece; see `detector.univariate.changepoint`."""
        cdef double found
        with nogil:
            found = self.extend(confidence, since, at, stop, tolerance)
        return found

    cdef double extend(self, double[::1] confidence, Py_ssize_t since, Py_ssize_t at,
                       Py_ssize_t stop, double tolerance) except? -1 nogil:
        cdef double count, above, spread, slope, departure, inside
        cdef bint is_off
        while self.stop < stop:
            count = <double>(self.stop - self.start)
            above = self.values[self.stop] - self.mean
            spread = count * (count * count - 1) / 12
            slope = self.moment / spread if spread else 0.0
            departure = fabs(above - slope * (count + 1) / 2)
            inside = departure * (1 - 1 / (count + 1)
                                  - 3 * count / ((count + 1) * (count + 2)))
            confidence[self.stop] = inside
            is_off = inside > tolerance
            if is_off and (self.stop >= at or (self.stop >= since and not self.is_off)):
                return departure
            self.is_off = is_off
            self.moment += above * count / 2
            self.mean += above / (count + 1)
            self.stop += 1
        return 0
