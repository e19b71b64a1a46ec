"""Models of many variables over HTTP: trained, kept, listed, used, deleted."""

from __future__ import annotations

import copy
import io
import json
import re
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from detector.multivariate import wire
from detector.multivariate.alignment import align
from detector.tracking import runs

# Of MLflow about models without type hints or signatures.
pytestmark = pytest.mark.filterwarnings("ignore")
MODELS = "/anomalydetector/v1.1/multivariate/models"
PREVIEW = "/anomalydetector/v1.1-preview.1/multivariate"
RESULTS = "/anomalydetector/v1.1/multivariate/detect-batch"
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="session")
def result(factory: Any, model_id: str, kit: Any) -> dict[str, Any]:
    """Return the result of a batch detection of the second half of the data."""
    asked = {"dataSource": "machine.csv", "startTime": kit.minute(150), "endTime": kit.minute(299)}
    answer = factory.call(f"{MODELS}/{model_id}:detect-batch", asked)
    assert answer.status == 202, answer.content
    return ready(factory, kit, f"{RESULTS}/{answer.headers['operation-id']}")


def data_of(service: Any) -> str:
    """Return the address that answers have of the data."""
    address: str = (service.folder / "datasets" / "machine.csv").as_uri()
    return address


def ready(service: Any, kit: Any, path: str) -> Any:
    def look() -> Any:
        found = service.call(path).json
        assert found["summary"]["status"] != "FAILED", found["summary"]["errors"]
        return found if found["summary"]["status"] == "READY" else None

    return kit.until(look, "the result is READY", 60, pause=0.2)


@pytest.fixture
def store(factory: Any) -> Iterator[Callable[[Any], None]]:
    """Work on the store that a service uses."""
    before = mlflow.get_tracking_uri()

    def use(service: Any) -> None:
        mlflow.set_tracking_uri(f"sqlite:///{service.folder}/mlflow.db")

    use(factory)
    yield use
    mlflow.set_tracking_uri(before)


def test_training_begins_with_a_location_and_every_default(
    factory: Any, begun_model: Any, kit: Any
) -> None:
    body = begun_model.json
    address = f"http://127.0.0.1:{factory.port}{MODELS}/{body['modelId']}"
    assert begun_model.status == 201
    assert begun_model.headers["Location"] == address
    assert body["createdTime"] <= body["lastUpdatedTime"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["createdTime"])
    assert body["modelInfo"] == {
        "dataSource": data_of(factory),
        "dataSchema": "OneTable",
        "startTime": kit.minute(0),
        "endTime": kit.minute(299),
        "displayName": "",
        "slidingWindow": 28,
        "alignPolicy": {"alignMode": "Outer", "fillNAMethod": "Linear", "paddingValue": 0.0},
        "status": "CREATED",
        "errors": [],
        "diagnosticsInfo": {
            "modelState": {
                "epochIds": [],
                "trainLosses": [],
                "validationLosses": [],
                "latenciesInSeconds": [],
            },
            "variableStates": [],
        },
    }


def test_a_trained_model_tells_how_its_training_went(factory: Any, model_id: str, kit: Any) -> None:
    told = factory.call(f"{MODELS}/{model_id}").json["modelInfo"]["diagnosticsInfo"]
    assert told["modelState"]["epochIds"] == [10]
    assert len({len(each) for each in told["modelState"].values()}) == 1
    assert told["variableStates"] == [
        {
            "variable": name,
            "filledNARatio": 0.0,
            "effectiveCount": 300,
            "firstTimestamp": kit.minute(0),
            "lastTimestamp": kit.minute(299),
        }
        for name in kit.VARIABLES
    ]


@pytest.mark.parametrize(
    "path",
    [
        "//AnomalyDetector/V1.1//Multivariate/Models/{}",
        "/anomalydetector/v1.1/multivariate/models/{}".replace("-", "%2D"),
    ],
)
def test_a_model_is_found_in_any_case_and_quoted(factory: Any, model_id: str, path: str) -> None:
    for identity in (model_id, model_id.upper(), model_id.replace("-", "%2D")):
        assert factory.call(path.format(identity)).json["modelId"] == model_id


