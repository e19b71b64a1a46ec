"""A seasonal series in parts: season, trend and residual, without its outliers."""

import numpy as np

from detector.arrays import Flags, Floats
from detector.univariate.kernel import stl
from detector.univariate.kernel.stl import Decomposition

# Logarithms replace the values when they lower the mean relative remainder from above the first
# to below the second.
_POOR_FIT, _GOOD_FIT = 0.10, 0.05


def decompose(values: Floats, period: int, latest: bool) -> tuple[Floats, Floats]:
    """Return the seasonal part and the trend, from logarithms where these fit far better."""
    parts = _without_outliers(values, period, latest, logarithmic=False)
    if _relative_remainder(parts, values) > _POOR_FIT:
        of_logarithms = _without_outliers(values, period, latest, logarithmic=True)
        if _relative_remainder(of_logarithms, values) < _GOOD_FIT:
            parts = of_logarithms
    return parts.seasonal, parts.trend


def _relative_remainder(parts: Decomposition, values: Floats) -> float:
    share = np.abs(parts.remainder / values)
    known = ~np.isnan(share)
    return float(np.where(known, share, 0).sum() / np.count_nonzero(known)) if known.any() else 0.0


def _without_outliers(
    values: Floats, period: int, latest: bool, *, logarithmic: bool
) -> Decomposition:
    """Decompose, and again where points of the seasons stand out in few of their cycles."""
    parts = _decompose(values, period, latest, logarithmic)
    flat = parts.remainder + parts.seasonal
    holes = _rare_outliers(flat, period)
    if not holes.any():
        return parts
    kept = np.flatnonzero(~holes)
    before = np.searchsorted(kept, np.arange(len(values)), side="right") - 1
    flat = flat[kept[np.maximum(before, 0)]]
    return _decompose(flat + parts.trend, period, latest, logarithmic)


def _decompose(values: Floats, period: int, latest: bool, logarithmic: bool) -> Decomposition:
    apply = _decompose_logarithms if logarithmic else stl.decompose
    parts = apply(values, period)
    if not latest:
        return parts
    # With the median of its phase appended, the last point may fit better.
    more = np.append(values, np.median(values[-period::-period]))
    extended = apply(more, period)
    if abs(parts.remainder[-1]) <= abs(extended.remainder[-2]):
        return parts
    return Decomposition(*(part[: len(values)] for part in extended))


def _decompose_logarithms(values: Floats, period: int) -> Decomposition:
    lowest = values.min()
    if lowest < 1:
        values = values - lowest + 1
    logs = stl.decompose(np.log(values), period)
    trend = np.exp(logs.trend)
    seasonal = np.exp(logs.trend + logs.seasonal) - trend
    remainder = values - trend - seasonal
    if lowest < 1:
        trend = trend - 1 + lowest
    return Decomposition(seasonal, trend, remainder)


def _rare_outliers(values: Floats, period: int) -> Flags:
    """Mark what lies three deviations out, in phases where that happens in few cycles."""
    spread = values.std()
    if spread == 0:
        return np.zeros(len(values), dtype=bool)
    far: Flags = np.abs(values - values.mean()) / spread >= 3
    places = np.flatnonzero(far)
    if len(places):
        counts = np.bincount(places % period, minlength=period)
        often = counts > int(len(values) / period / 2)
        far[places[often[places % period]]] = False
    return far
