"""The last timestamps of many variables: the largest request, and one that pretends to be it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .conftest import NAMES, WINDOW

MODELS = "/anomalydetector/v1.1/multivariate/models"
TIMESTAMPS = 2880


def request(*, apart: int) -> bytes:
    """Return 300 variables of 2,880 timestamps, each so many seconds after the one before."""
    values = [round(float(np.sin(place / 9)), 6) for place in range(TIMESTAMPS)]
    first = np.datetime64("2026-01-01", "s")
    variables = []
    for place, name in enumerate(NAMES):
        moments = first + place * apart + 60 * np.arange(TIMESTAMPS)
        timestamps = [f"{moment}Z" for moment in np.datetime_as_string(moments, unit="s")]
        variables.append({"variable": name, "timestamps": timestamps, "values": values})
    return json.dumps({"variables": variables}).encode()


def ask_eight_times_at_once(service: Any, path: str, body: bytes) -> list[Any]:
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(lambda _: service.call(path, body), range(8)))


def test_eight_of_the_largest_requests_at_once_are_answered_or_refused_within_its_memory(
    many_variables: Any,
) -> None:
    service, group, path = many_variables
    largest = request(apart=0)
    answers = ask_eight_times_at_once(service, path, largest)
    assert {answer.status for answer in answers} <= {200, 429}
    answered = next(answer for answer in answers if answer.status == 200)
    assert len(answered.json["results"]) == 1
    assert {state["effectiveCount"] for state in answered.json["variableStates"]} == {WINDOW}

    # As large, but no two variables have a timestamp in common: a table of 864,000 rows.
    pretended = request(apart=60 * TIMESTAMPS)
    answers = ask_eight_times_at_once(service, path, pretended)
    assert {answer.status for answer in answers} <= {400, 429}
    refused = next(answer for answer in answers if answer.status == 400)
    assert refused.json["code"] == "DataExceedsLimit"
    assert "'timestamps' of all 'variables' together" in refused.json["message"]
    assert "86400 different ones" in refused.json["message"]

    assert service.call("/health/ready").status == 200
    assert group.killed == 0
    assert group.peak < group.limit * 0.75
