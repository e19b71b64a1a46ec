"""Rows scored in parts get the answers of rows scored in one place, whatever gaps they have."""

from __future__ import annotations

import itertools
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from detector import DetectionError, MultivariateModel
from detector.multivariate.alignment import AlignPolicy
from detector.spark.multivariate import last, parts, scoring
from detector.spark.multivariate.parts import PART, TIME, Plan, Rows, Span, plan, span_of
from detector.spark.multivariate.rows import Columns, survey

COLUMNS = Columns("at", ("a", "b", "c"))
WINDOW = 28
START, END = pd.Timestamp("2026-01-01T02:00:00"), pd.Timestamp("2026-01-01T08:20:00")


def table(seed: int, gaps: float = 0.0) -> pd.DataFrame:
    """Return 600 minutes of three variables that belong together, some values missing."""
    draw = np.random.default_rng(seed)
    swing = np.sin(np.arange(600) / 5)
    values = np.column_stack([swing, 3 - swing, swing**2]) + draw.normal(scale=0.05, size=(600, 3))
    values[400:404, 1] += 2
    values[draw.random(values.shape) < gaps] = np.nan
    return pd.DataFrame(
        values,
        columns=list(COLUMNS.variables),
        index=pd.date_range("2026-01-01", periods=600, freq="min"),
    )


def model_of(mode: str, fill: str) -> MultivariateModel:
    return MultivariateModel.fit(
        table(0),
        sliding_window=WINDOW,
        epochs=1,
        align_mode=mode,
        fill_method=fill,
        padding_value=0.5,
        end="2026-01-01T02:00:00",
    )


@pytest.fixture(scope="module")
def model() -> MultivariateModel:
    return model_of("Outer", "Linear")


def batches(frame: pd.DataFrame, size: int, seed: int = 1) -> list[pa.RecordBatch]:
    """Return rows in any order, as Spark has them, with a column that nobody asks for."""
    rows = frame.reset_index(names="at").sample(frac=1, random_state=seed)
    rows["at"] = rows["at"].map(lambda time: time.isoformat() + "Z")
    rows["note"] = np.arange(len(rows)).astype(str)
    arrow = pa.RecordBatch.from_pandas(rows, preserve_index=False)
    return [arrow.slice(place, size) for place in range(0, len(rows), size)]


def looked_at(given: list[pa.RecordBatch], start: pd.Timestamp = START) -> Rows:
    found = survey(iter(given), COLUMNS, start.value)
    rows = [row for each in found for row in each.to_pylist()]
    return Rows.of(
        [
            SimpleNamespace(
                times=row["times"],
                gaps=row["gaps"],
                missing=row["missing"],
                errors=[SimpleNamespace(**error) for error in row["errors"]],
            )
            for row in rows
        ],
        COLUMNS,
    )


def worked(given: list[pa.RecordBatch], plan: Plan, work: Any) -> pd.DataFrame:
    """Route the rows, bring each part together in order of time, and work on it: as Spark does."""
    routed = pa.Table.from_batches(list(parts.route(iter(given), COLUMNS, plan)))
    found = []
    for number in range(len(plan.parts)):
        part = routed.filter(pa.compute.equal(routed[PART], number)).sort_by(TIME)
        # In several batches, as a worker gets them.
        found += list(work(iter(part.combine_chunks().to_batches(max_chunksize=97))))
    return pa.Table.from_batches(found).to_pandas()


def scored(
    frame: pd.DataFrame, model: MultivariateModel, cores: int, size: int = 130
) -> pd.DataFrame:
    given = batches(frame, size)
    rows, policy = looked_at(given), model.options.align
    span = span_of(rows, start=START, end=END, sliding_window=WINDOW, policy=policy)
    planned = plan(rows, span, look_back=WINDOW - 1, policy=policy, cores=cores)
    assert sum(part is not None for part in planned.parts) == min(2 * cores, 3)
    work = partial(
        scoring.score,
        columns=COLUMNS,
        plan=planned,
        model=SimpleNamespace(value=model),
        top_contributors=2,
        names=("value", "errors", "is_anomaly"),
    )
    return worked(given, planned, work)