@pytest.mark.parametrize("host", ["detector.example:8443", 'x"><evil', "["])
def test_the_location_is_at_the_host_that_was_called(
    factory: Any, model_id: str, kit: Any, host: str
) -> None:
    answer = factory.call(
        f"/{MODELS}/{model_id}%3Adetect-batch",
        {"dataSource": "machine.csv", "startTime": kit.minute(40), "endTime": kit.minute(40)},
        headers={"Host": host},
    )
    assert answer.status == 202
    shown = host if host.endswith("8443") else f"127.0.0.1:{factory.port}"
    address = f"http://{shown}{RESULTS}/{answer.json['resultId']}"
    assert answer.headers["operation-location"] == address
    assert answer.headers["operation-id"] == answer.json["resultId"]


@pytest.mark.parametrize("query", ["", "?skip=0&top=10", "?$skip=0&$top=10", "?%24skip=0&%24top=3"])
def test_models_are_listed_whole_the_last_updated_first(
    factory: Any, model_id: str, query: str
) -> None:
    listed = factory.call(MODELS + query).json
    assert listed["nextLink"] == ""
    assert listed["maxCount"] == 1000
    assert listed["currentCount"] >= 1
    updated = [each["lastUpdatedTime"] for each in listed["models"]]
    assert updated == sorted(updated, reverse=True)
    whole = factory.call(f"{MODELS}/{model_id}").json
    assert whole in listed["models"]


@pytest.mark.parametrize("name", ["skip", "$skip"])
def test_what_is_skipped_is_not_listed(factory: Any, model_id: str, name: str) -> None:
    listed = factory.call(f"{MODELS}?{name}=1000").json
    assert listed["models"] == []
    assert listed["currentCount"] >= 1


def test_a_result_has_a_value_for_every_timestamp(
    factory: Any, result: dict[str, Any], kit: Any
) -> None:
    assert result["summary"]["setupInfo"] == {
        "dataSource": data_of(factory),
        "topContributorCount": 10,
        "startTime": kit.minute(150),
        "endTime": kit.minute(299),
    }
    assert [each["timestamp"] for each in result["results"]] == [
        kit.minute(place) for place in range(150, 300)
    ]
    for each in result["results"]:
        value = each["value"]
        assert set(value) == {"isAnomaly", "severity", "score", "interpretation"}
        assert bool(value["interpretation"]) == value["isAnomaly"] == (value["severity"] > 0)
        for cause in value["interpretation"]:
            assert set(cause["correlationChanges"]) == {"changedVariables"}
    assert {each["effectiveCount"] for each in result["summary"]["variableStates"]} == {177}


def test_rows_without_history_have_a_value_and_say_why(
    factory: Any, model_id: str, kit: Any
) -> None:
    asked = {"dataSource": "machine.csv", "startTime": kit.minute(0), "endTime": kit.minute(40)}
    begun = factory.call(f"{MODELS}/{model_id}:detect-batch", asked).json
    found = ready(factory, kit, f"{RESULTS}/{begun['resultId']}")["results"]
    assert len(found) == 41
    early = [each for each in found if each["errors"]]
    assert [each["timestamp"] for each in early] == [kit.minute(place) for place in range(27)]
    for each in early:
        assert each["errors"][0]["code"] == "InsufficientHistoricalData"
        assert each["value"] == {
            "isAnomaly": False,
            "severity": 0.0,
            "score": 0.0,
            "interpretation": [],
        }


