"""Times in requests about many variables: in ISO 8601, or in one other notation."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from detector.api.multivariate import requests
from detector.api.multivariate.fields import moments
from detector.errors import DetectionError


def span(start: str, end: str) -> tuple[str, str]:
    asked = {"dataSource": "machine.csv", "startTime": start, "endTime": end}
    read = requests.detection(asked, "v1.1")
    return read.start.isoformat(), read.end.isoformat()


@pytest.mark.parametrize(
    ("start", "end", "read"),
    [
        (
            "12/16/2021 4:39:32 AM ",
            "12/17/2021 12:00:00 AM ",
            ("2021-12-16T04:39:32", "2021-12-17"),
        ),
        (
            "Thu, 16 Dec 2021 00:00:00 GMT",
            "Fri, 17 Dec 2021 04:39:32 GMT",
            ("2021-12-16", "2021-12-17T04:39:32"),
        ),
        ("2021/12/16", "2021/12/17", ("2021-12-16", "2021-12-17")),
        ("2021-12-16T00:00:00Z", "12/17/2021", ("2021-12-16", "2021-12-17")),
        ("03/04/2021", "04/05/2021", ("2021-03-04", "2021-04-05")),
    ],
)
def test_a_start_and_an_end_in_other_notations(start: str, end: str, read: Any) -> None:
    assert span(start, end) == tuple(pd.Timestamp(each).isoformat() for each in read)


def test_the_end_says_how_the_start_is_read() -> None:
    assert span("03/04/2021", "16/04/2021") == ("2021-04-03T00:00:00", "2021-04-16T00:00:00")


def test_a_start_and_an_end_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(DetectionError, match="In 'endTime' '16/12/2021' is not") as caught:
        span("12/16/2021", "16/12/2021")
    assert caught.value.code == "InvalidTimestampFormat"


def test_the_variables_of_a_request_are_read_in_one_notation() -> None:
    fields = [("a", ["03/04/2021"]), ("b", ["2021-04-03"]), ("c", ["02/04/2021", "13/04/2021"])]
    first, second, third = moments(fields)
    assert first[0] == second[0] == pd.Timestamp("2021-04-03")
    assert list(third) == [pd.Timestamp("2021-04-02"), pd.Timestamp("2021-04-13")]
    for wrong in ("04/14/2021", "now", "2021-04-14"):
        with pytest.raises(DetectionError, match=f"In 'd' '{wrong}' .* at index 1,"):
            moments([*fields, ("d", ["04/04/2021", wrong])])


def test_values_at_times_in_another_notation(factory: Any, model_id: str, kit: Any) -> None:
    path = f"/anomalydetector/v1.1/multivariate/models/{model_id}:detect-last"
    plain = factory.call(path, kit.latest())
    request = kit.latest()
    for each in request["variables"]:
        times = pd.DatetimeIndex(each["timestamps"])
        each["timestamps"] = [time.strftime("%m/%d/%Y %I:%M:%S %p") for time in times]
    answer = factory.call(path, request)
    assert answer.status == 200, answer.content
    assert answer.json == plain.json
