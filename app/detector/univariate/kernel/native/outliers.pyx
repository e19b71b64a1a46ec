"""The outlier tests and their vote; `detector.univariate.kernel.outliers` has the sources.

Samples come sorted and finite, in single precision too. What that module computes in single
precision is computed so here, and rounded where numpy rounds it.
"""

import numpy as np

from libc.math cimport INFINITY, fabs, sqrt, sqrtf

from detector_native.sums cimport total

ctypedef fused real:
    float
    double

cdef double TINY = 1e-8
cdef float TINY_SINGLE = 1e-8
cdef double QUARTILE = 0.6744897501960817
cdef float QUARTILE_SINGLE = 0.6744897501960817
cdef double Z_LIMIT = 3

# What the bounds of the distance from the mean say of a value.
cdef enum:
    NORMAL
    OPEN
    OUTLIER


def median_absolute_deviation(const double[::1] ordered):
    """Return the median distance from the median of a sorted sample, of a normal deviation."""
    return deviation_of(&ordered[0], ordered.shape[0])


def vote(list samples, Py_ssize_t most, critical, bint last_only):
    """Return the indices of the outliers, in ascending order.

    Parameters
    ----------
    samples : list of Ordered
    most : int
        How many values are tested on either side, and at most outliers; less than half.
    critical : callable
        Returns the critical values of a sample of so many values, float32 of shape ``(most,)``.
    last_only : bool
        Tests stop at the last point of the series.
    """
    cdef Py_ssize_t n = len(samples[0]), place
    cdef Ballot ballot = Ballot(n, most)
    cdef Test test
    cdef bint upper
    for upper in (True, False):
        for place, sample in enumerate(samples):
            test = Test(sample.values, sample.index, upper)
            if sample.majority is not None:
                test.cut(sample.majority)
            ballot.add_esd(test, critical(test.n), last_only)
            if place == 0:
                ballot.add_z_score(test)
        ballot.close()
    return np.flatnonzero(ballot.flagged)


cdef class Ballot:
    """What the tests of one side find, ranked; and the outliers of both sides."""

    cdef Py_ssize_t n, most, tests, members
    cdef long long[::1] scores, found
    cdef readonly object flagged
    cdef unsigned char[::1] flags

    def __init__(self, Py_ssize_t n, Py_ssize_t most):
        self.n, self.most = n, most
        self.scores, self.found = np.full(n, -1), np.empty(n, dtype=np.int64)
        self.flagged = np.zeros(n, dtype=bool)
        self.flags = self.flagged.view(np.uint8)

    cdef int add(self, long long index, Py_ssize_t rank) except -1 nogil:
        """Add what a test ranks. Tests after the first start at `n` times their number; what has
        been found before adds its rank alone.
        """
        if self.scores[index] < 0:
            self.found[self.members] = index
            self.members += 1
            self.scores[index] = rank + self.tests * self.n
        else:
            self.scores[index] += rank
        return 0

    cdef int add_esd(self, Test test, const float[::1] critical, bint last_only) except -1:
        cdef Py_ssize_t i, count = 0, first = 0
        with nogil:
            if last_only:
                first = test.place_of(self.n - 1)
            if first < self.most:
                count = test.count_outliers(critical, first, self.most, last_only)
            for i in range(count):
                self.add(test.index_of(i), i)
            self.tests += 1
        return 0

    cdef int add_z_score(self, Test test) except -1:
        cdef Py_ssize_t i, rank = 0
        cdef double centre, spread
        cdef const double* values = &test.ordered[0]
        centre, spread = middle_of(values, self.n), deviation_of(values, self.n)
        if spread == 0:
            centre = total(values, self.n) / <double>self.n
            spread = standard_deviation(test.ordered, centre)
        if spread != 0:
            for i in range(self.most):
                if fabs(test.value_of(i) - centre) / spread > Z_LIMIT:
                    self.add(test.index_of(i), rank)
                    rank += 1
        self.tests += 1
        return 0

    cdef int close(self) except -1:
        """Flag those of the side that ranked first, and start with the other side."""
        cdef Py_ssize_t i, room = self.most
        cdef long long last = 0
        cdef long long[::1] of_score
        for i in range(self.members):
            last = max(last, self.scores[self.found[i]] + 1)
        if self.members > self.most:
            of_score = np.zeros(last, dtype=np.int64)
            for i in range(self.members):
                of_score[self.scores[self.found[i]]] += 1
            last = 0
            while of_score[last] <= room:
                room -= of_score[last]
                last += 1
        for i in range(self.members):
            if self.scores[self.found[i]] < last:
                self.flags[self.found[i]] = 1
            elif self.scores[self.found[i]] == last and room:
                # Of equal scores those found first.
                self.flags[self.found[i]] = 1
                room -= 1
        for i in range(self.members):
            self.scores[self.found[i]] = -1
        self.tests = self.members = 0
        return 0