def test_what_is_wrong_with_the_data_appears_in_the_result(
    factory: Any, model_id: str, kit: Any
) -> None:
    late = {"startTime": "2030-01-01T00:00:00Z", "endTime": "2030-01-02T00:00:00Z"}
    asked = {"dataSource": "machine.csv"} | late
    begun = factory.call(f"{MODELS}/{model_id}:detect-batch", asked)
    assert begun.status == 202

    def failed() -> Any:
        summary = factory.call(f"{RESULTS}/{begun.json['resultId']}").json["summary"]
        return summary["errors"] if summary["status"] == "FAILED" else None

    errors = kit.until(failed, "the result is FAILED", 60, pause=0.2)
    assert errors[0]["code"] == "NoData"
    said = "There is no data between startTime 2030-01-01T00:00:00 and endTime 2030-01-02T00:00:00"
    assert errors[0]["message"].startswith(said)


def test_one_more_row_than_the_window_is_scored_once_from_the_last_window(
    factory: Any, model_id: str, kit: Any
) -> None:
    answer = factory.call(f"{MODELS}/{model_id}:detect-last", kit.latest(29))
    assert answer.status == 200, answer.content
    (found,) = answer.json["results"]
    assert found["timestamp"] == kit.minute(299)
    assert found["errors"] == []
    assert answer.json["variableStates"][0] == {
        "variable": "pressure",
        "filledNARatio": 0.0,
        "effectiveCount": 28,
        "firstTimestamp": kit.minute(272),
        "lastTimestamp": kit.minute(299),
    }
    assert factory.call(f"{MODELS}/{model_id}:detect-last", kit.latest(28)).json == answer.json


def test_the_same_numbers_in_this_process_in_a_batch_and_at_last(
    factory: Any, model_id: str, result: dict[str, Any], kit: Any, store: Any
) -> None:
    request = kit.latest(37, detectingPoints=10)
    last = factory.call(f"{PREVIEW}/models/{model_id}/last/detect", request).json["results"]
    frame = pd.read_csv(factory.folder / "datasets" / "machine.csv", index_col=0, parse_dates=True)
    model = runs.load_model(model_id)
    # Whether a row is an anomaly depends on all the rows that are scored with it.
    here = {
        "last": model.detect_table(align(frame[-37:], start=kit.minute(290), sliding_window=28)),
        "batch": model.detect_table(align(frame, start=kit.minute(150), sliding_window=28)),
    }
    for name, told in (("last", last), ("batch", result["results"])):
        for each, result in zip(told, here[name], strict=True):
            assert each["timestamp"] == wire.time_to_wire(result.timestamp)
            assert each["value"]["isAnomaly"] == result.is_anomaly
            assert each["value"]["score"] == pytest.approx(result.score, abs=1e-6)
            assert each["value"]["severity"] == pytest.approx(result.severity, abs=1e-6)
            causes = [cause["contributionScore"] for cause in each["value"]["interpretation"]]
            assert causes == pytest.approx([cause.score for cause in result.contributors], abs=1e-6)


def test_what_was_asked_for_is_echoed_in_one_form(guarded: Any, kit: Any, store: Any) -> None:
    store(guarded)
    headers = {kit.HEADER: kit.KEYS[0]}
    asked = kit.training(
        startTime="2026-01-01T01:00:00.000+01:00",
        endTime="2026-01-01 02:00",
        displayName="the name of a model here",
        slidingWindow="200",
        alignPolicy={"alignMode": "Inner", "fillNAMethod": "Fixed", "paddingValue": "1.5"},
        topContributorCount=3,
        dataSchema="MultiTable",
    )
    answer = guarded.call(MODELS, asked, headers=headers)
    assert answer.status == 201, answer.content
    info = answer.json["modelInfo"]
    assert {name: info[name] for name in kit.training()} == {
        "dataSource": data_of(guarded),
        "startTime": "2026-01-01T00:00:00Z",
        "endTime": "2026-01-01T02:00:00Z",
        "slidingWindow": 200,
    }
    assert info["displayName"] == "the name of a model here"
    assert info["dataSchema"] == "MultiTable"
    assert info["alignPolicy"] == {
        "alignMode": "Inner",
        "fillNAMethod": "Fixed",
        "paddingValue": 1.5,
    }
    assert guarded.call(MODELS + "/" + answer.json["modelId"], headers=headers).json == answer.json
    runs.delete_model(answer.json["modelId"])


