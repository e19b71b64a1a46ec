"""Where the line that a noisy series follows breaks, beyond what the noise explains.

Every interval of a set that covers the series at all scales is asked whether two lines fit it
better than one, by the F test of G. Chow, "Tests of Equality Between Sets of Coefficients in Two
Linear Regressions", Econometrica 28 (1960), over all places to split it. The intervals are those
of S. Kovács, P. Bühlmann, H. Li, A. Munk, "Seeded binary segmentation", Biometrika 110 (2023);
of those that answer yes the shortest count, as in R. Baranowski, Y. Chen, P. Fryzlewicz,
"Narrowest-over-threshold detection of multiple change points and change-point-like features",
Journal of the Royal Statistical Society B 81 (2019).
"""

import math

import numpy as np

from detector.arrays import Flags, Floats, Ints

# Noise alone may favour a break with this chance, over the square of the number of points: there
# are about as many intervals, few of them independent.
_LEVEL = 3.0
# Lengths of intervals grow by this factor, and each starts this part of its length later.
_GROWTH = 1.41
_SHIFT = 8
# At most so many places to split an interval are tried; the best is found exactly later.
_MOST_SPLITS = 48
# The noise of the whole series counts as this many points beside that of an interval, as in
# G. Smyth, "Linear Models and Empirical Bayes Methods", SAGMB 3 (2004).
_PRIOR = 4
# What a value is off by rounding, in ranges of the series.
_ROUNDING = 1e-9
_MOST_MEMORY = 0.9
# Two lines have so many parameters.
_PARAMETERS = 4


def find_breaks(values: Floats, shortest: int) -> list[int]:
    """Return the first points after each break, rising.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        Between 0 and 1.
    shortest : int
        How many points each line fits at least, 3 or more; at most half of ``n``.
    """
    n = len(values)
    lines = _Lines(values, shortest)
    bound = 2 * math.log(n) - math.log(_LEVEL)
    breaks: list[int] = []
    length = 2 * shortest
    while True:
        starts = _starts(n, length)
        splits, evidence = lines.split(starts, length)
        likely = np.flatnonzero(evidence > bound)
        for each in likely[np.argsort(-evidence[likely], kind="stable")].tolist():
            start = int(starts[each])
            if not any(start < known < start + length for known in breaks):
                breaks.append(int(splits[each]))
        if length == n:
            kept = lines.keep(np.array(sorted(breaks), dtype=np.int64), bound)
            return [int(place) for place in kept]
        length = min(math.ceil(length * _GROWTH), n)


