"""Sums in the order in which numpy takes them, in the precision of the values."""

ctypedef fused number:
    float
    double

# Of this many values at a time, so that a sum of more has another order than pairs alone.
DEF BLOCK = 8192


cdef inline number total(const number* values, Py_ssize_t n) noexcept nogil:
    """Return the sum of `n` contiguous values, as ``numpy.add.reduce`` gives it."""
    cdef number found = 0
    cdef Py_ssize_t start = 0
    while n - start > BLOCK:
        found += pairwise(values + start, BLOCK)
        start += BLOCK
    return found + pairwise(values + start, n - start)


cdef inline number pairwise(const number* values, Py_ssize_t n) noexcept nogil:
    """Return the sum of up to 8192 values: of 128 with eight partial sums, of more by halves."""
    cdef number r0, r1, r2, r3, r4, r5, r6, r7, found
    cdef Py_ssize_t i, half
    if n < 8:
        found = 0
        for i in range(n):
            found += values[i]
        return found
    if n <= 128:
        r0, r1, r2, r3 = values[0], values[1], values[2], values[3]
        r4, r5, r6, r7 = values[4], values[5], values[6], values[7]
        i = 8
        while i < n - n % 8:
            r0 += values[i]
            r1 += values[i + 1]
            r2 += values[i + 2]
            r3 += values[i + 3]
            r4 += values[i + 4]
            r5 += values[i + 5]
            r6 += values[i + 6]
            r7 += values[i + 7]
            i += 8
        found = ((r0 + r1) + (r2 + r3)) + ((r4 + r5) + (r6 + r7))
        while i < n:
            found += values[i]
            i += 1
        return found
    half = n // 2
    half -= half % 8
    return pairwise(values, half) + pairwise(values + half, n - half)
