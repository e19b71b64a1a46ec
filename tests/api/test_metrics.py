"""What Prometheus is told."""

from __future__ import annotations

from typing import Any

ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"


def figures(service: Any) -> dict[str, float]:
    text = service.call("/metrics").content.decode()
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_the_metrics_count_what_every_worker_did(
    guarded: Any, kit: Any, weeks: dict[str, Any]
) -> None:
    headers = {kit.HEADER: kit.KEYS[0]}
    fine = 'detector_requests_total{api_version="v1.1",operation="last",status="200"}'
    bad = 'detector_errors_total{code="InvalidPeriod",operation="last"}'
    points = 'detector_points_total{operation="last"}'
    taken = 'detector_request_seconds_count{operation="last"}'
    before = figures(guarded)
    path = ENTIRE.replace("entire", "last")
    for _ in range(20):
        # A connection each, so that both workers have their share.
        assert guarded.call(path, weeks, headers=headers).status == 200
    assert guarded.call(path, weeks | {"period": -1}, headers=headers).status == 400

    def gained() -> list[float]:
        after = figures(guarded)
        return [after.get(name, 0) - before.get(name, 0) for name in (fine, bad, points, taken)]

    # An answer is counted just after it has gone.
    kit.until(lambda: gained() == [20, 1, 700, 21], "the figures", 5)
    assert figures(guarded)['detector_model_version{model="change-point"}'] == 1
    assert figures(guarded)['detector_model_loaded{model="change-point"}'] == 1


def test_one_worker_tells_its_memory_and_several_do_not(service: Any, guarded: Any) -> None:
    assert figures(service)["process_resident_memory_bytes"] > 50e6
    assert "process_resident_memory_bytes" not in figures(guarded)
