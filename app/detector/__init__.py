"""Anomaly detection with the answers of Azure AI Anomaly Detector.

>>> from detector import ChangePointDetector, EntireAnomalyDetector, LatestAnomalyDetector
"""

from typing import TYPE_CHECKING, Any

from detector.errors import DetectionError

if TYPE_CHECKING:
    from detector.models import (
        ChangePointDetector,
        EntireAnomalyDetector,
        LatestAnomalyDetector,
        MultivariateAnomalyDetector,
    )

__all__ = [
    "ChangePointDetector",
    "DetectionError",
    "EntireAnomalyDetector",
    "LatestAnomalyDetector",
    "MultivariateAnomalyDetector",
]


def __getattr__(name: str) -> Any:
    # The models need MLflow, which takes seconds to import; what only detects does not.
    if name in __all__:
        from detector import models

        return getattr(models, name)
    raise AttributeError(f"module 'detector' has no attribute {name!r}")
