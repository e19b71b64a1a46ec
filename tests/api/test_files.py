"""``/files/read``: what the page asks for when a file is dropped on it."""

from __future__ import annotations

import gzip
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from files.workbooks import xlsx
from services import KEYS

ROUTE = "/files/read"
TABLE = "Date;Sales;Costs;Shop\n" + "".join(
    f"{day}/12/2021;{day},5;{2 * day};north\n" for day in (16, 17, 18, 21)
)


def read(service: Any, content: bytes | str, **query: Any) -> Any:
    asked = urlencode({"name": "sales.csv", **query}, doseq=True)
    body = content.encode() if isinstance(content, str) else content
    return service.call(f"{ROUTE}?{asked}", body, method="POST")


def test_what_is_understood_of_a_file_is_answered(service: Any) -> None:
    answer = read(service, TABLE, value="Sales")
    assert answer.status == 200
    assert answer.json == {
        "description": "4 daily points from 'Date' and 'Sales', day first, 2 gaps, decimal comma",
        "columns": [
            {"name": "Date", "kind": "dates"},
            {"name": "Sales", "kind": "numbers"},
            {"name": "Costs", "kind": "numbers"},
            {"name": "Shop", "kind": "text"},
        ],
        "timestamp": "Date",
        "values": {"Sales": [16.5, 17.5, 18.5, 21.5]},
        "value": "Sales",
        "timestamps": [f"2021-12-{day}T00:00:00Z" for day in (16, 17, 18, 21)],
        "granularity": "daily",
        "customInterval": 1,
        "dayFirst": True,
        "notation": "31/12/2021",
        "points": 4,
        "gaps": 2,
        "duplicates": 0,
        "sorted": True,
        "options": {},
        "notes": ["decimal comma"],
    }


def test_times_keep_the_offset_that_they_have(service: Any) -> None:
    times = [f"2021-12-{day}T09:30:00+09:00" for day in (16, 17, 18)]
    table = "".join(f"{time},{place}\n" for place, time in enumerate(times))
    assert read(service, f"time,value\n{table}").json["timestamps"] == times


def test_a_column_must_be_chosen_from_those_that_there_are(service: Any) -> None:
    answer = read(service, TABLE)
    assert answer.status == 400
    assert answer.headers["x-ms-error-code"] == "BadArgument"
    error = answer.json["error"]
    assert error["code"] == "BadArgument"
    assert error["message"].startswith("'sales.csv' has several columns of numbers")
    assert [column["name"] for column in error["columns"]] == ["Date", "Sales", "Costs", "Shop"]
    assert error["choose"] == "value"


def test_all_columns_of_numbers_may_be_asked_for(service: Any) -> None:
    answer = read(service, TABLE.replace("17,5", ""), value="*")
    assert answer.json["values"] == {"Sales": [16.5, None, 18.5, 21.5], "Costs": [32, 34, 36, 42]}
    named = read(service, TABLE, value=["Costs", "Sales"])
    assert list(named.json["values"]) == ["Costs", "Sales"]


def test_day_and_month_must_be_told_apart(service: Any) -> None:
    table = "date,v\n" + "".join(f"0{day}/02/2021,{day}\n" for day in range(1, 8))
    answer = read(service, table)
    assert answer.status == 400
    assert answer.json["error"]["readings"] == [
        {"dayFirst": False, "example": "2 January 2021"},
        {"dayFirst": True, "example": "1 February 2021"},
    ]
    for first, granularity in (("true", "daily"), ("false", "monthly")):
        assert read(service, table, dayFirst=first).json["granularity"] == granularity
    assert (
        "'dayFirst' must be true or false"
        in read(service, table, dayFirst="x").json["error"]["message"]
    )


def test_a_sheet_may_be_named(service: Any) -> None:
    rows = [("day", "v"), ("2021-01-01", 1), ("2021-01-02", 2), ("2021-01-03", 3)]
    book = xlsx({"North": rows, "South": [*rows, ("2021-01-04", 4)]})
    assert read(service, book).json["error"]["sheets"] == ["North", "South"]
    assert read(service, book, sheet="South").json["points"] == 4


def test_a_request_brings_its_options(service: Any, weeks: dict[str, Any]) -> None:
    answer = read(service, json.dumps({**weeks, "sensitivity": 80}))
    assert answer.json["options"] == {"granularity": "daily", "sensitivity": 80}


def test_what_was_read_can_be_sent_for_detection(service: Any, weeks: dict[str, Any]) -> None:
    lines = [
        f"{each['timestamp'][8:10]}.{each['timestamp'][5:7]}.2024\t{each['value']}"
        for each in weeks["series"]
    ]
    found = read(service, "\n".join(lines)).json
    [values] = found["values"].values()
    points = zip(found["timestamps"], values, strict=True)
    body = {
        "series": [{"timestamp": time, "value": value} for time, value in points],
        "granularity": found["granularity"],
    }
    assert body == weeks
    answer = service.call("/anomalydetector/v1.1/timeseries/entire/detect", body)
    assert answer.json["isAnomaly"].count(True) == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"\x89PNG\r\n", b"a,b\n", b"{", bytes(100), "<script>alert(1)</script>".encode("utf-16")],
    ids=range(6),
)
def test_what_is_no_series_gets_one_sentence(service: Any, content: bytes) -> None:
    answer = read(service, content)
    assert answer.status == 400
    assert answer.json["error"]["message"].startswith("'sales.csv' ")
    assert answer.json["error"]["message"].endswith(".")


def test_what_unpacks_to_much_more_is_refused(service: Any) -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    assert len(bomb) < 100_000
    answer = read(service, bomb)
    assert answer.status == 400
    assert "unpacked, the most that is read" in answer.json["error"]["message"]


def test_old_excel_is_for_those_who_are_trusted(service: Any) -> None:
    answer = read(service, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000))
    assert "save it as .xlsx" in answer.json["error"]["message"]


def test_it_needs_a_key_and_keeps_to_the_limits(guarded: Any) -> None:
    body = TABLE.encode()
    assert guarded.call(ROUTE, body, method="POST", headers={}).status == 401
    header = {"Ocp-Apim-Subscription-Key": KEYS[0]}
    assert guarded.call(f"{ROUTE}?value=Sales", body, method="POST", headers=header).status == 200
    large = guarded.call(ROUTE, bytes(100_001), method="POST", headers=header)
    assert large.status == 413


def test_it_is_described_with_an_example(service: Any) -> None:
    operation = service.call("/openapi.json").json["paths"][ROUTE]["post"]
    example = operation["requestBody"]["content"]["text/csv"]["example"]
    assert read(service, example).status == 200
    assert {"200", "400", "401", "413", "429"} <= operation["responses"].keys()
