"""Finding the period of a series: first the customary ones, then by autocorrelation."""

import math

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from detector.arrays import Floats, Ints
from detector.univariate.kernel import native
from detector.univariate.kernel.medians import moving_median
from detector.univariate.kernel.products import dot
from detector.univariate.kernel.trend import fit_trend
from detector.univariate.kernel.upstream import compiled

_SHORTEST_PERIOD = 4
_SHORTEST_SERIES = 12
_LONGEST_LAG = 5760
_LEAST_CORRELATION = 0.1
_LEAST_EXPLAINED = 0.2
# For so many lags a Fourier transform tells which correlate at all. It moves a correlation and its
# bound by less than this.
_MANY_LAGS = 200
_ESTIMATE_SLACK = 1e-8
# The 95 % point of the normal distribution.
_NORMAL_95 = 1.6448536269514722
_MAD_TO_SIGMA = 1.4826


def find_period(values: Floats, granularity: str, interval: int) -> int:
    """Return the number of points in one season of `values`, or 0 for none.

    Parameters
    ----------
    values : ndarray of float64, shape (n,), n at least 12
    granularity : str
        The name of the time unit between points, such as ``daily``.
    interval : int
        How many of these units lie between two points.
    """
    customary = _customary_periods(granularity, interval)
    for period in customary:
        if len(values) <= 2 * period or period < _SHORTEST_PERIOD:
            continue
        if _is_period(values, period):
            # The longest customary period is preferred where it is a multiple.
            whole = customary[0]
            return period if len(values) <= 2 * whole or whole % period else whole
    return _search_period(_scale(values))


