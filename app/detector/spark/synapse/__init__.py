"""The stages of SynapseML that called Azure AI Anomaly Detector, detecting on Spark itself."""

from detector.spark.synapse.multivariate import (
    DetectLastMultivariateAnomaly,
    SimpleDetectMultivariateAnomaly,
    SimpleFitMultivariateAnomaly,
)
from detector.spark.synapse.univariate import (
    DetectAnomalies,
    DetectLastAnomaly,
    SimpleDetectAnomalies,
)

__all__ = [
    "DetectAnomalies",
    "DetectLastAnomaly",
    "DetectLastMultivariateAnomaly",
    "SimpleDetectAnomalies",
    "SimpleDetectMultivariateAnomaly",
    "SimpleFitMultivariateAnomaly",
]
