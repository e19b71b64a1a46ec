"""What outlives a request outlives its worker, the service and MLflow too."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import psutil
import pytest
from mlflow import MlflowClient
from services import until

from detector.errors import Stopped
from detector.jobs import leases, queue, submission
from detector.multivariate import wire
from detector.multivariate.alignment import align
from detector.multivariate.requests import DetectionRequest, TrainingRequest
from detector.tracking import runs, server
from detector.tracking import training as tracked
from detector.tracking.experiments import ensure_experiment

START, ROWS, WINDOW = pd.Timestamp("2026-01-01"), 420, 28
QUICK, LONG = "3", "10000"
Start = Callable[..., Any]


def variables(seed: int) -> pd.DataFrame:
    """Return three variables that go together, by the minute."""
    noise = np.random.default_rng(seed)
    wave = np.sin(np.arange(ROWS) / 9)[:, None] + noise.normal(0, 0.1, (ROWS, 3))
    times = pd.date_range(START, periods=ROWS, freq="min", name="timestamp")
    return pd.DataFrame(wave, columns=list("abc"), index=times)


def asked(source: str) -> TrainingRequest:
    end = START + pd.Timedelta(minutes=ROWS - 1)
    return TrainingRequest(source=source, start=START, end=end, sliding_window=WINDOW)


def detect(model_id: str, source: str, first: int, last: int) -> str:
    """Ask for a batch detection of some minutes; return its id."""
    start, end = (START + pd.Timedelta(minutes=minute) for minute in (first, last))
    request = DetectionRequest(source=source, start=start, end=end, top_contributors=2)
    return submission.begin_detection(model_id, request).result_id


def train(source: str = "waves.csv") -> str:
    """Ask for a training; return the id of the model."""
    return submission.begin_training(asked(source)).model_id


def fill(folder: Path, kit: Any) -> None:
    """Give a folder data, and the store that a worker started there uses."""
    kit.prepare(folder)
    (folder / "datasets").mkdir()
    for seed, name in enumerate(("waves.csv", "other.csv")):
        variables(seed).to_csv(folder / "datasets" / name, date_format="%Y-%m-%dT%H:%M:%SZ")


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Work in a folder, on its store and its queue."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        for name in ("MLFLOW_TRACKING_URI", "DETECTOR_QUEUE"):
            patch.delenv(name, raising=False)
        server.connect()
        queue.queues.cache_clear()
        yield
        for each in queue.queues().values():
            each.huey.storage.close()
        queue.queues.cache_clear()
        mlflow.set_tracking_uri("")


@pytest.fixture
def folder(tmp_path: Path, kit: Any) -> Iterator[Path]:
    """Work in a folder with data in it."""
    fill(tmp_path, kit)
    with working_in(tmp_path):
        yield tmp_path


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, kit: Any) -> Iterator[Start]:
    """Return what gives the worker for a number of epochs, which starts once for all tests."""
    begun: dict[str, Any] = {}

    def start(epochs: str) -> Any:
        if epochs not in begun:
            folder = tmp_path_factory.mktemp("shared")
            fill(folder, kit)
            port = kit.free_port()
            settings = {"DETECTOR_TRAINING_EPOCHS": epochs, "DETECTOR_LEASE_SECONDS": "3"}
            settings["DETECTOR_WORKER_METRICS"] = f"127.0.0.1:{port}"
            begun[epochs] = kit.Service(folder, ["detector", "worker"], port, **settings)
        return begun[epochs]

    yield start
    for each in begun.values():
        each.stop()


@pytest.fixture
def quick(shared: Start) -> Iterator[Any]:
    """Return a worker that trains for 20 epochs; the test works in its folder."""
    found = shared("20")
    with working_in(found.folder):
        yield found


@pytest.fixture(scope="module")
def trained(shared: Start) -> dict[str, str]:
    """Return the models that this worker trained at the same time, by the source of their data."""
    with working_in(shared("20").folder):
        models = {source: train(source) for source in ("waves.csv", "other.csv")}
        for model_id in models.values():
            ends(model_id, runs.READY)
    return models


@pytest.fixture
def slow(shared: Start) -> Iterator[Any]:
    """Return a worker whose trainings do not end; the test works in its folder."""
    found = shared(LONG)
    with working_in(found.folder):
        yield found


@pytest.fixture
def worker(folder: Path, kit: Any) -> Iterator[Start]:
    """Return what starts a worker in the folder."""
    begun: list[Any] = []

    def start(**environment: str) -> Any:
        settings = {"DETECTOR_TRAINING_EPOCHS": QUICK, "DETECTOR_LEASE_SECONDS": "3"} | environment
        begun.append(kit.Service(folder, ["detector", "worker"], 0, **settings))
        return begun[-1]

    yield start
    for each in begun:
        each.stop()


def status(model_id: str) -> str:
    run = runs.run_of(model_id, runs.MODELS)
    assert run is not None
    return str(run.data.tags["detector.status"])


def ends(model_id: str, wanted: str) -> None:
    """Wait for the status of a model; each look at it takes processor, of MLflow's too."""
    until(lambda: status(model_id) == wanted, f"{model_id} is {wanted}", 120, pause=0.5)


