"""The lines through runs of a series; `detector.univariate.segmentation` has the search for breaks.

Every value is rounded where numpy rounds it. What takes a logarithm, sorts or sums products is left
to numpy.
"""

import numpy as np

from detector_native.selection cimport median


cdef inline double squares_left(double count, double spread, double middle, double total,
                                double moment, double energy, double rounding) noexcept nogil:
    """Return the sum of squares that a line through a run leaves, from the sums of the run."""
    cdef double left, least = count * rounding
    moment = moment - middle * total
    left = energy - total * total / count - moment * moment / spread
    return least if left < least else left


cdef class Lines:
    """Least-squares lines through any run of a series, each at the cost of one.

    Not for two threads at once: it keeps which intervals were searched.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        About their mean.
    shortest : int
        How many points each line fits at least.
    rounding : float
        The square of what a value is off by rounding.

    Attributes
    ----------
    searched : int
        How many intervals were searched for their best split.
    """

    cdef readonly Py_ssize_t searched
    cdef Py_ssize_t n, shortest
    cdef double rounding
    cdef double[::1] values, places, spread, total, moment, energy, scratch
    # Of the last interval that began at each point: where it stops, how to split it best, and what
    # that leaves. The first are the intervals between the neighbours of one break, the others those
    # about two.
    cdef long long[:, ::1] known_stop, known_place
    cdef double[:, ::1] known_left

    def __init__(self, double[::1] values, Py_ssize_t shortest, double rounding):
        cdef Py_ssize_t i, n = values.shape[0]
        cdef double value, place
        self.n, self.shortest, self.rounding, self.searched = n, shortest, rounding, 0
        self.values = values
        self.places, self.spread, self.scratch = np.empty(n + 1), np.empty(n + 1), np.empty(n + 1)
        self.total, self.moment, self.energy = np.empty(n + 1), np.empty(n + 1), np.empty(n + 1)
        self.known_stop = np.zeros((2, n), dtype=np.int64)
        self.known_place = np.empty((2, n), dtype=np.int64)
        self.known_left = np.empty((2, n))
        with nogil:
            self.total[0] = self.moment[0] = self.energy[0] = 0
            for i in range(n + 1):
                place = <double>i
                self.places[i] = place
                # What the squares of the places of so many points sum up to about their middle.
                self.spread[i] = place * (place * place - 1) / 12
            for i in range(n):
                value = values[i]
                self.total[i + 1] = self.total[i] + value
                self.moment[i + 1] = self.moment[i] + <double>i * value
                self.energy[i + 1] = self.energy[i] + value * value

    cdef double squares(self, Py_ssize_t start, Py_ssize_t stop) except? -1 nogil:
        """Return the sum of squares left by the line through ``start`` to before ``stop``."""
        return squares_left(<double>(stop - start), self.spread[stop - start],
                            <double>(start + stop - 1) / 2, self.total[stop] - self.total[start],
                            self.moment[stop] - self.moment[start],
                            self.energy[stop] - self.energy[start], self.rounding)

    cdef Py_ssize_t best_split(self, Py_ssize_t start, Py_ssize_t stop,
                               Py_ssize_t step) except -1 nogil:
        """Return the place where two lines leave least; the first element of `scratch` is what."""
        cdef Py_ssize_t i, at, first = start + self.shortest, best = 0
        cdef Py_ssize_t count = (stop - self.shortest - first) // step + 1
        cdef double begin = <double>start, end = <double>stop, least
        cdef double total = self.total[start], moment = self.moment[start]
        cdef double energy = self.energy[start], last_total = self.total[stop]
        cdef double last_moment = self.moment[stop], last_energy = self.energy[stop]
        cdef double rounding = self.rounding
        for i in range(count):
            at = first + i * step
            self.scratch[i] = squares_left(
                self.places[at] - begin, self.spread[at - start], (self.places[at] + begin - 1) / 2,
                self.total[at] - total, self.moment[at] - moment, self.energy[at] - energy, rounding
            ) + squares_left(
                end - self.places[at], self.spread[stop - at], (self.places[at] + end - 1) / 2,
                last_total - self.total[at], last_moment - self.moment[at],
                last_energy - self.energy[at], rounding
            )
        least = self.scratch[0]
        for i in range(1, count):
            if self.scratch[i] < least:
                least, best = self.scratch[i], i
        self.scratch[0] = least
        return first + best * step

    def usual_squares(self):
        """Return the median of what two lines leave in the shortest intervals."""
        cdef Py_ssize_t i, middle, stop, n = self.n - 2 * self.shortest + 1
        cdef double usual
        with nogil:
            for i in range(n):
                middle, stop = i + self.shortest, i + 2 * self.shortest
                self.scratch[i] = self.squares(i, middle) + self.squares(middle, stop)
            usual = median(&self.scratch[0], n)
        return usual

    def squares_between(self, long long[::1] starts, long long[::1] stops):
        """Return the sums of squares left by the lines through ``starts`` to before ``stops``."""
        cdef Py_ssize_t i
        found = np.empty(starts.shape[0])
        cdef double[::1] left = found
        with nogil:
            for i in range(starts.shape[0]):
                left[i] = self.squares(starts[i], stops[i])
        return found

    def split(self, long long[::1] lengths, long long[::1] starts, Py_ssize_t most_splits,
              double prior):
        """Return where to split each interval, and what two lines explain beside what they leave.

        Parameters
        ----------
        lengths, starts : ndarray of int64, shape (m,)
        most_splits : int
            About so many places are tried at most.
        prior : float
            Counts as left in addition.

        Returns
        -------
        ndarray of int64, shape (m,)
        ndarray of float64, shape (m,)
        """
        cdef Py_ssize_t i, start, stop, step, m = starts.shape[0]
        cdef double two
        found, explained = np.empty(m, dtype=np.int64), np.empty(m)
        cdef long long[::1] splits = found
        cdef double[::1] shares = explained
        with nogil:
            for i in range(m):
                start, stop = starts[i], starts[i] + lengths[i]
                step = max((lengths[i] - 2 * self.shortest) // most_splits, 1)
                splits[i] = self.best_split(start, stop, step)
                two = self.scratch[0]
                shares[i] = (self.squares(start, stop) - two) / (two + prior)
        return found, explained

    cdef int search(self, Py_ssize_t kind, long long[::1] starts, long long[::1] stops,
                    long long[::1] places) except -1 nogil:
        """Put the best place to split each interval, of all."""
        cdef Py_ssize_t i, start
        # Two may begin alike, while breaks move: what was known counts for all, before any search.
        for i in range(starts.shape[0]):
            start = starts[i]
            places[i] = self.known_place[kind, start]
            if self.known_stop[kind, start] != stops[i]:
                places[i] = -1
        for i in range(starts.shape[0]):
            if places[i] < 0:
                start = starts[i]
                self.searched += 1
                places[i] = self.best_split(start, stops[i], 1)
                self.known_stop[kind, start] = stops[i]
                self.known_place[kind, start] = places[i]
                self.known_left[kind, start] = self.scratch[0]
        return 0

    def refine(self, long long[::1] breaks):
        """Return each break at the best place between its neighbours, from left to right.

        All are placed at once; those whose left neighbour has moved thereby, once more.
        """
        cdef Py_ssize_t i, place, count = breaks.shape[0], left = count, moved
        refined = np.empty(count + 2, dtype=np.int64)
        cdef long long[::1] edges = refined, unmoved = np.empty(count + 2, dtype=np.int64)
        cdef long long[::1] places = np.arange(1, count + 1), best = np.empty(count, dtype=np.int64)
        cdef long long[::1] starts = np.empty(count, np.int64), stops = np.empty(count, np.int64)
        with nogil:
            edges[0], edges[count + 1] = 0, self.n
            edges[1:count + 1] = breaks
            unmoved[:] = edges
            while left:
                for i in range(left):
                    starts[i], stops[i] = edges[places[i] - 1], unmoved[places[i] + 1]
                self.search(0, starts[:left], stops[:left], best)
                moved = 0
                for i in range(left):
                    place = places[i]
                    if best[i] != edges[place]:
                        edges[place] = best[i]
                        if place < count:
                            places[moved] = place + 1
                            moved += 1
                left = moved
        return refined[1:count + 1]

    def residuals(self, long long[::1] edges):
        """Return what the lines between the edges leave of each value, ``(n,)``."""
        cdef Py_ssize_t i, each, start, stop
        cdef double centre, mean, slope, total, count
        rest = np.empty(self.n)
        cdef double[::1] left = rest
        with nogil:
            for each in range(edges.shape[0] - 1):
                start, stop = edges[each], edges[each + 1]
                count, centre = <double>(stop - start), <double>(start + stop - 1) / 2
                total = self.total[stop] - self.total[start]
                mean = total / count
                slope = (self.moment[stop] - self.moment[start] - centre * total)
                slope = slope / self.spread[stop - start]
                for i in range(start, stop):
                    left[i] = self.values[i] - mean - slope * (self.places[i] - centre)
        return rest

    def one_for_two(self, long long[::1] starts, long long[::1] stops):
        """Return the best place to split each interval, and the squares that two lines leave."""
        cdef Py_ssize_t i, m = starts.shape[0]
        place, left = np.empty(m, dtype=np.int64), np.empty(m)
        cdef long long[::1] places = place
        cdef double[::1] least = left
        with nogil:
            self.search(1, starts, stops, places)
            for i in range(m):
                least[i] = self.known_left[1, starts[i]]
        return place, left


def first_breaks(long long[::1] starts, long long[::1] stops, long long[::1] splits):
    """Return the splits of those intervals, rising, that hold no split of those before them."""
    cdef Py_ssize_t i, each, low, high, middle, count = 0
    chosen = np.empty(starts.shape[0], dtype=np.int64)
    cdef long long[::1] breaks = chosen
    with nogil:
        for each in range(starts.shape[0]):
            low, high = 0, count
            while low < high:
                middle = (low + high) // 2
                if breaks[middle] > starts[each]:
                    high = middle
                else:
                    low = middle + 1
            if low == count or breaks[low] >= stops[each]:
                for i in range(count, low, -1):
                    breaks[i] = breaks[i - 1]
                breaks[low] = splits[each]
                count += 1
    return chosen[:count]