def _starts(n: int, length: int) -> Ints:
    starts = np.arange(0, n - length + 1, max(length // _SHIFT, 1))
    return starts if starts[-1] == n - length else np.append(starts, n - length)


class _Lines:
    """Least-squares lines through any run of a series, each at the cost of one."""

    def __init__(self, values: Floats, shortest: int) -> None:
        self._values = values - values.mean()
        self._shortest = shortest
        place = np.arange(len(values), dtype=float)
        self._sums = [
            np.concatenate([[0.0], np.cumsum(terms)])
            for terms in (self._values, place * self._values, self._values**2)
        ]
        self._noise = self._usual_noise()
        self._memory = 0.0
        self._known: dict[tuple[int, int], int] = {}

    def _squares(self, start: "int | Ints", stop: "int | Ints") -> Floats:
        """Return the sums of squares left by lines through ``start`` to before ``stop``."""
        count = np.asarray(stop - start, dtype=float)
        total, moment, energy = (sums[stop] - sums[start] for sums in self._sums)
        moment = moment - (start + stop - 1) / 2 * total
        spread = count * (count * count - 1) / 12
        left = energy - total**2 / count - moment**2 / spread
        return np.asarray(np.maximum(left, count * _ROUNDING**2))

    def _usual_noise(self) -> float:
        """Return the variance about two lines that is usual in the shortest intervals."""
        length = 2 * self._shortest
        starts = np.arange(len(self._values) - length + 1)
        middles = starts + self._shortest
        freedom = length - _PARAMETERS
        left = self._squares(starts, middles) + self._squares(middles, starts + length)
        # The median of chi-square by the approximation of Wilson and Hilferty.
        return float(np.median(left)) / (freedom * (1 - 2 / (9 * freedom)) ** 3)

    def _evidence(self, fewer: Floats, more: Floats, count: "int | Ints") -> Floats:
        """Return minus the logarithm of the chance that noise alone favours one line more so.

        With two degrees of freedom above, the tail of the F distribution has this closed form.
        Noise that remembers itself is worth fewer points.
        """
        freedom = count - _PARAMETERS + _PRIOR
        gain = (fewer - more) * (1 - self._memory) / (1 + self._memory)
        return np.asarray(freedom / 2 * np.log1p(gain / (more + _PRIOR * self._noise)))

    def split(self, starts: Ints, length: int) -> tuple[Ints, Floats]:
        """Return where to split each interval, and the evidence for two lines."""
        shortest = self._shortest
        step = max((length - 2 * shortest) // _MOST_SPLITS, 1)
        splits = starts[:, None] + np.arange(shortest, length - shortest + 1, step)
        stops = starts + length
        two = self._squares(starts[:, None], splits) + self._squares(splits, stops[:, None])
        best = two.argmin(axis=1)
        rows = np.arange(len(starts))
        return splits[rows, best], self._evidence(
            self._squares(starts, stops), two[rows, best], length
        )

    def keep(self, breaks: Ints, bound: float) -> Ints:
        """Return the breaks, each at its best place, without those that others explain."""
        while True:
            breaks = self._refine(breaks)
            self._memory = self._memory_about(breaks)
            weak = self._weak_breaks(breaks, bound)
            fewer = breaks[~weak] if weak.any() else self._merge(breaks, bound)
            if len(fewer) == len(breaks):
                return breaks
            breaks = fewer

    def _merge(self, breaks: Ints, bound: float) -> Ints:
        """Return the breaks with one in place of the two that need it least to be two."""
        if len(breaks) < 2:
            return breaks
        edges = np.concatenate([[0], breaks, [len(self._values)]])
        start, first, second, stop = edges[:-3], edges[1:-2], edges[2:-1], edges[3:]
        middle = np.array([self._best(*ends) for ends in zip(start, stop, strict=True)])
        evidence = self._evidence(
            self._squares(start, middle) + self._squares(middle, stop),
            self._squares(start, first)
            + self._squares(first, second)
            + self._squares(second, stop),
            stop - start,
        )
        least = int(evidence.argmin())
        if evidence[least] > bound:
            return breaks
        return np.concatenate([breaks[:least], [middle[least]], breaks[least + 2 :]])

    def _weak_breaks(self, breaks: Ints, bound: float) -> Flags:
        """Return for which breaks the evidence does not reach the bound, and is least around."""
        edges = np.concatenate([[0], breaks, [len(self._values)]])
        start, split, stop = edges[:-2], edges[1:-1], edges[2:]
        evidence = self._evidence(
            self._squares(start, stop),
            self._squares(start, split) + self._squares(split, stop),
            stop - start,
        )
        around = np.concatenate([[np.inf], evidence, [np.inf]])
        weak: Flags = (evidence <= bound) & (evidence < around[2:]) & (evidence <= around[:-2])
        return weak

    def _best(self, start: int, stop: int) -> int:
        """Return the best place to split an interval."""
        if (start, stop) not in self._known:
            splits = np.arange(start + self._shortest, stop - self._shortest + 1)
            two = self._squares(start, splits) + self._squares(splits, stop)
            self._known[start, stop] = int(splits[two.argmin()])
        return self._known[start, stop]

    def _refine(self, breaks: Ints) -> Ints:
        edges = [0, *breaks.tolist(), len(self._values)]
        for place in range(1, len(edges) - 1):
            edges[place] = self._best(edges[place - 1], edges[place + 1])
        return np.array(edges[1:-1], dtype=np.int64)

    def _memory_about(self, breaks: Ints) -> float:
        """Return the correlation of neighbours in what lines between the breaks leave."""
        n = len(self._values)
        edges = np.concatenate([[0], breaks, [n]])
        start, stop = edges[:-1], edges[1:]
        count = stop - start
        total, moment, _ = (sums[stop] - sums[start] for sums in self._sums)
        centre, mean = (start + stop - 1) / 2, total / count
        slope = (moment - centre * total) / (count * (count * count - 1) / 12)
        place = np.arange(n) - np.repeat(centre, count)
        rest = self._values - np.repeat(mean, count) - np.repeat(slope, count) * place
        energy = float(rest @ rest)
        memory = float(rest[:-1] @ rest[1:]) / energy if energy > 0 else 0.0
        # Every line takes a part of the correlation of what it leaves.
        return min(max(memory + 2 * len(breaks) / n, 0.0), _MOST_MEMORY)
