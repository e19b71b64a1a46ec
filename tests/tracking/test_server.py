"""Where MLflow is, and what is told of it."""

from __future__ import annotations

import mlflow
import pytest

from detector.tracking import server


def test_what_does_not_answer_is_named_without_its_log_in(
    store: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(server.TrackingError, match=r"answers at http://127\.0\.0\.1:9 ") as raised:
        server.connect()
    assert "secret" not in str(raised.value)


def test_the_public_address_has_no_log_in(monkeypatch: pytest.MonkeyPatch) -> None:
    before = mlflow.get_tracking_uri()
    monkeypatch.delenv("MLFLOW_PUBLIC_URL", raising=False)
    try:
        mlflow.set_tracking_uri("http://user:secret@mlflow:5000/")
        assert server.public_address() == "http://mlflow:5000"
        # Compose sets what is empty, too.
        monkeypatch.setenv("MLFLOW_PUBLIC_URL", "")
        assert server.public_address() == "http://mlflow:5000"
        monkeypatch.setenv("MLFLOW_PUBLIC_URL", "http://localhost:5000/")
        assert server.public_address() == "http://localhost:5000"
        mlflow.set_tracking_uri("sqlite:///mlflow.db")
        assert server.public_address() is None
    finally:
        mlflow.set_tracking_uri(before)
