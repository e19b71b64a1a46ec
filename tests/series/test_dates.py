"""Dates in other notations than ISO 8601: which are read, and as what."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from detector.errors import DetectionError
from detector.series.dates import UnreadableDateError, read_dates
from detector.series.series import Series
from detector.series.timestamps import read_timestamps


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("12/16/2021 4:39:32 AM ", "2021-12-16T04:39:32"),
        ("12/16/2021 4:39:32 PM", "2021-12-16T16:39:32"),
        ("12/16/2021 12:39 am", "2021-12-16T00:39"),
        ("12/16/2021, 4:39:32\u202fPM", "2021-12-16T16:39:32"),
        ("12/16/2021 04:39:32.25", "2021-12-16T04:39:32.25"),
        ("16/12/2021 04:39", "2021-12-16T04:39"),
        ("16.12.2021", "2021-12-16"),
        ("12-16-2021", "2021-12-16"),
        ("2021/12/16 4:39:32 AM", "2021-12-16T04:39:32"),
        ("2021年12月16日", "2021-12-16"),
        ("2021年1月6日(木) 4時9分32秒", "2021-01-06T04:09:32"),
        ("2021年12月16日 04:39", "2021-12-16T04:39"),
        ("16 Dec 2021 04:39", "2021-12-16T04:39"),
        ("16-Dec-2021", "2021-12-16"),
        ("December 16, 2021 4:39 PM", "2021-12-16T16:39"),
        ("Thursday, December 16, 2021", "2021-12-16"),
        ("Thu, 16 Dec 2021 04:39:32 GMT", "2021-12-16T04:39:32"),
        ("Thu, 16 Dec 2021 04:39:32 +0530", "2021-12-15T23:09:32"),
        ("12/16/2021 04:39:32 +05:30", "2021-12-15T23:09:32"),
        ("12/16/2021 4:39:32 AM UTC", "2021-12-16T04:39:32"),
        # Either a month or a day may come first; the service took the month.
        ("03/04/2021", "2021-03-04"),
    ],
)
def test_a_date_is_read(text: str, read: str) -> None:
    assert read_dates([text])[0] == pd.Timestamp(read, tz="UTC")


@pytest.mark.parametrize(
    "text",
    [
        *("now", "today", " now ", "monday", "Dec 2021", "10:30", "5", "1639629572", "", "nan"),
        # Of two digits any may be the year; a zone by its name may be several.
        *("12/16/21", "12/16/2021 04:39 EST", "12/16/2021 16:39 PM", "12/16/2021 24:00"),
        *(
            "13/13/2021",
            "12/32/2021",
            "0/0/0000",
            "2021年13月16日",
            "2021年12月",
            "12/16/1500",
            "12/16/9999",
            "16 Dez 2021",
        ),
    ],
)
def test_what_is_no_date_or_may_be_several_is_refused(text: str) -> None:
    with pytest.raises(UnreadableDateError):
        read_dates([text])
    with pytest.raises(UnreadableDateError) as caught:
        read_dates(["12/16/2021", text])
    assert caught.value.place == 1


@pytest.mark.parametrize(
    ("texts", "days"),
    [
        (["03/04/2021", "12/04/2021"], ["03-04", "12-04"]),
        (["03/04/2021", "12/04/2021", "13/04/2021"], ["04-03", "04-12", "04-13"]),
        (["03/04/2021", "03/05/2021", "03/13/2021"], ["03-04", "03-05", "03-13"]),
        # May is short for itself.
        (["16 May 2021", "16 Jun 2021"], ["05-16", "06-16"]),
        (["16 May 2021", "16 June 2021"], ["05-16", "06-16"]),
    ],
)
def test_all_dates_are_in_one_notation(texts: list[str], days: list[str]) -> None:
    assert [each.strftime("%m-%d") for each in read_dates(texts)] == days


@pytest.mark.parametrize(
    ("texts", "place"),
    [
        (["12/16/2021", "16/12/2021"], 1),
        (["16/12/2021", "01/02/2021", "12/16/2021"], 2),
        (["03/04/2021", "13/04/2021", "04/14/2021"], 2),
        (["12/16/2021", "2021-12-17T00:00:00Z"], 1),
        (["12/16/2021 4:39 AM", "12/16/2021 5:39"], 1),
    ],
)
def test_dates_that_contradict_each_other_are_refused(texts: list[str], place: int) -> None:
    with pytest.raises(UnreadableDateError) as caught:
        read_dates(texts)
    assert caught.value.place == place


def every(seconds: int, notation: str, count: int = 40) -> list[str]:
    times = pd.date_range("2021-12-16 04:39:32", periods=count, freq=f"{seconds}s")
    return [time.strftime(notation) for time in times]


def series(timestamps: list[Any], **options: Any) -> Series:
    points = [{"timestamp": each, "value": float(at % 7)} for at, each in enumerate(timestamps)]
    return Series.from_request({"series": points, **options})


def test_a_series_with_the_dates_of_a_program_that_writes_them_for_people() -> None:
    # So one of the service's own regression tests wrote them, with a blank behind each.
    odd = series(every(4911, "%m/%d/%Y %I:%M:%S %p "), granularity="secondly", customInterval=4911)
    usual = series(every(4911, "%Y-%m-%dT%H:%M:%SZ"), granularity="secondly", customInterval=4911)
    assert odd.index.tolist() == usual.index.tolist() == list(range(40))
    assert odd.times()[0] == pd.Timestamp("2021-12-16 04:39:32")


def test_a_contradiction_in_a_series_is_refused_with_its_index() -> None:
    days = [*every(86400, "%m/%d/%Y", 15), "31/12/2021"]
    with pytest.raises(DetectionError, match="index 15 is '31/12/2021', and must be") as caught:
        series(days, granularity="daily")
    assert caught.value.code == "BadArgument"


def test_the_first_timestamp_says_whether_all_are_in_iso_8601() -> None:
    mixed = [*every(86400, "%Y-%m-%d", 14), "12/30/2021"]
    with pytest.raises(DetectionError, match="index 14 is '12/30/2021'"):
        series(mixed, granularity="daily")
    with pytest.raises(DetectionError, match="index 1 is 7"):
        read_timestamps(["12/16/2021", 7])


def test_months_are_counted_by_the_clock_that_wrote_the_dates() -> None:
    months = [f"{month}/1/2021 12:00:00 AM +05:30" for month in range(1, 13)]
    assert series(months, granularity="monthly").index.tolist() == list(range(12))
