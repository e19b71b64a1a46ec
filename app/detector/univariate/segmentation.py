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
from bisect import bisect_right
from typing import Any

import numpy as np

from detector.arrays import Flags, Floats, Ints
from detector.univariate.kernel import native
from detector.univariate.kernel.products import dot

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
# So many times two breaks become one by themselves, as long as few intervals have to be searched
# again for that: so many more than there are points, and at most so many. Then all that may do so
# at once, and the others stay where they are.
_SINGLE_MERGES, _MORE_SEARCHES, _MOST_SEARCHES = 200, 2000, 8000
# After so many rounds the breaks that are left stay: in a curve of thousands each that goes may
# make the next one weak.
_MOST_ROUNDS = 600
# So many numbers are worked on at once.
_AT_HAND = 16_384
# Up to so many intervals are searched, or passed over, one by one.
_FEW, _AT_ONCE = 3, 64
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
    bound = 2 * math.log(len(values)) - math.log(_LEVEL)
    lines = (_Lines if native.segmentation is None else _CompiledLines)(values, shortest)
    return [int(place) for place in lines.keep(lines.likely_breaks(bound), bound)]


def _lengths(n: int, shortest: int) -> list[int]:
    lengths = [2 * shortest]
    while lengths[-1] < n:
        lengths.append(min(math.ceil(lengths[-1] * _GROWTH), n))
    return lengths