def training(parent: int) -> psutil.Process | None:
    """Return the process in which a worker trains."""
    for child in psutil.Process(parent).children(recursive=True):
        # One may end while it is looked at.
        with contextlib.suppress(psutil.Error):
            if "train" in child.cmdline():
                return child
    return None


def has_begun(model_id: str) -> bool:
    return bool(runs.get_model(model_id).diagnostics.epochs)


@pytest.mark.usefixtures("quick")
def test_trainings_and_detections_at_once_are_all_right(trained: dict[str, str]) -> None:
    ranges = [(40 + 10 * each, 90 + 20 * each) for each in range(3)]
    wanted = {
        detect(model_id, source, *minutes): (source, minutes)
        for minutes in ranges
        for source, model_id in trained.items()
    }

    models = {source: runs.load_model(model_id) for source, model_id in trained.items()}
    for result_id, (source, minutes) in wanted.items():
        until(lambda each=result_id: runs.get_result(each).status == runs.READY, result_id)
        first, last = (START + pd.Timedelta(minutes=minute) for minute in minutes)
        model = models[source]
        table = align(
            variables(("waves.csv", "other.csv").index(source)).round(12),
            start=first,
            end=last,
            sliding_window=WINDOW,
            policy=model.options.align,
        )
        expected = [
            wire.anomaly_state_to_wire(each)
            for each in model.detect_table(table, top_contributors=2)
        ]
        found = runs.get_result(result_id).found["results"]
        assert [each["timestamp"] for each in found] == [each["timestamp"] for each in expected]
        assert [each["value"]["score"] for each in found] == pytest.approx(
            [each["value"]["score"] for each in expected]
        )


@pytest.mark.usefixtures("quick")
def test_training_tells_its_losses_and_variables(trained: dict[str, str]) -> None:
    model_id = trained["waves.csv"]
    record = runs.get_model(model_id)

    assert record.errors == []
    assert [epoch.number for epoch in record.diagnostics.epochs] == [10, 20]
    assert all(epoch.train_loss and epoch.seconds for epoch in record.diagnostics.epochs)
    assert [each.effective_count for each in record.diagnostics.variable_states] == [ROWS] * 3
    losses = MlflowClient().get_metric_history(runs.run_id(model_id), "train_loss")
    assert [loss.step for loss in losses] == list(range(1, 21))
    run = MlflowClient().get_run(runs.run_id(model_id))
    assert run.info.status == "FINISHED"
    assert run.data.params["epochs"] == "20"


