"""The MLflow models: their answers, under threads, and loaded where only their code is."""

import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from detector import DetectionError, EntireAnomalyDetector, LatestAnomalyDetector

ROOT = Path(__file__).parents[1]
MONTHLY = {
    "granularity": "monthly",
    "maxAnomalyRatio": 0.25,
    "sensitivity": 95,
    "imputeMode": "auto",
}


def test_only_the_last_of_20_months_is_an_anomaly(monthly: pd.DataFrame) -> None:
    answers = EntireAnomalyDetector().predict(None, monthly, MONTHLY)
    assert [answer["timestamp"] for answer in answers] == monthly["timestamp"].tolist()
    results = [answer["result"] for answer in answers]
    assert [result["is_anomaly"] for result in results] == [False] * 19 + [True]
    last = results[-1]
    assert last["is_negative_anomaly"]
    assert not last["is_positive_anomaly"]
    assert last["expected_value"] == pytest.approx(1.0)
    assert last["lower_margin"] == pytest.approx(0.05)
    assert last["period"] == 0
    assert last["severity"] == pytest.approx(1.0)


def test_results_have_the_documented_keys(monthly: pd.DataFrame) -> None:
    entire = EntireAnomalyDetector().predict(None, monthly, MONTHLY)[0]["result"]
    latest = LatestAnomalyDetector().predict(None, monthly, MONTHLY)
    assert list(entire) == [
        "expected_value",
        "upper_margin",
        "lower_margin",
        "is_negative_anomaly",
        "is_positive_anomaly",
        "is_anomaly",
        "period",
        "severity",
    ]
    assert len(latest) == 1
    assert set(latest[0]["result"]) == {*entire, "suggested_window"}


def test_results_are_plain_python_values(monthly: pd.DataFrame) -> None:
    for model in (EntireAnomalyDetector(), LatestAnomalyDetector()):
        result = model.predict(None, monthly, MONTHLY)[-1]["result"]
        assert {type(value) for value in result.values()} <= {bool, int, float}


def test_params_may_be_left_out(monthly: pd.DataFrame) -> None:
    assert len(EntireAnomalyDetector().predict(None, monthly)) == 20


def test_same_params_serve_twice(monthly: pd.DataFrame) -> None:
    params = dict(MONTHLY)
    first = EntireAnomalyDetector().predict(None, monthly, params)
    assert params == MONTHLY
    assert EntireAnomalyDetector().predict(None, monthly, params) == first


def test_eight_threads_share_one_instance() -> None:
    noise = np.random.default_rng(3)
    requests: list[tuple[pd.DataFrame, dict[str, Any]]] = []
    for n, granularity, frequency in (
        (60, "daily", "D"),
        (90, "minutely", "min"),
        (24, "none", "D"),
    ):
        times = pd.date_range("2024-01-01", periods=n, freq=frequency)
        values = np.sin(np.arange(n) * 2 * np.pi / 7) * 5 + noise.normal(size=n)
        requests.append(
            (pd.DataFrame({"timestamp": times, "value": values}), {"granularity": granularity})
        )
    requests.append((requests[0][0], {"granularity": "hourly", "sensitivity": 200}))
    requests.append((requests[0][0].iloc[::-1], {"granularity": "daily"}))

    for model in (EntireAnomalyDetector(), LatestAnomalyDetector()):

        def answer(request: tuple[pd.DataFrame, dict[str, Any]], model: Any = model) -> Any:
            try:
                return model.predict(None, *request)
            except DetectionError as error:
                return error.code

        serial = [answer(request) for request in requests]
        with ThreadPoolExecutor(8) as pool:
            threaded = list(pool.map(answer, requests * 16))
        assert threaded == serial * 16


def test_model_loads_where_only_its_logged_code_is(monthly: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "model"
    signature = mlflow.models.infer_signature(monthly, params=MONTHLY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            path,
            python_model=EntireAnomalyDetector(),
            signature=signature,
            code_paths=[str(ROOT / "app" / "detector")],
            pip_requirements=[],
        )
    monthly.to_csv(tmp_path / "monthly.csv", index=False)
    program = (
        "import mlflow, pandas, sys; model = mlflow.pyfunc.load_model('model');"
        "frame = pandas.read_csv('monthly.csv', parse_dates=['timestamp']);"
        "answers = model.predict(frame, params={'granularity': 'monthly'});"
        "import detector; print(detector.__file__, 'torch' in sys.modules);"
        "print([answer['result']['is_anomaly'] for answer in answers].index(True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, cwd=tmp_path, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded_from, flagged = done.stdout.splitlines()
    assert str(path / "code") in loaded_from
    assert loaded_from.endswith("False")
    assert flagged == "19"


def test_error_reads_as_code_and_message() -> None:
    error = DetectionError("InvalidSeries", "Too short.")
    assert str(error) == "InvalidSeries: Too short."
    assert (error.code, error.message) == ("InvalidSeries", "Too short.")
