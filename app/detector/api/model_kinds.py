"""What a registered model must be able to do, and how it is called.

The models of `detector.models` take a series and return arrays: their ``detect``. Any other model
has MLflow's ``predict`` only, which takes a table and returns a dictionary for each point.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from detector.models import ChangePointDetector, EntireAnomalyDetector, LatestAnomalyDetector
from detector.series.series import ChangePointSeries, Columns, Series
from detector.univariate.changepoint import ChangePoints
from detector.univariate.detection import Detection, LatestDetection

__all__ = [
    "CHANGE_POINT",
    "ENTIRE",
    "KINDS",
    "LATEST",
    "Detect",
    "Found",
    "Kind",
    "caller",
    "check_shapes",
]

ENTIRE, LATEST, CHANGE_POINT = "univariate-entire", "univariate-latest", "change-point"

# What ``predict`` finds has the attributes of what ``detect`` finds, and no series.
Found = Detection | LatestDetection | ChangePoints | SimpleNamespace
# Takes the columns of a request and the options as they were sent, by their names on the wire.
Detect = Callable[[Columns, Mapping[str, Any]], Found]

# The options a model takes, with the defaults they have where the client gives none.
_PARAMS = {
    "granularity": "none",
    "customInterval": 1,
    "maxAnomalyRatio": 0.25,
    "sensitivity": 99,
    "imputeMode": "auto",
    "boundaryVersion": "V2",
}
# The attributes of a detection, and what ``predict`` calls them.
_DETECTION = {
    "expected": "expected_value",
    "upper_margin": "upper_margin",
    "lower_margin": "lower_margin",
    "is_anomaly": "is_anomaly",
    "is_positive": "is_positive_anomaly",
    "is_negative": "is_negative_anomaly",
    "severity": "severity",
    "period": "period",
}
_LATEST = _DETECTION | {"suggested_window": "suggested_window"}
_CHANGE_POINTS = {
    "is_change_point": "is_change_point",
    "confidence": "confidence_score",
    "period": "period",
}


@dataclass(frozen=True)
class Kind:
    """One kind of detection.

    Attributes
    ----------
    model : type
        Made and registered where there is none; it and its subclasses have a ``detect``.
    series : type of Series
        What ``detect`` takes.
    names : mapping
        The attributes of what ``detect`` finds, and what ``predict`` calls them.
    scalars : collection of str
        Those of them that are no array with an item for each point.
    params : mapping
        The options, by their names on the wire, with their defaults.
    """

    model: type[EntireAnomalyDetector | LatestAnomalyDetector | ChangePointDetector]
    series: type[Series]
    names: Mapping[str, str]
    scalars: Collection[str]
    params: Mapping[str, Any]

    def points(self, given: int) -> int:
        """Return how many points are scored of those that are given."""
        return given if len(self.scalars) < len(self.names) else 1


KINDS: dict[str, Kind] = {
    ENTIRE: Kind(EntireAnomalyDetector, Series, _DETECTION, ("period",), _PARAMS),
    LATEST: Kind(LatestAnomalyDetector, Series, _LATEST, tuple(_LATEST), _PARAMS),
    CHANGE_POINT: Kind(
        ChangePointDetector,
        ChangePointSeries,
        _CHANGE_POINTS,
        ("period",),
        {"granularity": "daily", "customInterval": 1},
    ),
}


def caller(kind: Kind, model: Any, label: str) -> Detect:
    """Return how to have a loaded model detect: by its ``detect``, or else by its ``predict``."""
    if _has_detect(kind, model):
        return lambda columns, _: model.detect(kind.series.from_columns(columns))
    return lambda columns, params: _predict(kind, model, label, columns, params)


def _has_detect(kind: Kind, model: Any) -> bool:
    # A subclass that has only a `predict` of its own answers by it, and not by what it inherits.
    if not isinstance(model, kind.model):
        return False
    own = next(each for each in type(model).__mro__ if vars(each).keys() & {"detect", "predict"})
    return "detect" in vars(own)


def _predict(
    kind: Kind, model: Any, label: str, columns: Columns, params: Mapping[str, Any]
) -> Found:
    """Return what ``predict`` finds, by the names that ``detect`` has for it."""
    table = {"timestamp": columns.timestamps, "value": columns.values}
    if columns.timestamps is None:
        del table["timestamp"]
    # Without a change of what was sent: a table of numbers would hide what was none.
    frame = pd.DataFrame(table, dtype=object)
    # Called directly, because MLflow's checks of a table take longer than most detections.
    results = [answer["result"] for answer in model.predict(None, frame, params)]
    points = kind.points(len(columns.values))
    if len(results) != points or any(name not in results[0] for name in kind.names.values()):
        raise ValueError(
            f"{label} answered {len(results)} results with the keys "
            f"{sorted(results[0]) if results else []}; there must be {points} with the keys "
            f"{sorted(kind.names.values())}"
        )
    found: dict[str, Any] = {each: results[0][kind.names[each]] for each in kind.scalars}
    for each in kind.names.keys() - found.keys():
        found[each] = np.array([result[kind.names[each]] for result in results])
    return SimpleNamespace(**found)


def check_shapes(kind: Kind, found: Any, points: int, label: str) -> None:
    """Refuse, with ValueError, a detection that lacks something or has another length."""
    for name in kind.names:
        shape = () if name in kind.scalars else (points,)
        if not hasattr(found, name) or np.shape(getattr(found, name)) != shape:
            raise ValueError(
                f"{label} answered a {type(found).__name__} whose '{name}' is missing or has not "
                f"the shape {shape}"
            )