def _customary_periods(granularity: str, interval: int) -> list[int]:
    return {
        "daily": [7],
        "hourly": [168 // interval, 24 // interval],
        "minutely": [10080 // interval, 1440 // interval, 2880 // interval],
        "weekly": [12, 4],
        "monthly": [12],
        "secondly": [604800 // interval, 86400 // interval, 172800 // interval],
        "microsecond": [1000],
    }.get(granularity, [])


def _scale(values: Floats) -> Floats:
    low, high = values.min(), values.max()
    return values if low == high else (values - low) / (high - low)


def _cut_spikes(values: Floats) -> Floats:
    """Replace what lies three deviations out by a line between its neighbours."""
    if native.period is not None:
        spikes = native.period.spikes(np.ascontiguousarray(values))
        if spikes is None:
            return values
    else:
        spread = values.std() + 1e-8
        spikes = np.abs(values - values.mean()) / spread >= 3
        if not spikes.any():
            return values
    cut = values.copy()
    kept = np.flatnonzero(~spikes)
    cut[spikes] = np.interp(np.flatnonzero(spikes), kept, values[kept])
    return cut


def _is_period(values: Floats, period: int) -> bool:
    scaled = _scale(values)
    cut = _cut_spikes(scaled)
    if _is_nought(cut.var()):
        return False
    if _explained(cut, period) > (0.35 if period <= 24 else 0.15 if period <= 168 else 0.1):
        return True
    flat = _cut_spikes(scaled - moving_median(scaled, period, ends=True))
    flat = _level_phases(flat, period)
    if _is_nought(flat.var()):
        return False
    return _explained(flat, period) > (0.35 if period <= 24 else 0.65 if period <= 168 else 0.7)


def _is_nought(number: float) -> bool:
    return bool(abs(number) <= 1e-8)


def _explained(values: Floats, period: int) -> float:
    """Return the part of the variance that the means of the phases explain."""
    if native.period is not None:
        unexplained = native.period.unexplained(np.ascontiguousarray(values), period)
    else:
        unexplained, _ = compiled().gcv(values.astype(object), period)
    if _is_nought(unexplained):
        return 1.0
    return float(1 - unexplained / values.var())


def _level_phases(values: Floats, period: int) -> Floats:
    """Put the median in place of what exceeds it by three deviations within its phase."""
    if native.period is not None:
        return np.asarray(native.period.level_phases(np.ascontiguousarray(values), period))
    levelled = values.copy()
    full, longer = divmod(len(values), period)
    for phases, cycles in ((slice(0, longer), full + 1), (slice(longer, period), full)):
        width = phases.stop - phases.start
        if not width:
            continue
        starts = np.arange(phases.start, phases.stop)
        index = starts + period * np.arange(cycles)[:, None]
        points = values[index]
        median = _single_median(points)
        above = points - median
        deviation = _MAD_TO_SIGMA * _single_median(above) + 1e-8
        with np.errstate(divide="ignore"):
            spikes = above / deviation >= 3.0
        levelled[index[spikes]] = np.broadcast_to(median, points.shape)[spikes]
    return levelled


def _single_median(points: Floats) -> Floats:
    """Return the medians of the columns, computed in single precision."""
    ordered = np.sort(points.astype(np.float32), axis=0)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return np.asarray(ordered[middle], dtype=float)
    both = ordered[middle - 1] + ordered[middle]
    return np.asarray(both * np.float32(0.5), dtype=float)


def _search_period(values: Floats) -> int:
    period = 0
    while True:
        found = _correlated_period(values)
        if not found:
            return period
        period = period * found if period else found
        # What is left of the series at one point a season may have a season of its own.
        values = values[::found]


def _correlated_period(values: Floats) -> int:
    if len(values) < _SHORTEST_SERIES:
        return 0
    flat = _cut_spikes(values)
    flat = flat - fit_trend(flat)
    variance = flat.var()
    if _is_nought(variance):
        return 0
    periods = _correlated_lags(flat)
    if not len(periods):
        return 0
    period, unexplained = _best_period(flat, periods)
    if not _is_nought(unexplained) and 1 - unexplained / variance < _LEAST_EXPLAINED:
        return 0
    return 0 if len(values) / period + 1 <= 3 else period


def _correlated_lags(values: Floats) -> Ints:
    """Return the lags of significant autocorrelation, strongest first."""
    n = len(values)
    longest = int(min(n / 3.0, _LONGEST_LAG))
    centred = values - values.mean()
    if longest < _MANY_LAGS:
        return _significant_lags(np.correlate(centred, centred, "full")[n - 1 : n + longest], n)[0]
    lags, is_sure = _significant_lags(_estimate_products(centred, longest), n)
    if is_sure:
        return lags
    return _significant_lags(_products(centred, np.arange(longest + 1)), n)[0]


def _products(centred: Floats, lags: Ints) -> Floats:
    """Return the same sums of products as numpy.correlate, for the lags wanted alone."""
    n = len(centred)
    return np.array([dot(centred[: n - lag], centred[lag:]) for lag in lags.tolist()])


def _estimate_products(centred: Floats, longest: int) -> Floats:
    """Return the products of the lags to `longest`: of the strong ones exactly, of others nearly.

    The transform misses a product by 1e-13 of the first one at most.
    """
    size = next_fast_len(len(centred) + longest, real=True)
    spectrum = rfft(centred, size)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    products = np.asarray(irfft(power, size)[: longest + 1])
    strong = np.flatnonzero(products >= (_LEAST_CORRELATION - _ESTIMATE_SLACK) * products[0])
    products[strong] = _products(centred, strong)
    return products


def _significant_lags(products: Floats, n: int) -> tuple[Ints, bool]:
    """Return the lags, and whether an estimate of the products of weak lags gives the same."""
    longest = len(products) - 1
    correlation = products / n
    correlation = correlation / correlation[0]
    variance = np.full(longest + 1, 1.0 / n)
    variance[2:] *= 1 + 2 * np.cumsum(correlation[1:-1] ** 2)
    bound = _NORMAL_95 * np.sqrt(variance)
    peaks = correlation[1:]
    significant = (correlation + bound)[1:] - peaks
    order = np.argsort(-peaks, kind="stable")
    weak = (peaks[order] < significant[order]) | (peaks[order] < _LEAST_CORRELATION)
    lags = order[: weak.argmax() if weak.any() else len(order)] + 1
    close = (np.abs(peaks - significant) < _ESTIMATE_SLACK) & (
        peaks >= _LEAST_CORRELATION - _ESTIMATE_SLACK
    )
    is_sure = bool(np.isfinite(correlation).all() and not close.any())
    return np.asarray(lags[(lags > _SHORTEST_PERIOD) & (lags < longest)]), is_sure


def _best_period(values: Floats, periods: Ints) -> tuple[int, float]:
    """Return the first period of least cross-validated error, and that error.

    The error itself is defined by the rounding of single precision. Where our own kernel is not
    compiled, bounds leave few candidates, and the compiled original, which takes its time, decides
    between those.
    """
    if native.period is not None:
        best, least = native.period.best_period(np.ascontiguousarray(values), periods)
        return int(best), float(least)
    best, least = 0, math.inf
    objects = values.astype(object)
    candidates, floor = _candidates(values, periods)
    for period in candidates:
        error, _ = compiled().gcv(objects, int(period))
        if error < least:
            best, least = int(period), error
        if least <= floor:
            break
    return best, least


def _candidates(values: Floats, periods: Ints) -> tuple[Ints, float]:
    """Return the periods that may have the least error, and what no error lies below."""
    # What is as small as this counts as nought, below it as well.
    nought = 1e-8 * len(values)
    floor = -math.inf
    for bounds, few in ((_bounds, 4), (_close_bounds, 16)):
        if len(periods) < few:
            break
        errors, slack = bounds(values, periods)
        periods = periods[errors - slack <= max(np.min(errors + slack), 0) + nought]
        floor = 0.0 if np.min(errors - slack) > -0.99 * nought else -math.inf
    return periods, floor


def _bounds(values: Floats, periods: Ints) -> tuple[Floats, Floats]:
    """Return the summed error of each period, and by how much single precision may miss it."""
    n = len(values)
    squares = np.square(values)
    energy = float(squares.sum())
    errors = np.empty(len(periods))
    slack = np.empty(len(periods))
    for place, period in enumerate(periods.tolist()):
        full, longer = divmod(n, period)
        whole = full * period
        sums = values[:whole].reshape(full, period).sum(axis=0)
        sums[:longer] += values[whole:]
        np.square(sums, out=sums)
        table = squares[:whole].reshape(full, period)
        energy_longer = float(table[:, :longer].sum() + squares[whole:].sum())
        error = (full / (full - 1)) ** 2 * (
            energy - energy_longer - float(sums[longer:].sum()) / full
        )
        if longer:
            more = full + 1
            error += (more / full) ** 2 * (energy_longer - float(sums[:longer].sum()) / more)
        errors[place] = error
        # Each of some 2 * cycles + period additions rounds to 24 bits of at most the energy.
        slack[place] = 6e-8 * (7 * (full + 1) * energy + period * error) + 1e-6 * energy / n
    return errors, slack


def _close_bounds(values: Floats, periods: Ints) -> tuple[Floats, Floats]:
    """As `_bounds`, with the sums of each phase in single precision as the definition takes them.

    What is left is the rounding of their own sum.
    """
    n = len(values)
    singles = values.astype(np.float32)
    squares = singles * singles
    errors = np.empty(len(periods))
    slack = np.empty(len(periods))
    for place, period in enumerate(periods.tolist()):
        full, longer = divmod(n, period)
        whole = full * period
        cycles = np.full(period, full, dtype=np.float32)
        cycles[:longer] += 1
        sums, energies = (
            np.add.reduce(each[:whole].reshape(full, period), axis=0) for each in (singles, squares)
        )
        sums[:longer] += singles[whole:]
        energies[:longer] += squares[whole:]
        terms = (energies - sums * sums / cycles).astype(float)
        terms[:longer] *= ((full + 1) / full) ** 2
        terms[longer:] *= (full / (full - 1)) ** 2
        errors[place] = terms.sum()
        slack[place] = 7e-8 * (period + 4) * np.abs(terms).sum()
    return errors, slack
