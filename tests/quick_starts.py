"""The quick starts of Azure's SDKs, as programs of our own: only endpoint and key differ.

Each function takes the steps of one quick start with the real client, and returns what the client
returned. The service's tests and the stack's tests run them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import recordings

# The range that the multivariate quick start trains on and detects in: 301 minutes.
START = datetime(2021, 1, 2, tzinfo=UTC)
END = datetime(2021, 1, 2, 5, tzinfo=UTC)
WINDOW = 200

# What Azure answered for the 47 days: the live recordings, and the printed output in its docs.
AZURE_FOUND = {
    "anomalies": [3, 18, 21, 22, 23, 24, 25, 28, 29, 30, 31, 32, 35, 44],
    "change points": [20, 27],
    "period": 7,
    "last point is an anomaly": False,
    "suggested window": 29,
}


@dataclass(frozen=True)
class Univariate:
    """The three answers about one series, in the classes of the SDK."""

    entire: Any
    last: Any
    change_points: Any

    @property
    def found(self) -> dict[str, Any]:
        """What a user reads off the answers."""
        return {
            "anomalies": _places(self.entire.is_anomaly),
            "change points": _places(self.change_points.is_change_point),
            "period": self.entire.period,
            "last point is an anomaly": self.last.is_anomaly,
            "suggested window": self.last.suggested_window,
        }


@dataclass(frozen=True)
class Multivariate:
    """A trained model, the result of a batch, and the answer about the last timestamp."""

    model: Any
    batch: Any
    last: Any


def univariate(endpoint: str, key: str, days: int = 47) -> Univariate:
    """Detect in the first days with azure-ai-anomalydetector, API version 1.1.

    One options object serves all three operations, as in the quick start.
    """
    from azure.ai.anomalydetector import AnomalyDetectorClient
    from azure.ai.anomalydetector.models import (
        TimeGranularity,
        TimeSeriesPoint,
        UnivariateDetectionOptions,
    )
    from azure.core.credentials import AzureKeyCredential

    points = [TimeSeriesPoint(timestamp=at, value=value) for at, value in _daily()[:days]]
    options = UnivariateDetectionOptions(series=points, granularity=TimeGranularity.DAILY)
    with AnomalyDetectorClient(endpoint, AzureKeyCredential(key)) as client:
        return Univariate(
            entire=client.detect_univariate_entire_series(options),
            last=client.detect_univariate_last_point(options),
            change_points=client.detect_univariate_change_point(options),
        )


def univariate_version_1_0(endpoint: str, key: str, days: int = 47) -> Univariate:
    """Detect in the first days with azure-cognitiveservices-anomalydetector, API version 1.0."""
    from azure.cognitiveservices.anomalydetector import AnomalyDetectorClient
    from azure.cognitiveservices.anomalydetector.models import (
        ChangePointDetectRequest,
        Granularity,
        Point,
        Request,
    )
    from msrest.authentication import CognitiveServicesCredentials

    points = [Point(timestamp=at, value=value) for at, value in _daily()[:days]]
    request = Request(series=points, granularity=Granularity.daily)
    changes = ChangePointDetectRequest(series=points, granularity=Granularity.daily)
    with AnomalyDetectorClient(endpoint, CognitiveServicesCredentials(key)) as client:
        return Univariate(
            entire=client.entire_detect(request),
            last=client.last_detect(request),
            change_points=client.change_point_detect(changes),
        )


def multivariate(endpoint: str, key: str, source: str, seconds: float = 150) -> Multivariate:
    """Train on the sample data at `source`, detect in it, and delete the model.

    `seconds` is the deadline of the training, and of the detection.
    """
    from azure.ai.anomalydetector import AnomalyDetectorClient
    from azure.ai.anomalydetector.models import (
        AlignMode,
        AlignPolicy,
        DataSchema,
        FillNAMethod,
        ModelInfo,
        MultivariateBatchDetectionOptions,
        MultivariateLastDetectionOptions,
        VariableValues,
    )
    from azure.core.credentials import AzureKeyCredential

    training = ModelInfo(
        data_source=source,
        data_schema=DataSchema.ONE_TABLE,
        start_time=START,
        end_time=END,
        sliding_window=WINDOW,
        align_policy=AlignPolicy(
            align_mode=AlignMode.OUTER, fill_n_a_method=FillNAMethod.LINEAR, padding_value=0
        ),
        display_name="quick start",
    )
    batch = MultivariateBatchDetectionOptions(
        data_source=source, start_time=START, end_time=END, top_contributor_count=10
    )
    rows = pd.read_csv(recordings.SAMPLE, index_col="timestamp").tail(WINDOW)
    last = MultivariateLastDetectionOptions(
        variables=[
            VariableValues(variable=name, timestamps=list(rows.index), values=rows[name].tolist())
            for name in rows
        ],
        top_contributor_count=10,
    )
    with AnomalyDetectorClient(endpoint, AzureKeyCredential(key)) as client:
        model_id = client.train_multivariate_model(training).model_id
        model = _ended(
            lambda: client.get_multivariate_model(model_id), lambda it: it.model_info, seconds
        )
        result_id = client.detect_multivariate_batch_anomaly(model_id, batch).result_id
        result = _ended(
            lambda: client.get_multivariate_batch_detection_result(result_id),
            lambda it: it.summary,
            seconds,
        )
        answer = client.detect_multivariate_last_anomaly(model_id, last)
        client.delete_multivariate_model(model_id)
        listed = [each.model_id for each in client.list_multivariate_models()]
    assert model_id not in listed
    return Multivariate(model, result, answer)


def _daily() -> list[tuple[Any, float]]:
    """Return the 47 days as the quick starts read them, with the timestamps of pandas."""
    table = pd.read_csv(recordings.DAILY, header=None, parse_dates=[0])
    return list(zip(table[0], table[1], strict=True))


def _places(flags: list[bool]) -> list[int]:
    return [place for place, flag in enumerate(flags) if flag]


def _ended(get: Callable[[], Any], state: Callable[[Any], Any], seconds: float) -> Any:
    """Return a model or a result once it is READY."""
    deadline = time.monotonic() + seconds
    while True:
        found = get()
        status = state(found).status
        assert status != "FAILED", state(found).errors
        if status == "READY":
            return found
        assert time.monotonic() < deadline, f"{status} after {seconds} s"
        time.sleep(0.2)
