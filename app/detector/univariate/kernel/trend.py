"""The trend of a series without seasons: a coarse spline with straight ends."""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft
from scipy.interpolate import LSQUnivariateSpline

from detector.arrays import Floats, Ints
from detector.errors import DetectionError
from detector.univariate.kernel import native
from detector.univariate.kernel.medians import median_slope, moving_median, windows

# A series must be this long before its trend is more than its mean.
_SHORTEST_FOR_TREND = 6
_LONGEST_PERIOD = 512
_SHORTEST_PERIOD = 4
# Periods count when their power reaches this part of the strongest.
_PEAK_SHARE = 0.9
# Power up to this much is rounding.
_NOUGHT = 1e-8


def fit_trend(values: Floats, period: int | None = None) -> Floats:
    """Return the trend of `values`, shape ``(n,)``.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
    period : int, optional
        The rough period of what is not trend; 0 for none. Guessed from the spectrum when None.
    """
    n = len(values)
    if n < _SHORTEST_FOR_TREND:
        return np.full(n, np.mean(values))
    if period is None:
        period = _guess_period(values)
    window = min(n // 3, _LONGEST_PERIOD) if period <= 1 else _window(period)
    segments = n // (window * 2) + 1
    return _straighten_ends(_spline(values, segments), window)


def _spline(values: Floats, segments: int) -> Floats:
    """Return the least-squares cubic spline of so many segments at the places of `values`."""
    n = len(values)
    if native.trend is not None:
        return np.asarray(_compiled_spline(n, segments).fit(np.ascontiguousarray(values)))
    index = np.arange(n)
    return np.asarray(LSQUnivariateSpline(index, values, _knots(n, segments))(index))


# One of 8640 points takes 0.8 MB.
@lru_cache(maxsize=16)
def _compiled_spline(n: int, segments: int) -> Any:
    return native.trend.Spline(n, _knots(n, segments))


def _knots(n: int, segments: int) -> Floats:
    """Return the inner knots: the last one is left out, as upstream does it."""
    return np.linspace(0, n - 1, max(2, segments + 1) + 2)[1:-2]


def _window(period: int) -> int:
    return 2 * period - 1


def _straighten_ends(values: npt.NDArray[np.floating[Any]], window: int) -> Floats:
    """Replace half a window at either end by a line with the slope of the whole window."""
    straight = values.copy()
    half = window // 2
    first, last = median_slope(values[:window]), median_slope(values[-window:])
    straight[:half] = np.arange(-half, 0) * first + values[half]
    straight[-half:] = np.arange(1, half + 1) * last + values[-half - 1]
    return straight


def _guess_period(values: Floats) -> int:
    longest = min(len(values) // 3, _LONGEST_PERIOD)
    window = _window(longest)
    broad = _straighten_ends(moving_median(values, window), window)
    if not np.isfinite(broad).all():
        raise DetectionError(
            "InvalidSeries",
            "The magnitude of data in 'value' in 'series' is too large: to fit the trend of a "
            "series without a period its values must stay within 3.4e38 of zero.",
        )
    periods, power = _periodogram(values - broad, longest)
    if (np.abs(power) <= _NOUGHT).all():
        return longest
    peaks = np.argsort(-power, kind="stable")
    peaks = peaks[power[peaks] >= power.max() * _PEAK_SHARE]
    weights = power[peaks]
    return round(float((periods[peaks] * weights).sum() / weights.sum()))


def _periodogram(values: Floats, longest: int) -> tuple[Ints, Floats]:
    """Return whole periods, falling, and the power of `values` at each.

    Welch's method: the mean of the spectra of half-overlapping windowed pieces.
    """
    piece = min(longest * 2, len(values) // 2)
    periods, starts = _whole_periods(piece)
    # Frequencies of the same whole period count once, with the strongest of them.
    power = np.maximum.reduceat(_mean_spectrum(values, piece)[1:], starts)
    power[periods == piece] = 0
    first = int(np.count_nonzero(periods >= longest)) - 1
    beyond = int(np.count_nonzero(periods < _SHORTEST_PERIOD))
    return periods[first:-beyond], power[first:-beyond]


@lru_cache(maxsize=64)
def _whole_periods(length: int) -> tuple[Ints, Ints]:
    """Return the whole periods of a piece's frequencies, falling, and where each one starts."""
    every = np.round(1.0 / (np.arange(1, length // 2 + 1) / length)).astype(int)
    starts = np.flatnonzero(np.diff(every, prepend=-1))
    periods = every[starts]
    for each in (periods, starts):
        each.setflags(write=False)
    return periods, starts


@lru_cache(maxsize=64)
def _hann(length: int) -> tuple[Floats, float]:
    """Return the window and the square of its sum."""
    window = (0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, length + 1)))[:-1]
    window.setflags(write=False)
    return window, window.sum() ** 2


def _mean_spectrum(values: Floats, length: int) -> Floats:
    """Return the power at 0 to half a cycle a point, over half-overlapping pieces of `length`."""
    pieces = windows(np.ascontiguousarray(values), length)[:: length - length // 2]
    pieces = pieces - np.mean(pieces, axis=-1, keepdims=True)
    hann, energy = _hann(length)
    # An impulse has the same power everywhere, and rounding decides which period is strongest:
    # so the arithmetic is that of scipy.signal.welch, complex numbers and all.
    transformed = rfft(hann * pieces)
    power = np.conjugate(transformed) * transformed
    power *= 1.0 / energy
    # All but the constant and, of an even length, the last stand for a negative frequency too.
    power[:, 1 : None if length % 2 else -1] *= 2
    return np.asarray(power.real.mean(axis=0))
