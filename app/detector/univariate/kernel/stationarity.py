"""Whether a series is stationary, by two tests that look for the opposite."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from detector.arrays import Floats
from detector.univariate.kernel import native
from detector.univariate.kernel.products import dot

_LEVEL = 0.05
# From this length on sums of products take the place of decompositions of all regressors.
_LONG = 200
_WELL_CONDITIONED = 1e-6
# MacKinnon, "Approximate Asymptotic Distribution Functions for Unit-Root and Cointegration Tests"
# (1994): one unit root, a constant in the regression.
_DICKEY_FULLER_LEAST = -18.83
_DICKEY_FULLER_SMALL = -1.61
_DICKEY_FULLER_POLYNOMIAL = (0.038269, 1.4412, 2.1659)
# The 5 % point of the KPSS statistic about a constant, as simulated for the package arch.
_KPSS_LIMIT = 0.4614


def is_stationary(values: Floats) -> bool:
    """Return whether `values`, shape ``(n,)``, wander no further the longer they run.

    The augmented Dickey-Fuller test must reject a unit root at 5 %, or the test of Kwiatkowski,
    Phillips, Schmidt and Shin must not reject stationarity. A series that neither test can decide
    counts as stationary.
    """
    with np.errstate(all="ignore"):
        try:
            return _rejects_unit_root(values) or _keeps_stationarity(values)
        except (np.linalg.LinAlgError, _UndecidedError):
            return True


class _UndecidedError(Exception):
    pass


def _rejects_unit_root(values: Floats) -> bool:
    statistic = _dickey_fuller(values, _best_lags(values))
    if statistic < _DICKEY_FULLER_LEAST:
        return True
    if not statistic <= _DICKEY_FULLER_SMALL:
        return False
    return bool(ndtr(np.polyval(_DICKEY_FULLER_POLYNOMIAL, statistic)) < _LEVEL)


def _regressors(values: Floats, lags: int) -> tuple[Floats, Floats]:
    """Return the steps of `values` to explain, and the level and the `lags` steps before each."""
    steps = np.diff(values)
    rows = len(steps) - lags
    columns = np.empty((rows, lags + 1))
    columns[:, 0] = values[-rows - 1 : -1]
    for lag in range(1, lags + 1):
        columns[:, lag] = steps[lags - lag : lags - lag + rows]
    return steps[lags:], columns


def _best_lags(values: Floats) -> int:
    """Return the number of lagged steps with the least value of Akaike's criterion."""
    n = len(values)
    most = max(min(math.ceil(12 * np.power(n / 100, 1 / 4)), max((n - 1) // 2 - 1, 0) - 1), 0)
    products = _Products.of(values, most) if n >= _LONG else None
    if products is not None:
        share = _shares(products.centred)
        if share is not None and 1 - np.square(share).sum() > _WELL_CONDITIONED:
            unexplained = 1 - np.cumsum(np.square(share))
            return _least(products.rows, products.centred[-1, -1] * unexplained / products.rows)
    steps, columns = _regressors(values, most)
    design = np.column_stack([np.ones(len(steps)), columns])
    rows, width = design.shape
    if width > rows or np.sum(design.max(axis=0) == design.min(axis=0)) > 1:
        raise _UndecidedError
    triangle = _triangle(np.column_stack([design, steps]))
    if _has_reduced_rank(triangle[:width, :width], rows):
        raise _UndecidedError
    projections = triangle[:width, width]
    total = steps @ steps
    explained = np.cumsum(np.square(projections))[1:]
    residual = (total - explained) / rows
    if not (residual > 1e-9 * total / rows).all():
        residual = _residual_as_defined(steps, design)
    return _least(rows, residual)


def _least(rows: int, residual: Floats) -> int:
    """Return the number of lags of least criterion, given the residual variance of each."""
    criterion = rows * (math.log(2 * math.pi) + np.log(residual) + 1)
    criterion += 2 * np.arange(len(residual))
    best = 0
    for lags in range(1, len(residual)):
        if criterion[lags] < criterion[best]:
            best = lags
    return best


@dataclass(frozen=True)
class _Products:
    """The sums of products of the level, its lagged steps and the step to explain, in this order.

    They follow from one another along the lags, so that no matrix of the series' length is made.
    """

    rows: int
    centred: Floats  # (lags + 2, lags + 2), about the means

    @classmethod
    def of(cls, values: Floats, lags: int) -> "_Products | None":
        """Return the sums, or None for regressors that lie too close together to trust them."""
        steps = np.diff(values)
        rows = len(steps) - lags
        level = values[-rows - 1 : -1]
        mean_step, mean_level = steps.mean(), level.mean()
        steps = steps - mean_step
        level = level - mean_level
        starts = np.arange(lags, -1, -1)
        now = np.array([dot(steps[lags:], steps[start : start + rows]) for start in starts])
        of_lags = _lagged_products(steps, now)
        of_level = np.array([dot(level, steps[start : start + rows]) for start in starts])
        raw = np.empty((lags + 2, lags + 2))
        last = lags + 1
        order = [*range(1, lags + 1), 0]
        raw[1:, 1:] = of_lags[np.ix_(order, order)]
        raw[0, 0] = dot(level, level)
        raw[0, 1:] = raw[1:, 0] = of_level[order]
        sums = np.append(level.sum(), _lagged_sums(steps, lags)[order])
        centred = raw - np.outer(sums, sums) / rows
        means = sums / rows + np.array([mean_level, *[mean_step] * last])
        if not _is_trusted(centred[:last, :last], means[:last], rows):
            return None
        return cls(rows, centred)


def _lagged_products(steps: Floats, now: Floats) -> Floats:
    """Return the sums of products of each two lags, given those with the unlagged steps."""
    if native.stationarity is not None:
        return np.asarray(native.stationarity.lagged_products(steps, now))
    lags = len(now) - 1
    starts = np.arange(lags, -1, -1)
    ends = starts + len(steps) - lags
    of_lags = np.empty((lags + 1, lags + 1))
    of_lags[0] = now
    for lag in range(lags):
        # One step earlier, one product enters and one leaves.
        of_lags[lag + 1, 1:] = (
            of_lags[lag, :-1]
            + steps[starts[lag + 1]] * steps[starts[1:]]
            - steps[ends[lag + 1]] * steps[ends[1:]]
        )
        of_lags[lag + 1, 0] = of_lags[0, lag + 1]
    return of_lags


def _lagged_sums(steps: Floats, lags: int) -> Floats:
    """Return the sums of `steps`, less `lags` of them, from each lag of 0 to that."""
    if native.stationarity is not None:
        return np.asarray(native.stationarity.lagged_sums(steps, lags))
    rows = len(steps) - lags
    return np.array([steps[start : start + rows].sum() for start in range(lags, -1, -1)])


def _is_trusted(centred: Floats, means: Floats, rows: int) -> bool:
    """Return whether regressors, and a constant, are independent beyond all rounding."""
    width = len(means) + 1
    products = np.empty((width, width))
    products[0, 0] = rows
    products[0, 1:] = products[1:, 0] = rows * means
    products[1:, 1:] = centred + rows * np.outer(means, means)
    sizes = np.sqrt(np.diag(products))
    if not (np.diag(centred) > 0).all() or not np.isfinite(sizes).all():
        return False
    least = np.linalg.eigvalsh(products / np.outer(sizes, sizes))[0]
    if least < _WELL_CONDITIONED:
        return False
    # The rank that the definition asks for counts singular values of the unscaled regressors.
    bound = np.linalg.norm(sizes) * rows * np.finfo(float).eps
    return bool(math.sqrt(least) * sizes.min() > 100 * bound)


def _shares(products: Floats) -> Floats | None:
    """Return the correlation of the last variable with what each other one adds, in order."""
    sizes = np.sqrt(np.diag(products))
    try:
        return np.asarray(np.linalg.cholesky(products / np.outer(sizes, sizes))[-1, :-1])
    except np.linalg.LinAlgError:
        return None


def _triangle(design: Floats) -> Floats:
    """Return the upper triangle of the QR decomposition."""
    return np.asarray(np.linalg.qr(design, mode="r"))


def _has_reduced_rank(triangle: Floats, rows: int) -> bool:
    singular = np.linalg.svd(triangle, compute_uv=False)
    return bool(singular[-1] <= singular[0] * rows * np.finfo(float).eps)


def _residual_as_defined(steps: Floats, design: Floats) -> Floats:
    """Return the residual variances where a perfect fit leaves but rounding noise of them."""
    orthogonal, triangle = np.linalg.qr(design)
    projections = orthogonal.T @ steps
    total = steps.T @ steps
    products = design.T @ design
    residuals = []
    for width in range(2, design.shape[1] + 1):
        fit = np.linalg.solve(triangle[:width, :width], projections[:width])
        residuals.append((total - fit.T @ products[:width, :width] @ fit) / float(len(steps)))
    return np.array(residuals)


def _dickey_fuller(values: Floats, lags: int) -> float:
    """Return the t-statistic of the level in the regression of the steps."""
    products = _Products.of(values, lags) if len(values) >= _LONG else None
    if products is not None:
        # The level last, so that its own share is what the steps before it leave.
        order = [*range(1, lags + 1), 0, lags + 1]
        share = _shares(products.centred[np.ix_(order, order)])
        if share is not None:
            noise = 1 - float(np.square(share).sum())
            if noise > _WELL_CONDITIONED:
                return float(share[-1] / math.sqrt(noise / (products.rows - lags - 2)))
    steps, columns = _regressors(values, lags)
    rows, width = columns.shape
    level = columns[:, :1]
    triangle = _triangle(
        np.concatenate([np.ones((rows, 1)), columns[:, 1:], level, steps[:, None]], axis=1)
    )
    slope, share, noise = triangle[width, width], triangle[width, -1], abs(triangle[-1, -1])
    if noise > 1e-6 * math.sqrt(steps @ steps) and rows > width + 2:
        return float(np.sign(slope) * share / (noise / math.sqrt(rows - width - 1)))
    return _dickey_fuller_as_defined(steps, np.column_stack([columns, np.ones(rows)]))


def _dickey_fuller_as_defined(steps: Floats, design: Floats) -> float:
    """Return the t-statistic where a perfect fit leaves but rounding noise to compare with."""
    left, singular, right = np.linalg.svd(design, full_matrices=False)
    kept = singular > 1e-15 * singular[0]
    inverse = np.divide(1.0, singular, out=np.zeros_like(singular), where=kept)
    pseudo = right.T @ (inverse[:, None] * left.T)
    fit = pseudo @ steps
    residual = steps - design @ fit
    rank = int(np.count_nonzero(singular > singular[0] * len(singular) * np.finfo(float).eps))
    scale = (residual @ residual) / (len(steps) - rank)
    return float(fit[0] / np.sqrt((pseudo @ pseudo.T)[0, 0] * scale))


def _keeps_stationarity(values: Floats) -> bool:
    n = len(values)
    residual = values - dot(np.full(n, 1 / n), values)
    variance = np.sum(np.square(residual)) / n
    weighted = 0.0
    total = variance
    for lag in range(1, int(np.power(n, 2 / 9)) + 1):
        product = dot(residual[lag:], residual[: n - lag]) / (n / 2)
        total += product
        weighted += lag * product
    if total <= 0:
        raise _UndecidedError
    ratio = weighted / total
    # Hobijn, Franses and Ooms (2004): the bandwidth of the Bartlett kernel.
    width = 1.1447 * np.power(ratio * ratio, 1 / 3) * np.power(n, 1 / 3)
    if not np.isfinite(width):
        raise _UndecidedError
    lags = min(n, int(width))
    spread = dot(residual, residual)
    for lag in range(1, lags + 1):
        spread += (1 - lag / (lags + 1)) * 2 * dot(residual[lag:], residual[:-lag])
    statistic = np.sum(np.square(np.cumsum(residual))) / n**2 / (spread / n)
    return bool(statistic <= _KPSS_LIMIT)
