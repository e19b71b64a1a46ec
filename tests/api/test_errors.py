"""Refusals: their shapes, and the one table of their codes."""

from __future__ import annotations

import re
import weakref
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from fastapi import FastAPI, Request

from detector.api.errors import CODES, GATEWAY_CODES, SECTIONS, add_handlers, refusal
from detector.errors import DetectionError

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "app" / "detector"
ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"


@pytest.mark.parametrize(
    ("path", "method", "status", "text"),
    [
        ("/nowhere", "GET", 404, "there is no /nowhere"),
        ("/anomalydetector/v1.1/timeseries/first/detect", "POST", 404, "entire/detect"),
        ("/anomalydetector/v9/timeseries/entire/detect", "POST", 404, "v1.1-preview.1"),
        (ENTIRE, "GET", 405, "GET is not allowed"),
        (ENTIRE, "PUT", 405, "PUT is not allowed"),
    ],
)
def test_the_gateway_refuses_with_a_nested_body(
    service: Any, path: str, method: str, status: int, text: str
) -> None:
    answer = service.call(path, b"{}", method=method)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["x-ms-error-code"] == str(status)
    assert answer.json["error"]["code"] == str(status)
    assert text in answer.json["error"]["message"]


def test_a_host_that_is_none_is_answered(service: Any) -> None:
    assert service.call("/nowhere", headers={"Host": "["}).status == 403


def quoted() -> set[str]:
    """Return what stands in quotation marks anywhere in the package but in the table of codes."""
    table = PACKAGE / "api" / "errors.py"
    sources = [path for path in PACKAGE.rglob("*.py") if path != table]
    return set(re.findall(r'"([A-Z]\w+)"', "".join(path.read_text() for path in sources)))


def test_every_code_that_is_raised_is_in_the_table() -> None:
    source = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    raised = set(re.findall(r'DetectionError\(\s*"(\w+)"', source))
    # Others are handed to what raises them.
    raised |= {name for name in quoted() if re.match("(Invalid|Required|Missing)[A-Z]", name)}
    assert len(raised) > 40
    assert raised <= set(CODES)


def test_every_code_of_the_table_is_raised_somewhere() -> None:
    assert set(CODES) <= quoted()
    assert sum(map(len, SECTIONS.values())) == len(CODES)


def documented(title: str) -> list[str]:
    """Return the rows of the table below a heading of the documentation."""
    text = (ROOT / "docs" / "api.md").read_text()
    (section,) = re.findall(rf"^### {title}\n(.*?)(?=^##)", text, re.MULTILINE | re.DOTALL)
    rows: list[str] = re.findall(r"^\|.*\|$", section, re.MULTILINE)
    return rows[2:]


@pytest.mark.parametrize("title", SECTIONS)
def test_the_documented_codes_are_those_of_the_table(title: str) -> None:
    rows = []
    for code, error in SECTIONS[title].items():
        status = "" if error.status is None else f"{error.status} "
        if error.dataset_status is not None:
            status = f"{error.status}, below `/datasets` {error.dataset_status} "
        rows.append(f"| `{code}` | {status}| {error.meaning} |")
    assert documented(title) == rows


def test_the_documented_statuses_of_the_gateway_are_those_of_the_table() -> None:
    rows = [f"| {status} | {meaning} |" for status, meaning in GATEWAY_CODES.items()]
    assert documented("The gateway") == rows


@pytest.mark.parametrize(
    ("code", "status", "of_dataset"),
    [
        ("InvalidSeries", 400, 400),
        ("ModelNotExist", 404, 404),
        ("FileNotExist", 400, 404),
        ("InvalidFileSize", 413, 413),
        ("StorageWriteError", 503, 503),
        ("UnexpectedError", 400, 400),
        ("CodeOfAnotherModel", 400, 400),
    ],
)
def test_a_refusal_has_the_status_of_its_code(code: str, status: int, of_dataset: int) -> None:
    error = DetectionError(code, "The value is wrong.")
    assert refusal(error).status_code == status
    assert refusal(error, of_dataset=True).status_code == of_dataset
    assert refusal(error).headers["x-ms-error-code"] == code


def test_what_was_read_of_a_refused_body_is_let_go() -> None:
    class Content:
        pass

    held: list[weakref.ref[Content]] = []

    def refuse() -> None:
        content = Content()
        held.append(weakref.ref(content))
        try:
            raise ValueError("wrong")
        except ValueError:
            raise DetectionError("BadArgument", "The content is wrong.") from None

    app = FastAPI()
    add_handlers(app)
    with pytest.raises(DetectionError) as raised:
        refuse()
    request = Request({"type": "http", "headers": [], "state": {}})
    assert held[0]() is not None
    answer = anyio.run(cast(Any, app.exception_handlers[DetectionError]), request, raised.value)
    assert answer.status_code == 400
    assert held[0]() is None