def _starts(n: int, length: int) -> Ints:
    starts = np.arange(0, n - length + 1, max(length // _SHIFT, 1))
    return starts if starts[-1] == n - length else np.append(starts, n - length)


class _Lines:
    """Least-squares lines through any run of a series, each at the cost of one."""

    def __init__(self, values: Floats, shortest: int) -> None:
        self._values = values - values.mean()
        self._shortest = shortest
        self._memory = 0.0
        self._searched = 0
        self._sum_up()
        self._noise = self._usual_noise()

    def _sum_up(self) -> None:
        """Prepare what makes a run cheap."""
        n = len(self._values)
        self._places: Floats = np.arange(n + 1, dtype=np.float64)
        place = self._places[:-1]
        self._sums = [
            np.concatenate([[0.0], np.cumsum(terms)])
            for terms in (self._values, place * self._values, self._values**2)
        ]
        self._between_neighbours = _Known(n)
        self._in_place_of_two = _Known(n)

    def likely_breaks(self, bound: float) -> Ints:
        """Return where intervals break whose evidence exceeds the bound, the shortest first."""
        n = len(self._values)
        breaks: list[int] = []
        for length in _lengths(n, self._shortest):
            starts = _starts(n, length)
            splits, evidence = self.split(starts, length)
            likely = np.flatnonzero(evidence > bound)
            if len(likely) > _AT_ONCE:
                # Those that hold a break already need not be put in order.
                known = np.array(breaks, dtype=np.int64)
                before = np.searchsorted(known, starts[likely], side="right")
                likely = likely[before == np.searchsorted(known, starts[likely] + length)]
            for each in likely[np.argsort(-evidence[likely], kind="stable")].tolist():
                start = int(starts[each])
                place = bisect_right(breaks, start)
                if place == len(breaks) or breaks[place] >= start + length:
                    breaks.insert(place, int(splits[each]))
        return np.array(breaks, dtype=np.int64)

    def _squares(self, start: "int | Ints", stop: "int | Ints") -> Floats:
        """Return the sums of squares left by lines through ``start`` to before ``stop``."""
        parts = [sums[stop] - sums[start] for sums in self._sums]
        return _squares_left(np.asarray(stop - start, dtype=float), start + stop, *parts)

    def _squares_around(self, start: int, stop: int) -> Floats:
        """Return the sums of squares left by two lines, for each place to split an interval."""
        inner = slice(start + self._shortest, stop - self._shortest + 1)
        splits = self._places[inner]
        before, after = [], []
        for sums in self._sums:
            here = sums[inner]
            before.append(here - sums[start])
            after.append(sums[stop] - here)
        left = _squares_left(splits - start, splits + start, *before)
        left += _squares_left(stop - splits, splits + stop, *after)
        return left

    def _usual_noise(self) -> float:
        """Return the variance about two lines that is usual in the shortest intervals."""
        freedom = 2 * self._shortest - _PARAMETERS
        # The median of chi-square by the approximation of Wilson and Hilferty.
        return self._usual_squares() / (freedom * (1 - 2 / (9 * freedom)) ** 3)

    def _usual_squares(self) -> float:
        """Return the median of what two lines leave in the shortest intervals."""
        starts = np.arange(len(self._values) - 2 * self._shortest + 1)
        middles = starts + self._shortest
        left = self._squares(starts, middles) + self._squares(middles, middles + self._shortest)
        return float(np.median(left))

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
        offsets = np.arange(shortest, length - shortest + 1, step)
        best = np.empty(len(starts), dtype=np.int64)
        two = np.empty(len(starts))
        # As many at a time as a processor keeps at hand.
        rows = max(_AT_HAND // len(offsets), 1)
        for first in range(0, len(starts), rows):
            some = slice(first, first + rows)
            left = self._squares_about(starts[some, None], offsets, length)
            best[some] = left.argmin(axis=1)
            two[some] = left[np.arange(len(left)), best[some]]
        stops = starts + length
        return starts + offsets[best], self._evidence(self._squares(starts, stops), two, length)

    def _squares_about(self, starts: Ints, offsets: Ints, length: int) -> Floats:
        """Return the sums of squares left by two lines, for intervals of one length split alike."""
        splits, stops = starts + offsets, starts + length
        before, after = [], []
        for sums in self._sums:
            here = sums.take(splits)
            before.append(here - sums[starts])
            after.append(np.subtract(sums[stops], here, out=here))
        left = _squares_left(offsets.astype(float), splits + starts, *before)
        left += _squares_left((length - offsets).astype(float), splits + stops, *after)
        return left

    def keep(self, breaks: Ints, bound: float) -> Ints:
        """Return the breaks, each at its best place, without those that others explain."""
        rounds, merges, most = 0, 0, min(len(self._values) + _MORE_SEARCHES, _MOST_SEARCHES)
        while True:
            is_cheap = max(merges, rounds // 2) < _SINGLE_MERGES and self._searched < most
            rounds += 1
            if is_cheap:
                breaks = self._refine(breaks)
            self._memory = self._memory_about(breaks)
            edges = np.concatenate([[0], breaks, [len(self._values)]])
            left = self._squares(edges[:-1], edges[1:])
            weak = self._weak_breaks(edges, left, bound, least=is_cheap)
            if weak.any():
                fewer = breaks[~weak]
            else:
                fewer = self._merge(edges, left, bound, one=is_cheap)
                merges += 1
            if len(fewer) == len(breaks) or rounds == _MOST_ROUNDS:
                return fewer
            breaks = fewer

    def _merge(self, edges: Ints, left: Floats, bound: float, *, one: bool) -> Ints:
        """Return the breaks with one in place of two that need not be two.

        Parameters
        ----------
        edges, left
            As for `_weak_breaks`.
        one : bool
            Merge only the two that need it least; else the next ones too, as long as no two pairs
            have a line in common.
        """
        breaks = edges[1:-1]
        if len(breaks) < 2:
            return breaks
        start, stop = edges[:-3], edges[3:]
        middle, two = self._one_for_two(start, stop)
        evidence = self._evidence(two, left[:-2] + left[1:-1] + left[2:], stop - start)
        if one:
            order = evidence.argmin(keepdims=True)
            order = order[evidence[order] <= bound]
        else:
            order = _apart(evidence, bound, 2)
        merged = breaks.copy()
        merged[order] = middle[order]
        return np.delete(merged, order + 1)

    def _weak_breaks(self, edges: Ints, left: Floats, bound: float, *, least: bool) -> Flags:
        """Return for which breaks the evidence does not reach the bound, no two side by side.

        Parameters
        ----------
        edges : ndarray of int64, shape (b + 2,)
            The breaks between the two ends of the series.
        left : ndarray of float64, shape (b + 1,)
            The sums of squares that lines between them leave.
        least : bool
            Only those whose evidence is least around.
        """
        start, stop = edges[:-2], edges[2:]
        evidence = self._evidence(self._squares(start, stop), left[:-1] + left[1:], stop - start)
        if not least:
            flags = np.zeros(len(evidence), dtype=bool)
            flags[_apart(evidence, bound, 1)] = True
            return flags
        around = np.concatenate([[np.inf], evidence, [np.inf]])
        weak: Flags = (evidence <= bound) & (evidence < around[2:]) & (evidence <= around[:-2])
        return weak

    def _one_for_two(self, start: Ints, stop: Ints) -> tuple[Ints, Floats]:
        """Return the best place to split each interval, and the squares that two lines leave."""
        place = self._best(start, stop, self._in_place_of_two)
        return place, self._in_place_of_two.left[start]

    def _best(self, start: Ints, stop: Ints, known: "_Known") -> Ints:
        """Return the best place to split each interval."""
        place = known.place[start]
        new = np.flatnonzero(known.stop[start] != stop)
        if len(new):
            begin, end = start[new], stop[new]
            place[new], left = self._search(begin, end)
            known.place[begin], known.left[begin], known.stop[begin] = place[new], left, end
        return place

    def _search(self, start: Ints, stop: Ints) -> tuple[Ints, Floats]:
        """Return the best place to split each interval, of all, and the squares left there."""
        self._searched += len(start)
        if len(start) <= _FEW:
            pairs = zip(start.tolist(), stop.tolist(), strict=True)
            around = [self._squares_around(*each) for each in pairs]
            best = [each.argmin() for each in around]
            return start + self._shortest + np.array(best), np.array(
                [each[place] for each, place in zip(around, best, strict=True)]
            )
        count = stop - start - (2 * self._shortest - 1)
        first = np.cumsum(count) - count
        splits = np.arange(int(count.sum())) + np.repeat(start + self._shortest - first, count)
        before, after = [], []
        for sums in self._sums:
            here = sums.take(splits)
            before.append(here - sums.take(start).repeat(count))
            after.append(np.subtract(sums.take(stop).repeat(count), here, out=here))
        starts, stops = np.repeat(start, count), np.repeat(stop, count)
        two = _squares_left((splits - starts).astype(float), splits + starts, *before)
        two += _squares_left((stops - splits).astype(float), splits + stops, *after)
        least = np.minimum.reduceat(two, first)
        places = np.flatnonzero(two == np.repeat(least, count))
        return splits[places[np.searchsorted(places, first)]], least

    def _refine(self, breaks: Ints) -> Ints:
        """Return each break at the best place between its neighbours, from left to right.

        All are placed at once; those whose left neighbour has moved thereby, once more.
        """
        edges = np.concatenate([[0], breaks, [len(self._values)]])
        stop = edges.copy()
        places = np.arange(1, len(edges) - 1)
        while len(places):
            best = self._best(edges[places - 1], stop[places + 1], self._between_neighbours)
            moved = best != edges[places]
            edges[places] = best
            places = places[moved] + 1
            places = places[places < len(edges) - 1]
        return edges[1:-1]

    def _memory_about(self, breaks: Ints) -> float:
        """Return the correlation of neighbours in what lines between the breaks leave."""
        n = len(self._values)
        rest = self._rest(np.concatenate([[0], breaks, [n]]))
        energy = dot(rest, rest)
        memory = dot(rest[:-1], rest[1:]) / energy if energy > 0 else 0.0
        # Every line takes a part of the correlation of what it leaves.
        return min(max(memory + 2 * len(breaks) / n, 0.0), _MOST_MEMORY)

    def _rest(self, edges: Ints) -> Floats:
        """Return what the lines between the edges leave of each value."""
        start, stop = edges[:-1], edges[1:]
        count = stop - start
        total, moment, _ = (sums[stop] - sums[start] for sums in self._sums)
        centre, mean = (start + stop - 1) / 2, total / count
        slope = (moment - centre * total) / (count * (count * count - 1) / 12)
        place = np.arange(len(self._values)) - np.repeat(centre, count)
        rest: Floats = self._values - np.repeat(mean, count) - np.repeat(slope, count) * place
        return rest


def _apart(evidence: Floats, bound: float, reach: int) -> Ints:
    """Return where the evidence is within the bound, the least first, none within reach of one."""
    taken = np.zeros(len(evidence) + 2 * reach, dtype=bool)
    chosen = []
    order = np.argsort(evidence, kind="stable")
    for place in order[evidence[order] <= bound].tolist():
        if not taken[place + reach]:
            taken[place : place + 2 * reach + 1] = True
            chosen.append(place)
    return np.array(chosen, dtype=np.int64)


def _squares_left(
    count: Floats, twice_middle: Any, total: Floats, moment: Floats, energy: Floats
) -> Floats:
    """Return the sums of squares that a line through a run leaves.

    Parameters
    ----------
    count : ndarray of float64
        How many points the run has.
    twice_middle : ndarray
        Its start and its stop added up.
    total, moment, energy : ndarray of float64
        The sums of its values, of these times their places, and of their squares; written over.
    """
    middle = (twice_middle - 1) / 2
    middle *= total
    moment -= middle
    spread = count * (count * count - 1) / 12
    total *= total
    total /= count
    moment *= moment
    moment /= spread
    energy -= total
    energy -= moment
    return np.asarray(np.maximum(energy, count * _ROUNDING**2))


class _CompiledLines(_Lines):
    """The same, compiled but for what takes a logarithm, sorts or sums products."""

    def _sum_up(self) -> None:
        self._compiled = native.segmentation.Lines(self._values, self._shortest, _ROUNDING**2)

    def _usual_squares(self) -> float:
        return float(self._compiled.usual_squares())

    def _squares(self, start: "int | Ints", stop: "int | Ints") -> Floats:
        left: Floats = self._compiled.squares_between(start, stop)
        return left

    def likely_breaks(self, bound: float) -> Ints:
        n = len(self._values)
        lengths = _lengths(n, self._shortest)
        each = [_starts(n, length) for length in lengths]
        starts = np.concatenate(each)
        length = np.repeat(lengths, [len(some) for some in each])
        splits, explained = self._compiled.split(length, starts, _MOST_SPLITS, _PRIOR * self._noise)
        evidence = length / 2 * np.log1p(explained)
        likely = np.flatnonzero(evidence > bound)
        likely = likely[np.lexsort((-evidence[likely], length[likely]))]
        start = starts[likely]
        return np.asarray(
            native.segmentation.first_breaks(start, start + length[likely], splits[likely])
        )

    def _refine(self, breaks: Ints) -> Ints:
        refined: Ints = self._compiled.refine(breaks)
        self._searched = self._compiled.searched
        return refined

    def _one_for_two(self, start: Ints, stop: Ints) -> tuple[Ints, Floats]:
        place, left = self._compiled.one_for_two(start, stop)
        self._searched = self._compiled.searched
        return place, left

    def _rest(self, edges: Ints) -> Floats:
        rest: Floats = self._compiled.residuals(edges)
        return rest


class _Known:
    """Of the last interval that began at each point: where it stops, and how to split it best."""

    def __init__(self, n: int) -> None:
        self.stop = np.zeros(n, dtype=np.int64)
        self.place = np.zeros(n, dtype=np.int64)
        self.left = np.zeros(n)
