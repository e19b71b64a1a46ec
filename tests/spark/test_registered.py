"""A registered model on Spark: its version and its options count, and its code does not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.pyfunc.model import PythonModel

from detector import ChangePointDetector, DetectionError, EntireAnomalyDetector
from detector.tracking import registry
from detector.tracking.server import TrackingError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAYS = pd.date_range("2026-01-01", periods=28)
SERIES = pd.DataFrame({"timestamp": DAYS, "value": [1.0, 2, 3, 4, 5, 6, 7] * 4})
SERIES.loc[20, "value"] = 9.0


@pytest.fixture(scope="module")
def store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an MLflow store with models `sales` (two versions), `breaks` and `own`."""
    folder = tmp_path_factory.mktemp("store")
    shutil.copy(empty_store, folder)
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _fill()
    return folder


def _fill() -> None:
    # By its number: a name would be that of later tests' runs too.
    with mlflow.start_run(experiment_id=mlflow.create_experiment("models")):
        for sensitivity in (99, 40):
            _log(EntireAnomalyDetector(), "sales", sensitivity=sensitivity)
        _log(ChangePointDetector(), "breaks")
        mlflow.pyfunc.log_model(
            name="own", python_model=_Own(), input_example=[1], registered_model_name="own"
        )
    MlflowClient().set_registered_model_alias("sales", "champion", "2")


class _Own(PythonModel):  # type: ignore[misc]
    def predict(self, context: Any, model_input: list[int]) -> list[int]:
        return model_input


def _log(model: PythonModel, name: str, **params: Any) -> None:
    registry.log(
        model,
        name="model",
        registered_as=name,
        alias="latest-one",
        example=SERIES,
        params={"granularity": "daily", **params},
    )


@pytest.fixture(autouse=True)
def _connected(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/mlflow.db")
    monkeypatch.chdir(store)


@pytest.mark.parametrize(
    ("model", "version", "options"),
    [
        ("models:/sales@champion", 2, {}),
        ("models:/sales/1", 1, {}),
        ("models:/sales/1", 1, {"sensitivity": 40}),
    ],
)
def test_the_options_of_its_version_are_the_defaults(
    spark: SparkSession, model: str, version: int, options: dict[str, Any]
) -> None:
    from detector.spark import detect

    df = spark.createDataFrame(SERIES.assign(key="a"))
    found = detect(df, by="key", model=model, **options).toPandas().sort_values("timestamp")
    loaded: Any = mlflow.pyfunc.load_model(model)
    answers = [answer["result"] for answer in loaded.predict(SERIES, params=options)]
    for name in ("expected_value", "upper_margin", "severity", "is_anomaly", "period"):
        assert found[name].tolist() == [answer[name] for answer in answers], name
    [by] = set(found["detected_by"])
    assert by == f"models:/sales/{version} (time-series-anomaly-detector 0.4.0)"


@pytest.mark.parametrize(
    ("model", "mode", "says"),
    [
        ("models:/sales@nobody", "entire", "'model' names 'models:/sales@nobody': "),
        ("models:/none/1", "entire", "'model' names 'models:/none/1': "),
        ("runs:/1/model", "entire", "must be models:/NAME@ALIAS or models:/NAME/VERSION"),
        ("models:/breaks/1", "entire", "is not a logged EntireAnomalyDetector of this package"),
        ("models:/sales/1", "latest", "is not a logged LatestAnomalyDetector of this package"),
        ("models:/own/1", "entire", "models:/own/1 is not a logged EntireAnomalyDetector"),
    ],
)
def test_what_is_no_model_for_it_is_refused(
    spark: SparkSession, model: str, mode: str, says: str
) -> None:
    from detector.spark import detect

    df = spark.createDataFrame([], "key string, timestamp timestamp, value double")
    with pytest.raises(DetectionError, match="model") as refused:
        detect(df, by="key", model=model, mode=mode)
    assert says in str(refused.value)


def test_a_server_that_is_down_is_one_sentence(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    from detector.spark import detect

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    df = spark.createDataFrame([], "key string, timestamp timestamp, value double")
    with pytest.raises(TrackingError, match="No MLflow tracking server answers at"):
        detect(df, by="key", model="models:/sales/1")
