"""The quick starts of Azure's SDKs for Python and JavaScript find what Azure found, old and new."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import quick_starts
import recordings
from azure.cognitiveservices.anomalydetector.models import APIErrorException
from azure.core.exceptions import HttpResponseError
from services import KEYS, Service

# The SDKs are old: what they warn of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

START, END = "2021-01-02T00:00:00Z", "2021-01-02T05:00:00Z"
VARIABLES = [f"series_{number}" for number in range(5)]
# The programs beside the tests, by their clients: in which language, and their arguments.
REST = ("javascript", "rest.cjs")
V1_0 = ("javascript", "v1.cjs")
BETA_2, BETA_3, BETA_5 = (
    ("javascript", "betas.cjs", f"ai-anomaly-detector-beta-{number}") for number in (2, 3, 5)
)
PYTHON_BETA_5 = ("python", "beta_5.py", "beta-5")
# Each detects in one series over both, and trains over one of them: the service over http, or TLS.
TRAIN = {BETA_5: "served", BETA_3: "served", REST: "secured", PYTHON_BETA_5: "secured"}


def upload(service: Service, file: Path) -> str:
    path = f"/datasets/{file.stem.replace('_', '-')}"
    kept = service.call(path, file.read_bytes(), method="PUT")
    assert kept.status == 201, kept.content
    return str(kept.json["dataSource"])


def utc(timestamp: Any) -> datetime:
    """Return a timestamp of the SDK, which is text or a time."""
    return timestamp if isinstance(timestamp, datetime) else datetime.fromisoformat(timestamp)


def test_python_univariate(service: Service) -> None:
    answers = quick_starts.univariate(service.url, KEYS[0])
    assert answers.found == quick_starts.AZURE_FOUND
    entire = recordings.read("azure/entire_daily47_live.json")["response"]
    assert answers.entire.expected_values == pytest.approx(entire["expectedValues"], rel=1e-6)
    assert answers.entire.severity == pytest.approx(entire["severity"], rel=1e-3)
    changes = recordings.read("azure/changepoint_daily47_live.json")["response"]
    scores = answers.change_points.confidence_scores
    assert scores == pytest.approx(changes["confidenceScores"], abs=1e-9)


def test_python_univariate_of_version_1_0(service: Service) -> None:
    answers = quick_starts.univariate_version_1_0(service.url, KEYS[1])
    assert answers.found == quick_starts.AZURE_FOUND
    entire = recordings.read("univariate/azure-samples-batch-response.json")
    assert answers.entire.is_negative_anomaly == entire["isNegativeAnomaly"]
    assert answers.entire.is_positive_anomaly == entire["isPositiveAnomaly"]
    # Margins are a hundredth of the expected value, at the sensitivity of 99.
    assert answers.last.upper_margin == pytest.approx(answers.last.expected_value / 100)


@pytest.mark.parametrize(
    ("quick_start", "error"),
    [
        (quick_starts.univariate, HttpResponseError),
        (quick_starts.univariate_version_1_0, APIErrorException),
    ],
)
def test_python_errors(service: Service, quick_start: Any, error: Any) -> None:
    with pytest.raises(error) as raised:
        quick_start(service.url, KEYS[0], days=5)
    assert raised.value.response.status_code == 400
    assert raised.value.error.code == "InvalidSeries"
    with pytest.raises(error) as raised:
        quick_start(service.url, "not the key")
    assert raised.value.response.status_code == 401
    # What names a key was answered by the gateway, in an error that version 1.0 does not know.
    assert raised.value.response.json()["error"]["code"] == "401"


def asked(source: str | None = None) -> dict[str, Any]:
    """Return what a program is asked: the 47 days, and where there is a source, to train on it."""
    table = pd.read_csv(recordings.DAILY, header=None)
    points = [{"timestamp": at, "value": value} for at, value in table.itertuples(index=False)]
    training = {
        "dataSource": source,
        "dataSchema": "OneTable",
        "startTime": START,
        "endTime": END,
        "slidingWindow": quick_starts.WINDOW,
        "alignPolicy": {"alignMode": "Outer", "fillNAMethod": "Linear", "paddingValue": 0},
        "displayName": "quick start",
    }
    # The window of the last row of the range, so that both detections answer for that row.
    sample = pd.read_csv(recordings.SAMPLE)
    rows = sample[sample["timestamp"] <= END].tail(quick_starts.WINDOW)
    times = rows["timestamp"].tolist()
    variables = [
        {"variable": name, "timestamps": times, "values": rows[name].tolist()} for name in VARIABLES
    ]
    last = {"variables": variables, "topContributorCount": 10}
    return {"points": points} | ({"training": training, "last": last} if source else {})


@pytest.fixture(scope="module")
def found(served: Service, secured: Service, programs: Any) -> Iterator[Callable[..., Any]]:
    """Return what gives the answers of a program; they run all at once, as they mostly wait."""
    begun = {}
    with ThreadPoolExecutor() as threads:
        for service, name in ((served, "served"), (secured, "secured")):
            for program in (BETA_2, BETA_3, BETA_5, PYTHON_BETA_5, REST, V1_0):
                # Version 1.1 trains on a table, as the others do on a file for each variable.
                file = recordings.SAMPLE if program == REST else recordings.SAMPLE_ZIP
                ask = asked(upload(service, file) if TRAIN.get(program) == name else None)
                run = getattr(programs, program[0])
                begun[program, service.url] = threads.submit(
                    run, *program[1:], asked=ask, service=service
                )
        yield lambda program, service: begun[program, service.url].result()


def check_univariate(answers: Any) -> None:
    univariate, refused = answers["univariate"], answers["wrongKey"]

    def places(flags: list[bool]) -> list[int]:
        return [place for place, flag in enumerate(flags) if flag]

    assert {
        "anomalies": places(univariate["entire"]["isAnomaly"]),
        "change points": places(univariate["changePoints"]["isChangePoint"]),
        "period": univariate["entire"]["period"],
        "last point is an anomaly": univariate["last"]["isAnomaly"],
        "suggested window": univariate["last"]["suggestedWindow"],
    } == quick_starts.AZURE_FOUND
    assert (univariate["tooFew"]["status"], univariate["tooFew"]["code"]) == (400, "InvalidSeries")
    assert (refused["status"], refused["code"]) == (401, "401")


def check_margins_before_version_1_1(univariate: Any) -> None:
    """Check that margins are a hundredth of the expected value, at the sensitivity of 99."""
    entire, last = univariate["entire"], univariate["last"]
    for margin in ("upperMargin", "lowerMargin"):
        assert entire[f"{margin}s"][0] == pytest.approx(entire["expectedValues"][0] / 100)
        assert last[margin] == pytest.approx(last["expectedValue"] / 100)


def check_training(trained: Any, base: str, results_at: str = "multivariate/results") -> None:
    model_id = trained["modelId"]
    assert trained["location"] == f"{base}/multivariate/models/{model_id}"
    assert trained["resultLocation"] == f"{base}/{results_at}/{trained['resultId']}"
    assert model_id in trained["listed"]
    results = trained["result"]["results"]
    assert len(results) == 301
    assert all("value" in each for each in results)
    if "last" in trained:
        (last,) = trained["last"]["results"]
        same = results[-1]
        assert datetime.fromisoformat(last["timestamp"]) == datetime.fromisoformat(END)
        assert datetime.fromisoformat(same["timestamp"]) == datetime.fromisoformat(END)
        assert last["value"]["isAnomaly"] == same["value"]["isAnomaly"]
        for number in ("severity", "score"):
            assert last["value"][number] == pytest.approx(same["value"][number], rel=1e-4)
    assert trained["gone"] == {**trained["gone"], "status": 404, "code": "ModelNotExist"}


@pytest.mark.parametrize("program", [BETA_2, V1_0])
def test_client_of_version_1_0(program: tuple[str, ...], service: Service, found: Any) -> None:
    answers = found(program, service)
    check_univariate(answers)
    check_margins_before_version_1_1(answers["univariate"])
    assert "severity" not in answers["univariate"]["entire"]


def test_rest_client_of_version_1_1(service: Service, found: Any) -> None:
    answers = found(REST, service)
    univariate = answers["univariate"]
    check_univariate(answers)
    entire = recordings.read("azure/entire_daily47_live.json")["response"]
    expected = univariate["entire"]["expectedValues"]
    assert expected == pytest.approx(entire["expectedValues"], rel=1e-6)
    assert univariate["entire"]["severity"] == pytest.approx(entire["severity"], rel=1e-3)
    assert univariate["tooFew"]["header"] == "InvalidSeries"


def test_rest_client_of_version_1_1_trains(secured: Service, found: Any) -> None:
    trained = found(REST, secured)["multivariate"]
    base = f"{secured.url}/anomalydetector/v1.1"
    check_training(trained, base, "multivariate/detect-batch")
    assert trained["operationId"] == trained["resultId"]
    assert trained["model"]["modelInfo"]["diagnosticsInfo"]["modelState"]["epochIds"] == [10]
    assert "last" in trained


@pytest.mark.parametrize("program", [BETA_5, PYTHON_BETA_5, BETA_3])
def test_client_of_a_preview(program: tuple[str, ...], service: Service, found: Any) -> None:
    answers = found(program, service)
    check_univariate(answers)
    check_margins_before_version_1_1(answers["univariate"])
    assert len(answers["univariate"]["entire"]["severity"]) == 47


@pytest.mark.parametrize(
    ("program", "version"),
    [
        (BETA_5, "v1.1-preview.1"),
        (PYTHON_BETA_5, "v1.1-preview.1"),
        (BETA_3, "v1.1-preview"),
    ],
)
def test_client_of_a_preview_trains(
    program: tuple[str, ...], version: str, request: pytest.FixtureRequest, found: Any
) -> None:
    service = request.getfixturevalue(TRAIN[program])
    trained = found(program, service)["multivariate"]
    check_training(trained, f"{service.url}/anomalydetector/{version}")
    assert trained["zip"] == "PK"
    contributors = "interpretation" if version.endswith(".1") else "contributors"
    anomalies = [each for each in trained["result"]["results"] if each["value"]["isAnomaly"]]
    assert len(anomalies[0]["value"][contributors]) == 5
    # The first had no detection of the last timestamps.
    assert ("last" in trained) == version.endswith(".1")


def test_python_multivariate(secured: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over TLS; test_blob.py has it over http."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(secured.authority))
    source = upload(secured, recordings.SAMPLE)
    answers = quick_starts.multivariate(secured.url, KEYS[0], source)

    diagnosed = answers.model.model_info.diagnostics_info
    assert diagnosed.model_state.epoch_ids == [10]
    # The range, and the rows before it that complete its first window.
    assert [state.effective_count for state in diagnosed.variable_states] == [301 + 199] * 5
    assert [state.variable for state in answers.batch.summary.variable_states] == VARIABLES

    # The quick start reads the value of every result, so that none may be missing.
    results = answers.batch.results
    minutes = [quick_starts.START + timedelta(minutes=minute) for minute in range(301)]
    assert [utc(result.timestamp) for result in results] == minutes
    assert all(0 <= result.value.severity <= 1 for result in results)
    anomalies = [result.value for result in results if result.value.is_anomaly]
    assert anomalies
    for anomaly in anomalies:
        shares = [contributor.contribution_score for contributor in anomaly.interpretation]
        assert {contributor.variable for contributor in anomaly.interpretation} == set(VARIABLES)
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1)

    (last,) = answers.last.results
    assert utc(last.timestamp) == datetime.fromisoformat("2021-01-03T01:59:00+00:00")
    assert isinstance(last.value.is_anomaly, bool)
    assert 0 <= last.value.severity <= 1
    assert last.value.score > 0
