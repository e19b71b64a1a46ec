"""Detection in many series on Apache Spark."""

from detector.spark.detection import detect
from detector.spark.session import session

__all__ = ["detect", "session"]
