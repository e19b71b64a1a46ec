"""Medians; `detector.univariate.kernel.medians` says of what."""

import numpy as np

from libc.math cimport INFINITY, NAN, fabs, fmax, isfinite, sqrt
from libc.stdlib cimport free, malloc
from libc.string cimport memmove

from detector_native.selection cimport select

cdef extern from * nogil:
    int lowest "__builtin_ctzll"(unsigned long long)
    int leading "__builtin_clzll"(unsigned long long)

ctypedef fused real:
    float
    double

# From so many slopes on, the median is sought between bounds.
DEF MANY = 1000


cdef struct Line:
    # How high one point's line is above a slope, and which point it is.
    double height
    Py_ssize_t place


def moving_median(const double[::1] values, const float[::1] singles, const long long[::1] order,
                  Py_ssize_t window, bint ends):
    """Return the moving median of at least as many `values` as the window is wide.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
    singles : ndarray of float32, shape (n,)
        The values in single precision.
    order : ndarray of int64, shape (n,)
        What sorts the singles.
    window, ends
        As in `detector.univariate.kernel.medians.moving_median`.
    """
    cdef Py_ssize_t i, n = singles.shape[0], half = window // 2, width = 2 * half + 1
    result = np.array(singles)
    cdef float[::1] medians = result, held = np.empty(width, dtype=np.float32)
    cdef long long[::1] ranks = np.empty(n, dtype=np.int64)
    cdef unsigned long long[::1] bits = np.zeros(n // 64 + 1, dtype=np.uint64)
    if half == 0:
        return result
    with nogil:
        for i in range(n):
            ranks[order[i]] = i
        slide(singles, order, ranks, bits, half, medians)
        if ends:
            grow(singles, held, half, medians)
            shrink(values, singles, held, half, medians)
    return result


cdef int slide(const float[::1] values, const long long[::1] order, const long long[::1] ranks,
               unsigned long long[::1] bits, Py_ssize_t half,
               float[::1] medians) except -1 nogil:
    """Put the medians of the whole windows.

    A bit for each rank says whether its value is in the window. The median's place among them
    moves by a step or two whenever the window does.
    """
    cdef Py_ssize_t i, below, n = values.shape[0], width = 2 * half + 1
    cdef long long place, entering, leaving
    for i in range(width):
        bits[ranks[i] >> 6] |= 1ULL << (ranks[i] & 63)
    place = next_set(bits, 0)
    for i in range(half):
        place = next_set(bits, place + 1)
    medians[half] = values[order[place]]
    for i in range(half + 1, n - half):
        entering, leaving = ranks[i + half], ranks[i - half - 1]
        bits[entering >> 6] |= 1ULL << (entering & 63)
        bits[leaving >> 6] &= ~(1ULL << (leaving & 63))
        below = half + (entering < place) - (leaving < place)
        if leaving == place:
            # Of the values left, as many lie below the next one, or there are none above.
            place = next_set(bits, place + 1)
            if place < 0:
                place = last_set(bits, leaving)
                below -= 1
        while below < half:
            place = next_set(bits, place + 1)
            below += 1
        while below > half:
            place = last_set(bits, place - 1)
            below -= 1
        medians[i] = values[order[place]]
    return 0


cdef inline long long next_set(const unsigned long long[::1] bits, long long start) except? -2 nogil:
    """Return the first set bit from `start` on, or -1."""
    cdef Py_ssize_t word = start >> 6
    if word >= bits.shape[0]:
        return -1
    cdef unsigned long long rest = bits[word] >> (start & 63) << (start & 63)
    while rest == 0:
        word += 1
        if word == bits.shape[0]:
            return -1
        rest = bits[word]
    return 64 * word + lowest(rest)


cdef inline long long last_set(const unsigned long long[::1] bits, long long start) except? -2 nogil:
    """Return the last set bit up to `start`; there is one."""
    cdef Py_ssize_t word = start >> 6, above = 63 - (start & 63)
    cdef unsigned long long rest = bits[word] << above >> above
    while rest == 0:
        word -= 1
        rest = bits[word]
    return 64 * word + 63 - leading(rest)


cdef int grow(const float[::1] values, float[::1] held, Py_ssize_t half,
              float[::1] medians) except -1 nogil:
    """Put the medians at the start, of windows that get their values one by one."""
    cdef Py_ssize_t i, place
    for i in range(2 * half):
        place = bisect_right(held, i, values[i])
        memmove(&held[place] + 1, &held[place], (i - place) * sizeof(float))
        held[place] = values[i]
        if i >= half:
            medians[i - half] = middle(held, i + 1)
    return 0


cdef int shrink(const double[::1] values, const float[::1] singles, float[::1] held,
                Py_ssize_t half, float[::1] medians) except -1 nogil:
    """Put the medians at the end, of windows that lose their first values one by one.

    The value to drop is sought in double precision, as upstream does it.
    """
    cdef Py_ssize_t i, place, n = values.shape[0], width = 2 * half + 1, left = width
    for i in range(width):
        place = bisect_right(held, i, singles[n - width + i])
        memmove(&held[place] + 1, &held[place], (i - place) * sizeof(float))
        held[place] = singles[n - width + i]
    for i in range(half):
        place = bisect_right(held, left, values[n - width + i]) - 1
        if place < 0:
            if left == width:
                held[left - 1] = held[0]
            place = 0
        left -= 1
        memmove(&held[place], &held[place] + 1, (left - place) * sizeof(float))
        medians[n - half + i] = middle(held, left)
    return 0


cdef inline Py_ssize_t bisect_right(const float[::1] ordered, Py_ssize_t n,
                                    double value) except -1 nogil:
    cdef Py_ssize_t low = 0, high = n, between
    while low < high:
        between = (low + high) // 2
        if value < ordered[between]:
            high = between
        else:
            low = between + 1
    return low


cdef inline float middle(const float[::1] ordered, Py_ssize_t n) except? -1 nogil:
    cdef Py_ssize_t half = n // 2
    if n % 2:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / <float>2


def median_slope(const real[::1] values):
    """Return the Theil-Sen slope of equidistant `values`, shape ``(n,)``, at least 2."""
    cdef Py_ssize_t n = values.shape[0], pairs = n * (n - 1) // 2, numbers, i
    cdef bint finite = True
    cdef double found = NAN
    cdef double* slopes = <double*>malloc(pairs * sizeof(double))
    cdef Line* lines = <Line*>malloc(3 * power_of_two(n) * sizeof(Line))
    if slopes == NULL or lines == NULL:
        free(slopes)
        free(lines)
        raise MemoryError
    with nogil:
        for i in range(n):
            # No step may overflow either: it would be steeper than its points lie apart.
            finite = finite and isfinite(<real>4 * values[i])
        if not (finite and pairs > MANY and narrowed(&values[0], n, lines, slopes, &found)):
            numbers = all_slopes(&values[0], n, slopes)
            # What is no number comes last.
            if pairs // 2 < numbers:
                found = of_ranks(slopes, numbers, (pairs - 1) // 2, pairs // 2)
    free(slopes)
    free(lines)
    return found


cdef inline double slope_of(const real* values, Py_ssize_t i, Py_ssize_t j) noexcept nogil:
    """Return the slope from a point to a later one; their step is of the values' precision."""
    return <double>(values[j] - values[i]) / <double>(j - i)


cdef Py_ssize_t all_slopes(const real* values, Py_ssize_t n, double* slopes) noexcept nogil:
    """Put the slopes of all pairs, but those that are no number; return how many they are."""
    cdef Py_ssize_t apart, i, count = 0
    for apart in range(1, n):
        for i in range(n - apart):
            slopes[count] = slope_of(values, i, i + apart)
            count += slopes[count] == slopes[count]
    return count


cdef bint narrowed(const real* values, Py_ssize_t n, Line* lines, double* slopes,
                   double* found) noexcept nogil:
    """Find the median slope without computing all of them; return False where that fails.

    Slopes are selected as by J. Matousek, "Randomized optimal algorithm for slope selection"
    (Information Processing Letters 39, 1991): a slope is smaller than `t` where the later point
    lies lower above the line of slope `t` than the earlier one, so the slopes below `t` are the
    inversions of those heights. That narrows the median down to some hundreds of slopes.
    """
    cdef Py_ssize_t pairs = n * (n - 1) // 2, low = (pairs - 1) // 2, high = pairs // 2
    cdef Py_ssize_t below, upto, count, aim, margin, before = 2 * pairs, i
    cdef Py_ssize_t sample = 512 if n > 200 else 128
    # Four standard deviations: the bounds fail 1 time in 16,000.
    cdef Py_ssize_t reach = <Py_ssize_t>(4 * sqrt(sample / 4.0))
    cdef double floor, ceiling, between, steepest, slack = 0
    draw_slopes(values, n, sample, slopes)
    floor = select(slopes, sample, sample // 2 - reach)
    ceiling = select(slopes, sample, sample // 2 + reach)
    if not (isfinite(floor) and isfinite(ceiling)):
        return False
    # Rounding puts slopes on the wrong side of a bound that are closer to it than this.
    for i in range(n):
        slack = fmax(slack, fabs(<double>values[i]))
    steepest = fmax(fabs(floor), fabs(ceiling))
    slack = 1e-15 * (slack + n * steepest) + (1.2e-7 if real is float else 0) * steepest + 1e-300
    floor, ceiling = floor - 2 * slack, ceiling + 2 * slack
    below, upto = count_below(values, n, floor, lines), count_below(values, n, ceiling, lines)
    while below <= low and high < upto and upto - below > 2 * n:
        if 4 * (upto - below) > 3 * before or ceiling - floor < 9 * slack:
            # So many slopes are the same.
            break
        before = upto - below
        # Aim a little beside the median, at the side where more is to be left out.
        margin = (upto - below) // 32 + n // 4
        aim = low - margin if low - below > upto - high else high + margin
        between = floor + (ceiling - floor) * (<double>(aim - below) / <double>(upto - below))
        if not floor < between < ceiling:
            break
        count = count_below(values, n, between, lines)
        if count <= low:
            floor, below = between, count
        elif high < count:
            ceiling, upto = between, count
        else:
            break
    if not (below <= low and high < upto):
        return False
    count_below(values, n, floor, lines)
    count = slopes_between(values, n, ceiling, lines, slopes)
    if count <= high - below:
        return False
    found[0] = of_ranks(slopes, count, low - below, high - below)
    return floor + slack < found[0] < ceiling - slack


cdef int draw_slopes(const real* values, Py_ssize_t n, Py_ssize_t count,
                     double* slopes) noexcept nogil:
    """Put the slopes of so many pairs, drawn from all."""
    cdef unsigned long long drawn = <unsigned long long>values
    cdef Py_ssize_t i, j, place
    for place in range(count):
        drawn = drawn * 6364136223846793005ULL + 1442695040888963407ULL
        i = ((drawn >> 32) * <unsigned long long>n) >> 32
        drawn = drawn * 6364136223846793005ULL + 1442695040888963407ULL
        j = ((drawn >> 32) * <unsigned long long>(n - 1)) >> 32
        j += j >= i
        slopes[place] = slope_of(values, min(i, j), max(i, j))
    return 0


cdef Py_ssize_t count_below(const real* values, Py_ssize_t n, double slope,
                            Line* lines) noexcept nogil:
    """Return how many slopes are smaller; `lines`, of room for three times, start in order."""
    cdef Py_ssize_t i, width = 1, size = power_of_two(n), inversions = 0
    cdef Line* ordered = lines + size
    cdef Line* merged = lines + 2 * size
    for i in range(n):
        ordered[i].height = <double>values[i] - slope * <double>i
        ordered[i].place = i
    for i in range(n, size):
        ordered[i].height = INFINITY
        ordered[i].place = i
    while width < size:
        i = 0
        while i < size:
            inversions += merge(ordered + i, width, merged + i)
            i += 2 * width
        ordered, merged = merged, ordered
        width *= 2
    memmove(lines, ordered, n * sizeof(Line))
    return inversions


cdef inline Py_ssize_t power_of_two(Py_ssize_t n) noexcept nogil:
    """Return the least one that is not smaller."""
    cdef Py_ssize_t size = 1
    while size < n:
        size *= 2
    return size


cdef inline Py_ssize_t merge(const Line* lines, Py_ssize_t half, Line* merged) noexcept nogil:
    """Merge two ordered halves; return how many pairs of them stood in the wrong order.

    It goes from both ends to the middle, as two lines of work that do not wait for each other. Masks
    stand for branches: which way these go, no processor can guess.
    """
    cdef Py_ssize_t i, low = 0, high = half, last_low = half - 1, last_high = 2 * half - 1
    cdef Py_ssize_t mask, inversions = 0
    for i in range(half):
        # All bits are set where the next one is of the second half.
        mask = -<Py_ssize_t>(lines[high].height < lines[low].height)
        merged[i] = lines[low + ((high - low) & mask)]
        inversions += (half - low) & mask
        high -= mask
        low += 1 + mask
        # And here where the last one is of the first half.
        mask = -<Py_ssize_t>(lines[last_high].height < lines[last_low].height)
        merged[2 * half - 1 - i] = lines[last_high + ((last_low - last_high) & mask)]
        inversions += (half - 1 - last_low) & ~mask
        last_low += mask
        last_high -= 1 + mask
    return inversions


cdef Py_ssize_t slopes_between(const real* values, Py_ssize_t n, double ceiling, Line* lines,
                               double* slopes) noexcept nogil:
    """Put the slopes below `ceiling` of the pairs that the order of `lines` says are not lower.

    They are the pairs that change places when the lines are put into the order of `ceiling`.
    """
    cdef Py_ssize_t i, j, count = 0
    cdef Line line
    for i in range(n):
        line.place = lines[i].place
        line.height = <double>values[line.place] - ceiling * <double>line.place
        j = i
        while j > 0 and lines[j - 1].height > line.height:
            if lines[j - 1].place < line.place:
                slopes[count] = slope_of(values, lines[j - 1].place, line.place)
                count += 1
            lines[j] = lines[j - 1]
            j -= 1
        lines[j] = line
    return count


cdef double of_ranks(double* values, Py_ssize_t n, Py_ssize_t low,
                     Py_ssize_t high) noexcept nogil:
    """Return the mean of the values of two neighbouring ranks, or of the one."""
    cdef Py_ssize_t i
    cdef double upper = select(values, n, high), lower
    if low == high:
        return upper
    lower = values[0]
    for i in range(1, high):
        if values[i] > lower:
            lower = values[i]
    return (lower + upper) / 2
