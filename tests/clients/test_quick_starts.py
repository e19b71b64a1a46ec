"""Quick starts with Azure's clients for JavaScript, and an old one for Python."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
import quick_starts
import recordings
from services import HEADER, KEYS, Service

START, END = "2021-01-02T00:00:00Z", "2021-01-02T05:00:00Z"
VARIABLES = [f"series_{number}" for number in range(5)]


def asked(source: str | None = None) -> dict[str, Any]:
    """Return what a program is asked: the 47 days, and where there is a source, to train on it."""
    table = pd.read_csv(recordings.DAILY, header=None)
    points = [{"timestamp": at, "value": value} for at, value in table.itertuples(index=False)]
    if source is None:
        return {"points": points}
    rows = pd.read_csv(recordings.SAMPLE).tail(quick_starts.WINDOW)
    times = rows["timestamp"].tolist()
    return {
        "points": points,
        "training": {
            "dataSource": source,
            "dataSchema": "OneTable",
            "startTime": START,
            "endTime": END,
            "slidingWindow": quick_starts.WINDOW,
            "alignPolicy": {
                "alignMode": "Outer",
                "fillNAMethod": "Linear",
                "paddingValue": 0,
            },
            "displayName": "quick start",
        },
        "last": {
            "variables": [
                {"variable": name, "timestamps": times, "values": rows[name].tolist()}
                for name in VARIABLES
            ],
            "topContributorCount": 10,
        },
    }


def upload(service: Service, content: bytes) -> str:
    kept = service.call("/datasets/quick-start", content, method="PUT", headers={HEADER: KEYS[0]})
    assert kept.status == 201, kept.content
    return str(kept.json["dataSource"])


def found(univariate: Any) -> dict[str, Any]:
    """Return what a user reads off the answers."""

    def places(flags: list[bool]) -> list[int]:
        return [place for place, flag in enumerate(flags) if flag]

    return {
        "anomalies": places(univariate["entire"]["isAnomaly"]),
        "change points": places(univariate["changePoints"]["isChangePoint"]),
        "period": univariate["entire"]["period"],
        "last point is an anomaly": univariate["last"]["isAnomaly"],
        "suggested window": univariate["last"]["suggestedWindow"],
    }


def check_refusals(univariate: Any) -> None:
    assert (univariate["tooFew"]["status"], univariate["tooFew"]["code"]) == (400, "InvalidSeries")
    assert (univariate["wrongKey"]["status"], univariate["wrongKey"]["code"]) == (401, "401")


def check_training(trained: Any, base: str) -> None:
    model_id, result_id = trained["modelId"], trained["resultId"]
    assert trained["location"] == f"{base}/multivariate/models/{model_id}"
    assert model_id in trained["listed"]
    assert result_id in trained.get("operationLocation", result_id)
    assert len(trained["result"]["results"]) == 301
    assert all("value" in each for each in trained["result"]["results"])
    assert trained["gone"] == {**trained["gone"], "status": 404, "code": "ModelNotExist"}


def test_rest_client_of_version_1_1(served: Service, programs: Any) -> None:
    source = upload(served, recordings.SAMPLE.read_bytes())
    answers = programs.javascript("rest.cjs", asked=asked(source), endpoint=served.url)
    univariate, trained = answers["univariate"], answers["multivariate"]
    assert found(univariate) == quick_starts.AZURE_FOUND
    entire = recordings.read("azure/entire_daily47_live.json")["response"]
    assert univariate["entire"]["expectedValues"] == pytest.approx(
        entire["expectedValues"], rel=1e-6
    )
    assert univariate["entire"]["severity"] == pytest.approx(entire["severity"], rel=1e-3)
    check_refusals(univariate)
    assert univariate["tooFew"]["header"] == "InvalidSeries"

    base = f"{served.url}/anomalydetector/v1.1"
    check_training(trained, base)
    assert trained["operationId"] == trained["resultId"]
    assert trained["operationLocation"] == f"{base}/multivariate/detect-batch/{trained['resultId']}"
    assert trained["model"]["modelInfo"]["diagnosticsInfo"]["modelState"]["epochIds"] == [10]
    (last,) = trained["last"]["results"]
    assert last["value"]["isAnomaly"] in (True, False)


@pytest.mark.parametrize(
    ("package", "version"),
    [
        ("ai-anomaly-detector-beta-5", "v1.1-preview.1"),
        ("ai-anomaly-detector-beta-3", "v1.1-preview"),
    ],
)
def test_client_of_a_preview(package: str, version: str, served: Service, programs: Any) -> None:
    source = upload(served, recordings.SAMPLE_ZIP.read_bytes())
    answers = programs.javascript("betas.cjs", package, asked=asked(source), endpoint=served.url)
    check_preview(answers, version, served)


def test_python_client_of_a_preview(served: Service, programs: Any) -> None:
    source = upload(served, recordings.SAMPLE_ZIP.read_bytes())
    answers = programs.python("beta_5.py", "beta-5", asked=asked(source), endpoint=served.url)
    check_preview(answers, "v1.1-preview.1", served)


def check_preview(answers: Any, version: str, served: Service) -> None:
    univariate, trained = answers["univariate"], answers["multivariate"]
    assert found(univariate) == quick_starts.AZURE_FOUND
    assert len(univariate["entire"]["severity"]) == 47
    check_refusals(univariate)
    check_training(trained, f"{served.url}/anomalydetector/{version}")
    assert trained["zip"] == "PK"
    contributors = "interpretation" if version.endswith(".1") else "contributors"
    anomalies = [each for each in trained["result"]["results"] if each["value"]["isAnomaly"]]
    assert len(anomalies[0]["value"][contributors]) == 5
    if version.endswith(".1"):
        assert len(trained["last"]["results"]) == 1


def test_client_of_beta_2(served: Service, programs: Any) -> None:
    answers = programs.javascript(
        "betas.cjs", "ai-anomaly-detector-beta-2", asked=asked(), endpoint=served.url
    )
    assert found(answers["univariate"]) == quick_starts.AZURE_FOUND
    check_refusals(answers["univariate"])


def test_client_of_version_1_0(served: Service, programs: Any) -> None:
    answers = programs.javascript("v1.cjs", asked=asked(), endpoint=served.url)
    assert found(answers["univariate"]) == quick_starts.AZURE_FOUND
    assert "severity" not in answers["univariate"]["entire"]
    check_refusals(answers["univariate"])
