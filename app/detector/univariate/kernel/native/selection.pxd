"""The value of a given rank, and the median."""


cdef inline double select(double* values, Py_ssize_t n, Py_ssize_t rank) noexcept nogil:
    """Return the value of a rank from 0, by C. A. R. Hoare's "Find" (CACM 4, 1961).

    What is smaller then lies before it, what is larger behind. The pivots are drawn, from the
    address of the array: no series can be made for which they are bad.
    """
    cdef Py_ssize_t low = 0, high = n - 1, i, j, middle
    cdef double pivot, first, last
    cdef unsigned long long drawn = <unsigned long long>values
    while low < high:
        # Of three as pivot the middle one.
        drawn = drawn * 6364136223846793005ULL + 1442695040888963407ULL
        middle = low + <Py_ssize_t>((drawn >> 33) % <unsigned long long>(high - low + 1))
        pivot, first, last = values[middle], values[low], values[high]
        if first > last:
            first, last = last, first
        if pivot < first:
            pivot = first
        elif pivot > last:
            pivot = last
        i, j = low, high
        while i <= j:
            while i < high and values[i] < pivot:
                i += 1
            while j > low and pivot < values[j]:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            break
    return values[rank]


cdef inline double median(double* values, Py_ssize_t n) noexcept nogil:
    """Return the median of one value or more, which are put in another order."""
    cdef Py_ssize_t i, middle = n // 2
    cdef double low, high = select(values, n, middle)
    if n % 2:
        return high
    low = values[0]
    for i in range(1, middle):
        low = max(low, values[i])
    return (low + high) / 2
