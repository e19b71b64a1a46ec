"""Options that no client means: whatever they are, they are answered or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

SEED = 20261126
# The longest integer that Python writes has 4,300 digits; twice as much is longer.
LONGEST = 10**4300 - 1
WHOLE = [LONGEST, -LONGEST, 10**400, 10**20, -(10**20), 2**63, 2**64, 2**31, 2**53 + 1]
NUMBERS = st.sampled_from([*WHOLE, 1e308, -1e308, 1e20, 9.9e18, 1e-320, -0.0, 0.5, 1e6])
WORDS = st.sampled_from(["\ud800", "9" * 5000, "1e400", "nan", "-0", "x" * 100_000, "\0", ""])
HOSTILE = st.recursive(
    NUMBERS | WORDS | st.integers(-2, 9000) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
DETECTORS = st.sampled_from(["seasonal_series", "dynamic_threshold", "spectral_residual"])
PARAMETERS = st.dictionaries(
    st.sampled_from(["period", "alpha", "threshold", "maxAnomalyRatio"]), HOSTILE
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "granularity": st.sampled_from(["daily", "monthly", "yearly", "microsecond", "none"]),
        **dict.fromkeys(
            ["customInterval", "period", "maxAnomalyRatio", "sensitivity", "alpha", "threshold"],
            HOSTILE,
        ),
        "imputeMode": st.sampled_from(["fixed", "linear", "notFill"]) | HOSTILE,
        **dict.fromkeys(["imputeFixedValue", "stableTrendWindow", "boundaryVersion"], HOSTILE),
        "detector": st.fixed_dictionaries({"name": DETECTORS, "parameters": PARAMETERS}) | HOSTILE,
    },
)
POINT = st.fixed_dictionaries({"timestamp": HOSTILE, "value": HOSTILE})


def ask(service: Any, operation: str, request: dict[str, Any], version: str = "v1.1") -> Any:
    body = json.dumps(request).encode()
    return service.call(f"/anomalydetector/{version}/timeseries/{operation}/detect", body)


def days(count: int = 20) -> list[dict[str, Any]]:
    return [
        {"timestamp": f"2024-01-{day + 1:02}T00:00:00Z", "value": day * 37 % 11}
        for day in range(count)
    ]


@seed(SEED)
@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    print_blob=True,
)
@given(
    operation=st.sampled_from(["entire", "last", "changepoint"]),
    version=st.sampled_from(["v1.0", "v1.1"]),
    options=OPTIONS,
    points=st.lists(st.tuples(st.integers(0, 19), POINT), max_size=1),
)
def test_any_options_are_answered_or_refused(
    service: Any, operation: str, version: str, options: dict[str, Any], points: Any
) -> None:
    series = days()
    for place, point in points:
        series[place] = point
    answer = ask(service, operation, {"series": series, "granularity": "daily"} | options, version)
    assert answer.status in (200, 400), answer.content[:2000]
    assert len(answer.content) < 20_000


@pytest.mark.parametrize("operation", ["entire", "last", "changepoint"])
@pytest.mark.parametrize(
    "period", [LONGEST, 10**400, 1e308, 2**63], ids=["nines", "10**400", "1e308", "2**63"]
)
@pytest.mark.parametrize("granularity", ["daily", "none"])
def test_a_period_without_end_is_refused(
    service: Any, operation: str, period: Any, granularity: str
) -> None:
    answer = ask(
        service, operation, {"series": days(), "granularity": granularity, "period": period}
    )
    assert (answer.status, answer.json["code"]) == (400, "InvalidPeriod")
    assert "'period' field must be an integer" in answer.json["message"]
    assert len(answer.json["message"]) < 200


@pytest.mark.parametrize("name", ["seasonal_series", "dynamic_threshold", "spectral_residual"])
@pytest.mark.parametrize("period", [1e20, LONGEST, 10**20], ids=["1e20", "nines", "10**20"])
def test_a_detector_has_no_period_without_end(service: Any, name: str, period: Any) -> None:
    detector = {"name": name, "parameters": {"period": period}}
    answer = ask(
        service, "entire", {"series": days(), "granularity": "daily", "detector": detector}
    )
    assert (answer.status, answer.json["code"]) == (400, "InvalidPeriod")


@pytest.mark.parametrize("granularity", ["daily", "monthly", "yearly", "microsecond"])
def test_an_interval_without_end_is_refused_in_few_words(service: Any, granularity: str) -> None:
    answer = ask(
        service,
        "entire",
        {"series": days(), "granularity": granularity, "customInterval": LONGEST},
    )
    assert (answer.status, answer.json["code"]) == (400, "InvalidSeries")
    assert len(answer.json["message"]) < 500


@pytest.mark.parametrize("word", ["now", "today"])
def test_a_word_is_no_timestamp(service: Any, word: str) -> None:
    series = days()
    series[19]["timestamp"] = word
    answer = ask(service, "entire", {"series": series, "granularity": "daily"})
    assert (answer.status, answer.json["code"]) == (400, "BadArgument")
    assert f"the timestamp at index 19 is '{word}'" in answer.json["message"]
