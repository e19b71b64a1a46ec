"""The gaps of one series: how many it may have, how they are filled, and its season."""

import math

from detector.arrays import Floats
from detector.errors import DetectionError
from detector.series.series import Series
from detector.univariate.kernel import imputation
from detector.univariate.kernel.period import find_period

# A series whose grid is longer than this is scored with its gaps.
_LONGEST_FILLED = 2 * 8640
_MOST_MISSING = 0.5


def _missing_ratio(series: Series) -> float:
    return (series.grid_length - len(series.values)) / series.grid_length


def _has_gaps_to_fill(series: Series) -> bool:
    return len(series.values) < series.grid_length <= _LONGEST_FILLED


def find_season(series: Series) -> int:
    """Return the number of points in one season of `series`, or 0 for none."""
    if _missing_ratio(series) > _MOST_MISSING:
        return 0
    options = series.options
    values = series.values
    if _has_gaps_to_fill(series):
        if options.impute_mode == "auto":
            values = imputation.hold_previous(values, series.index, series.grid_length)
        else:
            values, _ = fill_gaps(series, 0)
    return find_period(values, options.granularity, options.interval)


def require_few_missing(series: Series) -> None:
    if _missing_ratio(series) > _MOST_MISSING:
        raise DetectionError(
            "InvalidSeries",
            "Ratio of missing points should be less than 50% for seasonal timeseries. There "
            f"should be at least {math.ceil(series.grid_length * 0.5)} points, but got "
            f"{len(series.values)} points.",
        )


def require_seasons(series: Series, count: int, period: int) -> None:
    """Refuse what has too few points, `count` with gaps filled, to tell its seasons."""
    require_few_missing(series)
    if count < 2 * period + 1:
        raise DetectionError(
            "InvalidModelArgument",
            "The 'series' field must have more than 2 periods points: with the period "
            f"{period} at least {2 * period + 1}, but got {count}.",
        )


def fill_gaps(series: Series, period: int) -> tuple[Floats, bool]:
    """Return the values with gaps filled as the options say, and whether any were."""
    values, index, count = series.values, series.index, series.grid_length
    if not _has_gaps_to_fill(series):
        return values, False
    match series.options.impute_mode:
        case "auto":
            return imputation.follow_season(values, index, count, period=period), True
        case "previous" | "last":
            return imputation.hold_previous(values, index, count), True
        case "linear":
            return imputation.draw_line(values, index, count), True
        case "fixed":
            value = series.options.impute_fixed_value
            return imputation.hold_fixed(values, index, count, value=value), True
        case _:
            return values, False
