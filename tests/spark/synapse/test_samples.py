"""Programs with the calls that SynapseML documented: only their import is another one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from services import ROOT

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

VALUES = "826 799 890 900 766 805 821 20000 883 898 957 924 881 837 90000"
MONTHS = [f"{1972 + place // 12}-{place % 12 + 1:02}-01T00:00:00Z" for place in range(15)]
POINTS = list(zip(MONTHS, map(float, VALUES.split()), strict=True))

EACH_SERIES_A_ROW = """
from synapse.ml.services.anomaly import *
from pyspark.sql.functions import col, collect_list, lit, sort_array, struct

points = (spark.createDataFrame(POINTS, ["timestamp", "value"])
    .withColumn("group", lit(1))
    .withColumn("inputs", struct(col("timestamp"), col("value")))
    .groupBy(col("group"))
    .agg(sort_array(collect_list(col("inputs"))).alias("inputs")))

stage = (STAGE()
    .setSubscriptionKey("0123456789abcdef")
    .setLocation("westus2")
    .setOutputCol("anomalies")
    .setSeriesCol("inputs")
    .setGranularity("monthly")
    .setErrorCol("errors"))

found = stage.transform(points)
found.show()
"""
EACH_POINT_A_ROW = """
from synapse.ml.services.anomaly import *

points = spark.createDataFrame(
    [(*point, group) for group in (1.0, 2.0) for point in POINTS], ["timestamp", "value", "group"])

stage = (SimpleDetectAnomalies()
    .setSubscriptionKey("0123456789abcdef")
    .setLocation("westus2")
    .setOutputCol("anomalies")
    .setGroupbyCol("group")
    .setGranularity("monthly"))

found = stage.transform(points)
found.show()
"""


def run(program: str, spark: SparkSession) -> Any:
    changed = program.replace("synapse.ml.services.anomaly", "detector.spark.synapse")
    names: dict[str, Any] = {"spark": spark, "POINTS": POINTS}
    exec(changed, names)  # noqa: S102 - the programs above
    return names["found"]


def asked() -> dict[str, Any]:
    series = [{"timestamp": timestamp, "value": value} for timestamp, value in POINTS]
    return {"series": series, "granularity": "monthly"}


def test_detect_anomalies(spark: SparkSession, endpoint: Any) -> None:
    found = run(EACH_SERIES_A_ROW.replace("STAGE", "DetectAnomalies"), spark)
    assert found.columns == ["group", "inputs", "errors", "anomalies"]
    [row] = found.collect()
    assert row.errors is None
    assert row.anomalies.asDict() == endpoint("entire", asked()).json
    assert [place for place, flag in enumerate(row.anomalies.isAnomaly) if flag] == [7, 14]


def test_detect_last_anomaly(spark: SparkSession, endpoint: Any) -> None:
    found = run(EACH_SERIES_A_ROW.replace("STAGE", "DetectLastAnomaly"), spark)
    assert found.columns == ["group", "inputs", "errors", "anomalies"]
    [row] = found.collect()
    assert row.errors is None
    assert row.anomalies.asDict() == endpoint("last", asked()).json
    assert row.anomalies.isAnomaly


def test_simple_detect_anomalies(spark: SparkSession, endpoint: Any) -> None:
    found = run(EACH_POINT_A_ROW, spark)
    *given, error, anomalies = found.columns
    assert given == ["timestamp", "value", "group"]
    assert error.startswith("SimpleDetectAnomalies_")
    assert error.endswith("_error")
    assert anomalies == "anomalies"
    rows = found.collect()
    assert all(row[error] is None for row in rows)
    answer = endpoint("entire", asked()).json
    for group in (1.0, 2.0):
        mine = [row for row in rows if row.group == group]
        assert [row.timestamp for row in mine] == MONTHS
        for name, single in {
            "expectedValues": "expectedValue",
            "upperMargins": "upperMargin",
            "lowerMargins": "lowerMargin",
            "isAnomaly": "isAnomaly",
            "isPositiveAnomaly": "isPositiveAnomaly",
            "isNegativeAnomaly": "isNegativeAnomaly",
            "severity": "severity",
        }.items():
            assert [row.anomalies[single] for row in mine] == answer[name]
        assert {row.anomalies.period for row in mine} == {answer["period"]}


def test_the_program_of_the_documentation_prints_what_it_says(
    spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    section = (ROOT / "docs" / "spark.md").read_text().split("## SynapseML's programs")[1]
    [(program, printed)] = re.findall(r"```python\n(.*?)```\n+```\n(.*?)```", section, re.DOTALL)
    exec(program, {"spark": spark})  # noqa: S102 - of this project
    assert capsys.readouterr().out.strip() == printed.strip()
