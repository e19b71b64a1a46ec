"""What all stages have in common: params, their setters, and saving and loading."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
from pyspark.ml import Pipeline, PipelineModel, Transformer
from pyspark.ml.param import TypeConverters
from pyspark.sql import DataFrame

from detector.spark.synapse import stage
from detector.spark.synapse.stage import Stage, param, value_or_column

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class Doubling(Stage, Transformer):
    """A stage of which all that is not common is in sight."""

    defaults: ClassVar = {"inputCol": "value"}

    inputCol = param("inputCol", "What to double.", TypeConverters.toString)
    times, timesCol = value_or_column("times", "How often.", TypeConverters.toInt)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        self.require("times")
        times = self.column(dataset, "timesCol") if self.isSet("timesCol") else self.getTimes()
        return dataset.withColumn(self.getOutputCol(), self.column(dataset, "inputCol") * times)


def test_columns_have_the_names_of_the_stage_by_default() -> None:
    doubling = Doubling()
    assert doubling.uid.startswith("Doubling_")
    assert doubling.getOutputCol() == f"{doubling.uid}_output"
    assert doubling.getErrorCol() == f"{doubling.uid}_error"
    assert doubling.getInputCol() == "value"


def test_setters_return_the_stage() -> None:
    doubling = Doubling().setOutputCol("twice").setErrorCol("wrong").setTimes(2)
    assert [doubling.getOutputCol(), doubling.getErrorCol(), doubling.getTimes()] == [
        "twice",
        "wrong",
        2,
    ]


def test_the_constructor_takes_all_params_and_the_settings_of_the_service() -> None:
    doubling = Doubling(times=3, outputCol="out", subscriptionKey="key", location="westus2")
    assert doubling.getTimes() == 3
    assert "key" not in doubling.explainParams()


def test_a_value_clears_the_column_and_the_other_way_round() -> None:
    doubling = Doubling().setTimes(2).setTimesCol("n")
    assert not doubling.isDefined("times")
    assert not doubling.setTimes(3).isDefined("timesCol")


def test_a_name_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"Doubling has no param 'tims': did you mean 'times'\?"):
        Doubling(tims=2)
    with pytest.raises(AttributeError, match="setTims"):
        Doubling().setTims(2)


def test_a_value_of_another_type_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r'param "times".*Could not convert'):
        Doubling().setTimes("often")


def test_the_settings_of_the_service_are_noted_once(caplog: pytest.LogCaptureFixture) -> None:
    stage._note_unused.cache_clear()
    with caplog.at_level(logging.WARNING):
        Doubling().setSubscriptionKey("secret").setLocation("westus2").setConcurrency(5)
        Doubling().setUrl("http://127.0.0.1:5000").setTimeout(1.0).setHandler(None)
    [record] = caplog.records
    assert "have no effect" in record.getMessage()
    assert "secret" not in caplog.text


def test_all_params_are_explained() -> None:
    assert "times: How often. (current: 2)" in Doubling(times=2).explainParams()
    assert "How often" in Doubling.setTimesCol.__doc__


def test_a_copy_keeps_what_is_set() -> None:
    doubling = Doubling(times=2)
    copied = doubling.copy({doubling.outputCol: "twice"})
    assert (copied.getTimes(), copied.getOutputCol(), copied.uid) == (2, "twice", doubling.uid)


def test_a_missing_column_and_a_missing_param_are_named(spark: SparkSession) -> None:
    table = spark.createDataFrame([(1,)], "n int")
    with pytest.raises(ValueError, match=r"Missing required params: \(times\)\. Call setTimes"):
        Doubling().transform(table)
    with pytest.raises(ValueError, match=r"no column 'value'.*param 'inputCol'.*has n\."):
        Doubling(times=1).transform(table)


def test_a_saved_pipeline_is_the_same_and_holds_no_key(spark: SparkSession, tmp_path: Path) -> None:
    doubling = Doubling(times=2, subscriptionKey="a-secret-key").setInputCol("n")
    table = spark.createDataFrame([(1,), (4,)], "n int")
    Pipeline(stages=[doubling]).fit(table).write().overwrite().save(str(tmp_path / "model"))
    loaded = PipelineModel.load(str(tmp_path / "model"))
    assert loaded.transform(table).collect() == doubling.transform(table).collect()
    doubling.save(str(tmp_path / "stage"))
    assert Doubling.load(str(tmp_path / "stage")).explainParams() == doubling.explainParams()
    saved = "".join(each.read_text() for each in tmp_path.rglob("part-*"))
    assert "Doubling" in saved
    assert "a-secret-key" not in saved
