"""Sums of products of long series."""

import numpy as np

from detector.arrays import Floats

# From more values on OpenBLAS shares a product out between threads: those wait for each other where
# the processor has other work, and how many there are would show in the last bits.
_LONGEST = 10_000


def dot(left: Floats, right: Floats) -> float:
    """Return the sum of products of two series of shape ``(n,)``, n at most 20,000.

    It is that of `numpy.dot` with two threads, on any number of processors.
    """
    if len(left) <= _LONGEST:
        return float(np.dot(left, right))
    half = (len(left) + 1) // 2
    return float(np.dot(left[:half], right[:half]) + np.dot(left[half:], right[half:]))
