"""Whoever writes to the queue runs no code, and a queue that cannot be used says what to do."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import sqlite3
import subprocess
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import services
from huey.registry import Message
from mlflow import MlflowClient
from services import MINUTES, WINDOW, Service, keep_data, until

from detector.jobs import queue, submission
from detector.jobs.leases import Leases
from detector.jobs.queue import DETECTION, TRAINING, QueueError
from detector.multivariate.requests import DetectionRequest, TrainingRequest
from detector.tracking import records, runs, server

MODELS = "/anomalydetector/v1.1/multivariate/models"
START = pd.Timestamp("2026-01-01")
END = START + pd.Timedelta(minutes=MINUTES - 1)
REQUEST = TrainingRequest(source="machine.csv", start=START, end=END, sliding_window=WINDOW)
PASSWORD = "p@ss/word?of#redis"  # noqa: S105
QUOTED = "p%40ss%2Fword%3Fof%23redis"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in a folder without a queue."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DETECTOR_QUEUE", raising=False)
    queue.queues.cache_clear()
    yield tmp_path
    with contextlib.suppress(QueueError):
        for each in queue.queues().values():
            each.huey.storage.close()
    queue.queues.cache_clear()


@pytest.fixture
def folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work where a worker has its store, its queue and its data."""
    keep_data(place)
    services.prepare(place)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    before = mlflow.get_tracking_uri()
    server.connect()
    yield place
    mlflow.set_tracking_uri(before)


@pytest.fixture
def worker(folder: Path) -> Iterator[Callable[..., Service]]:
    """Return what starts a worker in the folder."""
    begun: list[Service] = []

    def start(**environment: str) -> Service:
        settings = {"DETECTOR_TRAINING_EPOCHS": "1", "DETECTOR_LEASE_SECONDS": "3"} | environment
        begun.append(Service(folder / "worker", ["detector", "worker"], 0, **settings))
        return begun[-1]

    # Its folder holds its output alone; all it works on lies beside.
    (folder / "worker").mkdir()
    for name in ("datasets", "mlflow.db", "jobs.db", "mlruns"):
        (folder / "worker" / name).symlink_to(folder / name)
    yield start
    for each in begun:
        each.stop()


