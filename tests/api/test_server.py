"""The service starts with settings that make sense, and stops when it is told to."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import pytest

ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"


def hourly(points: int) -> dict[str, Any]:
    series = [{"value": (place * 7919 % 101) + place % 24} for place in range(points)]
    return {"series": series, "period": 24}


@pytest.mark.parametrize(
    "environment",
    [
        {"DETECTOR_HOST": "192.0.2.1"},
        {"DETECTOR_HOST": "192.0.2.1", "BIND_ADDRESS": "127.0.0.1"},
        {"BIND_ADDRESS": "192.0.2.1", "DETECTOR_IN_CONTAINER": "true"},
    ],
)
def test_it_does_not_listen_to_others_without_keys(begin: Any, environment: Any) -> None:
    service = begin(**environment)
    assert service.process.wait(30) == 2
    assert "which others can reach, with no key: set API_KEYS" in service.output
    assert len(service.output.splitlines()) == 1


def test_a_setting_that_makes_no_sense_is_named(begin: Any) -> None:
    service = begin(DETECTOR_WORKERS="none")
    assert service.process.wait(30) == 2
    assert "DETECTOR_WORKERS" in service.output
    assert "Traceback" not in service.output


def test_it_finishes_what_it_has_begun_when_it_is_stopped(begin: Any) -> None:
    service = begin().wait()
    body = json.dumps(hourly(8640)).encode()
    with ThreadPoolExecutor() as threads:
        work = [threads.submit(service.call, ENTIRE, body) for _ in range(6)]
        # The first is answered, so the others, sent with it, have been begun.
        next(as_completed(work))
        service.process.send_signal(signal.SIGTERM)
        answers = [each.result().status for each in work]
    assert answers == [200] * 6
    assert service.process.wait(20) == 0