@pytest.mark.parametrize("fill", ["Linear", "Previous", "Subsequent", "Zero", "Fixed"])
def test_gaps_are_filled_across_parts_as_in_one_place(fill: str) -> None:
    model = model_of("Outer", fill)
    frame = table(3, gaps=0.3)
    # Longer than a part, at the begin, and at the end.
    frame.iloc[150:400, 0] = frame.iloc[:120, 1] = frame.iloc[440:, 2] = np.nan
    check(scored(frame, model, cores=8), frame, model)


def test_rows_that_lack_a_value_are_left_out_where_all_variables_are_needed() -> None:
    model = model_of("Inner", "Linear")
    frame = table(4, gaps=0.02)
    found = scored(frame, model, cores=8)
    check(found, frame, model)
    whole = frame.loc[START:END].notna().all(axis=1)
    assert found["value"].notna().sum() == whole.sum()


@pytest.mark.parametrize("cores", [1, 2])
def test_any_number_of_parts_gives_the_same(cores: int, model: MultivariateModel) -> None:
    frame = table(5, gaps=0.1)
    check(scored(frame, model, cores, size=1000 if cores == 1 else 7), frame, model)


def check(found: pd.DataFrame, frame: pd.DataFrame, model: MultivariateModel) -> None:
    """See that each row has what a detection on one machine finds, and all rows come out."""
    assert sorted(found["note"].astype(int)) == list(range(len(frame)))
    times = pd.to_datetime(found["at"]).dt.tz_localize(None)
    assert times.is_monotonic_increasing
    there = found.set_index(times)[found["value"].notna().to_numpy()]
    states = model.detect(frame, start=START, end=END, top_contributors=2).states
    assert there.index.tolist() == [state.timestamp for state in states]
    assert any(state.is_anomaly for state in states)
    for value, flag, state in zip(there["value"], there["is_anomaly"], states, strict=True):
        assert flag == value["isAnomaly"] == state.is_anomaly
        # Products of matrices of other sizes are rounded otherwise.
        assert value["score"] == pytest.approx(state.score, abs=1e-6)
        assert value["severity"] == pytest.approx(state.severity, abs=1e-6)
        parts = [(each.variable, list(each.changed_variables)) for each in state.contributors]
        assert parts == [
            (each["variable"], list(each["correlationChanges"]["changedVariables"]))
            for each in value["interpretation"]
        ]


def test_rows_without_enough_before_them_say_so(model: MultivariateModel) -> None:
    frame = table(6).iloc[100:]
    found = scored(frame, model, cores=1)
    early = found[found["errors"].map(lambda each: each is not None and len(each) > 0)]
    assert len(early) == WINDOW - 1 - 20
    assert early["errors"].iloc[0][0]["code"] == "InsufficientHistoricalData"


def test_rows_that_change_between_two_readings_are_noticed(model: MultivariateModel) -> None:
    frame, policy = table(7), model.options.align
    rows = looked_at(batches(frame, 100))
    span = span_of(rows, start=START, end=END, sliding_window=WINDOW, policy=policy)
    planned = plan(rows, span, look_back=WINDOW - 1, policy=policy, cores=1)
    work = partial(
        scoring.score,
        columns=COLUMNS,
        plan=planned,
        model=SimpleNamespace(value=model),
        top_contributors=2,
        names=("value", "errors", "is_anomaly"),
    )
    with pytest.raises(DetectionError, match="Persist the DataFrame"):
        worked(batches(frame.drop(frame.index[300]), 100), planned, work)


def span_with(frame: pd.DataFrame, mode: str = "Outer") -> Span:
    rows = looked_at(batches(frame, 50))
    return span_of(rows, start=START, end=END, sliding_window=WINDOW, policy=AlignPolicy(mode))


def test_a_timestamp_that_is_there_twice_is_refused_where_it_matters() -> None:
    frame = table(8)
    ends = frame.iloc[[0, -1]]
    assert len(span_with(pd.concat([frame, ends])).rows) == 381 + WINDOW - 1
    with pytest.raises(DetectionError, match="2026-01-01T03:20:00 is there more than once"):
        span_with(pd.concat([frame, frame.iloc[[200]]]))


def test_a_value_that_is_no_number_is_refused_where_it_matters() -> None:
    frame = table(8).astype(object)
    frame.iloc[[0, 50, 590], 1] = "broken"
    frame["b"] = frame["b"].astype(str)
    assert len(span_with(frame).rows) == 381 + WINDOW - 1
    for place in (110, 300):
        wrong = frame.copy()
        wrong.iloc[place, 1] = "broken"
        with pytest.raises(DetectionError, match=r"The variable 'b' is 'broken' at 2026-01-01T0"):
            span_with(wrong)


