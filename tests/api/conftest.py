"""What the tests of the API share: services that run, a trained model, and a series."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from services import (
    KEYS,
    Answer,
    Service,
    free_port,
    keep_data,
    prepare,
    running,
    start_detector,
    start_mlflow,
    training,
    until,
)

MODELS = "/anomalydetector/v1.1/multivariate/models"


@pytest.fixture(scope="session")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Service]]:
    """Start at once, because each takes seconds: one plain service, one guarded, one follower."""
    folder = tmp_path_factory.mktemp("services")
    for name in ("plain", "guarded"):
        keep_data(folder / name)
    prepare(folder / "plain")
    mlflow = start_mlflow(folder / "mlflow", free_port())
    services = {
        "mlflow": mlflow,
        "service": start_detector(folder / "plain"),
        # Both of its processes find no store yet.
        "guarded": start_detector(
            folder / "guarded",
            API_KEYS=", ".join(KEYS),
            DETECTOR_WORKERS="2",
            DETECTOR_MAX_BODY_BYTES="100000",
            DETECTOR_MAX_POINTS="200",
            DETECTOR_MAX_MODELS="2",
            DETECTOR_MAX_UNFINISHED_MODELS="1",
            DETECTOR_BODY_SECONDS="1",
        ),
    }
    try:
        mlflow.wait("/health")
        services["follower"] = start_detector(
            folder / "follower",
            MLFLOW_TRACKING_URI=mlflow.url,
            MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
            DETECTOR_MODEL_REFRESH_SECONDS="0.5",
            DETECTOR_ALLOW_MODEL_CODE="true",
            DETECTOR_CONCURRENT_DETECTIONS="1",
            DETECTOR_WAITING_DETECTIONS="1",
        )
        with ThreadPoolExecutor() as threads:
            list(threads.map(Service.wait, [services[n] for n in ("service", "guarded")]))
        services["follower"].wait()
        yield services
    finally:
        for service in reversed(services.values()):
            service.stop()


@pytest.fixture(scope="session")
def service(started: dict[str, Service]) -> Service:
    """Return a service without keys, on a store of its own."""
    return started["service"]


@pytest.fixture(scope="session")
def guarded(started: dict[str, Service]) -> Service:
    """Return a service with two keys, two workers and low limits."""
    return started["guarded"]


@pytest.fixture(scope="session")
def follower(started: dict[str, Service]) -> Service:
    """Return a service whose models come from the MLflow server, with one thread."""
    return started["follower"]


@pytest.fixture(scope="session")
def mlflow_server(started: dict[str, Service]) -> Service:
    """Return the MLflow server that the follower follows."""
    return started["mlflow"]


@pytest.fixture(scope="session")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return a service with one key, in which no detection waits and uploads have low limits.

    It names pages that may call it, and proxies that it trusts.
    """
    with running(
        tmp_path_factory.mktemp("keyed"),
        API_KEYS=KEYS[0],
        DETECTOR_CORS_ORIGINS="http://localhost:3000, https://plant.example.com",
        DETECTOR_WAITING_DETECTIONS="0",
        DETECTOR_DATA_FOLDERS="kept",
        DETECTOR_MAX_DATA_BYTES="3000000",
        DETECTOR_DATA_SECONDS="2",
        DETECTOR_TRUSTED_PROXIES="127.0.0.2, 10.0.0.0/8",
        MLFLOW_S3_ENDPOINT_URL="",
    ) as service:
        yield service


@pytest.fixture(scope="session")
def unready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return a service that waits for an MLflow server, as none answers; numpy computes in it."""
    service = start_detector(
        tmp_path_factory.mktemp("unready"),
        MLFLOW_TRACKING_URI=f"http://127.0.0.1:{free_port()}",
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
        DETECTOR_KERNEL="numpy",
    )
    try:
        yield service.wait("/health/live")
    finally:
        service.stop()


@pytest.fixture(scope="session")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return a service with a worker beside it, and data that it may read."""
    folder = tmp_path_factory.mktemp("factory")
    keep_data(folder)
    # With keys it may be called by any name.
    settings = {"API_KEYS": "any", "DETECTOR_TRAINING_EPOCHS": "10"}
    with running(folder, DETECTOR_EMBEDDED_WORKER="true", **settings) as service:
        yield service


@pytest.fixture(scope="session")
def begun_model(factory: Service) -> Answer:
    """Return the answer to a request to train on the data."""
    return factory.call(MODELS, training())


@pytest.fixture(scope="session")
def model_id(factory: Service, begun_model: Answer) -> str:
    """Return the id of a model that is trained on the data."""
    model_id: str = begun_model.json["modelId"]

    def trained() -> bool:
        info = factory.call(f"{MODELS}/{model_id}").json["modelInfo"]
        assert info["status"] != "FAILED", info["errors"]
        return bool(info["status"] == "READY")

    until(trained, "the model is READY", 120, pause=0.5)
    return model_id


@pytest.fixture
def weeks() -> dict[str, Any]:
    """Return a request: 35 days with a season of 7 and one outlier, on day 24."""
    values = [100.0 + 10 * (day % 7) + (day * 37 % 11) / 10 for day in range(35)]
    values[24] += 80
    days = [f"2024-{1 + day // 31:02}-{day % 31 + 1:02}T00:00:00Z" for day in range(35)]
    series = [{"timestamp": day, "value": value} for day, value in zip(days, values, strict=True)]
    return {"series": series, "granularity": "daily"}
