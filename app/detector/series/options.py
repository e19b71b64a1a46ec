"""The options of a detection: their names, defaults and bounds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from detector.arrays import LARGEST_VALUE
from detector.errors import DetectionError, shown
from detector.series.names import Names
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
DETECTORS = ("spectral_residual", "seasonal_series", "dynamic_threshold")
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
# Far longer than any series, and a number that JSON and arrays hold.
LONGEST_PERIOD = 2**31 - 1


# Checks one option: takes what its caller calls it and its value, returns the value.
_Check = Callable[[str, Any], Any]


@dataclass(frozen=True)
class DetectorChoice:
    """A detection method that the caller names, with its parameters.

    Attributes
    ----------
    name : str
        One of `DETECTORS`.
    period : int or None
        None for that of the options.
    alpha, threshold, max_anomaly_ratio : float
        As in `Options`.
    names : mapping
        As in `Options`.

    Raises
    ------
    DetectionError
        ``InvalidDetector``, ``InvalidPeriod`` or ``InvalidModelArgument``.
    """

    name: str
    period: int | None
    alpha: float
    threshold: float
    max_anomaly_ratio: float
    names: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _method("'detector' field", self.name))
        _check(self, _DETECTOR_CHECKS)


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
        In the unit of the values; not looked at but with ``fixed``.
    boundary_version : str
        ``V1`` for the margins of API version 1.0, ``V2`` or ``V3`` for those of 1.1.
    alpha, threshold : float
        The level of the outlier tests, and the least score of spectral residual.
    detector : DetectorChoice or None
        A method to use instead of the one that the series suggests.
    names : mapping
        What a caller calls an option where that is not its name here, for messages.

    Raises
    ------
    DetectionError
        For the first wrong option, in the order in which the service looked at them.
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
    names: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self, _CHECKS)
        self._check_imputation()
        _check(self, (("boundary_version", _boundary_version),))

    def name_of(self, attribute: str) -> str:
        """Return what the caller calls an option."""
        return self.names.get(attribute, attribute)

    def _check_imputation(self) -> None:
        name, value_name = self.name_of("impute_mode"), self.name_of("impute_fixed_value")
        said = f"'{name}' field is required and should be"
        mode = _one_of("InvalidImputeMode", said, self.impute_mode, IMPUTE_MODES)
        value: float | None = 0.0
        if mode == "fixed":
            value = real_number(self.impute_fixed_value)
            if value is None or abs(value) > LARGEST_VALUE:
                raise DetectionError(
                    "InvalidImputeFixedValue",
                    f"The '{value_name}' field must be a number. With the {name} 'fixed' it is "
                    "the value of every missing point, and it is "
                    f"{shown(self.impute_fixed_value)}.",
                )
        object.__setattr__(self, "impute_mode", "fixed" if mode == "zero" else mode)
        object.__setattr__(self, "impute_fixed_value", value)

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
        names = _WIRE_NAMES
        # The first previews had other names.
        if "imputeMode" not in given and "fillUpMode" in given:
            names = _FIRST_WIRE_NAMES
        read = _read(given, names, _OPTIONS)
        if "impute_mode" in read:
            # The default is for Python: on the wire the mode 'fixed' needs its value.
            read.setdefault("impute_fixed_value", None)
        options = cls(**read, names=names)
        if isinstance(given.get("detector"), Mapping):
            return replace(options, detector=_detector(given["detector"], options))
        return options


@dataclass(frozen=True)
class ChangePointOptions(Options):
    """How to find the change points of a series; of `Options` it reads what is named here.

    Attributes
    ----------
    granularity : str
    interval : int
    period : int or None
        As in `Options`.
    stable_trend_window : int or None
        How many points a trend must last, at least 3 and less than half of the series; None for
        that of the granularity in `STABLE_TREND_WINDOWS`.
    threshold : float
        0.01 to 0.99. A point departs from the trend before it when it misses that by more than
        ``1 - threshold`` of the range: the lower, the fewer change points.

    Raises
    ------
    DetectionError
        For the first wrong option.
    """

    stable_trend_window: int | None = None
    threshold: float = TREND_THRESHOLDS["none"]

    def __post_init__(self) -> None:
        _check(self, _CHANGE_POINT_CHECKS)

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
        read = _read(given_options(request), _WIRE_NAMES, _CHANGE_POINT_OPTIONS)
        read.setdefault("threshold", trend_threshold(read.get("granularity", cls.granularity)))
        return cls(**read, names=_WIRE_NAMES)


# Where the wire has another name than Python.
_WIRE_NAMES = {
    "interval": "customInterval",
    "max_anomaly_ratio": "maxAnomalyRatio",
    "anomaly_share": "anomalyShare",
    "impute_mode": "imputeMode",
    "impute_fixed_value": "imputeFixedValue",
    "boundary_version": "boundaryVersion",
    "stable_trend_window": "stableTrendWindow",
}
_FIRST_WIRE_NAMES = _WIRE_NAMES | {"impute_mode": "fillUpMode", "impute_fixed_value": "fixedValue"}


def trend_threshold(granularity: Any) -> float:
    """Return the default threshold of change points, refusing what is no granularity."""
    return TREND_THRESHOLDS[_granularity("granularity", granularity)]


def wrong_window(name: str, value: Any, bound: str = "") -> DetectionError:
    return DetectionError(
        "InvalidModelArgument",
        f"The '{name}' field must be an integer >= {SHORTEST_WINDOW} and < half of "
        f"series' length. It is {shown(value)}{bound}.",
    )


def given_options(request: Any) -> dict[str, Any]:
    """Return the options that are given and not null, by their usual names."""
    if not isinstance(request, Mapping):
        raise DetectionError(
            "InvalidJsonFormat",
            f"The options must be an object of names and values, not {shown(request)}.",
        )
    return {name: value for name, value in _NAMES.usual(request).items() if value is not None}


def _read(
    given: Mapping[str, Any], names: Mapping[str, str], options: tuple[str, ...]
) -> dict[str, Any]:
    wire = {option: names.get(option, option) for option in options}
    return {option: given[name] for option, name in wire.items() if name in given}


def _check(options: Options | DetectorChoice, checks: tuple[tuple[str, _Check], ...]) -> None:
    for attribute, check in checks:
        name = options.names.get(attribute, attribute)
        object.__setattr__(options, attribute, check(name, getattr(options, attribute)))


def _one_of(code: str, said: str, value: Any, choices: tuple[str, ...]) -> str:
    if isinstance(value, str):
        for choice in choices:
            if value == choice:
                return choice
    listed = ", ".join(choices)
    raise DetectionError(code, f"The {said} one of the following: {listed}. It is {shown(value)}.")


def _granularity(name: str, value: Any) -> str:
    return _one_of("InvalidGranularity", f"'{name}' field can only be", value, GRANULARITIES)


def _boundary_version(name: str, value: Any) -> str:
    said = f"'{name}' field can only be"
    return _one_of("InvalidBoundaryVersion", said, value, BOUNDARY_VERSIONS)


def _method(field_said: str, value: Any) -> str:
    return _one_of("InvalidDetector", f"{field_said} can only be", value, DETECTORS)


def _interval(name: str, value: Any) -> int:
    whole = whole_number(value)
    if whole is None or whole <= 0:
        raise DetectionError(
            "InvalidCustomInterval",
            f"The '{name}' field must be an integer > 0. It is {shown(value)}.",
        )
    return whole


def _period(name: str, value: Any) -> int | None:
    if value is None:
        return None
    whole = whole_number(value)
    if whole is None or not 0 <= whole <= LONGEST_PERIOD:
        raise DetectionError(
            "InvalidPeriod",
            f"The '{name}' field must be an integer >= 0, and at most {LONGEST_PERIOD}. It is "
            f"{shown(value)}.",
        )
    return whole


def _alpha(name: str, value: Any) -> float:
    number = real_number(value)
    if number is None or number <= 0:
        raise DetectionError(
            "InvalidModelArgument", f"The '{name}' field must > 0. It is {shown(value)}."
        )
    return number


def _ratio(name: str, value: Any) -> float:
    number = real_number(value)
    if number is None or not 0 < number <= 0.49:
        raise DetectionError(
            "InvalidModelArgument",
            f"The '{name}' field must be less than 50% of the series points "
            f"(0 < {name} < 0.5), at most 0.49. It is {shown(value)}.",
        )
    return number


def _sensitivity(name: str, value: Any) -> int:
    whole = whole_number(value)
    if whole is None or not 0 <= whole <= 100:
        raise DetectionError(
            "InvalidModelArgument",
            f"The '{name}' field must be an integer between 0 and 99. It is {shown(value)}.",
        )
    return whole


def _threshold(name: str, value: Any) -> float:
    number = real_number(value)
    if number is None:
        raise DetectionError(
            "InvalidModelArgument",
            f"The '{name}' field must be a float. It is {shown(value)}.",
        )
    return number


def _trend_threshold(name: str, value: Any) -> float:
    number = real_number(value)
    if number is None or not 0.01 <= number <= 0.99:
        raise DetectionError(
            "InvalidModelArgument",
            f"The '{name}' field must be an float between 0.01 and 0.99. It is {shown(value)}.",
        )
    return number


def _stable_trend_window(name: str, value: Any) -> int | None:
    if value is None:
        return None
    whole = whole_number(value)
    if whole is None or whole < SHORTEST_WINDOW:
        raise wrong_window(name, value)
    return whole


# In the order in which the service looked.
_CHECKS: tuple[tuple[str, _Check], ...] = (
    ("granularity", _granularity),
    ("interval", _interval),
    ("period", _period),
    ("alpha", _alpha),
    ("max_anomaly_ratio", _ratio),
    ("sensitivity", _sensitivity),
    ("threshold", _threshold),
)
_CHANGE_POINT_CHECKS: tuple[tuple[str, _Check], ...] = (
    ("granularity", _granularity),
    ("interval", _interval),
    ("period", _period),
    ("threshold", _trend_threshold),
    ("stable_trend_window", _stable_trend_window),
)
_OPTIONS = (*dict(_CHECKS), "impute_mode", "impute_fixed_value", "boundary_version")
_CHANGE_POINT_OPTIONS = tuple(dict(_CHANGE_POINT_CHECKS))
_WIRE_OPTIONS = [_WIRE_NAMES.get(each, each) for each in (*_OPTIONS, *_CHANGE_POINT_OPTIONS)]
_NAMES = Names(
    [
        *_WIRE_OPTIONS,
        "anomalyShare",
        "fillUpMode",
        "fixedValue",
        "detector",
        "name",
        "parameters",
        "series",
    ]
)
_DETECTOR_CHECKS: tuple[tuple[str, _Check], ...] = (
    ("period", _period),
    ("alpha", _alpha),
    ("threshold", _threshold),
    ("max_anomaly_ratio", _ratio),
)


def _detector(request: Mapping[str, Any], options: Options) -> DetectorChoice:
    """Read the detector that a request names."""
    request = _NAMES.usual(request)
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
    given = given_options(parameters)
    return DetectorChoice(
        name=_method("'name' field of 'detector'", request["name"]),
        period=given.get("period"),
        alpha=given.get("alpha", options.alpha),
        threshold=given.get("threshold", options.threshold),
        max_anomaly_ratio=given.get("maxAnomalyRatio", options.max_anomaly_ratio),
        names=options.names,
    )
