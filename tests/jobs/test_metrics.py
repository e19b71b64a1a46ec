"""What a worker tells Prometheus."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families

from detector.errors import DetectionError, Stopped
from detector.jobs import queue, submission
from detector.jobs.metrics import Metrics
from detector.jobs.worker import Worker
from detector.multivariate.requests import TrainingRequest
from detector.settings import JobSettings
from detector.tracking import server

Figures = dict[tuple[str, ...], float]


def figures(port: int) -> Figures:
    """Return what is told: by name, and the values of its labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.fixture
def told(tmp_path: Path, kit: Any) -> Callable[[Metrics], Figures]:
    """Return what asks metrics that listen."""

    def ask(metrics: Metrics) -> Figures:
        port = kit.free_port()
        metrics.listen(f"127.0.0.1:{port}")
        return figures(port)

    return ask


@pytest.fixture
def metrics(tmp_path: Path) -> Metrics:
    return Metrics(str(tmp_path / "jobs.db"))


def test_what_was_seen_ages_until_it_is_seen_again(
    metrics: Metrics, told: Callable[[Metrics], Figures]
) -> None:
    now = datetime.now(UTC)
    hour, minute = now - timedelta(hours=1), now - timedelta(minutes=1)
    metrics.saw("training", 3, [minute, hour, minute], [])
    metrics.saw("detection", 0, [], [minute])
    found = told(metrics)
    assert found["detector_jobs_waiting", "training"] == 3
    assert 3600 <= found["detector_jobs_oldest_seconds", "training"] < 3700
    assert found["detector_jobs_silent_seconds", "training"] == 0
    assert found["detector_jobs_oldest_seconds", "detection"] == 0
    assert 60 <= found["detector_jobs_silent_seconds", "detection"] < 100


def test_an_attempt_is_counted_by_how_it_ends(
    metrics: Metrics, told: Callable[[Metrics], Figures]
) -> None:
    with metrics.at_work("training"):
        metrics.left("detection", "failed", 30)
        found = told(metrics)
    assert found["detector_jobs_running", "training"] == 1
    assert found["detector_jobs_running", "detection"] == 0
    assert found["detector_jobs_total", "detection", "failed"] == 1
    # There before it counts, so that its first rise is seen.
    assert found["detector_jobs_total", "training", "broken off"] == 0
    assert found["detector_job_seconds_sum", "detection"] == 30


def test_the_room_of_the_queue_is_told_where_it_is_a_file(
    metrics: Metrics, told: Callable[[Metrics], Figures]
) -> None:
    assert told(metrics)["detector_worker_free_bytes", "queue"] > 0
    shared = told(Metrics("redis://127.0.0.1:6379/0"))
    assert ("detector_worker_free_bytes", "queue") not in shared
    assert shared["detector_worker_free_bytes", "temporary"] > 0


def test_an_address_that_is_taken_is_named_and_no_reason_not_to_work(
    metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        metrics.listen(address)
    assert f"cannot listen on {address}" in caplog.text
    assert "DETECTOR_WORKER_METRICS" in caplog.text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kit: Any) -> Iterator[Path]:
    """Return a folder with a store and a queue, which is the current one."""
    kit.prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "DETECTOR_QUEUE"):
        monkeypatch.delenv(name, raising=False)
    server.connect()
    queue.queues.cache_clear()
    yield tmp_path
    for each in queue.queues().values():
        each.huey.storage.close()
    queue.queues.cache_clear()
    mlflow.set_tracking_uri("")


def asked() -> TrainingRequest:
    start = pd.Timestamp("2026-01-01")
    return TrainingRequest(source="none.csv", start=start, end=start, sliding_window=28)


@pytest.mark.usefixtures("folder")
def test_a_look_tells_how_long_the_first_job_waits(
    metrics: Metrics, told: Callable[[Metrics], Figures]
) -> None:
    submission.begin_training(asked())
    worker = Worker(JobSettings(), metrics)
    assert worker._can_begin()
    before = told(metrics)
    worker._take_up()
    found = told(metrics)
    assert found["detector_jobs_waiting", "training"] == 1
    assert found["detector_jobs_oldest_seconds", "training"] > 0
    looked = ("detector_worker_looked_timestamp_seconds",)
    assert found[looked] > before[looked]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (DetectionError("FileNotExist", "Not here."), "failed"),
        (Stopped(), "stopped"),
        (ValueError(), "broken off"),
        (None, "ended"),
    ],
)
def test_the_worker_counts_an_attempt_as_what_it_is(
    metrics: Metrics,
    told: Callable[[Metrics], Figures],
    raised: Exception | None,
    outcome: str,
) -> None:
    identity = submission.begin_training(asked()).model_id
    worker = Worker(JobSettings(), metrics)
    assert worker._can_begin()

    def carry_out(_: str) -> None:
        if raised:
            raise raised

    worker._perform("training", carry_out, identity)
    found = told(metrics)
    for each in ("ended", "failed", "stopped", "broken off"):
        assert found["detector_jobs_total", "training", each] == (each == outcome)
    assert found["detector_job_seconds_count", "training"] == 1
    assert found["detector_jobs_running", "training"] == 0
