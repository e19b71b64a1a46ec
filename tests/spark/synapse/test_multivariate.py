"""The stages for many variables, as programs of SynapseML use them, with a store of MLflow."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from pyspark.ml import PipelineModel
from pyspark.sql.functions import col, lit, to_timestamp

from detector import DetectionError, MultivariateModel
from detector.multivariate.wire import anomaly_state_to_wire
from detector.spark.synapse import (
    DetectLastMultivariateAnomaly,
    SimpleDetectMultivariateAnomaly,
    SimpleFitMultivariateAnomaly,
)
from detector.tracking import runs, server

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession
    from services import Service

ROOT = Path(__file__).parents[3]
SENSORS = ["sensor_1", "sensor_2", "sensor_3"]
TRAINED = ("2026-06-01T00:40:00Z", "2026-06-01T04:10:00Z")
ASKED = ("2026-06-01T04:11:00Z", "2026-06-01T09:19:00Z")
WINDOW = 28


def measured() -> pd.DataFrame:
    """Return 560 minutes of three sensors, a fault in one of them, and some gaps."""
    draw = np.random.default_rng(1)
    swing = np.sin(np.arange(560) / 5)
    values = np.column_stack([swing, 3 - swing, swing**2]) + draw.normal(scale=0.05, size=(560, 3))
    values[420:426, 1] += 2
    values[draw.random(values.shape) < 0.02] = np.nan
    times = pd.date_range("2026-06-01", periods=560, freq="min")
    return pd.DataFrame(values, columns=SENSORS, index=times)


@pytest.fixture(scope="module")
def store(service: Service) -> Iterator[Path]:
    """Work in the folder of the endpoint, which then has the models that are trained here."""
    before = mlflow.get_tracking_uri()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(service.folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("DETECTOR_TRAINING_EPOCHS", "3")
        server.connect()
        yield service.folder
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def rows(spark: SparkSession, store: Path) -> DataFrame:
    """Return the rows as the documented program reads them: from a file, cast to numbers."""
    path = store / "sample.csv"
    table = measured().reset_index(names="timestamp")
    table["timestamp"] = table["timestamp"].map(lambda time: f"{time.isoformat()}Z")
    table.sample(frac=1, random_state=2).to_csv(path, index=False)
    read = spark.read.format("csv").option("header", "true").load(str(path))
    for sensor in SENSORS:
        read = read.withColumn(sensor, col(sensor).cast("double"))
    return read


def estimator() -> SimpleFitMultivariateAnomaly:
    return (
        SimpleFitMultivariateAnomaly()
        .setSubscriptionKey("a-key")
        .setLocation("westus2")
        .setStartTime(TRAINED[0])
        .setEndTime(TRAINED[1])
        .setIntermediateSaveDir("wasbs://madtest@account.blob.core.windows.net/intermediateData")
        .setTimestampCol("timestamp")
        .setInputCols(SENSORS)
        .setSlidingWindow(WINDOW)
    )


@pytest.fixture(scope="module")
def program(rows: DataFrame) -> dict[str, Any]:
    """Run the program of the documentation; return its names, and what it showed and printed."""
    section = (ROOT / "docs" / "spark.md").read_text().split("### Many variables")[1]
    code = section.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {"df": rows}
    shown, printed = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(shown), contextlib.redirect_stdout(printed):
        exec(code, names)  # noqa: S102 - of this project
    return names | {"shown": shown.getvalue(), "printed": printed.getvalue()}


@pytest.fixture(scope="module")
def stage(program: dict[str, Any]) -> SimpleDetectMultivariateAnomaly:
    stage: SimpleDetectMultivariateAnomaly = program["model"]
    return stage


@pytest.fixture(scope="module")
def found(program: dict[str, Any]) -> DataFrame:
    found: DataFrame = program["result"]
    return found


@pytest.fixture(scope="module")
def answers(found: DataFrame) -> list[Row]:
    return found.collect()


@pytest.fixture(scope="module")
def model(stage: SimpleDetectMultivariateAnomaly) -> MultivariateModel:
    return runs.load_model(stage.getModelId())


def test_the_documented_program_runs(found: DataFrame) -> None:
    table = (
        found.select(
            "timestamp", *SENSORS, "results.interpretation", "isAnomaly", "results.severity"
        )
        .orderBy("timestamp", ascending=True)
        .filter(col("timestamp") >= lit(ASKED[0]))
        .toPandas()
    )
    named = table["interpretation"].map(lambda each: each[0]["variable"] if len(each) else None)
    assert len(table) == 560 - 251
    assert named.isin(SENSORS).tolist() == table["isAnomaly"].tolist()
    assert 0 < (table["severity"] >= 0.1).sum() < len(table) / 2


def test_rows_come_out_in_order_and_outside_of_the_span_with_nulls(
    answers: list[Row], found: DataFrame
) -> None:
    assert found.columns == ["timestamp", *SENSORS, "results", "errors", "isAnomaly"]
    assert [row.timestamp for row in answers] == sorted(row.timestamp for row in answers)
    assert len(answers) == 560
    outside = [row for row in answers if row.timestamp < ASKED[0]]
    assert len(outside) == 251
    assert all(row.results is row.errors is row.isAnomaly is None for row in outside)


def test_results_are_those_of_a_detection_on_one_machine(
    answers: list[Row], model: MultivariateModel
) -> None:
    states = model.detect(measured(), start=ASKED[0], end=ASKED[1]).states
    there = [row for row in answers if row.results is not None]
    assert any(state.is_anomaly for state in states)
    for row, state in zip(there, states, strict=True):
        same(row.results, anomaly_state_to_wire(state)["value"])
        assert row.isAnomaly == state.is_anomaly
        assert row.errors == []


def same(found: Row, expected: dict[str, Any]) -> None:
    """See that a row has what the service would have answered, up to the rounding of float32."""
    assert found.isAnomaly == expected["isAnomaly"]
    assert found.score == pytest.approx(expected["score"], abs=1e-6)
    assert found.severity == pytest.approx(expected["severity"], abs=1e-6)
    assert [
        (each.variable, each.correlationChanges.changedVariables) for each in found.interpretation
    ] == [
        (each["variable"], each["correlationChanges"]["changedVariables"])
        for each in expected["interpretation"]
    ]
    assert [each.contributionScore for each in found.interpretation] == pytest.approx(
        [each["contributionScore"] for each in expected["interpretation"]], abs=1e-5
    )


def test_it_does_not_matter_how_the_rows_lie(
    stage: SimpleDetectMultivariateAnomaly, rows: DataFrame, answers: list[Row]
) -> None:
    assert rows.rdd.getNumPartitions() == 1
    assert stage.transform(rows.repartition(7)).collect() == answers


def test_dates_are_taken_as_well_as_text(
    stage: SimpleDetectMultivariateAnomaly, rows: DataFrame, answers: list[Row]
) -> None:
    dated = rows.repartition(3).withColumn("timestamp", to_timestamp("timestamp"))
    found = stage.transform(dated).select("results", "errors", "isAnomaly").collect()
    assert [tuple(row) for row in found] == [
        (row.results, row.errors, row.isAnomaly) for row in answers
    ]


def test_the_program_of_the_documentation_shows_the_worst(
    program: dict[str, Any], answers: list[Row]
) -> None:
    worst = max((row for row in answers if row.results), key=lambda row: row.results.severity)
    assert worst.timestamp in program["printed"]


def test_the_training_shows_its_progress_and_how_it_went(program: dict[str, Any]) -> None:
    assert "3/3" in program["shown"]
    assert "epoch" in program["shown"]
    states = program["model"].getDiagnosticsInfo()["variableStates"]
    assert sorted(each["variable"] for each in states) == SENSORS
    # The rows before the first are looked back on.
    assert {each["firstTimestamp"] for each in states} <= {
        "2026-06-01T00:13:00Z",
        "2026-06-01T00:14:00Z",
    }


def test_the_model_is_kept_as_one_of_the_service(
    stage: SimpleDetectMultivariateAnomaly, rows: DataFrame
) -> None:
    record = runs.get_model(stage.getModelId())
    request = record.request
    assert record.status == runs.READY
    assert request.display_name == "pump"
    assert request.sliding_window == WINDOW
    assert request.source == f"spark:{rows.sparkSession.sparkContext.applicationId}"
    run = mlflow.get_run(runs.run_id(stage.getModelId()))
    assert run.data.params["epochs"] == "3"
    assert run.data.metrics["train_loss"] > 0


def test_stages_are_saved_and_loaded(
    tmp_path: Path, stage: SimpleDetectMultivariateAnomaly, rows: DataFrame, answers: list[Row]
) -> None:
    estimator().save(str(tmp_path / "estimator"))
    loaded = SimpleFitMultivariateAnomaly.load(str(tmp_path / "estimator"))
    assert {name: loaded.getOrDefault(name) for name in ("slidingWindow", "endTime")} == {
        "slidingWindow": WINDOW,
        "endTime": TRAINED[1],
    }
    PipelineModel(stages=[stage]).save(str(tmp_path / "model"))
    again = PipelineModel.load(str(tmp_path / "model"))
    assert again.stages[0].getDiagnosticsInfo() == stage.getDiagnosticsInfo()
    assert again.transform(rows).collect() == answers


@pytest.fixture(scope="module")
def last(model: MultivariateModel, stage: SimpleDetectMultivariateAnomaly) -> Any:
    return (
        DetectLastMultivariateAnomaly()
        .setSubscriptionKey("a-key")
        .setLocation("westus2")
        .setModelId(stage.getModelId())
        .setInputVariablesCols(SENSORS)
        .setTimestampCol("timestamp")
        .setOutputCol("result")
        .setErrorCol("error")
        .setBatchSize(40)
    )


def test_the_endpoint_answers_with_the_same_model(
    service: Service, last: DetectLastMultivariateAnomaly, rows: DataFrame
) -> None:
    found = last.transform(rows.filter(col("timestamp") >= "2026-06-01T06:40:00Z")).collect()
    assert list(found[0].asDict()) == [
        *rows.columns,
        "error",
        "result",
        "isAnomaly",
        "DetectDataTimestamp",
    ]
    address = f"/anomalydetector/v1.1/multivariate/models/{last.getModelId()}"
    compare(found, measured().iloc[400:], lambda body: service.call(f"{address}:detect-last", body))


def compare(found: list[Row], table: pd.DataFrame, ask: Callable[[Any], Any]) -> None:
    for place in (10, 24, 60, 159):
        window = table.iloc[max(0, place - 40) : place + 1]
        times = [f"{time.isoformat()}Z" for time in window.index]
        variables = [
            {
                "variable": name,
                "timestamps": times,
                "values": window[name].astype(object).where(window[name].notna(), None).tolist(),
            }
            for name in SENSORS
        ]
        answer = ask({"variables": variables})
        row = found[place]
        if answer.status != 200:
            assert row.error.status.statusCode == answer.status
            assert row.error.response == answer.content.decode()
            assert row.result is row.isAnomaly is row.DetectDataTimestamp is None
            continue
        assert row.error is None
        states = [each.asDict() for each in row.result.variableStates]
        assert states == answer.json["variableStates"]
        [result], [expected] = row.result.results, answer.json["results"]
        assert result.timestamp == row.DetectDataTimestamp == expected["timestamp"] == times[-1]
        same(result.value, expected["value"])
        assert row.isAnomaly == expected["value"]["isAnomaly"]


def test_a_window_that_is_too_small_is_an_error_in_every_row(
    last: DetectLastMultivariateAnomaly, rows: DataFrame
) -> None:
    small = last.copy({last.getParam("batchSize"): 10})
    found = (
        small.transform(rows.limit(50)).select("error.response", "result", "isAnomaly").collect()
    )
    assert all("NotEnoughInput" in row.response for row in found)
    assert all(row.result is row.isAnomaly is None for row in found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slidingWindow": 20}, "'slidingWindow' field must be an integer between 28 and 2880"),
        ({"alignMode": "sideways"}, "The 'alignMode' field must be one of .*'Inner' or 'Outer'"),
        ({"fillNAMethod": "guess"}, "The 'fillNAMethod' field must be one of the following"),
        ({"fillNAMethod": "fixed"}, "The 'paddingValue' field is required"),
        ({"startTime": "today"}, "The 'startTime' field is 'today', and no date"),
        ({"endTime": "2026-05-01T00:00:00Z"}, "The 'endTime' field .* must not lie before the"),
        ({"inputCols": ["sensor_9"]}, "no column 'sensor_9', which the 'inputCols' field names"),
        ({"inputCols": []}, "The 'inputCols' field must name a column at least"),
        ({"timestampCol": "sensor_1"}, "'timestampCol' field names, must hold dates; it holds dou"),
        ({"startTime": "2026-06-01T04:00:00Z", "slidingWindow": 300}, "Not enough data"),
        ({"startTime": "2026-07-01", "endTime": "2026-07-02"}, "There is no data between startTim"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(
    change: dict[str, Any], message: str, rows: DataFrame
) -> None:
    before = len(mlflow.search_runs(search_all_experiments=True))
    with pytest.raises(DetectionError, match=message):
        estimator().setParams(**change).fit(rows)
    assert len(mlflow.search_runs(search_all_experiments=True)) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modelId": "8f1b1b7e-0000-4000-8000-000000000000"}, "The model does not exist"),
        ({"inputCols": SENSORS[:2]}, "The data lacks 'sensor_3', on which the model was trained"),
        ({"outputCol": "sensor_1"}, "would take the place of the column 'sensor_1', which is read"),
        ({"topContributorCount": 31}, "'topContributorCount' field must be a whole number from 1"),
    ],
)
def test_what_cannot_be_detected_in_is_refused(
    change: dict[str, Any],
    message: str,
    stage: SimpleDetectMultivariateAnomaly,
    rows: DataFrame,
) -> None:
    with pytest.raises(DetectionError, match=message):
        stage.copy().setParams(**change).transform(rows)


def test_params_that_are_required_are_named(rows: DataFrame) -> None:
    with pytest.raises(ValueError, match="inputCols, startTime, endTime"):
        SimpleFitMultivariateAnomaly().fit(rows)
    with pytest.raises(ValueError, match="modelId"):
        DetectLastMultivariateAnomaly().transform(rows)


def test_more_rows_than_the_service_took_are_refused(
    rows: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detector.spark.synapse.multivariate.MOST_ROWS", 100)
    with pytest.raises(DetectionError, match="There are 238 timestamps between startTime and endT"):
        estimator().fit(rows)


def test_it_is_said_when_mlflow_is_away(
    rows: DataFrame,
    stage: SimpleDetectMultivariateAnomaly,
    monkeypatch: pytest.MonkeyPatch,
    kit: Any,
) -> None:
    before = mlflow.get_tracking_uri()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{kit.free_port()}")
    for act in (estimator().fit, stage.transform):
        with pytest.raises(server.TrackingError, match="No MLflow tracking server answers at"):
            act(rows)
    mlflow.set_tracking_uri(before)
