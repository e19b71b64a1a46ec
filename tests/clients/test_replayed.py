"""Clients that cannot run here: what they send, written from their sources, and what they read.

Each request goes over a socket byte by byte, and each answer is read as its client reads it, which
may mind the case of a header.
"""

from __future__ import annotations

import csv
import json
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import recordings
import services
from clients.raw_http import Client, Raw

KEY = ("Ocp-Apim-Subscription-Key", "any")
JSON = ("Content-Type", "application/json")
V1_0, V1_1, PREVIEW = (f"/anomalydetector/{each}" for each in ("v1.0", "v1.1", "v1.1-preview.1"))
FLAGS = ("isAnomaly", "isPositiveAnomaly", "isNegativeAnomaly")
NUMBERS = ("expectedValues", "upperMargins", "lowerMargins")


@pytest.fixture(scope="module")
def service(served: services.Service) -> services.Service:
    """Return the service over http."""
    return served


@pytest.fixture
def client(service: services.Service) -> Iterator[Client]:
    with Client(service.port) as connected:
        yield connected


@pytest.fixture(scope="module")
def data(service: services.Service) -> str:
    """Return the address of the data, as PUT /datasets answers it where there is no store."""
    path = Path(service.folder, "datasets", "machine.csv")
    # The guide's programs upload one of this name to the same service.
    path.write_text(services.table())
    return path.as_uri()


def daily() -> list[tuple[datetime, float]]:
    """Return the 47 days of the quick starts."""
    with recordings.DAILY.open() as file:
        rows = list(csv.reader(file))
    return [(datetime.fromisoformat(time.rstrip("Z")), float(value)) for time, value in rows]


def points(write: Callable[[datetime], str]) -> list[dict[str, Any]]:
    return [{"timestamp": write(time), "value": value} for time, value in daily()]


def iso(time: datetime) -> str:
    return f"{time.isoformat()}Z"


