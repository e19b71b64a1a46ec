"""The running mean of `detector.univariate.kernel.spectral_residual`.

Its roots are those of Python's ``**``, which is the C library's `pow`, and not numpy's.
"""

import numpy as np

from libc.math cimport pow


def running_geometric_mean(const double[::1] amplitude):
    """Return the geometric mean of each amplitude and the two before it, noughts left out."""
    cdef Py_ssize_t place, n = amplitude.shape[0]
    cdef double product = 1.0, third = 1.0 / 3
    means = np.empty(n)
    cdef double[::1] rows = means
    with nogil:
        for place in range(n):
            if amplitude[place] > 0:
                product *= amplitude[place]
            if place < 3:
                rows[place] = pow(product, 1.0 / <double>(place + 1))
                continue
            if amplitude[place - 3] > 0:
                product /= amplitude[place - 3]
            rows[place] = pow(product, third)
    return means