class Payload:
    """What makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.mknod, (str(self._path),)


def status(model_id: str) -> str:
    return runs.get_model(model_id).status


def test_rows_run_no_code_and_jobs_are_found_or_said_to_be_lost(
    folder: Path, worker: Callable[..., Service]
) -> None:
    ran = folder / "ran"
    model_id = runs.create_model(REQUEST).model_id
    # Their token was in the queue, and has gone with it.
    asked = replace(REQUEST, source="https://data.example.com/machine.csv?sig=token")
    lost, young = (runs.create_model(asked).model_id for _ in range(2))
    before = datetime.now(UTC) - timedelta(minutes=2)
    MlflowClient().set_tag(runs.run_id(lost), records.UPDATED, before.isoformat())
    queue.queues()
    with sqlite3.connect(folder / "jobs.db") as rows:
        attack = pickle.dumps(Payload(ran))
        # As an older version wrote it.
        old = pickle.dumps(Message("1", "detector.jobs.queue.training", args=(model_id,)))
        hostile = [b"[" * 100_000, b'{"job": {"a": 1}}', b'{"job": "../x"}', b"null", b"\xff"]
        for row in (attack, old, *hostile):
            for kind in (TRAINING, DETECTION):
                rows.execute("INSERT INTO task (queue, data) VALUES (?, ?)", (kind, row))
                rows.execute(
                    "INSERT INTO schedule (queue, data, timestamp) VALUES (?, ?, 0)", (kind, row)
                )
        for value, attempt in ((attack, 1), (b"[1]", 2)):
            key = queue.lease_key(model_id, attempt)
            rows.execute("INSERT INTO kv VALUES (?, ?, ?)", (TRAINING, key, value))
    started = worker()
    until(lambda: status(model_id) == runs.READY, "READY", pause=0.5)
    until(lambda: status(lost) == runs.FAILED, "FAILED", pause=0.5)
    assert not ran.exists()
    told = [line for line in started.log if "dropped unread" in line["message"]]
    assert sorted(line["job"] for line in told) == [DETECTION, TRAINING]
    [error] = runs.get_model(lost).errors
    assert error["message"].endswith("Send the request again.")
    # Its token may be on its way into the queue.
    assert status(young) == runs.CREATED
    assert "Traceback" not in started.output


def test_what_is_kept_in_the_queue_is_json(place: Path) -> None:
    jobs = queue.queues()[TRAINING]
    jobs.submit("a job")
    assert Leases(jobs.huey, 60).take("another") == 1
    jobs.keep_source("a job", "https://data.example.com/x.csv?sig=token")
    assert jobs.huey.storage.enqueued_items() == [b'{"job": "a job"}']
    assert jobs.source("a job") == "https://data.example.com/x.csv?sig=token"
    assert all(
        value.startswith((b"{", b'"')) for value in jobs.huey.storage.result_items().values()
    )
    assert jobs.unfinished() == {"a job", "another"}
    # It may hold what grants access to data.
    assert (place / "jobs.db").stat().st_mode & 0o077 == 0


def test_a_damaged_queue_is_named_and_nothing_is_begun(
    begin: Callable[..., Service], tmp_path: Path
) -> None:
    keep_data(tmp_path / "0")
    (tmp_path / "0" / "jobs.db").write_bytes(b"no queue " * 1000)
    service = begin(DETECTOR_EMBEDDED_WORKER="true").wait()
    for _ in range(2):
        answer = service.call(MODELS, services.training())
        assert answer.status == 503
        message = answer.json["error"]["message"]
        assert "jobs.db (DETECTOR_QUEUE)" in message
        assert "move the file away" in message
    assert service.call(MODELS).json["currentCount"] == 0
    waiting = until(
        lambda: [line for line in service.log if "worker waits" in line["message"]], "the worker"
    )
    assert "jobs.db (DETECTOR_QUEUE)" in waiting[0]["message"]
    # The service and its worker need no new start: the queue was never open.
    (tmp_path / "0" / "jobs.db").unlink()
    assert service.call(MODELS, services.training()).status == 201
    assert "Traceback" not in service.output


def test_a_queue_that_takes_no_job_leaves_no_model(folder: Path) -> None:
    queue.queues()
    with sqlite3.connect(folder / "jobs.db") as rows:
        rows.execute(
            "CREATE TRIGGER full BEFORE INSERT ON task "
            "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )
    with pytest.raises(QueueError, match="no room left"):
        submission.begin_training(REQUEST)
    with pytest.raises(QueueError, match="no room left"):
        submission.begin_detection("a model", DetectionRequest("machine.csv", START, END))
    assert runs.unfinished() == []


needs_redis = pytest.mark.skipif(
    not (shutil.which("redis-server") and shutil.which("openssl")),
    reason="needs redis-server and openssl (on Debian: apt-get install redis-server openssl)",
)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Return what starts a Redis with a password, and with TLS where asked to; its port."""
    begun: list[subprocess.Popen[bytes]] = []

    def start(*, tls: bool) -> int:
        port = services.free_port()
        begun.append(services.start_redis(tmp_path, port, password=PASSWORD, tls=tls))
        return port

    yield start
    for each in begun:
        each.terminate()
        each.wait()


def answers(address: str) -> bool:
    try:
        queue.Queue(TRAINING, address).check()
    except QueueError:
        return False
    return True


@needs_redis
def test_redis_with_password_and_tls(place: Path, redis: Callable[..., int]) -> None:
    port = redis(tls=True)
    address = f"rediss://:{QUOTED}@127.0.0.1:{port}/0"
    until(lambda: answers(f"{address}?ssl_ca_certs={place}/ca.pem"), "Redis")
    # Neither without TLS, nor where nobody vouches for the certificate.
    for other in (address.replace("rediss", "redis"), address):
        with pytest.raises(QueueError, match="does not answer"):
            queue.Queue(TRAINING, other).check()


@needs_redis
@pytest.mark.parametrize("wrong", ["password", "port", "address"])
def test_a_redis_that_cannot_be_used_is_named_without_its_password(
    redis: Callable[..., int], caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    port = redis(tls=False)
    until(lambda: answers(f"redis://:{QUOTED}@127.0.0.1:{port}/0"), "Redis")
    address, what = {
        "password": (f"redis://:other-{QUOTED}@127.0.0.1:{port}/0", "refuses the user or password"),
        "port": (f"redis://:{QUOTED}@127.0.0.1:{services.free_port()}/0", "does not answer"),
        "address": (f"redis://:{PASSWORD}@127.0.0.1:{port}/0", "percent-encoded"),
    }[wrong]
    with pytest.raises(QueueError, match=what) as refused:
        queue.Queue(TRAINING, address).check()
    if wrong != "address":
        # What the worker's threads do.
        jobs = queue.Queue(TRAINING, address)
        assert jobs.huey.dequeue() is None
        assert jobs.huey.dequeue() is None
        [record] = caplog.records
        assert what in record.getMessage()
    told = caplog.text + "".join(traceback.format_exception(refused.value))
    assert "DETECTOR_QUEUE" in told
    for secret in (PASSWORD, QUOTED, "p@ss", "word%3F"):
        assert secret not in told
