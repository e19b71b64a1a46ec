"""Outliers of a sample: the generalised ESD test, a z-score, and the vote of several tests.

The ESD test is Rosner's (Technometrics 25, 1983) in its robust seasonal-hybrid form: it takes the
extreme values off one by one and asks of each whether it lies too far from the median, by the
median absolute deviation, or from the mean, by the standard deviation, of what is left.
"""

import math
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from scipy.special import stdtrit

from detector.arrays import Flags, Floats, Ints, Singles
from detector.univariate.kernel import native
from detector.univariate.kernel.upstream import critical_values

_TINY = 1e-8
_TABLE_ALPHA = 0.05
_Z_LIMIT = 3
# The upper quartile of the normal distribution: a median absolute deviation is 0.67 sigma.
QUARTILE = 0.6744897501960817
_QUARTILE_SINGLE = np.float32(QUARTILE)
_EPS_SINGLE = np.float32(_TINY)
# What single precision does not hold is left to numpy.
_GREATEST_SINGLE = 3e38


@dataclass(frozen=True)
class Ordered:
    """A sample in ascending order, and where each value lies in the series."""

    values: Floats
    index: Ints
    majority: float | None

    @classmethod
    def of(cls, sample: Floats) -> "Ordered":
        """Sort `sample`, shape ``(n,)``, and see whether one value makes up most of it."""
        index = np.argsort(sample)
        values = sample[index]
        return cls(values, index, _majority(values))

    def __len__(self) -> int:
        return len(self.values)