def test_there_are_no_more_models_than_may_be(guarded: Any, kit: Any, store: Any) -> None:
    store(guarded)
    headers = {kit.HEADER: kit.KEYS[0]}

    def train() -> Any:
        return guarded.call(MODELS, kit.training(), headers=headers)

    def detect(model_id: str) -> str:
        path = f"{MODELS}/{model_id}:detect-batch"
        return str(guarded.call(path, kit.training(), headers=headers).json["code"])

    first = train().json["modelId"]
    refused = train()
    assert (refused.status, refused.json["code"]) == (400, "TooManyRunningModels")
    assert "DETECTOR_MAX_UNFINISHED_MODELS" in refused.json["message"]
    assert detect(first) == "ModelNotReady"
    runs.set_status(first, runs.FAILED)
    assert detect(first) == "ModelFailed"
    second = train().json["modelId"]
    refused = train()
    assert (refused.status, refused.json["code"]) == (400, "TooManyModels")
    assert "DETECTOR_MAX_MODELS" in refused.json["message"]
    for model_id in (first, second):
        path = f"{MODELS}/{model_id}"
        assert guarded.call(path, headers=headers, method="DELETE").status == 204
    assert guarded.call(MODELS, headers=headers).json["currentCount"] == 0


@pytest.fixture
def lasting(model_id: str, store: Any) -> Iterator[str]:
    """Return a model that may be deleted: it is there again after the test."""
    yield model_id
    MlflowClient().restore_run(runs.run_id(model_id))


def test_a_deleted_model_is_gone(factory: Any, lasting: str, kit: Any) -> None:
    answer = factory.call(f"{MODELS}/{lasting}", method="DELETE")
    assert (answer.status, answer.content) == (204, b"")
    assert "Content-Type" not in answer.headers
    for again in (
        factory.call(f"{MODELS}/{lasting}"),
        factory.call(f"{MODELS}/{lasting}", method="DELETE"),
        factory.call(f"{MODELS}/{lasting}:detect-last", kit.latest()),
    ):
        assert (again.status, again.json["code"]) == (404, "ModelNotExist")


def test_a_loaded_model_that_is_deleted_elsewhere_answers_no_more(
    factory: Any, lasting: str, kit: Any
) -> None:
    path = f"{MODELS}/{lasting}:detect-last"
    assert factory.call(path, kit.latest()).status == 200
    runs.delete_model(lasting)
    assert factory.call(path, kit.latest()).json["code"] == "ModelNotExist"


@pytest.mark.parametrize(
    "identity", [NOBODY, "nothing", "a" * 300, "%F0%9F%98%80", "x:detect-batch"]
)
def test_a_model_that_never_was_is_not_found(factory: Any, kit: Any, identity: str) -> None:
    asked = [
        factory.call(f"{MODELS}/{identity}"),
        factory.call(f"{MODELS}/{identity}", method="DELETE"),
        factory.call(f"{MODELS}/{identity}:detect-batch", kit.training()),
        factory.call(f"{MODELS}/{identity}:detect-last", kit.latest()),
        factory.call(f"{PREVIEW}/models/{identity}/export"),
    ]
    for answer in asked:
        assert (answer.status, answer.json["code"]) == (404, "ModelNotExist")
        assert answer.headers["x-ms-error-code"] == "ModelNotExist"
        assert answer.json["message"].startswith("The model does not exist")


def test_an_id_in_digits_that_are_not_ascii_names_no_model(
    factory: Any, kit: Any, model_id: str
) -> None:
    wide = "".join(chr(0xFEE0 + ord(each)) if each.isdigit() else each for each in model_id)
    path = urllib.parse.quote(wide)
    for answer in (
        factory.call(f"{MODELS}/{path}"),
        factory.call(f"{MODELS}/{path}", method="DELETE"),
        factory.call(f"{MODELS}/{path}:detect-last", kit.latest()),
        factory.call(f"{PREVIEW}/models/{path}/export"),
    ):
        assert (answer.status, answer.json["code"]) == (404, "ModelNotExist")