def test_training_of_a_killed_and_of_a_stopped_worker_is_done_by_the_next_and_no_file_is_left(
    worker: Start, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    lost = worker(DETECTOR_TRAINING_EPOCHS=LONG, TMPDIR=str(temporary))
    model_id = train()
    until(lambda: has_begun(model_id), "the training has begun")
    child = training(lost.process.pid)
    assert child is not None
    lost.process.kill()
    # The training notices that nobody waits for it any more.
    until(lambda: not child.is_running(), "the training has ended")
    [left] = temporary.glob("detector-work-*")
    assert len(list(left.glob("tmp*"))) == 1

    # Its lease would keep others from the training for an hour: it gives it back.
    patient = {"DETECTOR_LEASE_SECONDS": "3600", "TMPDIR": str(temporary)}
    stopped = worker(DETECTOR_TRAINING_EPOCHS=LONG, **patient)
    until(lambda: training(stopped.process.pid), "the training has begun again")
    assert stopped.stop() == 0
    worker(**patient)

    ends(model_id, runs.READY)
    [ours] = temporary.glob("detector-work-*")
    assert ours != left
    until(lambda: [path.name for path in ours.iterdir()] == ["lock"], "nothing is left")


def test_training_whose_process_is_killed_fails_and_says_so(slow: Any) -> None:
    model_id = train()
    until(lambda: has_begun(model_id), "the training has begun")
    child = training(slow.process.pid)
    assert child is not None

    child.kill()

    ends(model_id, runs.FAILED)
    [error] = runs.get_model(model_id).errors
    assert "SIGKILL" in error["message"]
    assert slow.process.poll() is None


def test_deleted_model_is_trained_no_longer(slow: Any) -> None:
    model_id = train()
    until(lambda: has_begun(model_id), "the training has begun")

    runs.delete_model(model_id)

    until(lambda: training(slow.process.pid) is None, "the training has ended")


def test_training_that_another_worker_took_over_is_ended(slow: Any) -> None:
    model_id = train()
    until(lambda: has_begun(model_id), "the training has begun")

    # As after a pause in which the lease ran out.
    other = {"worker": "another", "until": time.time() + 3600}
    assert queue.queues()["training"].huey.put_if_empty(queue.lease_key(model_id, 2), other)

    until(lambda: training(slow.process.pid) is None, "the training has ended")
    assert status(model_id) == runs.RUNNING
    # Nobody else works on it, whatever its lease says: the worker would begin it again and again.
    runs.delete_model(model_id)


def failed_trainings(worker: Any) -> float:
    """Return how many trainings failed, as the worker tells Prometheus."""
    told = worker.call("/metrics").content.decode()
    [count] = re.findall(
        r'^detector_jobs_total{kind="training",outcome="failed"} (.*)$', told, re.M
    )
    return float(count)


@pytest.mark.parametrize(
    ("source", "code"), [("nowhere.csv", "FileNotExist"), ("/etc/passwd", "InvalidBlobURL")]
)
def test_data_that_cannot_be_read_fails_the_model_and_is_counted(
    quick: Any, source: str, code: str
) -> None:
    until(lambda: quick.answers("/metrics"), "the worker tells Prometheus")
    before = failed_trainings(quick)
    model_id = train(source)

    ends(model_id, runs.FAILED)

    assert [error["code"] for error in runs.get_model(model_id).errors] == [code]
    until(lambda: failed_trainings(quick) == before + 1, "the failure is counted")


def test_training_goes_on_while_mlflow_is_killed_and_started_again(
    folder: Path, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = kit.free_port()
    # With tables, which MLflow takes seconds to make.
    (folder / "mlflow").mkdir()
    shutil.copy(folder / "mlflow.db", folder / "mlflow" / "store.db")
    tracking = kit.start_mlflow(folder / "mlflow", port).wait("/health")
    address = {"MLFLOW_TRACKING_URI": tracking.url}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.url)
    server.connect()
    epochs = {"DETECTOR_TRAINING_EPOCHS": "200"}
    running = kit.Service(folder, ["detector", "worker"], 0, **address, **epochs)
    try:
        model_id = train()
        until(lambda: has_begun(model_id), "the training has begun")
        os.killpg(tracking.process.pid, signal.SIGKILL)
        tracking.stop()
        tracking = kit.start_mlflow(folder / "mlflow", port).wait("/health")
        ends(model_id, runs.READY)
        told = runs.get_model(model_id).diagnostics.epochs
        assert [epoch.number for epoch in told] == list(range(10, 201, 10))
    finally:
        running.stop()
        tracking.stop()


def test_service_starts_its_worker_again_and_takes_it_along_when_it_is_killed(
    folder: Path, kit: Any
) -> None:
    settings = {"DETECTOR_EMBEDDED_WORKER": "true", "DETECTOR_LEASE_SECONDS": "3"}
    service = kit.start_detector(folder, DETECTOR_TRAINING_EPOCHS=LONG, **settings)
    try:
        service.wait()
        parent = psutil.Process(service.process.pid)
        [first] = until(parent.children, "the worker is there")
        first.kill()
        [second] = until(
            lambda: [each for each in parent.children() if each.pid != first.pid],
            "another worker is there",
        )
        # It chooses its own, as the first one did: more than the service makes by now.
        assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in second.environ()
        model_id = train()
        until(lambda: has_begun(model_id), "the training has begun")
        children = parent.children(recursive=True)
        service.process.kill()
        until(lambda: not any(each.is_running() for each in children), "no child is left")
    finally:
        service.stop()
    service = kit.start_detector(folder, DETECTOR_TRAINING_EPOCHS=QUICK, **settings)
    try:
        ends(model_id, runs.READY)
    finally:
        service.stop()


@pytest.mark.usefixtures("quick")
def test_job_that_loses_every_worker_is_given_up() -> None:
    # In the queue once its leases are lost, and not before.
    model_id = runs.create_model(asked("waves.csv"), queued=False).model_id
    jobs = queue.queues()["training"]
    for _ in range(3):
        lost = leases.Leases(jobs.huey, seconds=0)
        assert lost.take(model_id)

    jobs.submit(model_id)

    ends(model_id, runs.FAILED)
    [error] = runs.get_model(model_id).errors
    assert "3 times" in error["message"]


def test_leases_of_ended_jobs_do_not_count_and_are_forgotten(folder: Path, worker: Start) -> None:
    request = DetectionRequest(source="waves.csv", start=START, end=START)
    ended, deleted, lost = (runs.create_result("no model", request).result_id for _ in range(3))
    jobs = queue.queues()["detection"]
    for identity in (ended, deleted, "no such run"):
        # As of a worker that is killed before it lets go of what it has done.
        assert leases.Leases(jobs.huey, seconds=0).take(identity)
    held = leases.Leases(jobs.huey, seconds=60)
    assert held.take(lost)
    runs.set_status(ended, runs.FAILED)
    runs.discard(deleted)
    assert jobs.leased() == {ended, deleted, lost, "no such run"}
    assert jobs.unfinished() == {lost}
    assert submission.unfinished_detections() == 1

    worker()

    until(lambda: jobs.leased() == {lost}, "the others are forgotten")
    assert held.take(lost) is None


def test_a_worker_finds_work_in_no_queue_beside_runs_it_cannot_read_and_where_rounds_fail(
    folder: Path, worker: Start
) -> None:
    for experiment in (runs.MODELS, runs.RESULTS):
        MlflowClient().create_run(ensure_experiment(experiment), tags={"detector.status": "x"})
    model_id = runs.create_model(asked("waves.csv")).model_id
    started = worker(TMPDIR=str(folder))
    ends(model_id, runs.READY)
    assert sum("cannot be read" in line["message"] for line in started.log) == 2
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.execute("ALTER TABLE tags RENAME TO gone")
    until(lambda: "tries again" in started.output, "a round fails")
    (folder / "detector-worker-alive").unlink()
    until((folder / "detector-worker-alive").exists, "the next round")


def test_only_one_worker_takes_an_attempt(folder: Path) -> None:
    huey = queue.queues()["training"].huey
    workers = [leases.Leases(huey, seconds=60) for _ in range(8)]

    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda each: each.take("a job"), workers))

    assert sorted(filter(None, taken)) == [1]


