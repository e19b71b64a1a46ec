"""A seasonal series in parts: season, trend and residual, without its outliers."""

import numpy as np

from detector.arrays import Flags, Floats
from detector.univariate.kernel.stl import Decomposition, Stl

# Logarithms replace the values when they lower the mean relative remainder from above the first
# to below the second.
_POOR_FIT, _GOOD_FIT = 0.10, 0.05


def decompose(values: Floats, period: int, latest: bool) -> tuple[Floats, Floats]:
    """Return the seasonal part and the trend, from logarithms where these fit far better."""
    decomposer = _Decomposer(len(values), period, latest)
    parts = decomposer.without_outliers(values, logarithmic=False)
    if _relative_remainder(parts, values) > _POOR_FIT:
        of_logarithms = decomposer.without_outliers(values, logarithmic=True)
        if _relative_remainder(of_logarithms, values) < _GOOD_FIT:
            parts = of_logarithms
    return parts.seasonal, parts.trend


def _relative_remainder(parts: Decomposition, values: Floats) -> float:
    share = np.abs(parts.remainder / values)
    known = ~np.isnan(share)
    return float(np.where(known, share, 0).sum() / np.count_nonzero(known)) if known.any() else 0.0


class _Decomposer:
    """Decomposes series of one length; the plans are shared by all its decompositions."""

    def __init__(self, n: int, period: int, latest: bool) -> None:
        self._n = n
        self._period = period
        self._stl = Stl(n, period)
        self._stl_of_one_more = Stl(n + 1, period) if latest else None

    def without_outliers(self, values: Floats, *, logarithmic: bool) -> Decomposition:
        """Decompose, and again where points of the seasons stand out in few of their cycles."""
        parts = self._decompose(values, logarithmic)
        flat = parts.remainder + parts.seasonal
        holes = _rare_outliers(flat, self._period)
        if not holes.any():
            return parts
        kept = np.flatnonzero(~holes)
        before = np.searchsorted(kept, np.arange(self._n), side="right") - 1
        flat = flat[kept[np.maximum(before, 0)]]
        return self._decompose(flat + parts.trend, logarithmic)

    def _decompose(self, values: Floats, logarithmic: bool) -> Decomposition:
        apply = _decompose_logarithms if logarithmic else Stl.decompose
        parts = apply(self._stl, values)
        if self._stl_of_one_more is None:
            return parts
        # With the median of its phase appended, the last point may fit better.
        more = np.append(values, np.median(values[-self._period :: -self._period]))
        extended = apply(self._stl_of_one_more, more)
        if abs(parts.remainder[-1]) <= abs(extended.remainder[-2]):
            return parts
        return Decomposition(*(part[: self._n] for part in extended))


def _decompose_logarithms(stl: Stl, values: Floats) -> Decomposition:
    lowest = values.min()
    if lowest < 1:
        values = values - lowest + 1
    logs = stl.decompose(np.log(values))
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
