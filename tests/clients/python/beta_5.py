"""The steps of the quick starts with azure-ai-anomalydetector 3.0.0b5, of v1.1-preview.1."""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from azure.ai.anomalydetector import AnomalyDetectorClient
from azure.ai.anomalydetector.models import (
    AlignPolicy,
    ChangePointDetectRequest,
    DetectionRequest,
    DetectRequest,
    LastDetectionRequest,
    ModelInfo,
    TimeSeriesPoint,
    VariableValues,
)
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError

ENDPOINT = os.environ["ANOMALY_DETECTOR_ENDPOINT"]


def refused(call):
    try:
        call()
    except HttpResponseError as error:
        return {"status": error.status_code, "code": error.error.code if error.error else None}
    raise AssertionError("it was not refused")


def ready(get, state):
    deadline = time.monotonic() + 150
    while True:
        answer = get()
        status = state(answer).status
        if status == "READY":
            return answer
        if status == "FAILED" or time.monotonic() > deadline:
            raise AssertionError(f"{status}: {state(answer).errors}")
        time.sleep(0.2)


def univariate(client, points):
    series = [TimeSeriesPoint(**point) for point in points]
    request = DetectRequest(series=series, granularity="daily")
    changes = ChangePointDetectRequest(series=series, granularity="daily")
    few = DetectRequest(series=series[:5], granularity="daily")
    return {
        "entire": client.detect_entire_series(request).serialize(keep_readonly=True),
        "last": client.detect_last_point(request).serialize(keep_readonly=True),
        "changePoints": client.detect_change_point(changes).serialize(keep_readonly=True),
        "tooFew": refused(lambda: client.detect_entire_series(few)),
    }


def wrong_key(points):
    series = [TimeSeriesPoint(**point) for point in points]
    stranger = AnomalyDetectorClient(AzureKeyCredential("not the key"), ENDPOINT)
    return refused(
        lambda: stranger.detect_entire_series(DetectRequest(series=series, granularity="daily"))
    )


def multivariate(client, training, last):
    asked = {"source": training["dataSource"]}
    asked |= {"start_time": training["startTime"], "end_time": training["endTime"]}
    trained = client.train_multivariate_model(
        ModelInfo(
            **asked,
            sliding_window=training["slidingWindow"],
            align_policy=AlignPolicy(align_mode="Outer", fill_na_method="Linear"),
            display_name=training["displayName"],
        ),
        cls=lambda _, __, headers: headers,
    )
    model_id = trained["Location"].rsplit("/")[-1]
    model = ready(lambda: client.get_multivariate_model(model_id), lambda it: it.model_info)
    begun = client.detect_anomaly(
        model_id, DetectionRequest(**asked), cls=lambda _, __, headers: headers
    )
    result_id = begun["Location"].rsplit("/")[-1]
    result = ready(lambda: client.get_detection_result(result_id), lambda it: it.summary)
    variables = [
        VariableValues(name=each["variable"], timestamps=each["timestamps"], values=each["values"])
        for each in last["variables"]
    ]
    latest = client.last_detect_anomaly(
        model_id, LastDetectionRequest(variables=variables, detecting_points=1)
    )
    listed = [each.model_id for each in client.list_multivariate_model(skip=0, top=5)]
    exported = b"".join(client.export_model(model_id))
    client.delete_multivariate_model(model_id)
    return {
        "modelId": model_id,
        "resultId": result_id,
        "location": trained["Location"],
        "resultLocation": begun["Location"],
        "model": model.serialize(keep_readonly=True),
        "result": result.serialize(keep_readonly=True),
        "last": latest.serialize(keep_readonly=True),
        "listed": listed,
        "zip": exported[:2].decode(),
        "gone": refused(lambda: client.get_multivariate_model(model_id)),
    }


asked = json.load(sys.stdin)
with (
    ThreadPoolExecutor() as threads,
    AnomalyDetectorClient(
        AzureKeyCredential(os.environ["ANOMALY_DETECTOR_API_KEY"]), ENDPOINT
    ) as client,
):
    # The answer to a wrong key takes its time.
    refusal = threads.submit(wrong_key, asked["points"])
    found = {
        "univariate": univariate(client, asked["points"]),
        "multivariate": "training" in asked
        and multivariate(client, asked["training"], asked["last"]),
        "wrongKey": refusal.result(),
    }
print(json.dumps(found))
