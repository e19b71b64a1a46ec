"""What a Python worker answers, given Arrow's batches as Spark cuts them."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.spark import answers
from detector.spark.answers import Points, Refusal, Rows, refusals

SERIES = pa.list_(pa.struct([("timestamp", pa.string()), ("value", pa.float64())]))
# How many points each series has; some have too few, one too many.
COUNTS = [12, 11, 30, 8641, 1, 40]


def day(place: int) -> str:
    return str(np.datetime64("2000-01-01") + place)


def of_points() -> pa.RecordBatch:
    """Return a row for each point: the series, its place there, and what is read of it."""
    rows = [
        (series, place, day(place), math.sin(place * series), count)
        for series, count in enumerate(COUNTS)
        for place in range(count)
    ]
    names = ["series", "place", "timestamp", "value", "count"]
    return pa.RecordBatch.from_arrays([pa.array(each) for each in zip(*rows, strict=True)], names)


def of_series() -> pa.RecordBatch:
    """Return a row for each series."""
    rows = [
        [{"timestamp": day(place), "value": math.sin(place * series)} for place in range(count)]
        for series, count in enumerate(COUNTS)
    ]
    series = pa.array([*rows, None], SERIES)
    return pa.RecordBatch.from_arrays([pa.array(range(len(series))), series], ["id", "series"])


def points() -> Points:
    return Points(2, [2, 3, 4], {"granularity": "daily"}, [])


POINTS = of_points()
[WHOLE] = points()(iter([POINTS]))


def test_all_points_come_back_with_an_answer_or_an_error() -> None:
    assert WHOLE.schema.names == ["series", "place", "error", "output"]
    assert WHOLE.num_rows == sum(COUNTS)
    counts = {}
    for row in WHOLE.to_pylist():
        assert (row["error"] is None) == (row["output"] is not None)
        if row["error"]:
            counts[row["series"]] = json.loads(row["error"]["response"])["message"]
    assert counts == {
        1: "The 'series' field must have at least 12 points. It has 11.",
        3: "The 'series' field cannot have more than 8640 points. It has 8641.",
        4: "The 'series' field must have at least 12 points. It has 1.",
    }


@given(st.lists(st.integers(0, sum(COUNTS)), max_size=9))
def test_it_does_not_matter_where_batches_end(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), POINTS.num_rows]
    batches = [POINTS.slice(a, b - a) for a, b in itertools.pairwise(edges)]
    found = pa.Table.from_batches(points()(iter(batches)))
    assert found.equals(pa.Table.from_batches([WHOLE]))


def test_no_more_points_are_held_than_a_series_may_have() -> None:
    given = (POINTS.slice(start, 100) for start in range(0, POINTS.num_rows, 100))
    before = 0
    work = points()
    held = []
    for place, found in enumerate(work(given)):
        before += found.num_rows
        held.append((place + 1) * 100 - before)
    assert before == POINTS.num_rows
    assert max(held) <= 8640


def test_series_are_answered_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Rows(1, [1], False, {"granularity": "daily"}, [])
    [whole] = work(iter([of_series()]))
    monkeypatch.setattr(answers, "_AT_ONCE", 40)
    pieces = list(work(iter([of_series()])))
    assert len(pieces) > 2
    assert pa.Table.from_batches(pieces).equals(pa.Table.from_batches([whole]))
    answered = [count for count in COUNTS if 12 <= count <= 8640]
    found = [row["isAnomaly"] for row in whole.column(2).to_pylist() if row]
    assert list(map(len, found)) == answered


def test_a_fault_of_ours_is_the_error_of_its_series(caplog: pytest.LogCaptureFixture) -> None:
    refusal = Refusal.of(RuntimeError("there is no kernel"))
    [error] = refusals([refusal]).to_pylist()
    assert error["status"]["statusCode"] == 500
    assert error["status"]["reasonPhrase"] == "Internal Server Error"
    assert json.loads(error["response"]) == {
        "error": {
            "code": "500",
            "message": "Detection failed with RuntimeError: there is no kernel",
        }
    }
    assert "Detection in a series failed" in caplog.text


def test_a_number_that_json_has_no_word_for_is_null() -> None:
    numbers = pa.array([1.0, math.nan, math.inf, None])
    assert answers._as_json(numbers).to_pylist() == [1.0, None, None, None]
