"""Programs written for the service, and its recorded answers about many variables."""

from __future__ import annotations

import asyncio
import shutil
from datetime import datetime
from typing import Any

import pytest
import recordings

# The SDKs are old: what they warn of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

MODELS = "/anomalydetector/v1.1/multivariate/models"
PREVIEW = "/anomalydetector/v1.1-preview.1/multivariate"
STATES = ["CREATED", "RUNNING", "READY"]


def assert_written_alike(ours: Any, theirs: Any, where: str = "") -> None:
    """Compare keys, their order and the types of values; of a list, its first item."""
    assert type(ours) is type(theirs), where
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), where
        for name in theirs:
            assert_written_alike(ours[name], theirs[name], f"{where}.{name}")
    if isinstance(theirs, list) and theirs and ours:
        assert_written_alike(ours[0], theirs[0], f"{where}[0]")


def body(recording: Any, method: str, status: str) -> Any:
    """Return the first recorded answer with the status of a model or of a result."""
    for entry in recording["entries"]:
        answer = entry["response"]
        told = answer.get("modelInfo") or answer.get("summary")
        if entry["method"] == method and told["status"] == status:
            return answer
    raise AssertionError(f"no {method} with the status {status} is recorded")


def finished(service: Any, kit: Any, path: str, seen: list[str]) -> Any:
    """Return a model or a result when it is READY, and note the states on the way."""

    def look() -> Any:
        found = service.call(path).json
        told = found.get("modelInfo") or found["summary"]
        if told["status"] not in seen:
            seen.append(told["status"])
        assert told["status"] != "FAILED", told["errors"]
        return found if told["status"] == "READY" else None

    return kit.until(look, f"{path} is READY", 120, pause=0.2)


def test_a_model_is_written_as_recorded(factory: Any, begun_model: Any, model_id: str) -> None:
    recording = recordings.read("azure/mvad_train_live.json")
    theirs = recording["entries"][0]
    assert begun_model.status == theirs["status"]
    assert_written_alike(begun_model.json, theirs["response"])
    assert set(theirs["response_headers"]) <= {name.title() for name in begun_model.headers}
    ours = factory.call(f"{MODELS}/{model_id}").json
    assert_written_alike(ours, body(recording, "GET", "READY"))


def test_a_recorded_training_request_is_echoed_as_recorded(service: Any, kit: Any) -> None:
    theirs = recordings.read("azure/mvad_train_live.json")["entries"][0]
    shutil.copy(
        service.folder / "datasets" / "machine.csv", service.folder / "datasets" / "adtestdata.csv"
    )
    asked = theirs["request"] | {"dataSource": "adtestdata.csv"}
    answer = service.call(MODELS, asked)
    service.call(f"{MODELS}/{answer.json['modelId']}", method="DELETE")
    address = (service.folder / "datasets" / "adtestdata.csv").as_uri()
    expected = theirs["response"]["modelInfo"] | {"dataSource": address}
    assert answer.json["modelInfo"] == expected


def test_a_result_is_written_as_recorded_and_goes_through_the_same_states(
    factory: Any, model_id: str, kit: Any
) -> None:
    recording = recordings.read("azure/mvad_batch_live.json")
    theirs = recording["entries"][0]
    asked = {
        "dataSource": "machine.csv",
        "topContributorCount": 2,
        "startTime": kit.minute(100),
        "endTime": kit.minute(299),
    }
    begun = factory.call(f"{MODELS}/{model_id}:detect-batch", asked)
    assert begun.status == theirs["status"]
    assert_written_alike(begun.json, theirs["response"])
    assert set(theirs["response_headers"]) <= {*begun.headers, "Content-Type"}
    seen: list[str] = []
    path = f"/anomalydetector/v1.1/multivariate/detect-batch/{begun.headers['operation-id']}"
    ours = finished(factory, kit, path, seen)
    assert seen == [state for state in STATES if state in seen]
    theirs = body(recording, "GET", "READY")
    # Of the recording: how many results there were before it was cut.
    theirs.pop("kept_of", None)
    assert_written_alike(ours, theirs)
    anomalies = [[x for x in of["results"] if x["value"]["isAnomaly"]] for of in (ours, theirs)]
    assert_written_alike(anomalies[0], anomalies[1])
    assert len(anomalies[0][0]["value"]["interpretation"]) == 2


def test_a_deletion_is_answered_as_recorded(service: Any, kit: Any) -> None:
    (theirs,) = recordings.read("azure/mvad_delete_live.json")["entries"]
    model_id = service.call(MODELS, kit.training()).json["modelId"]
    answer = service.call(f"{MODELS}/{model_id}", method=theirs["method"])
    assert answer.status == theirs["status"]
    assert answer.content == b""
    assert "Content-Type" not in answer.headers


