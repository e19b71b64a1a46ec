"""The stages for one series: the endpoint's answers and refusals, and what else is of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import recordings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.ml import Pipeline, PipelineModel
from pyspark.sql.types import StructType

from detector.spark.synapse import DetectAnomalies, DetectLastAnomaly, SimpleDetectAnomalies

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

    Points = list[tuple[Any, Any]]

SERIES = "array<struct<timestamp:string,value:double>>"
OPTIONS = {
    "granularity": "string",
    "maxAnomalyRatio": "double",
    "sensitivity": "int",
    "customInterval": "int",
    "period": "int",
    "imputeMode": "string",
    "imputeFixedValue": "double",
}
# What is one value for each point in an answer, and what SimpleDetectAnomalies calls it.
OF_POINTS = {
    "isAnomaly": "isAnomaly",
    "isPositiveAnomaly": "isPositiveAnomaly",
    "isNegativeAnomaly": "isNegativeAnomaly",
    "expectedValues": "expectedValue",
    "upperMargins": "upperMargin",
    "lowerMargins": "lowerMargin",
    "severity": "severity",
}


def daily(count: int = 47) -> Points:
    """Return the first of 47 days of request counts, and more of them from the start again."""
    with recordings.DAILY.open() as file:
        counts = [float(value) for _, value in csv.reader(file)]
    return [(day(place), counts[place % len(counts)]) for place in range(count)]


def day(place: int) -> str:
    return f"{np.datetime64('2018-01-01') + place}T00:00:00Z"


def asked(points: Points | None, **options: Any) -> dict[str, Any]:
    series = points and [{"timestamp": timestamp, "value": value} for timestamp, value in points]
    return {"series": series, "granularity": "daily", **options}


# By what they are, the points and the options of a request. Spark sends null where a row has none.
ANSWERED: dict[str, tuple[Points, dict[str, Any]]] = {
    "nothing but the granularity": (daily(), {}),
    "a sensitivity": (daily(), {"sensitivity": 80}),
    "a period": (daily(), {"period": 7}),
    "no period": (daily(), {"period": 0}),
    "a ratio": (daily(), {"maxAnomalyRatio": 0.1}),
    "a gap that is filled": (
        daily()[:20] + daily()[22:],
        {"imputeMode": "fixed", "imputeFixedValue": 800.0},
    ),
    "every second day": (daily()[::2], {"customInterval": 2}),
    "no granularity": (daily(), {"granularity": "none"}),
    "8640 points": (daily(8640), {}),
}
REFUSED: dict[str, tuple[Points, dict[str, Any]]] = {
    "a wrong granularity": (daily(), {"granularity": "fortnightly"}),
    "a wrong sensitivity": (daily(), {"sensitivity": 200}),
    "a wrong ratio": (daily(), {"maxAnomalyRatio": 0.5}),
    "a wrong interval": (daily(), {"customInterval": 0}),
    "a wrong period": (daily(), {"period": -1}),
    "too long a period": (daily(), {"period": 40}),
    "a wrong mode": (daily(), {"imputeMode": "guess"}),
    "a mode without its value": (daily(), {"imputeMode": "fixed"}),
    "one point": (daily()[:1], {}),
    "11 points": (daily()[:11], {}),
    "8641 points": (daily(8641), {}),
    "two at once": ([*daily()[:20], *daily()[19:]], {}),
    "off the grid": ([*daily()[:20], ("2018-01-21T00:30:00Z", 1.0), *daily()[21:]], {}),
    "no value": ([*daily()[:20], (day(20), None), *daily()[21:]], {}),
    "no number": ([*daily()[:20], (day(20), float("nan")), *daily()[21:]], {}),
    "infinite": ([*daily()[:20], (day(20), float("inf")), *daily()[21:]], {}),
    "too large": ([*daily()[:20], (day(20), 1e200), *daily()[21:]], {}),
    "no timestamp": ([(None, 1.0), *daily()], {}),
    "no date": ([*daily(), ("tomorrow", 1.0)], {}),
}
CASES = ANSWERED | REFUSED


def options_of(case: str) -> dict[str, Any]:
    return {"granularity": "daily"} | CASES[case][1]


@pytest.fixture(scope="module")
def series(spark: SparkSession) -> DataFrame:
    """Return a row for each case, with a column for each option."""
    columns = ", ".join(f"`{name}` {kind}" for name, kind in OPTIONS.items())
    rows = [
        (case, points, *(options_of(case).get(name) for name in OPTIONS))
        for case, (points, _) in CASES.items()
    ]
    rows.append(("no series", None, "daily", *[None] * 6))
    rows.append(("no unit", daily(), *[None] * 7))
    return spark.createDataFrame(rows, f"case string, inputs {SERIES}, {columns}").cache()


def with_columns(stage: Any) -> Any:
    """Tell a stage to take every option from the column of its name."""
    return stage.setParams(**{f"{name}Col": name for name in OPTIONS})


def same(error: Row | None, found: Any, answer: Any) -> bool:
    """Say whether a row is what the endpoint answered."""
    if answer.status == 200:
        return error is None and found == answer.json
    assert error is not None
    status = error.status.asDict(recursive=True)
    assert status == {
        "protocolVersion": {"protocol": "HTTP", "major": 1, "minor": 1},
        "statusCode": answer.status,
        "reasonPhrase": "Bad Request",
    }
    return found is None and error.response == answer.content.decode()


@pytest.mark.parametrize(
    ("kind", "operation"), [(DetectAnomalies, "entire"), (DetectLastAnomaly, "last")]
)
def test_each_row_has_the_answer_of_the_endpoint(
    series: DataFrame, endpoint: Any, kind: Any, operation: str
) -> None:
    stage = with_columns(kind(seriesCol="inputs", errorCol="error", outputCol="found"))
    rows = {
        row.case: row for row in stage.transform(series).select("case", "error", "found").collect()
    }
    wrong = {}
    for case, (points, options) in CASES.items():
        row, answer = rows.pop(case), endpoint(operation, asked(points, **options))
        assert (answer.status == 200) == (case in ANSWERED), case
        if not same(row.error, row.found and row.found.asDict(), answer):
            wrong[case] = (row, answer.content)
    assert wrong == {}
    # The service was not asked about these.
    assert {case: (row.error, row.found) for case, row in rows.items()} == dict.fromkeys(
        ["no series", "no unit"], (None, None)
    )


def test_the_points_of_each_group_have_the_answer_of_the_endpoint(
    spark: SparkSession, endpoint: Any
) -> None:
    columns = ", ".join(f"`{name}` {kind}" for name, kind in OPTIONS.items())
    rows = [
        (timestamp, value, case, place, *(options_of(case).get(name) for name in OPTIONS))
        for case, (points, _) in CASES.items()
        for place, (timestamp, value) in enumerate(points)
    ]
    # Those of no group are one, and in no order.
    rows += [(*point, None, 0, "daily", *[None] * 6) for point in reversed(daily())]
    rows += [(*point, "no unit", 0, *[None] * 7) for point in daily()]
    two = [
        (*point, "two", 0, "daily", None, n % 2 + 90, *[None] * 4)
        for n, point in enumerate(daily())
    ]
    table = spark.createDataFrame(
        rows + two, f"timestamp string, value double, case string, place int, {columns}"
    )
    stage = SimpleDetectAnomalies(groupbyCol="case", errorCol="error", outputCol="found")
    groups: dict[Any, list[Row]] = {}
    for row in with_columns(stage).transform(table).collect():
        groups.setdefault(row.case, []).append(row)
    wrong = {}
    for case, (points, options) in (CASES | {None: (daily(), {})}).items():
        # Groups are sorted by their timestamps as they are written.
        points = sorted(points, key=lambda point: point[0] or "")
        answer = endpoint("entire", asked(points, **options))
        mine = groups.pop(case)
        assert len(mine) == len(points)
        assert len({row.error for row in mine}) == 1
        found = None
        if mine[0].found:
            assert [row.timestamp for row in mine] == [timestamp for timestamp, _ in points]
            found = {"period": mine[0].found.period}
            found |= {name: [row.found[one] for row in mine] for name, one in OF_POINTS.items()}
        if not same(mine[0].error, found, answer):
            wrong[case] = (mine[0], answer.content[:300])
    assert wrong == {}
    assert {(row.error, row.found) for row in groups["no unit"]} == {(None, None)}
    [error] = {row.error.response for row in groups["two"]}
    assert "'sensitivity' must have one value in a series, and has 90, 91" in error


@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_series_fails_the_job_of_the_others(
    spark: SparkSession, endpoint: Any, data: st.DataObject
) -> None:
    spoilt = data.draw(st.lists(SPOILT, min_size=250, max_size=250))
    rows = [(place, points, *options) for place, (points, options) in enumerate(spoilt)]
    table = spark.createDataFrame(
        [*rows, (-1, daily(), "daily", 80)],
        f"place int, inputs {SERIES}, granularity string, sensitivity int",
    )
    stage = (
        DetectAnomalies(
            seriesCol="inputs", granularityCol="granularity", sensitivityCol="sensitivity"
        )
        .setErrorCol("error")
        .setOutputCol("found")
    )
    found = {row.place: row for row in stage.transform(table).collect()}
    assert found[-1].error is None
    assert found[-1].found.period == 7
    requests = [
        asked(points, granularity=granularity, sensitivity=sensitivity)
        for points, (granularity, sensitivity) in spoilt
    ]
    answers = endpoint("batch", {"mode": "entire", "series": requests}).json["results"]
    for place, answer in enumerate(answers):
        row = found[place]
        if "error" in answer:
            assert row.found is None
            assert json.loads(row.error.response) == answer["error"]
        else:
            assert row.error is None
            assert row.found.asDict() == answer


def spoil(place: int, timestamp: str | None, value: float | None, *, instead: bool) -> Points:
    points = daily()
    points[place : place + instead] = [(timestamp, value)]
    return points


DATES = st.datetimes().map(lambda date: f"{date.isoformat()}Z") | st.integers(-9, 60).map(day)
SPOILT = st.tuples(
    st.builds(
        spoil,
        st.integers(0, 46),
        st.none() | st.text(max_size=9) | DATES,
        st.none() | st.floats(),
        instead=st.booleans(),
    )
    | st.integers(0, 12).map(daily),
    st.tuples(
        st.sampled_from(["daily", "none", "hourly", "monthly", "", "DAILY"]),
        st.none() | st.integers(-5, 105),
    ),
)


STRUCT = (
    "struct<response:string,status:struct<protocolVersion:struct<protocol:string,major:int,"
    "minor:int>,statusCode:int,reasonPhrase:string>>"
)


def not_null(kind: StructType, path: str = "") -> set[str]:
    """Return which fields, and fields of fields, are never null."""
    found = set()
    for field in kind.fields:
        name = f"{path}{field.name}"
        found |= set() if field.nullable else {name}
        if isinstance(field.dataType, StructType):
            found |= not_null(field.dataType, f"{name}.")
    return found


def test_the_schemas_are_those_of_synapseml(spark: SparkSession) -> None:
    table = spark.createDataFrame([], f"timestamp string, value double, inputs {SERIES}, id int")
    flags = "isAnomaly:{0},isPositiveAnomaly:{0},isNegativeAnomaly:{0},period:int,"
    one = flags.format("boolean") + "expectedValue:double,upperMargin:double,lowerMargin:double,"
    arrays = ",".join(
        f"{each}:array<double>"
        for each in ("expectedValues", "upperMargins", "lowerMargins", "severity")
    )
    for stage, output in [
        (DetectAnomalies(seriesCol="inputs"), flags.format("array<boolean>") + arrays),
        (DetectLastAnomaly(seriesCol="inputs"), f"{one}suggestedWindow:int,severity:double"),
        (SimpleDetectAnomalies(groupbyCol="id"), f"{one}severity:double"),
    ]:
        schema = (
            stage.setGranularity("daily").setErrorCol("e").setOutputCol("o").transform(table).schema
        )
        assert schema.names == ["timestamp", "value", "inputs", "id", "e", "o"]
        assert schema["e"].dataType.simpleString() == STRUCT
        assert schema["o"].dataType.simpleString() == f"struct<{output}>"
        of_errors = {
            f"e.status.{name}"
            for name in ("statusCode", "protocolVersion.major", "protocolVersion.minor")
        }
        of_points = {f"o.{name}" for name in (*OF_POINTS.values(), "period")}
        simple = isinstance(stage, SimpleDetectAnomalies)
        assert not_null(schema) == of_errors | (of_points if simple else set())


def test_a_pipeline_is_saved_and_loaded(spark: SparkSession, tmp_path: Path) -> None:
    rows = [(*point, "pump") for point in daily()]
    table = spark.createDataFrame(rows, "day string, count double, machine string")
    stage = SimpleDetectAnomalies(timestampCol="day", valueCol="count", subscriptionKey="a-key")
    stage.setGroupbyCol("machine").setGranularity("daily").setSensitivity(80)
    Pipeline(stages=[stage]).fit(table).save(str(tmp_path / "model"))
    Pipeline(stages=[stage]).save(str(tmp_path / "pipeline"))
    model = PipelineModel.load(str(tmp_path / "model"))
    [loaded] = Pipeline.load(str(tmp_path / "pipeline")).getStages()
    assert loaded.explainParams() == stage.explainParams()
    found = model.transform(table).collect()
    assert found == stage.transform(table).collect()
    assert found[0][stage.getErrorCol()] is None


def test_a_series_may_be_given_to_the_stage(spark: SparkSession, endpoint: Any) -> None:
    table = spark.createDataFrame([(1,), (2,)], "row int")
    points = [{"timestamp": timestamp, "value": value} for timestamp, value in daily()]
    answer = endpoint("last", asked(daily())).json
    for each in (points, daily()):
        stage = DetectLastAnomaly(granularity="daily", outputCol="found").setSeries(each)
        assert [row.found.asDict() for row in stage.transform(table).collect()] == [answer] * 2


def test_what_is_read_may_lie_in_structs_and_be_whole_numbers(
    spark: SparkSession, endpoint: Any
) -> None:
    points = [(timestamp, int(value)) for timestamp, value in daily()]
    rows = [((timestamp, value), "pump") for timestamp, value in points]
    table = spark.createDataFrame(rows, "read struct<at:string,count:bigint>, pump string")
    simple = SimpleDetectAnomalies(timestampCol="read.at", valueCol="read.count", groupbyCol="PUMP")
    simple.setGranularity("daily").setErrorCol("error").setOutputCol("found")
    series = spark.createDataFrame([(points,)], "s array<struct<at:string,count:bigint>>")
    stage = DetectAnomalies(seriesCol="S", granularity="daily", outputCol="found")
    answer = endpoint("entire", asked(points)).json
    found = simple.transform(table).collect()
    assert [row.found.expectedValue for row in found] == answer["expectedValues"]
    [row] = stage.transform(series).collect()
    assert row.found.asDict() == answer


def test_columns_of_the_names_of_error_and_output_are_replaced(spark: SparkSession) -> None:
    table = spark.createDataFrame([("old", daily(), 1)], f"Error string, inputs {SERIES}, id int")
    stage = DetectAnomalies(seriesCol="inputs", granularity="daily", errorCol="error")
    found = stage.setOutputCol("inputs").transform(table)
    assert found.columns == ["id", "error", "inputs"]
    [row] = found.collect()
    assert row.error is None
    assert row.inputs.period == 7


def test_what_is_missing_or_of_another_type_is_named(spark: SparkSession) -> None:
    table = spark.createDataFrame([], "timestamp date, value string, inputs array<double>, id int")
    simple = SimpleDetectAnomalies(granularity="daily")
    with pytest.raises(ValueError, match=r"Missing required params: \(granularity, series\)"):
        DetectAnomalies().transform(table)
    with pytest.raises(ValueError, match=r"Missing required params: \(groupbyCol\)"):
        simple.transform(table)
    for stage, message in [
        (simple.setGroupbyCol("pump"), "no column 'pump'.*'groupbyCol'"),
        (simple.copy().setGroupbyCol("id"), "'timestamp'.*strings in ISO 8601.*holds date"),
        (
            SimpleDetectAnomalies(granularity="daily", groupbyCol="id", timestampCol="value"),
            "'value'.*must hold numbers, and holds string",
        ),
        (
            DetectAnomalies(granularity="daily", seriesCol="inputs"),
            "'inputs' must hold arrays of structs.*holds array<double>",
        ),
        (DetectLastAnomaly(granularity="daily", seriesCol="points"), "no column 'points'"),
        (
            DetectLastAnomaly(granularity="daily", series=daily(), periodCol="season"),
            "no column 'season'.*'periodCol'",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            stage.transform(table)
