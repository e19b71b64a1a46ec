"""The spline of `detector.univariate.kernel.trend`, with the bits of scipy's.

P. Dierckx, "Curve and Surface Fitting with Splines" (Oxford University Press, 1993): the rows of the
regression are turned one by one into its triangle, by Givens rotations. What is added, multiplied
and divided, and in which order, is as in his FITPACK, which scipy calls.
"""

import numpy as np

from libc.math cimport fabs, sqrt

# Of a cubic spline so many parts of its basis are not nought at a place.
DEF ORDER = 4


cdef class Spline:
    """The least-squares cubic spline of series of one length; safe to share between threads.

    Parameters
    ----------
    n : int
        The values lie at 0 to ``n - 1``.
    knots : ndarray of float64, shape (m,)
        The inner ones, rising, between the first place and the last, with places between them that
        determine the spline (the conditions of Schoenberg and Whitney).
    """

    cdef Py_ssize_t n
    cdef Py_ssize_t[::1] starts  # (m + 2,), of the intervals between knots, and n
    cdef double[:, ::1] basis, triangle  # (n, ORDER), (m + ORDER, ORDER)
    cdef double[:, :, ::1] rotations  # (n, ORDER, 2), cosine and sine

    def __init__(self, Py_ssize_t n, const double[::1] knots):
        cdef Py_ssize_t i, first = 0, inner = knots.shape[0]
        cdef double[::1] bounds = np.empty(inner + 2 * ORDER)
        cdef Py_ssize_t[::1] starts = np.full(inner + 2, n, dtype=np.intp)
        cdef double[:, ::1] basis = np.empty((n, ORDER)), triangle = np.zeros((inner + ORDER, ORDER))
        cdef double[:, :, ::1] rotations = np.empty((n, ORDER, 2))
        with nogil:
            for i in range(ORDER):
                bounds[i], bounds[ORDER + inner + i] = 0, <double>(n - 1)
            bounds[ORDER:ORDER + inner] = knots
            starts[0] = 0
            for i in range(n):
                while first < inner and knots[first] <= <double>i:
                    first += 1
                    starts[first] = i
                evaluate_basis(&bounds[first], <double>i, &basis[i, 0])
                turn(&basis[i, 0], &triangle[first, 0], &rotations[i, 0, 0])
        self.n, self.starts = n, starts
        self.basis, self.triangle, self.rotations = basis, triangle, rotations

    def fit(self, const double[::1] values):
        """Return the spline of a series at its places, both of shape ``(n,)``."""
        if values.shape[0] != self.n:
            raise ValueError(f"The series has {values.shape[0]} points for a spline of {self.n}.")
        fitted = np.empty(self.n)
        cdef double[::1] smooth = fitted, right = np.zeros(self.triangle.shape[0])
        cdef Py_ssize_t i, first, part
        cdef double value, held, cosine, sine
        with nogil:
            for first in range(self.starts.shape[0] - 1):
                for i in range(self.starts[first], self.starts[first + 1]):
                    value = values[i]
                    for part in range(ORDER):
                        cosine, sine = self.rotations[i, part, 0], self.rotations[i, part, 1]
                        if sine == 0:
                            continue
                        held = right[first + part]
                        right[first + part] = cosine * held + sine * value
                        value = cosine * value - sine * held
            solve(self.triangle, right)
            for first in range(self.starts.shape[0] - 1):
                for i in range(self.starts[first], self.starts[first + 1]):
                    value = 0
                    for part in range(ORDER):
                        value += right[first + part] * self.basis[i, part]
                    smooth[i] = value
        return fitted


cdef inline void evaluate_basis(const double* bounds, double place, double* basis) noexcept nogil:
    """Put the parts of the basis between the middle two of eight bounds, by de Boor's recurrence."""
    cdef Py_ssize_t degree, i
    cdef double share
    cdef double[ORDER] lower
    cdef const double* above = bounds + ORDER
    basis[0] = 1
    for degree in range(1, ORDER):
        for i in range(degree):
            lower[i] = basis[i]
        basis[0] = 0
        for i in range(degree):
            share = lower[i] / (above[i] - above[i - degree])
            basis[i] = basis[i] + share * (above[i] - place)
            basis[i + 1] = share * (place - above[i - degree])


cdef inline void turn(const double* basis, double* triangle, double* rotations) noexcept nogil:
    """Turn one more row of the regression into its triangle."""
    cdef Py_ssize_t i
    cdef double[ORDER] row
    for i in range(ORDER):
        row[i] = basis[i]
    # As a loop, the compiler makes of it code that is half as fast.
    eliminate(row, triangle, 4, rotations)
    eliminate(row + 1, triangle + ORDER, 3, rotations + 2)
    eliminate(row + 2, triangle + 2 * ORDER, 2, rotations + 4)
    eliminate(row + 3, triangle + 3 * ORDER, 1, rotations + 6)


cdef inline void eliminate(double* row, double* corner, Py_ssize_t width,
                           double* rotation) noexcept nogil:
    """Turn the first value of a row to nought against the row of the triangle that has one there."""
    cdef Py_ssize_t column
    cdef double pivot = row[0], size = fabs(pivot), length, cosine, sine, held
    rotation[0], rotation[1] = 1, 0
    if pivot == 0:
        return
    if size >= corner[0]:
        length = corner[0] / pivot
        length = size * sqrt(1 + length * length)
    else:
        length = pivot / corner[0]
        length = corner[0] * sqrt(1 + length * length)
    cosine, sine = corner[0] / length, pivot / length
    rotation[0], rotation[1] = cosine, sine
    corner[0] = length
    for column in range(1, width):
        held = corner[column]
        corner[column] = cosine * held + sine * row[column]
        row[column] = cosine * row[column] - sine * held


cdef int solve(const double[:, ::1] triangle, double[::1] right) except -1 nogil:
    """Put the solution of a band of equations, triangular, in place of their right sides."""
    cdef Py_ssize_t row, column, count = right.shape[0]
    for row in range(count - 1, -1, -1):
        for column in range(1, min(ORDER, count - row)):
            right[row] -= right[row + column] * triangle[row, column]
        right[row] /= triangle[row, 0]
    return 0
