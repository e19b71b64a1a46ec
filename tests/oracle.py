"""The untouched upstream package, and the series on which ours must say the same.

For the tests and for the long run of ``equality.py``.
"""

from __future__ import annotations

import contextlib
import copy
import io
import math
import warnings
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from anomaly_detector.univariate import univariate_anomaly_detection as upstream

from detector.errors import DetectionError
from detector.models import EntireAnomalyDetector, LatestAnomalyDetector

SAME_VALUES = ("expected_value", "upper_margin", "lower_margin", "severity")
TOLERANCE = 1e-6
FAILED = object()

_OURS = {"entire": EntireAnomalyDetector, "latest": LatestAnomalyDetector}
_THEIRS = {
    "entire": upstream.EntireAnomalyDetector,
    "latest": upstream.LatestAnomalyDetector,
}
_FREQUENCIES = {
    "yearly": "YS",
    "monthly": "MS",
    "weekly": "7D",
    "daily": "D",
    "hourly": "h",
    "minutely": "min",
    "secondly": "s",
    "microsecond": "s",
    "none": "D",
}


def ours(mode: str, frame: pd.DataFrame, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Detect with our model."""
    return _OURS[mode]().predict(None, frame, params)


def theirs(mode: str, frame: pd.DataFrame, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Detect with the upstream package, with the severity that it computes and throws away.

    Not for threads: it listens in on a function of the package.
    """
    params = copy.deepcopy(params)
    if params.get("imputeMode") == "fixed":
        # Under its newer name the value is never passed on; under its older one it is.
        del params["imputeMode"]
        params |= {"fillUpMode": "fixed", "fixedValue": params.pop("imputeFixedValue")}
    heard: list[Any] = []
    margins = upstream.get_margins

    def listen(*arguments: Any) -> Any:
        heard.append(margins(*arguments))
        return heard[-1]

    upstream.get_margins = listen
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            answers = _THEIRS[mode]().predict(None, frame.copy(), params)
    finally:
        upstream.get_margins = margins
    severity = heard[0][6]
    for answer, own in zip(answers, severity if mode == "entire" else [severity], strict=True):
        answer["result"]["severity"] = float(own)
    return answers


def outcome(detect: Any, mode: str, frame: pd.DataFrame, params: dict[str, Any]) -> Any:
    """Return the answers, None for a refusal, or FAILED where upstream's own STL breaks down."""
    refusals = DetectionError if detect is ours else Exception
    try:
        return detect(mode, frame, params)
    except refusals as error:
        # Once in thousands of series rounding makes one of its ranges a number too long.
        return FAILED if "could not be broadcast" in str(error) else None


def difference(own: Any, other: Any) -> str | None:
    """Return the first way in which two outcomes differ, or None."""
    if other is FAILED:
        return None
    if own is None or other is None:
        return None if own is other else f"refused by {'us' if own is None else 'them'} alone"
    if len(own) != len(other):
        return f"{len(own)} answers for {len(other)}"
    for place, (one, two) in enumerate(zip(own, other, strict=True)):
        for name, value in two["result"].items():
            if name in SAME_VALUES:
                if not _is_near(one["result"][name], value):
                    return f"{name} at {place}: {one['result'][name]!r} for {value!r}"
            elif one["result"][name] != value:
                return f"{name} at {place}: {one['result'][name]!r} for {value!r}"
    return None


def _is_near(own: float, other: float) -> bool:
    if math.isnan(own) or math.isnan(other):
        return math.isnan(own) and math.isnan(other)
    return own == other or abs(own - other) <= TOLERANCE * abs(other)


@st.composite
def series(draw: st.DrawFn, longest: int = 8640) -> tuple[str, pd.DataFrame, dict[str, Any]]:
    """Draw a mode, a series and options, all kinds of them."""
    lengths = [st.integers(12, 40), st.integers(41, 200), st.integers(12, 120)]
    if longest > 200:
        lengths.append(st.integers(201, min(longest, 900)))
    if longest > 2000 and draw(st.integers(0, 19)) == 0:
        lengths = [st.integers(901, longest)]
    n = draw(st.one_of(lengths))
    season = draw(st.sampled_from([4, 5, 7, 12, 13, 24, 31, 60]))
    values = draw(_values(n, season))
    granularity = draw(st.sampled_from(list(_FREQUENCIES)))
    params: dict[str, Any] = {}
    interval = draw(st.sampled_from([1, 1, 1, 2, 5, 30]))
    # Timestamps end in 2262; and upstream fails on the customary period of 1000 of the finest
    # granularity when it finds it.
    longest_span = {
        "yearly": 250,
        "monthly": 3000,
        "weekly": 12_000,
        "daily": 80_000,
        "none": 80_000,
    }
    if n * interval > longest_span.get(granularity, math.inf):
        interval = 1
    if n > longest_span.get(granularity, math.inf) or (granularity == "microsecond" and n > 1000):
        granularity = "hourly"
    params["granularity"] = granularity
    if interval > 1:
        params["customInterval"] = interval
    if granularity == "microsecond":
        # Its unit is a millisecond, and upstream loses some in rounding; it keeps seconds.
        params["customInterval"] = 1000 * interval
    start = pd.Timestamp("1971-02-01 06:30")
    frequency = _FREQUENCIES[granularity]
    times = pd.date_range(start, periods=n * interval, freq=frequency)[::interval]
    kept = draw(_kept(n))
    frame = pd.DataFrame({"timestamp": times, "value": values})[kept].reset_index(drop=True)
    for name, strategy in _OPTIONS.items():
        if draw(st.integers(0, 2)) == 0:
            params[name] = draw(strategy)
    if params.get("imputeMode") == "fixed":
        params["imputeFixedValue"] = draw(st.sampled_from([0.0, 1.5, -20.0, 800.0]))
    if draw(st.integers(0, 3)) == 0:
        params["period"] = draw(st.sampled_from([0, 1, 2, 3, 7, season, season]))
    if draw(st.integers(0, 14)) == 0:
        name = draw(st.sampled_from(["seasonal_series", "dynamic_threshold", "spectral_residual"]))
        params["detector"] = {
            "name": name,
            "parameters": {
                "alpha": 0.05,
                "maxAnomalyRatio": draw(st.sampled_from([0.05, 0.25])),
                "threshold": 3.5,
                "period": season if name == "seasonal_series" else 0,
            },
        }
    return draw(st.sampled_from(["entire", "latest"])), frame, params


_OPTIONS = {
    "sensitivity": st.one_of(st.integers(0, 100), st.sampled_from([80, 95, 99, 100])),
    "maxAnomalyRatio": st.sampled_from([0.01, 0.1, 0.25, 0.4, 0.49]),
    "imputeMode": st.sampled_from(["auto", "previous", "linear", "zero", "fixed", "notFill"]),
    "boundaryVersion": st.sampled_from(["V1", "V2", "V3"]),
    "alpha": st.sampled_from([0.001, 0.05, 0.2, 1.0]),
    "threshold": st.sampled_from([1.0, 2.0, 3.5, 6.0]),
}


@st.composite
def _values(draw: st.DrawFn, n: int, season: int) -> np.ndarray:
    """Draw parts of a series and add them up."""
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    t = np.arange(n)
    values = np.full(n, float(draw(st.sampled_from([0, 0, 1, 10, 100, -50]))))
    if draw(st.booleans()):
        height = draw(st.sampled_from([1.0, 5.0, 40.0]))
        wave = draw(st.sampled_from(["sine", "saw", "pulse"]))
        if wave == "sine":
            values += height * np.sin(2 * np.pi * t / season)
        elif wave == "saw":
            values += height * (t % season) / season
        else:
            values += height * (t % season == 0)
    trend = draw(st.sampled_from(["none", "none", "line", "curve", "walk", "steps"]))
    if trend == "line":
        values += t * draw(st.sampled_from([0.01, 0.5, -2.0]))
    elif trend == "curve":
        values += 20 * np.sin(t / n * 3)
    elif trend == "walk":
        values += np.cumsum(noise.normal(size=n))
    elif trend == "steps":
        values += 10.0 * np.searchsorted(np.sort(noise.integers(0, n, 2)), t)
    kind = draw(st.sampled_from(["none", "normal", "normal", "heavy", "counts", "growing"]))
    if kind == "normal":
        values += noise.normal(size=n) * draw(st.sampled_from([0.1, 1.0, 5.0]))
    elif kind == "heavy":
        values += noise.standard_t(2, size=n)
    elif kind == "counts":
        values = np.round(values + noise.poisson(2, size=n))
    elif kind == "growing":
        values *= np.exp(t / n + noise.normal(size=n) * 0.05)
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.one_of(st.integers(0, n - 1), st.just(n - 1)))
        values[place] += draw(st.sampled_from([-30.0, 3.0, 50.0, 1e4]))
    return values * draw(st.sampled_from([1, 1, 1, 1, 1e-12, 1e-3, 1e6, 1e15, -1]))


@st.composite
def _kept(draw: st.DrawFn, n: int) -> np.ndarray:
    """Draw which points are not missing, the ends and at least twelve of them."""
    kept = np.ones(n, dtype=bool)
    gaps = draw(st.sampled_from(["none", "none", "single", "many", "long"]))
    if gaps == "single":
        kept[draw(st.integers(1, n - 2))] = False
    elif gaps == "many":
        noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        kept = noise.random(n) > draw(st.sampled_from([0.03, 0.2, 0.55]))
    elif gaps == "long":
        start = draw(st.integers(1, n - 2))
        kept[start : start + draw(st.integers(1, max(1, n // 2)))] = False
    kept[[0, -1]] = True
    return kept if kept.sum() >= 12 else np.ones(n, dtype=bool)