cdef class Test:
    """A sample from one of its ends: the upper one or the lower one."""

    cdef const double[::1] ordered
    cdef const long long[::1] index
    cdef bint upper
    cdef Py_ssize_t n
    cdef float[::1] singles, squares
    cdef unsigned char[::1] known

    def __init__(self, const double[::1] ordered, const long long[::1] index, bint upper):
        cdef Py_ssize_t i
        self.ordered, self.index, self.upper = ordered, index, upper
        self.n = ordered.shape[0]
        self.singles = np.empty(self.n, dtype=np.float32)
        self.squares = np.empty(self.n, dtype=np.float32)
        self.known = np.empty(self.n, dtype=np.uint8)
        for i in range(self.n):
            self.singles[i] = <float>self.value_of(i)

    cdef inline double value_of(self, Py_ssize_t place) noexcept nogil:
        return self.ordered[self.ordered.shape[0] - 1 - place if self.upper else place]

    cdef inline long long index_of(self, Py_ssize_t place) noexcept nogil:
        return self.index[self.index.shape[0] - 1 - place if self.upper else place]

    cdef int cut(self, double majority) except -1:
        """Leave out of the ESD test what lies beyond the majority."""
        while not fabs(self.value_of(self.n - 1) - majority) < TINY:
            self.n -= 1
        return 0

    cdef Py_ssize_t place_of(self, long long index) noexcept nogil:
        """Return where a point of the series stands; behind all others where it was left out."""
        cdef Py_ssize_t place = 0
        while place < self.n and self.index_of(place) != index:
            place += 1
        return place

    cdef Py_ssize_t count_outliers(self, const float[::1] critical, Py_ssize_t first,
                                   Py_ssize_t most, bint stop_at_first) except -1 nogil:
        """Return how many values at the front are outliers, up to the last or to the first one."""
        cdef Py_ssize_t i, place, nearer = 0
        self.bound_mean_distances(critical, first, most)
        for i in range(most - first):
            place = first + i if stop_at_first else most - 1 - i
            if self.known[place] == OUTLIER:
                return place + 1
            if self.median_distance(place, &nearer) > critical[place]:
                return place + 1
            if self.known[place] == OPEN and self.mean_distance(place) > critical[place]:
                return place + 1
        return 0

    cdef float median_distance(self, Py_ssize_t place, Py_ssize_t* nearer) noexcept nogil:
        """Return how many robust deviations a value lies from the median of it and the rest."""
        cdef Py_ssize_t left = self.n - place
        cdef float* rest = &self.singles[place]
        cdef float low = rest[(left - 1) // 2], high = rest[left // 2], spread
        cdef float median = low if left % 2 else (low + high) / <float>2
        middle_distances(rest, left, median, nearer, &low, &high)
        spread = (low if left % 2 else (low + high) / <float>2) / QUARTILE_SINGLE
        return (rest[0] - median if self.upper else median - rest[0]) / (
            TINY_SINGLE if spread < TINY_SINGLE else spread
        )

    cdef float mean_distance(self, Py_ssize_t place) noexcept nogil:
        """Return how many deviations a value lies from the mean of it and the rest."""
        cdef Py_ssize_t i, left = self.n - place
        cdef float* rest = &self.singles[place]
        cdef float* squares = &self.squares[0]
        cdef float mean = <float>(total(rest, left) / <double>left), spread
        for i in range(left):
            squares[i] = (rest[i] - mean) * (rest[i] - mean)
        spread = sqrtf(<float>(total(squares, left) / <double>left))
        return (rest[0] - mean if self.upper else mean - rest[0]) / (
            TINY_SINGLE if spread < TINY_SINGLE else spread
        )

    cdef int bound_mean_distances(self, const float[::1] critical, Py_ssize_t first,
                                  Py_ssize_t most) except -1 nogil:
        """See of which values running sums tell on what side of the critical value they lie.

        The bounds are those of `detector.univariate.kernel.outliers`.
        """
        cdef Py_ssize_t n = self.n, left, place
        cdef double origin = self.singles[n - n // 4 - 1], last = fabs(self.singles[n - 1])
        cdef double value, mean, variance, spread, lost, rough, distance, doubt, beyond
        cdef double sums = 0, squares = 0
        for left in range(1, n - first + 1):
            place = n - left
            value = self.singles[place] - origin
            sums += value
            squares += value * value
            if place >= most:
                continue
            mean = sums / <double>left
            variance = squares / <double>left - mean * mean
            if variance < 0:
                variance = 0
            spread = sqrt(variance)
            lost = 2e-6 * max(fabs(self.singles[place]), last) + 1e-12
            rough = spread if spread > TINY else TINY
            distance = (value - mean if self.upper else mean - value) / rough
            doubt = INFINITY
            if spread > 4 * lost:
                doubt = (
                    lost
                    + fabs(distance)
                    * (lost + 2e-6 * rough + 1e-11 * squares / <double>left / rough)
                ) / rough
            beyond = doubt
            if variance >= 1e-6 * squares / <double>left:
                beyond = min(doubt, 1.01 + 0.01 * fabs(distance))
            if distance - doubt > critical[place]:
                self.known[place] = OUTLIER
            else:
                self.known[place] = OPEN if distance + beyond > critical[place] else NORMAL
        return 0


cdef double middle_of(const double* ordered, Py_ssize_t n) noexcept nogil:
    """Return the median."""
    cdef Py_ssize_t half = n // 2
    return ordered[half] if n % 2 else (ordered[half - 1] + ordered[half]) / 2


cdef double deviation_of(const double* ordered, Py_ssize_t n) noexcept nogil:
    """Return the median absolute deviation, scaled to a normal standard deviation."""
    cdef Py_ssize_t nearer = 0
    cdef double low = 0, high = 0
    middle_distances(ordered, n, middle_of(ordered, n), &nearer, &low, &high)
    return low / QUARTILE if n % 2 else (low / QUARTILE + high / QUARTILE) / 2


cdef double standard_deviation(const double[::1] values, double mean) except? -1:
    cdef Py_ssize_t i, n = values.shape[0]
    cdef double[::1] squares = np.empty(n)
    for i in range(n):
        squares[i] = (values[i] - mean) * (values[i] - mean)
    return sqrt(total(&squares[0], n) / <double>n)


cdef inline real gap(real value, real other) noexcept nogil:
    cdef real difference = value - other
    return -difference if difference < 0 else difference


cdef void middle_distances(const real* values, Py_ssize_t n, real median, Py_ssize_t* nearer,
                           real* low, real* high) noexcept nogil:
    """Put the two middle distances of sorted values from their median, of `n` odd the first.

    The distances grow to both sides of the median. How many of the smaller half of them lie before
    it is searched, first near what `nearer` says: what was found for a sample of a value more or
    less.
    """
    cdef Py_ssize_t split = n // 2, half = (n + 1) // 2, least = 0, greatest = split, step = 1
    cdef Py_ssize_t taken = nearer[0], behind
    while least < greatest:
        if not least <= taken < greatest:
            taken = (least + greatest) // 2
        if gap(values[split + half - 1 - taken], median) > gap(values[split - 1 - taken], median):
            least = taken + 1
            taken += step
        else:
            greatest = taken
            taken -= step
        step *= 2
    nearer[0] = least
    behind = split + half - least
    low[0] = 0
    if behind > split:
        low[0] = gap(values[behind - 1], median)
    if least:
        low[0] = max(low[0], gap(values[split - least], median))
    if n % 2 == 0:
        high[0] = INFINITY
        if least < split:
            high[0] = gap(values[split - 1 - least], median)
        if behind < n:
            high[0] = min(high[0], gap(values[behind], median))
