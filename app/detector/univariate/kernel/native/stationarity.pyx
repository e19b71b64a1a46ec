"""The sums of `detector.univariate.kernel.stationarity` over long series."""

import numpy as np

from detector_native.sums cimport total


def lagged_products(const double[::1] steps, const double[::1] now):
    """Return the sums of products of each two lags, ``(lags + 1, lags + 1)``.

    Parameters
    ----------
    steps : ndarray of float64, shape (rows + lags,)
    now : ndarray of float64, shape (lags + 1,)
        The sums of the unlagged steps with each lag of them.
    """
    cdef Py_ssize_t lags = now.shape[0] - 1, rows = steps.shape[0] - lags, lag, other
    cdef double entering, leaving
    products = np.empty((lags + 1, lags + 1))
    cdef double[:, ::1] of_lags = products
    with nogil:
        of_lags[0, :] = now
        for lag in range(1, lags + 1):
            # One step earlier, one product enters and one leaves.
            entering, leaving = steps[lags - lag], steps[lags - lag + rows]
            for other in range(1, lags + 1):
                of_lags[lag, other] = (
                    of_lags[lag - 1, other - 1]
                    + entering * steps[lags - other]
                    - leaving * steps[lags - other + rows]
                )
            of_lags[lag, 0] = now[lag]
    return products


def lagged_sums(const double[::1] steps, Py_ssize_t lags):
    """Return the sums of `steps`, less so many, from each lag of 0 to `lags`."""
    cdef Py_ssize_t lag, rows = steps.shape[0] - lags
    found = np.empty(lags + 1)
    cdef double[::1] sums = found
    with nogil:
        for lag in range(lags + 1):
            sums[lag] = total(&steps[lags - lag], rows)
    return found