def last_of(
    frame: pd.DataFrame, model: MultivariateModel, before: int, cores: int = 8
) -> pd.DataFrame:
    given = batches(frame, 130)
    rows = looked_at(given)
    there = np.flatnonzero(rows.times > 0)
    planned = plan(rows, Span(there, 0), look_back=before, policy=None, cores=cores)
    work = partial(
        last.answer,
        columns=COLUMNS,
        plan=planned,
        model=SimpleNamespace(value=model),
        batch_size=before,
        top_contributors=2,
        names=("error", "answer", "is_anomaly", "detected_at"),
    )
    return worked(given, planned, work)


@pytest.mark.parametrize(("mode", "gaps"), [("Outer", 0.002), ("Inner", 0.002)])
def test_each_row_is_answered_as_the_last_of_its_window(mode: str, gaps: float) -> None:
    model = model_of(mode, "Linear")
    frame, before = table(9, gaps), 40
    found = last_of(frame, model, before)
    for place in itertools.chain(range(22, 50, 3), range(100, 600, 11)):
        row = found.iloc[place]
        window = frame.iloc[max(0, place - before) : place + 1]
        if mode == "Inner":
            window = window.dropna()
        window = window.tail(WINDOW)
        if len(window) < WINDOW:
            assert "NotEnoughInput" in row["error"]["response"]
            assert row["answer"] is None
            continue
        expected = model.detect(window, start=window.index[-1], top_contributors=2)
        [state], [result] = expected.states, row["answer"]["results"]
        assert result["timestamp"] == row["detected_at"] == f"{state.timestamp.isoformat()}Z"
        assert result["value"]["isAnomaly"] == row["is_anomaly"] == state.is_anomaly
        assert result["value"]["score"] == pytest.approx(state.score, abs=1e-6)
        assert [
            (
                each["variable"],
                each["effectiveCount"],
                each["firstTimestamp"],
                each["lastTimestamp"],
            )
            for each in row["answer"]["variableStates"]
        ] == [
            (
                each.variable,
                each.effective_count,
                f"{each.first_timestamp.isoformat()}Z",
                f"{each.last_timestamp.isoformat()}Z",
            )
            for each in expected.table.states
        ]


def test_what_is_wrong_with_a_row_is_said_in_the_windows_that_have_it(
    model: MultivariateModel,
) -> None:
    frame = table(10).astype(object)
    frame.iloc[200, 0] = 1e200
    frame["b"] = frame["b"].astype(str)
    frame.iloc[300, 1] = "broken"
    frame = pd.concat([frame, frame.iloc[[400]]]).sort_index(kind="stable")
    found = last_of(frame, model, 30)
    codes = [error["response"].split('"')[3] if error else "" for error in found["error"].tolist()]
    assert {code: codes.count(code) for code in set(codes)} == {
        "NotEnoughInput": WINDOW - 1,
        "VariableParseError": 2 * 31,
        "MergeDataFailed": 30,
        "": 601 - (WINDOW - 1) - 2 * 31 - 30,
    }
    assert found["error"].iloc[200]["status"]["statusCode"] == 400


def test_a_row_without_a_time_is_refused_alone(model: MultivariateModel) -> None:
    given = batches(table(11), 600)
    times = given[0].column("at").to_pylist()
    times[:3] = [None, "yesterday", "now"]
    [whole] = given
    wrong = whole.set_column(0, "at", pa.array(times))
    rows = looked_at([wrong])
    planned = plan(
        rows, Span(np.flatnonzero(rows.times > 0), 0), look_back=30, policy=None, cores=1
    )
    work = partial(
        last.answer,
        columns=COLUMNS,
        plan=planned,
        model=SimpleNamespace(value=model),
        batch_size=30,
        top_contributors=2,
        names=("error", "answer", "is_anomaly", "detected_at"),
    )
    found = worked([wrong], planned, work)
    assert len(found) == 600
    refused = found["error"].iloc[:3].map(lambda error: error["response"])
    assert refused.str.contains("InvalidTimestampFormat").all()
    assert found["answer"].iloc[3 + WINDOW :].notna().all()
    with pytest.raises(DetectionError, match="The column 'at' must have a date in every row"):
        span_of(rows, start=START, end=END, sliding_window=WINDOW, policy=AlignPolicy())