def _majority(ordered: Floats) -> float | None:
    if not is_close(_sorted_mad(ordered), 0):
        return None
    value = float(ordered[(len(ordered) - 1) // 2])
    # With the majority at one end there is nothing to test on one of its sides.
    if is_close(value, ordered[0]) or is_close(value, ordered[-1]):
        return None
    return value


def is_close(value: float, other: float) -> bool:
    """Return what numpy.isclose says of two finite numbers, in a fraction of its time."""
    return bool(abs(value - other) <= 1e-8 + 1e-5 * abs(other))


def median_absolute_deviation(sample: Floats) -> float:
    """Return the median distance from the median, scaled to a normal standard deviation."""
    return float(np.median(np.abs(sample - np.median(sample)) / QUARTILE))


def _is_single(ordered: Floats) -> bool:
    """Return whether the values are numbers, in single precision as well."""
    return bool(ordered[0] > -_GREATEST_SINGLE and ordered[-1] < _GREATEST_SINGLE)


def _sorted_mad(ordered: Floats) -> float:
    if native.outliers is not None and _is_single(ordered):
        return float(native.outliers.median_absolute_deviation(ordered))
    return float(np.median(np.abs(ordered - _sorted_middle(ordered)) / QUARTILE))


def _sorted_middle(ordered: Floats) -> float:
    half = len(ordered) // 2
    if len(ordered) % 2:
        return float(ordered[half])
    return float(np.mean(ordered[half - 1 : half + 1]))


def vote(samples: list[Ordered], *, alpha: float, ratio: float, last_only: bool) -> Ints:
    """Return the indices of the outliers of a series, in ascending order.

    Parameters
    ----------
    samples : list of Ordered
        Views of the series, the most telling first. A z-score of the first joins their ESD tests.
    alpha : float
        The level of the ESD tests.
    ratio : float
        At most this part of the series is an outlier on either side.
    last_only : bool
        Only the last point of the series matters: tests may stop once it is decided.
    """
    n = len(samples[0])
    most = min(max(math.ceil(n * ratio), 1), n // 2 - 1)
    if native.outliers is not None and all(_is_single(sample.values) for sample in samples):
        critical = partial(_critical, alpha, most=most)
        return np.asarray(native.outliers.vote(samples, most, critical, last_only))
    flagged: list[Ints] = []
    for upper in (True, False):
        found = [_esd(samples[0], upper, most, alpha, last_only), _z_score(samples[0], upper, most)]
        found += [_esd(sample, upper, most, alpha, last_only) for sample in samples[1:]]
        flagged.append(_rank(found, n)[:most])
    return np.unique(np.concatenate(flagged))


def _rank(found: list[Ints], n: int) -> Ints:
    """Return all indices found, those first that the tests ranked high.

    A test after the first starts ranking at `n` times its number; who has been found before
    adds its rank alone.
    """
    score = np.full(n, -1, dtype=np.int64)
    members: list[Ints] = []
    for place, indices in enumerate(found):
        ranks = np.arange(len(indices))
        new = score[indices] < 0
        members.append(indices[new])
        score[indices] += ranks + np.where(new, place * n + 1, 0)
    if sum(map(len, members)) == 0:
        return np.empty(0, dtype=np.int64)
    order = np.concatenate(members)
    return np.asarray(order[np.argsort(score[order], kind="stable")])


def _z_score(sample: Ordered, upper: bool, most: int) -> Ints:
    centre, spread = _sorted_middle(sample.values), _sorted_mad(sample.values)
    if spread == 0:
        centre, spread = float(sample.values.mean()), float(sample.values.std())
    if spread == 0:
        return np.empty(0, dtype=np.int64)
    step = -1 if upper else 1
    far = np.abs(sample.values[::step][:most] - centre) / spread > _Z_LIMIT
    return np.asarray(sample.index[::step][:most][far])


def _esd(sample: Ordered, upper: bool, most: int, alpha: float, last_only: bool) -> Ints:
    step = -1 if upper else 1
    values, index = sample.values[::step], sample.index[::step]
    if sample.majority is not None:
        # What lies beyond the majority is not compared with it.
        near = np.flatnonzero(np.abs(values - sample.majority) < _TINY)
        values, index = values[: near[-1] + 1], index[: near[-1] + 1]
    first = 0
    if last_only:
        at = np.flatnonzero(index == len(sample) - 1)
        if not len(at):
            return np.empty(0, dtype=np.int64)
        first = int(at[0])
    if first >= most:
        return np.empty(0, dtype=np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        singles = values.astype(np.float32)
        critical = _critical(alpha, len(singles), most)[first:]
        count = _count_outliers(singles, critical, first, upper, last_only)
    return np.asarray(index[:count])


@lru_cache(maxsize=4)
def _critical(alpha: float, n: int, most: int) -> Singles:
    """Return the critical values for the first `most` values taken off a sample of `n`."""
    table = critical_values()
    if is_close(alpha, _TABLE_ALPHA) and n <= len(table):
        return table[len(table) - n :][:most]
    taken = np.arange(1, most + 1)
    left = n - taken
    t = stdtrit(left - 1, 1 - float(np.float32(alpha)) / (left + 1))
    return np.asarray((t * left / np.sqrt((left - 1 + t**2) * (left + 1))).astype(np.float32))


def _count_outliers(
    singles: Singles, critical: Singles, first: int, upper: bool, stop_at_first: bool
) -> int:
    """Return how many values at the front are outliers, each tested among itself and the rest.

    The count runs to the last outlier, whatever lies before it; or, if told so, to the first one
    from `first` on.
    """
    tested = np.arange(first, first + len(critical))
    by_median = _median_distance(singles, tested, upper) > critical
    least, most = _mean_distance(singles, tested, upper)
    sure = by_median | (least > critical)
    open_ = ~sure & (most > critical)
    for place in np.flatnonzero(sure | open_)[:: 1 if stop_at_first else -1]:
        if sure[place] or _exceeds_mean(singles[tested[place] :], critical[place], upper):
            return int(tested[place]) + 1
    return 0


def _median_distance(singles: Singles, tested: Ints, upper: bool) -> Singles:
    """Return how many robust deviations each value lies from the median of it and the rest."""
    n = len(singles)
    left = n - tested
    low = tested + (left - 1) // 2
    high = tested + left // 2
    median = np.where(low == high, singles[low], (singles[low] + singles[high]) / np.float32(2))
    # The distances from the median grow to both sides of it. Those to the front are walked
    # backwards; a binary search finds how many of the smaller half of all lie there.
    split = tested + left // 2
    front = left // 2
    half = (left + 1) // 2
    least, greatest = np.maximum(half - (n - split), 0), front.copy()
    while (least < greatest).any():
        taken = (least + greatest) // 2
        open_ = least < greatest
        at_front = np.abs(singles[np.maximum(split - 1 - taken, 0)] - median)
        at_back = np.abs(singles[np.minimum(split + half - taken - 1, n - 1)] - median)
        more = open_ & (at_back > at_front)
        least = np.where(more, taken + 1, least)
        greatest = np.where(open_ & ~more, taken, greatest)
    inf = np.float32(np.inf)
    behind = half - least

    def distance(place: Ints, inside: Flags, missing: np.float32) -> Singles:
        return np.where(inside, np.abs(singles[np.clip(place, 0, n - 1)] - median), missing)

    lower_middle = np.maximum(
        distance(split - least, least > 0, -inf),
        distance(split + behind - 1, behind > 0, -inf),
    )
    upper_middle = np.minimum(
        distance(split - 1 - least, least < front, inf),
        distance(split + behind, split + behind < n, inf),
    )
    deviation = np.where(left % 2 == 1, lower_middle, (lower_middle + upper_middle) / np.float32(2))
    return _standardised(singles[tested], median, deviation / _QUARTILE_SINGLE, upper)


def _standardised(values: Singles, centre: Singles, spread: Singles, upper: bool) -> Singles:
    away = values - centre if upper else centre - values
    return np.asarray(away / np.where(spread < _EPS_SINGLE, _EPS_SINGLE, spread))


def _mean_distance(singles: Singles, tested: Ints, upper: bool) -> tuple[Floats, Floats]:
    """Return how many deviations each value lies from the mean of it and the rest: the bounds.

    The definition sums in single precision. Running sums in double precision leave it between the
    two arrays returned; what that leaves open is summed as defined.
    """
    values = singles.astype(float)
    # A value from the thick of the sample as origin keeps the squares small.
    values -= values[len(values) - len(values) // 4 - 1]
    left = len(values) - tested
    sums = np.cumsum(values[::-1])[::-1][tested]
    squares = np.cumsum(np.square(values)[::-1])[::-1][tested]
    mean = sums / left
    variance = np.maximum(squares / left - np.square(mean), 0)
    spread = np.sqrt(variance)
    away = values[tested] - mean if upper else mean - values[tested]
    scale = np.maximum(np.abs(singles[tested]), np.abs(singles[-1])).astype(float)
    lost = 2e-6 * scale + 1e-12
    rough = np.maximum(spread, _TINY)
    distance = away / rough
    doubt = (
        lost + np.abs(distance) * (lost + 2e-6 * rough + 1e-11 * squares / left / rough)
    ) / rough
    # Where the spread itself is in doubt, so is everything.
    doubt = np.where(spread > 4 * lost, doubt, np.inf)
    # A mean that is missed by some amount makes the spread about it larger than that: so it brings
    # a value no more than one deviation farther out.
    known = variance >= 1e-6 * squares / left
    most = np.where(known, np.minimum(doubt, 1.01 + 0.01 * np.abs(distance)), doubt)
    return distance - doubt, distance + most


def _exceeds_mean(rest: Singles, critical: np.float32, upper: bool) -> bool:
    """Return whether the first value lies too far from the mean, all in single precision."""
    n = len(rest)
    mean = np.float32(np.add.reduce(rest) / n)
    squares = rest - mean
    squares *= squares
    spread = np.sqrt(np.float32(np.add.reduce(squares) / n))
    away = rest[0] - mean if upper else mean - rest[0]
    return bool(away / max(spread, _EPS_SINGLE) > critical)
