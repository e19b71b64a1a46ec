"""Detection in one series from Python: the data, the options, and arrays in return."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from detector.errors import DetectionError, shown
from detector.series.options import ChangePointOptions, DetectorChoice, Options, trend_threshold
from detector.series.series import ChangePointSeries, Series
from detector.univariate import changepoint, detection, many, tuning
from detector.univariate.changepoint import ChangePoints
from detector.univariate.detection import Detection, LatestDetection
from detector.univariate.tuning import SensitivityCurve

__all__ = [
    "detect_change_points",
    "detect_entire",
    "detect_latest",
    "detect_many",
    "tune_sensitivity",
]


def detect_entire(
    data: Any,
    *,
    granularity: str = "none",
    interval: int = 1,
    period: int | None = None,
    max_anomaly_ratio: float = 0.25,
    sensitivity: int = 99,
    impute_mode: str = "auto",
    impute_fixed_value: float = 0.0,
    boundary_version: str = "V1",
    alpha: float = 0.05,
    threshold: float = 3.5,
    detector: str | None = None,
) -> Detection:
    """Detect anomalies among all points of a series.

    Parameters
    ----------
    data : DataFrame, Series, list of mappings, pair of arrays, or array
        12 to 8640 points, rising in time, values finite and within 1e100 of zero, as one of:

        - a DataFrame with the columns ``timestamp`` and ``value``, or with dates as its index and
          one column (or one named ``value``);
        - a pandas Series, its dates the index;
        - a list of records ``{"timestamp": ..., "value": ...}``;
        - a tuple of two arrays of shape ``(n,)``, the timestamps and the values;
        - the values alone, shape ``(n,)``, without a granularity.

        Timestamps are dates, or strings in ISO 8601. The data is not changed.
    granularity : str
        The time unit between points: ``yearly``, ``monthly``, ``weekly``, ``daily``, ``hourly``,
        ``minutely``, ``secondly``, ``microsecond``; or ``none``, where only the order counts.
    interval : int
        How many of these units lie between two points, at least 1.
    period : int, optional
        Points in one season, 0 for no seasons; found in the series by default.
    max_anomaly_ratio : float
        At most this part of the points is an anomaly, above 0 to 0.49.
    sensitivity : int
        0 to 100; the higher, the narrower the margins.
    impute_mode : str
        How gaps are filled: ``auto``, ``previous``, ``linear``, ``fixed``, ``zero`` or ``notFill``.
    impute_fixed_value : float
        What ``fixed`` fills gaps with, in the unit of the values.
    boundary_version : str
        ``V1`` for the margins of Azure's API version 1.0, ``V2`` or ``V3`` for those of 1.1.
    alpha : float
        The level of the outlier tests, above 0.
    threshold : float
        The least score of an anomaly by spectral residual.
    detector : str, optional
        ``seasonal_series``, ``dynamic_threshold`` or ``spectral_residual`` to use this method, and
        not the one that the series suggests; it needs a `period`.

    Returns
    -------
    Detection
        Arrays of shape ``(n,)``, and `Detection.to_frame` and `Detection.plot`.

    Raises
    ------
    DetectionError
        For an option or a series that is not valid, with the code the service answered:
        ``InvalidGranularity``, ``InvalidModelArgument``, ``InvalidSeries``, ``BadArgument``, ...

    Notes
    -----
    The answers are those of the operation `Detect entire series
    <https://learn.microsoft.com/rest/api/anomalydetector/>`_ of Azure AI Anomaly Detector, by the
    methods of ``time-series-anomaly-detector``, the package that ran it: STL (R. Cleveland et al.,
    Journal of Official Statistics 6, 1990) with the generalised ESD test (B. Rosner, Technometrics
    25, 1983), and spectral residual (H. Ren et al., KDD 2019).

    Examples
    --------
    >>> import pandas as pd
    >>> from detector import detect_entire
    >>> days = pd.date_range("2024-01-01", periods=21, freq="D")
    >>> frame = pd.DataFrame({"timestamp": days, "value": [1.0, 2, 3, 4, 5, 6, 7] * 3})
    >>> frame.loc[10, "value"] = 40
    >>> found = detect_entire(frame, granularity="daily", sensitivity=95)
    >>> found.period, found.to_frame().query("is_anomaly")["timestamp"].dt.date.tolist()
    (7, [datetime.date(2024, 1, 11)])
    """
    options = _options(
        detector,
        granularity=granularity,
        interval=interval,
        period=period,
        max_anomaly_ratio=max_anomaly_ratio,
        sensitivity=sensitivity,
        impute_mode=impute_mode,
        impute_fixed_value=impute_fixed_value,
        boundary_version=boundary_version,
        alpha=alpha,
        threshold=threshold,
    )
    return detection.entire(Series.of(data, options))


def detect_latest(
    data: Any,
    *,
    granularity: str = "none",
    interval: int = 1,
    period: int | None = None,
    max_anomaly_ratio: float = 0.25,
    sensitivity: int = 99,
    impute_mode: str = "auto",
    impute_fixed_value: float = 0.0,
    boundary_version: str = "V1",
    alpha: float = 0.05,
    threshold: float = 3.5,
    detector: str | None = None,
) -> LatestDetection:
    """Detect whether the last point of a series is an anomaly, from those before it.

    Parameters
    ----------
    data, granularity, interval, period, max_anomaly_ratio, sensitivity, impute_mode, \
    impute_fixed_value, boundary_version, alpha, threshold, detector
        As in `detect_entire`: 12 to 8640 points, values of shape ``(n,)``.

    Returns
    -------
    LatestDetection
        Of the last point, in the unit of the values, with the window to send next time.

    Raises
    ------
    DetectionError
        As in `detect_entire`.

    Notes
    -----
    The answers are those of the operation `Detect last point
    <https://learn.microsoft.com/rest/api/anomalydetector/>`_ of Azure AI Anomaly Detector.

    Examples
    --------
    >>> import numpy as np
    >>> from detector import detect_latest
    >>> months = np.arange("2022-01", "2023-09", dtype="datetime64[M]").astype("datetime64[ns]")
    >>> found = detect_latest((months, [1.0] * 19 + [0.0]), granularity="monthly")
    >>> found.is_anomaly, found.is_negative, round(found.expected, 2), found.period
    (True, True, 1.0, 0)
    """
    options = _options(
        detector,
        granularity=granularity,
        interval=interval,
        period=period,
        max_anomaly_ratio=max_anomaly_ratio,
        sensitivity=sensitivity,
        impute_mode=impute_mode,
        impute_fixed_value=impute_fixed_value,
        boundary_version=boundary_version,
        alpha=alpha,
        threshold=threshold,
    )
    return detection.latest(Series.of(data, options))


def detect_change_points(
    data: Any,
    *,
    granularity: str,
    interval: int = 1,
    period: int | None = None,
    stable_trend_window: int | None = None,
    threshold: float | None = None,
) -> ChangePoints:
    """Find where the level or the trend of a series breaks.

    Parameters
    ----------
    data : DataFrame, Series, list of mappings, pair of arrays, or array
        As in `detect_entire`: 12 to 8640 points, values of shape ``(n,)``.
    granularity : str
        As in `detect_entire`, but there is no default.
    interval, period
        As in `detect_entire`.
    stable_trend_window : int, optional
        How many points a trend lasts at least, 3 to less than half of the series; by default that
        of the granularity, 3 for weeks to 100 without one.
    threshold : float, optional
        0.01 to 0.99, by default 0.9, hourly 0.91. A point departs from the trend before it when it
        misses that by more than ``1 - threshold`` of the range: the lower, the fewer change points.

    Returns
    -------
    ChangePoints
        Arrays of shape ``(n,)``, and `ChangePoints.to_frame` and `ChangePoints.plot`.

    Raises
    ------
    DetectionError
        For an option or a series that is not valid, with the code the service answered:
        ``InvalidGranularity``, ``InvalidModelArgument``, ``InvalidSeries``, ``BadArgument``, ...

    Notes
    -----
    The scores are those of the operation `Detect change point
    <https://learn.microsoft.com/rest/api/anomalydetector/>`_ of Azure AI Anomaly Detector, by the
    sliding window algorithm of E. Keogh et al., "An Online Algorithm for Segmenting Time Series",
    IEEE ICDM 2001.

    Examples
    --------
    >>> import pandas as pd
    >>> from detector import detect_change_points
    >>> days = pd.date_range("2024-01-01", periods=40, freq="D")
    >>> found = detect_change_points(pd.Series([0.0] * 20 + [5.0] * 20, days), granularity="daily")
    >>> found.to_frame().query("is_change_point")["timestamp"].dt.date.tolist()
    [datetime.date(2024, 1, 21)]
    """
    options = _change_point_options(
        granularity=granularity,
        interval=interval,
        period=period,
        stable_trend_window=stable_trend_window,
        threshold=threshold,
    )
    return changepoint.change_points(ChangePointSeries.of(data, options))


def detect_many(
    data: pd.DataFrame,
    *,
    by: str | Sequence[str],
    mode: str = "entire",
    timestamp: str = "timestamp",
    value: str = "value",
    threads: int | None = None,
    progress: bool = False,
    **options: Any,
) -> pd.DataFrame:
    """Detect in each of many series, in several at once.

    Parameters
    ----------
    data : DataFrame
        One row for each point. The rows of a series may lie apart; in their order they rise in
        time. The data is not changed.
    by : str or list of str
        The columns that tell the series apart.
    mode : str
        ``entire``, ``latest`` or ``change_points``.
    timestamp, value : str
        The names of these columns. Without a granularity there need be no timestamps.
    threads : int, optional
        How many series are worked on at once; as many as there are processors by default.
    progress : bool
        Whether to show on standard error how far it is.
    **options
        Those of `detect_entire`, or of `detect_change_points` for that mode; for all series alike.

    Returns
    -------
    DataFrame
        The columns `by`, ``timestamp``, ``value``, and those of `Detection.to_frame`; of each
        series all rows in their order, or its last one for ``latest``. The series stand in the
        order in which they first appear. ``error`` is None, or says why a series has no answer:
        its numbers are NaN then, and its flags False.

    Raises
    ------
    DetectionError
        For an option that is not valid, and for a table that lacks a column.

    Notes
    -----
    The answers are those of `detect_entire`, `detect_latest` and `detect_change_points` for each
    series by itself, to the last bit. Where the kernel is compiled the threads use as many
    processors; in numpy they take turns.

    Examples
    --------
    >>> import pandas as pd
    >>> from detector import detect_many
    >>> pumps = pd.DataFrame({"pump": ["a"] * 16 + ["b"] * 3, "value": [1.0, 2, 3] * 5 + [9] * 4})
    >>> found = detect_many(pumps, by="pump", period=3)
    >>> found.query("is_anomaly")[["pump", "value"]].values.tolist()
    [['a', 9.0]]
    >>> found["error"].iloc[-1].partition(":")[0]
    'InvalidSeries'
    """
    checked = options_of(mode, options)
    if threads is not None and threads < 1:
        raise DetectionError("BadArgument", f"'threads' must be at least 1, not {shown(threads)}.")
    return many.detect_each(
        data,
        checked,
        by=[by] if isinstance(by, str) else list(by),
        mode=mode,
        timestamp=timestamp,
        value=value,
        threads=threads,
        progress=progress,
    )


def tune_sensitivity(data: Any, *, anomaly_share: float = 0.01, **options: Any) -> SensitivityCurve:
    """Count how many points of a series each sensitivity flags, to choose one by.

    Parameters
    ----------
    data : DataFrame, Series, list of mappings, pair of arrays, or array
        As in `detect_entire`: 12 to 8640 points, values of shape ``(n,)``.
    anomaly_share : float
        Which part of these points you hold for anomalies, above 0 to 0.49.
    **options
        Those of `detect_entire`; `sensitivity` is not looked at.

    Returns
    -------
    SensitivityCurve
        Arrays of shape ``(100,)``, the sensitivity that flags the part nearest to
        `anomaly_share`, and `SensitivityCurve.to_frame` and `SensitivityCurve.plot`.

    Raises
    ------
    DetectionError
        As in `detect_entire`, and ``InvalidModelArgument`` for a share that is not valid.

    Examples
    --------
    >>> import numpy as np
    >>> from detector import detect_entire, tune_sensitivity
    >>> values = np.tile([10.0, 20, 30, 40], 25)
    >>> values[[10, 41, 72, 95]] += [40, 20, 10, 5]
    >>> curve = tune_sensitivity(values, period=4, anomaly_share=0.03)
    >>> chosen = detect_entire(values, period=4, sensitivity=curve.sensitivity)
    >>> curve.sensitivity, chosen.is_anomaly.nonzero()[0].tolist()
    (1, [10, 41, 72])
    """
    checked = options_of("entire", options)
    return tuning.tune(Series.of(data, checked), anomaly_share)


def options_of(mode: str, options: Mapping[str, Any]) -> Options | ChangePointOptions:
    """Return the options of a mode of `detect_many`, checked.

    Raises
    ------
    DetectionError
        For a mode, or an option, that is not valid.
    """
    if mode not in many.MODES:
        raise DetectionError(
            "BadArgument",
            f"The 'mode' must be one of {', '.join(many.MODES)}, not {shown(mode)}.",
        )
    if mode == "change_points":
        return _change_point_options(**options)
    given = dict(options)
    return _options(given.pop("detector", None), **given)


def _change_point_options(
    *, granularity: str, threshold: float | None = None, **given: Any
) -> ChangePointOptions:
    if threshold is None:
        threshold = trend_threshold(granularity)
    return ChangePointOptions(granularity=granularity, threshold=threshold, **given)


def _options(detector: str | None, **given: Any) -> Options:
    options = Options(**given)
    if detector is None:
        return options
    # Its parameters are those of the options.
    choice = DetectorChoice(
        name=detector,
        period=options.period,
        alpha=options.alpha,
        threshold=options.threshold,
        max_anomaly_ratio=options.max_anomaly_ratio,
    )
    return replace(options, detector=choice)
