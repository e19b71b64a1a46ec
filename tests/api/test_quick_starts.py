"""The quick starts of Azure's SDKs run against the service, and find what Azure found."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import quick_starts
import recordings

# The SDKs are old: what they warn of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

VARIABLES = [f"series_{number}" for number in range(5)]


def test_univariate(guarded: Any, kit: Any) -> None:
    answers = quick_starts.univariate(guarded.url, kit.KEYS[0])
    assert answers.found == quick_starts.AZURE_FOUND
    entire = recordings.read("azure/entire_daily47_live.json")["response"]
    assert answers.entire.expected_values == pytest.approx(entire["expectedValues"], rel=1e-6)
    assert answers.entire.severity == pytest.approx(entire["severity"], rel=1e-3)
    changes = recordings.read("azure/changepoint_daily47_live.json")["response"]
    scores = answers.change_points.confidence_scores
    assert scores == pytest.approx(changes["confidenceScores"], abs=1e-9)


def test_univariate_of_version_1_0(guarded: Any, kit: Any) -> None:
    answers = quick_starts.univariate_version_1_0(guarded.url, kit.KEYS[1])
    assert answers.found == quick_starts.AZURE_FOUND
    entire = recordings.read("univariate/azure-samples-batch-response.json")
    assert answers.entire.is_negative_anomaly == entire["isNegativeAnomaly"]
    assert answers.entire.is_positive_anomaly == entire["isPositiveAnomaly"]
    # Margins are a hundredth of the expected value, at the sensitivity of 99.
    assert answers.last.upper_margin == pytest.approx(answers.last.expected_value / 100)


def test_too_few_points_are_refused_in_the_error_of_version_1_0(guarded: Any, kit: Any) -> None:
    from azure.cognitiveservices.anomalydetector.models import APIErrorException

    with pytest.raises(APIErrorException) as raised:
        quick_starts.univariate_version_1_0(guarded.url, kit.KEYS[0], days=5)
    assert raised.value.response.status_code == 400
    assert raised.value.error.code == "InvalidSeries"


def test_multivariate(factory: Any) -> None:
    sample = recordings.SAMPLE.read_bytes()
    kept = factory.call("/datasets/quick-start", sample, method="PUT")
    assert kept.status == 201, kept.content
    answers = quick_starts.multivariate(factory.url, "any", kept.json["dataSource"])

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
    assert last.value.is_anomaly in (True, False)


def utc(timestamp: Any) -> datetime:
    """Return a timestamp of the SDK, which is text or a time."""
    return timestamp if isinstance(timestamp, datetime) else datetime.fromisoformat(timestamp)
