"""What Prometheus is told; one answer for all worker processes, whichever is asked."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["CONTENT_TYPE", "ERRORS", "LATENCY", "MODEL_VERSION", "POINTS", "REQUESTS", "exposition"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

REQUESTS = Counter(
    "detector_requests_total", "Requests answered.", ["operation", "api_version", "status"]
)
ERRORS = Counter("detector_errors_total", "Requests refused or failed.", ["operation", "code"])
POINTS = Counter("detector_points_total", "Points scored.", ["operation"])
LATENCY = Histogram(
    "detector_request_seconds",
    "From the first byte of a request to the last of its answer.",
    ["operation"],
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
# Of several workers the one that loaded last tells; the others follow within a refresh.
MODEL_VERSION = Gauge(
    "detector_model_version",
    "The version of the registered model that answers.",
    ["model"],
    multiprocess_mode="mostrecent",
)


def exposition() -> bytes:
    """Return the figures of every worker in Prometheus's text format."""
    every = CollectorRegistry()
    MultiProcessCollector(every)  # type: ignore[no-untyped-call]
    return generate_latest(every)