def test_the_sdk_raises_what_it_raised(factory: Any, kit: Any) -> None:
    from azure.ai.anomalydetector import AnomalyDetectorClient
    from azure.ai.anomalydetector.models import ModelInfo
    from azure.core.credentials import AzureKeyCredential
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

    client = AnomalyDetectorClient(factory.url, AzureKeyCredential("any"))
    with pytest.raises(ResourceNotFoundError, match=r"\(ModelNotExist\) The model does not exist"):
        client.get_multivariate_model("no such model")
    with pytest.raises(ResourceNotFoundError, match=r"\(ResultNotExist\) The result does not"):
        client.get_multivariate_batch_detection_result("nothing")
    asked = ModelInfo(data_source="machine.csv", start_time=datetime(2026, 1, 1), sliding_window=28)
    with pytest.raises(HttpResponseError, match=r"\(RequiredEndTime\) The 'endTime' field") as e:
        client.train_multivariate_model(asked)
    assert e.value.status_code == 400


def test_the_asynchronous_sdk(factory: Any, model_id: str, kit: Any) -> None:
    from azure.ai.anomalydetector.aio import AnomalyDetectorClient
    from azure.core.credentials import AzureKeyCredential

    async def ask() -> tuple[Any, Any, Any]:
        async with AnomalyDetectorClient(factory.url, AzureKeyCredential("any")) as client:
            listed = [each async for each in client.list_multivariate_models(skip=0, top=10)]
            model = await client.get_multivariate_model(model_id)
            last = await client.detect_multivariate_last_anomaly(model_id, kit.latest())
            return listed, model, last

    listed, model, last = asyncio.run(ask())
    assert model_id in [each.model_id for each in listed]
    assert model.model_info.status == "READY"
    assert [state.variable for state in last.variable_states] == list(kit.VARIABLES)
    assert last.results[0].value.is_anomaly in (True, False)


def test_the_preview_is_answered_without_a_body_and_in_its_own_shapes(
    service: Any, factory: Any, model_id: str, kit: Any
) -> None:
    asked = {"source": "machine.csv", "startTime": kit.minute(0), "endTime": kit.minute(200)}
    begun = service.call(f"{PREVIEW}/models", asked | {"slidingWindow": 28, "displayName": "p"})
    assert (begun.status, begun.content) == (201, b"")
    preview_id = begun.headers["Location"].rsplit("/")[-1]
    assert begun.headers["Location"] == f"{service.url}{PREVIEW}/models/{preview_id}"
    info = service.call(f"{PREVIEW}/models/{preview_id}").json["modelInfo"]
    assert list(info)[:6] == [
        "slidingWindow",
        "alignPolicy",
        "source",
        "startTime",
        "endTime",
        "displayName",
    ]
    listed = service.call(f"{PREVIEW}/models?$skip=0&$top=5").json
    newest = next(each for each in listed["models"] if each["modelId"] == preview_id)
    assert list(newest) == [
        "modelId",
        "createdTime",
        "lastUpdatedTime",
        "status",
        "displayName",
        "variablesCount",
    ]
    assert newest["displayName"] == "p"
    assert service.call(f"{PREVIEW}/models/{preview_id}", method="DELETE").status == 204

    begun = factory.call(
        f"{PREVIEW}/models/{model_id}/detect", asked | {"endTime": kit.minute(299)}
    )
    assert (begun.status, begun.content) == (201, b"")
    path = begun.headers["Location"].removeprefix(factory.url)
    assert path.startswith(f"{PREVIEW}/results/")
    found = finished(factory, kit, path, [])
    assert list(found["summary"]["setupInfo"]) == ["source", "startTime", "endTime"]
    assert list(found["summary"]["variableStates"][0])[-2:] == ["startTime", "endTime"]
    (*_, anomaly) = (each["value"] for each in found["results"] if each["value"]["isAnomaly"])
    assert len(anomaly["interpretation"]) == 3
    changes = anomaly["interpretation"][0]["correlationChanges"]
    assert len(changes["changedVariables"]) == len(changes["changedValues"])
    first = factory.call(path.replace("preview.1", "preview")).json
    (*_, anomaly) = (each["value"] for each in first["results"] if each["value"]["isAnomaly"])
    assert list(anomaly) == ["isAnomaly", "severity", "score", "contributors"]
    assert list(anomaly["contributors"][0]) == ["contributionScore", "variable"]


def test_the_preview_requires_a_source(factory: Any, kit: Any) -> None:
    answer = factory.call(f"{PREVIEW}/models", kit.training())
    assert (answer.status, answer.json["code"]) == (400, "RequiredSource")
    assert answer.json["message"].startswith("The 'source' field is required in the request.")


def test_the_preview_detects_as_many_points_as_asked_for(
    factory: Any, model_id: str, kit: Any
) -> None:
    request = kit.latest(30, detectingPoints=5)
    for each in request["variables"]:
        each["name"] = each.pop("variable")
    answer = factory.call(f"{PREVIEW}/models/{model_id}/last/detect", request).json
    assert [each["timestamp"] for each in answer["results"]] == [
        kit.minute(place) for place in range(295, 300)
    ]
    # Of 30 rows the third last is the first with a whole window of 28.
    codes = [[error["code"] for error in each["errors"]] for each in answer["results"]]
    assert codes == [["InsufficientHistoricalData"]] * 2 + [[]] * 3
    assert all(set(each["value"]) >= {"isAnomaly", "score"} for each in answer["results"])