@pytest.mark.parametrize("identity", [NOBODY, "nothing"])
def test_a_result_that_never_was_is_not_found(factory: Any, model_id: str, identity: str) -> None:
    for path in (f"{RESULTS}/{identity}", f"{PREVIEW}/results/{identity}", f"{RESULTS}/{model_id}"):
        answer = factory.call(path)
        assert (answer.status, answer.json["code"]) == (404, "ResultNotExist")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "v1.0/multivariate/models"),
        ("POST", "v1.0/multivariate/models"),
        ("POST", f"v1.1/multivariate/models/{NOBODY}/detect"),
        ("POST", f"v1.1/multivariate/models/{NOBODY}/last/detect"),
        ("POST", f"v1.1-preview/multivariate/models/{NOBODY}/last/detect"),
        ("GET", f"v1.1/multivariate/models/{NOBODY}/export"),
        ("GET", f"v1.1/multivariate/results/{NOBODY}"),
        ("POST", f"v1.1-preview.1/multivariate/models/{NOBODY}:detect-batch"),
        ("POST", f"v1.1-preview.1/multivariate/models/{NOBODY}:detect-last"),
        ("GET", f"v1.1-preview.1/multivariate/detect-batch/{NOBODY}"),
        ("GET", "v1.1/multivariate/nothing"),
    ],
)
def test_a_version_has_its_own_routes_only(service: Any, method: str, path: str) -> None:
    answer = service.call(f"/anomalydetector/{path}", b"{}", method=method)
    assert answer.status == 404
    assert answer.json["error"]["code"] == "404"
    assert "multivariate" in answer.json["error"]["message"]


def test_a_model_is_exported_as_a_zip_of_its_files(factory: Any, model_id: str) -> None:
    answer = factory.call(f"{PREVIEW}/models/{model_id}/export")
    assert answer.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        names = packed.namelist()
        assert json.loads(packed.read("model.json"))["variables"] == ["pressure", "speed", "torque"]
    assert "weights.pt" in names


def test_the_log_names_the_operation_and_neither_values_nor_what_grants_access(
    factory: Any, model_id: str, kit: Any
) -> None:
    headers = {"x-request-id": "many-variables"}
    request = kit.latest()
    request["variables"][0]["values"][3] = 987654.25
    factory.call(f"{MODELS}/{model_id}:detect-last", request, headers=headers)
    source = "https://data.example.com/machine.csv?sig=what-grants-access"
    factory.call(MODELS, kit.training(dataSource=source), headers=headers)

    def lines() -> list[Any]:
        return [line for line in factory.log if line.get("request_id") == "many-variables"]

    kit.until(lambda: len(lines()) == 2, "the lines")
    last, train = lines()
    assert (last["operation"], last["status"]) == ("multivariate-detect-last", 200)
    assert (last["points"], last["model"]) == (84, model_id)
    assert last["detection_milliseconds"] > 0
    assert (train["operation"], train["code"]) == ("multivariate-train", "InvalidBlobURL")
    assert "987654" not in factory.output
    assert "what-grants-access" not in factory.output
    figures = factory.call("/metrics").content.decode()
    assert 'operation="multivariate-detect-last",status="200"' in figures


def test_torch_is_not_loaded_for_a_single_series(service: Any, weeks: dict[str, Any]) -> None:
    for operation in ("entire", "last", "changepoint"):
        path = f"/anomalydetector/v1.1/timeseries/{operation}/detect"
        assert service.call(path, copy.deepcopy(weeks)).status == 200
    assert service.call(MODELS).status == 200
    assert "libtorch" not in Path(f"/proc/{service.process.pid}/maps").read_text()
