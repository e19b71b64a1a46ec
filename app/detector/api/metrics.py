"""What Prometheus is told; one answer for all worker processes, whichever is asked."""

import os

from detector.api import metrics_folder

# Before prometheus_client is imported: it looks where to count.
metrics_folder.reserve()

from prometheus_client import (  # noqa: E402
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector  # noqa: E402

__all__ = [
    "CONTENT_TYPE",
    "ERRORS",
    "LATENCY",
    "MODEL_LOADED",
    "MODEL_REFUSED",
    "MODEL_VERSION",
    "POINTS",
    "REQUESTS",
    "exposition",
]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Several workers have no such figures.
disable_created_metrics()  # type: ignore[no-untyped-call]
_OWN = CollectorRegistry()
REQUESTS = Counter(
    "detector_requests_total",
    "Requests answered.",
    ["operation", "api_version", "status"],
    registry=_OWN,
)
ERRORS = Counter(
    "detector_errors_total", "Requests refused or failed.", ["operation", "code"], registry=_OWN
)
POINTS = Counter("detector_points_total", "Points scored.", ["operation"], registry=_OWN)
LATENCY = Histogram(
    "detector_request_seconds",
    "From the first byte of a request to the last of its answer.",
    ["operation"],
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=_OWN,
)
# Of several workers the one that loaded last tells; the others follow within a refresh.
MODEL_VERSION = Gauge(
    "detector_model_version",
    "The version of the registered model that answers.",
    ["model"],
    multiprocess_mode="mostrecent",
    registry=_OWN,
)
MODEL_LOADED = Gauge(
    "detector_model_loaded",
    "1 where a version of the registered model answers, 0 before one is loaded.",
    ["model"],
    multiprocess_mode="mostrecent",
    registry=_OWN,
)
MODEL_REFUSED = Gauge(
    "detector_model_refused",
    "1 where the alias points to a version that is refused, so that another one answers, or none.",
    ["model"],
    multiprocess_mode="mostrecent",
    registry=_OWN,
)
if metrics_folder.VARIABLE not in os.environ:
    # Its memory, processor time and start. Of several workers only one would be asked.
    ProcessCollector(registry=_OWN)


def exposition() -> bytes:
    """Return the figures of every worker in Prometheus's text format."""
    if metrics_folder.VARIABLE not in os.environ:
        return generate_latest(_OWN)
    every = CollectorRegistry()
    MultiProcessCollector(every)  # type: ignore[no-untyped-call]
    return generate_latest(every)