def test_run_of_a_program_that_went_silent_fails(quick: Any) -> None:
    record = runs.create_model(asked("waves.csv"), queued=False)
    runs.set_status(record.model_id, runs.RUNNING)
    silent = (datetime.now(UTC) - timedelta(minutes=11)).isoformat()
    MlflowClient().set_tag(runs.run_id(record.model_id), "detector.updated", silent)

    ends(record.model_id, runs.FAILED)


def test_result_is_gone_after_seven_days(folder: Path) -> None:
    request = DetectionRequest(source="waves.csv", start=START, end=START)
    kept = [runs.create_result("no model", request) for _ in range(2)]
    client = MlflowClient()
    run = client.get_run(runs.run_id(kept[0].result_id))
    week = int(timedelta(days=7).total_seconds() * 1000) + 1
    aged = client.create_run(run.info.experiment_id, run.info.start_time - week, tags=run.data.tags)
    client.log_text(aged.info.run_id, "found", "result.json.gz")

    with pytest.raises(runs.DetectionError) as refused:
        runs.get_result(aged.info.run_id)
    assert refused.value.code == "ResultNotExist"
    assert runs.expire_results() == 1

    assert client.get_run(aged.info.run_id).info.lifecycle_stage == "deleted"
    assert client.list_artifacts(aged.info.run_id) == []
    assert runs.get_result(kept[1].result_id).status == runs.CREATED


