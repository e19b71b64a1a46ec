"""Saliency of each point of a series by its spectral residual.

Ren et al., "Time-Series Anomaly Detection Service at Microsoft", KDD 2019: the spectrum divided
by its own smoothed form, transformed back, stands out where the series does something new.
"""

from typing import NamedTuple

import numpy as np

from detector.arrays import Floats
from detector.univariate.kernel import native

_TINY = 1e-8
_PADDING = 5
_LOOK_AHEAD = 5
_SCORE_WINDOW = 100
# From this score on a point of a shortened history is left out.
_DROPPED = 1.5
# Points up to this score carry the expected values.
SKELETON = 1.0


class Scores(NamedTuple):
    """How salient each point is, ``(n,)``; and whether a z-score overruled the last one."""

    raw: Floats
    by_z_score: bool


def score_entire(values: Floats) -> Scores:
    """Score every point of `values`, shape ``(n,)``."""
    return Scores(_saliency(values, _typical_ending(values)), False)


def score_latest(values: Floats, most: int) -> Scores:
    """Score the last point of `values` after a history without recent outliers.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
    most : int
        How many points may be outliers.
    """
    n = len(values)
    scores = _saliency(values, values[-_LOOK_AHEAD - 2 : -1])
    recent = n - min(max(most, int(n * 0.1)), int(n * 0.45))
    salient = np.flatnonzero(scores[recent:] >= _DROPPED)
    kept = recent + int(salient[0]) if len(salient) else n - 1
    history = np.append(values[:kept], values[-1])
    scores[kept:-1] = SKELETON * 2
    scores[-1] = _saliency(history, history[-_LOOK_AHEAD - 2 : -1])[-1]
    by_z_score = bool(np.abs(values - np.mean(values))[-1] / np.std(values) < _DROPPED)
    if by_z_score:
        scores[-1] = 0
    return Scores(scores, by_z_score)


def trailing_mean(values: Floats, window: int) -> Floats:
    """Return the mean of each of `values` and up to ``window - 1`` before it."""
    return _trailing_mean(values, window, fill=False)


def _trailing_mean(values: Floats, window: int, *, fill: bool) -> Floats:
    """As `trailing_mean`; or fill short windows up with the mean of all but their last value."""
    width = min(window, len(values))
    means = np.cumsum(values, dtype=float)
    means[width:] = (means[width:] - means[:-width]) / width
    early = np.arange(1, width)
    head = means[1:width]
    if fill:
        rest = (head - values[1:width]) / early
        means[1:width] = (head + rest * (window - early - 1)) / window
    else:
        means[1:width] = head / (early + 1)
    return means


def _saliency(values: Floats, ending: Floats) -> Floats:
    """Return how far the residual signal stands above its mean over the last hundred points."""
    extended = np.append(values, np.full(_PADDING, _predict_next(ending)))
    signal = _residual_signal(extended)[: len(values)]
    mean = _trailing_mean(signal, _SCORE_WINDOW, fill=True)
    mean[np.abs(mean - _TINY) <= _TINY + 1e-5 * _TINY] = _TINY
    return np.asarray(np.abs(signal - mean) / mean)


def _residual_signal(values: Floats) -> Floats:
    spectrum = np.fft.fft(values)
    amplitude = np.sqrt(spectrum.real**2 + spectrum.imag**2)
    if native.spectral_residual is not None:
        smooth = native.spectral_residual.running_geometric_mean(amplitude)
    else:
        smooth = _running_geometric_mean(amplitude.tolist())
    residual = np.zeros_like(spectrum)
    np.divide(spectrum.real, smooth, out=residual.real, where=smooth != 0)
    np.divide(spectrum.imag, smooth, out=residual.imag, where=smooth != 0)
    signal = np.fft.ifft(residual)
    return np.asarray(np.sqrt(signal.real**2 + signal.imag**2))


def _running_geometric_mean(amplitude: list[float]) -> Floats:
    """Return the geometric mean of each amplitude and the two before it, noughts left out.

    The product is carried along, so its rounding is part of the definition.
    """
    means = []
    product = 1.0
    third = 1.0 / 3
    for place, size in enumerate(amplitude):
        if size > 0:
            product *= size
        if place < 3:
            means.append(product ** (1.0 / (place + 1)))
            continue
        leaving = amplitude[place - 3]
        if leaving > 0:
            product /= leaving
        means.append(product**third)
    return np.array(means)


def _typical_ending(values: Floats) -> Floats:
    """Return the last six values that are no outliers by their quartiles."""
    upper, median, lower = np.quantile(values, [0.75, 0.5, 0.25])
    top, bottom = upper + 1.5 * (upper - lower), lower - 1.5 * (upper - lower)
    typical = values[(values >= bottom) & (values <= top)][-_LOOK_AHEAD - 1 :]
    return np.append(np.full(_LOOK_AHEAD + 1 - len(typical), median), typical)


def _predict_next(values: Floats) -> float:
    """Continue `values` by the sum of their slopes to the last one."""
    n = len(values)
    last = float(values[-1])
    slopes = [(last - float(value)) / (n - 1 - place) for place, value in enumerate(values[:-1])]
    return float(np.median(values)) + sum(slopes) * 0.5 * (n + 1) / (n - 1)
