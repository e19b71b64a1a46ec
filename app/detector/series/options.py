"""The options of a detection: their names, defaults and bounds."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from detector.arrays import LARGEST_VALUE
from detector.errors import DetectionError, shown
from detector.series.values import real_number, whole_number

GRANULARITIES = (
    "none",
    "yearly",
    "monthly",
    "weekly",
    "daily",
    "hourly",
    "minutely",
    "secondly",
    "microsecond",
)
IMPUTE_MODES = ("auto", "previous", "linear", "fixed", "zero", "notFill", "last", "no")
BOUNDARY_VERSIONS = ("V1", "V2", "V3")
DETECTORS = ("spectral_residual", "hbos", "seasonal_series", "dynamic_threshold")
# What change points take by default, by granularity.
STABLE_TREND_WINDOWS = {
    "none": 100,
    "yearly": 3,
    "monthly": 6,
    "weekly": 3,
    "daily": 5,
    "hourly": 24,
    "minutely": 72,
    "secondly": 72,
    "microsecond": 100,
}
TREND_THRESHOLDS = {name: 0.91 if name == "hourly" else 0.9 for name in GRANULARITIES}
SHORTEST_WINDOW = 3


@dataclass(frozen=True)
class DetectorChoice:
    """A detection method that the caller names, with its parameters."""

    name: str
    period: int | None
    alpha: float
    threshold: float
    max_anomaly_ratio: float


@dataclass(frozen=True)
class Options:
    """How to detect anomalies in a series.

    Attributes
    ----------
    granularity : str
        The time unit between points, one of `GRANULARITIES`; ``none`` for none.
    interval : int
        How many of these units lie between two points.
    period : int or None
        Points in one season, 0 for no seasons, None to find out.
    max_anomaly_ratio : float
        At most this part of the points is an anomaly, above 0 to 0.49.
    sensitivity : int
        0 to 100; the higher, the narrower the margins.
    impute_mode : str
        How to fill gaps; ``zero`` is held as ``fixed`` with the value 0.
    impute_fixed_value : float
    boundary_version : str
        ``V1`` for the margins of API version 1.0, ``V2`` or ``V3`` for those of 1.1.
    alpha, threshold : float
        The level of the outlier tests, and the least score of spectral residual.
    detector : DetectorChoice or None
        A method to use instead of the one that the series suggests.
    """

    granularity: str = "none"
    interval: int = 1
    period: int | None = None
    max_anomaly_ratio: float = 0.25
    sensitivity: int = 99
    impute_mode: str = "auto"
    impute_fixed_value: float = 0.0
    boundary_version: str = "V1"
    alpha: float = 0.05
    threshold: float = 3.5
    detector: DetectorChoice | None = None

    @classmethod
    def from_request(cls, request: Mapping[str, Any]) -> "Options":
        """Read the options of a request by their names on the wire, such as ``maxAnomalyRatio``.

        An option that is absent or None keeps its default; keys that are none are ignored.

        Raises
        ------
        DetectionError
            For the first wrong option, in the order in which the service looked at them.
        """
        given = given_options(request)
        read: dict[str, Any] = {}
        for name, attribute, check in _OPTIONS:
            if name in given:
                read[attribute] = check(given[name])
        read.update(_imputation(given))
        if "boundaryVersion" in given:
            read["boundary_version"] = _one_of(
                "InvalidBoundaryVersion",
                "boundaryVersion",
                given["boundaryVersion"],
                BOUNDARY_VERSIONS,
                "The 'boundaryVersion' field can only be one of the following: {choices}.",
            )
        if isinstance(given.get("detector"), Mapping):
            read["detector"] = _detector(given["detector"], cls(**read))
        return cls(**read)


@dataclass(frozen=True)
class ChangePointOptions(Options):
    """How to find the change points of a series; of `Options` it reads what is named here.

    Attributes
    ----------
    granularity : str
    interval : int
    period : int or None
        As in `Options`, but there is no default granularity.
    stable_trend_window : int or None
        How many points a trend must last, at least 3 and less than half of the series; None for
        that of the granularity in `STABLE_TREND_WINDOWS`.
    threshold : float
        0.01 to 0.99. A point departs from the trend before it when it misses that by more than
        ``1 - threshold`` of the range: the lower, the fewer change points.
    """

    stable_trend_window: int | None = None
    threshold: float = TREND_THRESHOLDS["none"]

    @classmethod
    def from_request(cls, request: Mapping[str, Any]) -> "ChangePointOptions":
        """Read the options of a request by their names on the wire, such as ``stableTrendWindow``.

        An option that is absent or None keeps its default. Those of anomaly detection, which
        clients send along, are not looked at.

        Raises
        ------
        DetectionError
            For the first wrong option.
        """
        given = given_options(request)
        if "granularity" not in given:
            raise granularity_missing()
        granularity = _granularity(given["granularity"])
        read: dict[str, Any] = {"threshold": TREND_THRESHOLDS[granularity]}
        for name, attribute, check in _CHANGE_POINT_OPTIONS:
            if name in given:
                read[attribute] = check(given[name])
        return cls(**read)


def wrong_window(value: Any, bound: str = "") -> DetectionError:
    return DetectionError(
        "InvalidModelArgument",
        f"The 'stableTrendWindow' field must be an integer >= {SHORTEST_WINDOW} and < half of "
        f"series' length. It is {shown(value)}{bound}.",
    )


def _stable_trend_window(value: Any) -> int:
    whole = whole_number(value)
    if whole is None or whole < SHORTEST_WINDOW:
        raise wrong_window(value)
    return whole


def _trend_threshold(value: Any) -> float:
    number = real_number(value)
    if number is None or not 0.01 <= number <= 0.99:
        raise DetectionError(
            "InvalidModelArgument",
            f"The 'threshold' field must be an float between 0.01 and 0.99. It is {shown(value)}.",
        )
    return number


def given_options(request: Any) -> dict[str, Any]:
    """Return the options that are given and not null."""
    if not isinstance(request, Mapping):
        raise DetectionError(
            "InvalidJsonFormat",
            f"The options must be an object of names and values, not {shown(request)}.",
        )
    return {name: value for name, value in request.items() if value is not None}


def granularity_missing() -> DetectionError:
    return DetectionError(
        "RequiredGranularity",
        f"The 'granularity' field is required in request. It is one of {', '.join(GRANULARITIES)}.",
    )


def _one_of(code: str, name: str, value: Any, choices: Iterable[str], message: str) -> str:
    if isinstance(value, str):
        for choice in choices:
            if value == choice:
                return choice
    listed = ", ".join(choices)
    raise DetectionError(code, f"{message.format(choices=listed)} It is {shown(value)}.")


def _granularity(value: Any) -> str:
    return _one_of(
        "InvalidGranularity",
        "granularity",
        value,
        GRANULARITIES,
        "The 'granularity' field can only be one of the following: {choices}.",
    )


def _interval(value: Any) -> int:
    whole = whole_number(value)
    if whole is None or whole <= 0:
        raise DetectionError(
            "InvalidCustomInterval",
            f"The 'customInterval' field must be an integer > 0. It is {shown(value)}.",
        )
    return whole


def _period(value: Any) -> int:
    whole = whole_number(value)
    if whole is None or whole < 0:
        raise DetectionError(
            "InvalidPeriod",
            f"The 'period' field must be an integer >= 0. It is {shown(value)}.",
        )
    return whole


def _alpha(value: Any) -> float:
    number = real_number(value)
    if number is None or number <= 0:
        raise DetectionError(
            "InvalidModelArgument", f"The 'alpha' field must > 0. It is {shown(value)}."
        )
    return number


def _ratio(value: Any) -> float:
    number = real_number(value)
    if number is None or not 0 < number <= 0.49:
        raise DetectionError(
            "InvalidModelArgument",
            "The 'maxAnomalyRatio' field must be less than 50% of the series points "
            f"(0 < maxAnomalyRatio < 0.5), at most 0.49. It is {shown(value)}.",
        )
    return number


def _sensitivity(value: Any) -> int:
    whole = whole_number(value)
    if whole is None or not 0 <= whole <= 100:
        raise DetectionError(
            "InvalidModelArgument",
            f"The 'sensitivity' field must be an integer between 0 and 99. It is {shown(value)}.",
        )
    return whole


def _threshold(value: Any) -> float:
    number = real_number(value)
    if number is None:
        raise DetectionError(
            "InvalidModelArgument",
            f"The 'threshold' field must be a float. It is {shown(value)}.",
        )
    return number


# On the wire, in Options, and how it is read; in the order in which the service looked.
_OPTIONS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("granularity", "granularity", _granularity),
    ("customInterval", "interval", _interval),
    ("period", "period", _period),
    ("alpha", "alpha", _alpha),
    ("maxAnomalyRatio", "max_anomaly_ratio", _ratio),
    ("sensitivity", "sensitivity", _sensitivity),
    ("threshold", "threshold", _threshold),
)
_CHANGE_POINT_OPTIONS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("granularity", "granularity", _granularity),
    ("customInterval", "interval", _interval),
    ("period", "period", _period),
    ("threshold", "threshold", _trend_threshold),
    ("stableTrendWindow", "stable_trend_window", _stable_trend_window),
)


def _imputation(given: Mapping[str, Any]) -> dict[str, Any]:
    """Read how to fill gaps; the first previews called it ``fillUpMode`` and ``fixedValue``."""
    name, value_name = "imputeMode", "imputeFixedValue"
    if name not in given and "fillUpMode" in given:
        name, value_name = "fillUpMode", "fixedValue"
    if name not in given:
        return {}
    mode = _one_of(
        "InvalidImputeMode",
        name,
        given[name],
        IMPUTE_MODES,
        f"The '{name}' field is required and should be one of the following: {{choices}}.",
    )
    if mode == "zero":
        return {"impute_mode": "fixed", "impute_fixed_value": 0.0}
    if mode != "fixed":
        return {"impute_mode": mode}
    number = real_number(given.get(value_name))
    if number is None or abs(number) > LARGEST_VALUE:
        raise DetectionError(
            "InvalidImputeFixedValue",
            f"The '{value_name}' field must be a number. With the {name} 'fixed' it is the "
            f"value of every missing point, and it is {shown(given.get(value_name))}.",
        )
    return {"impute_mode": mode, "impute_fixed_value": number}


def _detector(request: Mapping[str, Any], options: Options) -> DetectorChoice:
    if "parameters" not in request:
        raise DetectionError(
            "MissingDetectorParameters",
            "The 'parameters' field is missing in 'detector' in request.",
        )
    parameters = request["parameters"]
    if not isinstance(parameters, Mapping):
        raise DetectionError(
            "InvalidDetectorParameters",
            "The 'parameters' field of 'detector' is malformed in request: it must be an "
            f"object, not {shown(parameters)}.",
        )
    if "name" not in request:
        raise DetectionError(
            "MissingDetectorName", "The 'name' field is missing in 'detector' in request."
        )
    name = _one_of(
        "InvalidDetector",
        "name",
        request["name"],
        DETECTORS,
        "The 'name' field of 'detector' can only be one of the following: {choices}.",
    )
    if name == "hbos":
        raise DetectionError(
            "InvalidDetector",
            "The detector 'hbos' rests on a library that the kernel does not bring along. "
            "Use 'seasonal_series' or 'dynamic_threshold'.",
        )
    given = {key: value for key, value in parameters.items() if value is not None}
    return DetectorChoice(
        name=name,
        period=_period(given["period"]) if "period" in given else None,
        alpha=_alpha(given.get("alpha", options.alpha)),
        threshold=_threshold(given.get("threshold", options.threshold)),
        max_anomaly_ratio=_ratio(given.get("maxAnomalyRatio", options.max_anomaly_ratio)),
    )