def test_what_takes_too_long_is_ended_and_what_is_known_of_it_kept(worker: Start) -> None:
    request = asked("waves.csv")
    trained = runs.create_model(request, queued=False).model_id
    options = request.options(epochs=1, device="cpu")
    tracked.train_model(trained, lambda: variables(0), options)
    long, result = train(), detect(trained, "waves.csv", 40, 90)

    worker(
        DETECTOR_TRAINING_EPOCHS=LONG,
        DETECTOR_TRAINING_SECONDS="5",
        DETECTOR_BATCH_SECONDS="0.001",
    )

    until(lambda: runs.get_result(result).status == runs.FAILED, "the result is FAILED")
    [error] = runs.get_result(result).errors
    assert "0.001 seconds" in error["message"]
    assert "DETECTOR_BATCH_SECONDS" in error["message"]
    ends(long, runs.FAILED)
    record = runs.get_model(long)
    assert "5 seconds" in record.errors[0]["message"]
    assert "DETECTOR_TRAINING_SECONDS" in record.errors[0]["message"]
    told = [epoch.number for epoch in record.diagnostics.epochs]
    losses = MlflowClient().get_metric_history(runs.run_id(long), "train_loss")
    # On a machine that is busy it may have come to no epoch yet.
    assert told[-1:] == [loss.step for loss in losses][-1:]


def test_a_training_that_is_stopped_tells_of_its_last_epoch(folder: Path) -> None:
    request = asked("waves.csv")
    model_id = runs.create_model(request, queued=False).model_id
    done: list[int] = []
    with pytest.raises(Stopped):
        tracked.train_model(
            model_id,
            lambda: variables(0),
            request.options(epochs=100, device="cpu"),
            on_epoch=lambda epoch: done.append(epoch.number),
            stop=lambda: len(done) == 13,
        )
    assert [epoch.number for epoch in runs.get_model(model_id).diagnostics.epochs] == [10, 13]
    losses = MlflowClient().get_metric_history(runs.run_id(model_id), "train_loss")
    assert [loss.step for loss in losses] == list(range(1, 14))


@pytest.mark.skipif(
    not (shutil.which("redis-server") and shutil.which("openssl")),
    reason="needs redis-server and openssl (on Debian: apt-get install redis-server openssl)",
)
def test_queue_can_be_redis_with_tls_and_a_password(
    folder: Path, worker: Start, kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = kit.free_port()
    redis = kit.start_redis(folder, port, password="p@ss/word", tls=True)  # noqa: S106
    try:
        address = f"rediss://:p%40ss%2Fword@127.0.0.1:{port}/0?ssl_ca_certs={folder}/ca.pem"
        monkeypatch.setenv("DETECTOR_QUEUE", address)
        queue.queues.cache_clear()
        started = worker(DETECTOR_QUEUE=address)
        until(lambda: submitted("nothing"), "redis answers")
        model_id = train()
        ends(model_id, runs.READY)
        until(lambda: not queue.queues()["training"].unfinished(), "nothing is left")
        assert "p@ss" not in started.output
        assert "p%40ss" not in started.output
    finally:
        redis.terminate()
        redis.wait()


def submitted(identity: str) -> bool:
    try:
        queue.queues()["training"].submit(identity)
    except queue.QueueError:
        return False
    return True
