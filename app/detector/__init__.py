"""Anomaly detection with the answers of Azure AI Anomaly Detector.

>>> from detector import detect_entire
>>> detect_entire([1.0, 2.0, 3.0] * 5 + [9.0], period=3).is_anomaly.nonzero()[0].tolist()
[15]

`detect_entire`, `detect_latest` and `detect_change_points` take one series, `detect_many` takes a
table of many, `MultivariateModel` is trained on many variables together. `tune_sensitivity` helps
to choose a sensitivity. The four ``...Detector``
classes are the same as MLflow models.
Whatever cannot be answered raises `DetectionError`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from detector.errors import DetectionError, Stopped

if TYPE_CHECKING:
    from detector.detect import (
        detect_change_points,
        detect_entire,
        detect_latest,
        detect_many,
        tune_sensitivity,
    )
    from detector.models import (
        ChangePointDetector,
        EntireAnomalyDetector,
        LatestAnomalyDetector,
        MultivariateAnomalyDetector,
    )
    from detector.multivariate.model import Epoch, MultivariateModel
    from detector.multivariate.results import AnomalyState, Contributor, MultivariateDetection
    from detector.univariate.changepoint import ChangePoints
    from detector.univariate.detection import Detection, LatestDetection
    from detector.univariate.tuning import SensitivityCurve

__all__ = [
    "AnomalyState",
    "ChangePointDetector",
    "ChangePoints",
    "Contributor",
    "Detection",
    "DetectionError",
    "EntireAnomalyDetector",
    "Epoch",
    "LatestAnomalyDetector",
    "LatestDetection",
    "MultivariateAnomalyDetector",
    "MultivariateDetection",
    "MultivariateModel",
    "SensitivityCurve",
    "Stopped",
    "detect_change_points",
    "detect_entire",
    "detect_latest",
    "detect_many",
    "tune_sensitivity",
]

# Imported when they are asked for: the models need MLflow, which takes seconds.
_MODULES = {
    "detector.detect": (
        "detect_change_points",
        "detect_entire",
        "detect_latest",
        "detect_many",
        "tune_sensitivity",
    ),
    "detector.models": (
        "ChangePointDetector",
        "EntireAnomalyDetector",
        "LatestAnomalyDetector",
        "MultivariateAnomalyDetector",
    ),
    "detector.multivariate.model": ("Epoch", "MultivariateModel"),
    "detector.multivariate.results": ("AnomalyState", "Contributor", "MultivariateDetection"),
    "detector.univariate.changepoint": ("ChangePoints",),
    "detector.univariate.detection": ("Detection", "LatestDetection"),
    "detector.univariate.tuning": ("SensitivityCurve",),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'detector' has no attribute {name!r}")