def compact(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def ready(read: Callable[[], Raw], part: str) -> Raw:
    """Ask until what was begun is READY, as each client does."""

    def look() -> Raw | None:
        answer = read()
        status = answer.json[part]["status"]
        assert status in ("CREATED", "RUNNING", "READY"), answer.body
        return answer if status == "READY" else None

    answer: Raw = services.until(look, part, 60, pause=0.2)
    return answer


# Microsoft's tutorial for Power BI (azure-docs, batch-anomaly-detection-powerbi.md): it puts the
# body together as text, and looks up fields by their names in PascalCase. Power Query writes dates
# as text in the notation of the user's country.
POWER_BI = [JSON, KEY, ("Accept-Encoding", "gzip, deflate"), ("Connection", "Keep-Alive")]
POWER_BI += [
    ("User-Agent", "Microsoft.Data.Mashup (https://go.microsoft.com/fwlink/?LinkID=304225)")
]


@pytest.mark.parametrize(
    "notation", ["%m/%d/%Y %I:%M:%S %p", "%d.%m.%Y %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]
)
def test_power_bi(client: Client, notation: str) -> None:
    rows = [{"Timestamp": time.strftime(notation), "Value": value} for time, value in daily()]
    body = f'{{ "Granularity": "daily", "Sensitivity": 95, "Series": {json.dumps(rows)} }}'
    answer = client.expect("POST", f"{V1_0}/timeseries/entire/detect", POWER_BI, body.encode())
    assert answer.status == 200, answer.body
    names = ("IsAnomaly", "ExpectedValues", "UpperMargins", "LowerMargins")
    for name in (*names, "IsPositiveAnomaly", "IsNegativeAnomaly"):
        assert len(answer.json[name]) == 47
    usual = {"granularity": "daily", "sensitivity": 95, "series": points(iso)}
    same = client.send("POST", f"{V1_0}/timeseries/entire/detect", POWER_BI, compact(usual))
    assert answer.json["IsAnomaly"] == same.json["isAnomaly"]
    # It reads what is wrong with a 400, which it takes for an answer.
    wrong = body.replace("daily", "weekly").encode()
    refused = client.send("POST", f"{V1_0}/timeseries/entire/detect", POWER_BI, wrong)
    assert (refused.status, refused.json["code"]) == (400, "InvalidSeries")
    assert "at index 1 is invalid in weekly granularity" in refused.json["message"]


# series_uv_anomalies_fl and series_uv_change_points_fl of Kusto's library (dataexplorer-docs): the
# python plugin writes the body with json.dumps, http_request_post sends it.
KQL = [KEY, ("Content-Type", "application/json; charset=utf-8"), ("Accept", "application/json")]


def test_kql(client: Client) -> None:
    values = [
        (24 if 100 <= x <= 110 or 200 <= x <= 220 else 6) + (x * 37 % 11) / 5 for x in range(300)
    ]
    series = [{"value": value} for value in values]
    asked = json.dumps({"series": series, "sensitivity": 85}).encode()
    found = client.send("POST", f"{V1_0}/timeseries/entire/detect", KQL, asked)
    assert found.status == 200, found.body
    assert isinstance(found.json["period"], int)
    assert all(len(found.json[name]) == 300 for name in (*FLAGS, *NUMBERS))
    asked = json.dumps({"series": series, "threshold": 0.8, "stableTrendWindow": 10}).encode()
    found = client.send("POST", f"{V1_0}/timeseries/changepoint/detect", KQL, asked)
    assert found.status == 200, found.body
    assert isinstance(found.json["period"], int)
    changes = found.json["isChangePoint"]
    assert len(changes) == len(found.json["confidenceScores"]) == 300
    assert any(changes)


# SynapseML (AnomalyDetection.scala): fields without a value are left out; the answer is read into
# classes whose numbers must all be there, severity too.
SYNAPSEML = [KEY, JSON, ("User-Agent", "synapseml/1.0.4"), ("Connection", "Keep-Alive")]


def test_synapseml_on_one_series(client: Client) -> None:
    asked = compact({"series": points(iso), "granularity": "daily"})
    # SimpleDetectAnomalies and DetectAnomalies.
    entire = client.send("POST", f"{PREVIEW}/timeseries/entire/detect", SYNAPSEML, asked)
    assert entire.status == 200, entire.body
    for name in (*FLAGS, *NUMBERS, "severity"):
        kind = bool if name in FLAGS else (int, float)
        assert all(isinstance(each, kind) for each in entire.json[name])
    # DetectLastAnomaly.
    last = client.send("POST", f"{PREVIEW}/timeseries/last/detect", SYNAPSEML, asked)
    assert last.status == 200, last.body
    for name in ("expectedValue", "upperMargin", "lowerMargin", "severity"):
        assert isinstance(last.json[name], (int, float))
    assert (last.json["period"], last.json["suggestedWindow"]) == (7, 29)
    # An error goes into a column of its own, with the status line and the body.
    refused = client.send("POST", f"{PREVIEW}/timeseries/last/detect", SYNAPSEML, b"{}")
    assert (refused.status, refused.reason) == (400, "Bad Request")
    assert refused.json["code"] == "InvalidJsonFormat"


def test_synapseml_on_many_variables(client: Client, data: str) -> None:
    # SimpleFitMultivariateAnomaly (MultivariateAnomalyDetection.scala): its defaults, and the
    # model's address by the header's name as it came.
    asked = {
        "dataSource": data,
        "dataSchema": "OneTable",
        "startTime": services.minute(0),
        "endTime": services.minute(299),
        "slidingWindow": 28,
        "alignPolicy": {"alignMode": "Outer", "fillNAMethod": "Linear"},
        "displayName": "synapse",
    }
    begun = client.send("POST", f"{V1_1}/multivariate/models", SYNAPSEML, compact(asked))
    assert (begun.status, begun.reason) == (201, "Created"), begun.body
    address = begun.named("Location")
    polled = [KEY, ("User-Agent", "synapseml/1.0.4")]
    model = ready(lambda: client.send("GET", address, polled), "modelInfo")
    info = model.json["modelInfo"]
    assert info["alignPolicy"]["paddingValue"] == int(info["alignPolicy"]["paddingValue"])
    assert all(isinstance(each, int) for each in info["diagnosticsInfo"]["modelState"]["epochIds"])

    # SimpleDetectMultivariateAnomaly makes the result's address from the id in the body.
    span = {"startTime": services.minute(250), "endTime": services.minute(299)}
    batch = compact({"dataSource": data, **span, "topContributorCount": 10})
    started = client.send("POST", f"{address}:detect-batch", SYNAPSEML, batch)
    assert started.status == 202, started.body
    result = address.rsplit("/", 2)[0] + "/detect-batch/" + started.json["resultId"]
    found = ready(lambda: client.send("GET", result, polled), "summary").json
    assert isinstance(found["summary"]["setupInfo"]["topContributorCount"], int)
    assert len(found["results"]) == 50
    assert all(isinstance(each["value"]["isAnomaly"], bool) for each in found["results"])
    deleted = client.send("DELETE", address, SYNAPSEML)
    assert (deleted.status, deleted.reason, deleted.body) == (204, "No Content", b"")


def pipeline(agent: str) -> list[tuple[str, str]]:
    """Return the headers of the pipelines of Azure's clients."""
    asked = [("Accept", "application/json"), KEY]
    return [*asked, ("x-ms-client-request-id", str(uuid.uuid4())), ("User-Agent", agent)]


def precise(time: datetime) -> str:
    """Return a moment as .NET writes it in its round-trip format."""
    return f"{time.isoformat()}.0000000Z"


# Azure.AI.AnomalyDetector for .NET (Multivariate.cs, ModelInfo.Serialization.cs): exact statuses,
# an Uri of every dataSource, moments in the format "O".
DOTNET = "azsdk-net-AI.AnomalyDetector/3.0.0-preview.7 (.NET 8.0.4; Debian GNU/Linux 12)"


def is_absolute_uri(text: str) -> bool:
    """Say whether `new Uri(text)` takes it: it has a scheme and either a host or a rooted path."""
    address = urlsplit(text)
    return bool(address.scheme) and bool(address.netloc or address.path.startswith("/"))


@pytest.mark.parametrize("chunked", [False, True])
def test_dotnet_on_one_series(client: Client, chunked: bool) -> None:
    headers = [*pipeline(DOTNET), JSON, ("x-ms-return-client-request-id", "true")]
    headers += [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")]
    asked = compact({"series": points(precise), "granularity": "daily"})
    path = f"{V1_1}/timeseries/entire/detect"
    found = client.send("POST", path, headers, asked, chunked=chunked)
    assert found.status == 200, found.body
    assert [at for at, flag in enumerate(found.json["isAnomaly"]) if flag][:3] == [3, 18, 21]
    assert found.header("x-request-id") == dict(headers)["x-ms-client-request-id"]


def test_dotnet_on_many_variables(client: Client, data: str) -> None:
    headers = pipeline(DOTNET)
    start, end = (datetime.fromisoformat(services.minute(at)[:-1]) for at in (0, 299))
    span = {"startTime": precise(start), "endTime": precise(end)}
    asked = compact({"dataSource": data, **span, "slidingWindow": 28})
    begun = client.send("POST", f"{V1_1}/multivariate/models", [*headers, JSON], asked)
    assert begun.status == 201, begun.body
    model = f"{V1_1}/multivariate/models/{uuid.UUID(begun.json['modelId'])}"
    # A path, which scripts and older programs send, is in the list as well.
    relative = compact({"dataSource": "machine.csv", **span, "slidingWindow": 28})
    other = client.send("POST", f"{V1_1}/multivariate/models", [*headers, JSON], relative)
    listed = client.send("GET", f"{V1_1}/multivariate/models?skip=0&top=100", headers).json
    assert len(listed["models"]) >= 2
    assert all(is_absolute_uri(each["modelInfo"]["dataSource"]) for each in listed["models"])
    assert not listed["nextLink"]
    client.send("DELETE", other.header("Location"), headers)

    ready(lambda: client.send("GET", model, headers), "modelInfo")
    asked = compact({"dataSource": data, "topContributorCount": 5, **span})
    started = client.send("POST", f"{model}:detect-batch", [*headers, JSON], asked)
    assert started.status == 202, started.body
    assert is_absolute_uri(started.json["summary"]["setupInfo"]["dataSource"])
    result = f"{V1_1}/multivariate/detect-batch/{uuid.UUID(started.json['resultId'])}"
    found = ready(lambda: client.send("GET", result, headers), "summary").json
    moments = [datetime.fromisoformat(each["timestamp"]) for each in found["results"]]
    assert len(moments) == 300
    assert {moment.utcoffset() for moment in moments} == {timedelta(0)}
    last = client.send("POST", f"{model}:detect-last", [*headers, JSON], compact(services.latest()))
    assert (last.status, len(last.json["results"])) == (200, 1), last.body
    assert client.send("DELETE", model, headers).status == 204
    gone = client.send("GET", model, headers)
    assert (gone.status, gone.header("x-ms-error-code")) == (404, "ModelNotExist")


def test_java(service: services.Service) -> None:
    # azure-ai-anomalydetector on azure-core-http-netty, whose names of headers are in lower case;
    # over http the key comes from an AddHeadersPolicy.
    agent = "azsdk-java-azure-ai-anomalydetector/3.0.0-beta.5 (17.0.11; Linux; 6.1.0)"
    headers = [*pipeline(agent), JSON, ("Date", "Thu, 26 Nov 2026 21:00:00 GMT")]
    asked = compact({"series": points(iso), "granularity": "daily", "sensitivity": 99})
    with Client(service.port, write=str.lower) as client:
        for operation in ("entire", "last", "changepoint"):
            answer = client.send("POST", f"{V1_1}/timeseries/{operation}/detect", headers, asked)
            assert answer.status == 200, answer.body
            assert answer.json["period"] == 7


def test_go(client: Client) -> None:
    # azure-sdk-for-go, services/cognitiveservices/v1.0/anomalydetector on go-autorest, whose
    # authorizer names the client as well. Go writes names of headers in its own case.
    agent = (
        "Go/go1.19 (amd64-linux) go-autorest/v14.2.1 Azure-SDK-For-Go/v68.0.0 anomalydetector/1.0"
    )
    headers = [("User-Agent", agent), ("Content-Type", "application/json; charset=utf-8"), KEY]
    headers += [("X-Bingapis-Sdk-Client", "Go-SDK"), ("Accept-Encoding", "gzip")]
    for asked in ({"granularity": "daily"}, {"granularity": "daily", "sensitivity": 95}):
        body = compact({"series": points(iso)} | asked)
        entire = client.send("POST", f"{V1_0}/timeseries/entire/detect", headers, body)
        assert entire.status == 200, entire.body
        assert all(len(entire.json[name]) == 47 for name in (*FLAGS, *NUMBERS))
        last = client.send("POST", f"{V1_0}/timeseries/last/detect", headers, body)
        assert (last.status, last.json["suggestedWindow"]) == (200, 29), last.body
        change = client.send("POST", f"{V1_0}/timeseries/changepoint/detect", headers, body)
        assert (change.status, len(change.json["confidenceScores"])) == (200, 47), change.body


def test_the_notebooks(client: Client, data: str) -> None:
    # Azure-Samples/AnomalyDetector: `requests` with text as its data, and so without a
    # Content-Type; ids are cut out of addresses.
    headers = [("User-Agent", "python-requests/2.28.2"), ("Accept-Encoding", "gzip, deflate")]
    headers += [("Accept", "*/*"), ("Connection", "keep-alive"), KEY]
    asked = json.dumps({"series": points(iso), "granularity": "daily"}).encode()
    found = client.send("POST", f"{V1_0}/timeseries/entire/detect", headers, asked)
    assert found.status == 200, found.body
    assert found.json["period"] == 7
    span = {"startTime": services.minute(0), "endTime": services.minute(299)}
    asked = json.dumps({"source": data, **span, "slidingWindow": 28, "displayName": "n"}).encode()
    begun = client.send("POST", f"{PREVIEW}/multivariate/models", headers, asked)
    assert (begun.status, begun.body) == (201, b"")
    location = begun.header("Location")
    model = f"{PREVIEW}/multivariate/models/{location[location.rindex('/') + 1 :]}"
    ready(lambda: client.send("GET", model, headers), "modelInfo")
    asked = json.dumps({"source": data, **span}).encode()
    started = client.send("POST", f"{model}/detect", headers, asked)
    assert (started.status, started.body) == (201, b"")
    found = ready(lambda: client.send("GET", started.header("Location"), headers), "summary")
    assert is_absolute_uri(found.json["summary"]["setupInfo"]["source"])
    # The last notebook reads the headers of version v1.1.
    v1_1 = model.replace(PREVIEW, V1_1)
    asked = json.dumps({"dataSource": data, **span, "topContributorCount": 10}).encode()
    started = client.send("POST", f"{v1_1}:detect-batch", headers, asked)
    assert started.header("operation-location").endswith(started.header("operation-id"))
    assert client.send("GET", started.header("operation-location"), headers).status == 200
