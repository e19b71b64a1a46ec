"""The log: what is said again and again is counted."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from detector.log import JsonLines, Once


@pytest.fixture
def log() -> Iterator[tuple[Once, Any]]:
    """Return a handler, and what returns the lines that it has written."""
    stream = io.StringIO()
    handler = Once(stream)
    handler.setFormatter(JsonLines())

    def lines() -> list[tuple[str, int | None]]:
        written = map(json.loads, stream.getvalue().splitlines())
        return [(line["message"], line.get("repeats")) for line in written]

    yield handler, lines
    handler.close()


def record(message: str, second: float, level: int = logging.WARNING, **extra: Any) -> Any:
    made = logging.LogRecord("some", level, "file", 1, message, None, None)
    made.created = second
    vars(made).update(extra)
    return made


def test_a_warning_is_written_once_and_then_counted(log: Any) -> None:
    handler, lines = log
    for second in range(10):
        handler.handle(record("no more files", second))
    assert lines() == [("no more files", None)]
    # Whatever is said next says also how often it came again.
    handler.handle(record("something else", 10.5))
    assert lines() == [("no more files", None), ("no more files", 9), ("something else", None)]
    handler.handle(record("no more files", 11))
    assert lines()[-1] == ("no more files", None)


def test_what_was_counted_is_written_at_the_end(log: Any) -> None:
    handler, lines = log
    for _ in range(3):
        handler.handle(record("no more files", 0))
    handler.close()
    assert lines() == [("no more files", None), ("no more files", 2)]


def test_what_differs_is_written(log: Any) -> None:
    handler, lines = log
    handler.handle(record("model not loaded", 0, model="a"))
    handler.handle(record("model not loaded", 0, model="b"))
    handler.handle(record("model not loaded", 0, logging.ERROR, model="b"))
    for error in (OSError(1), OSError(2)):
        handler.handle(record("model not loaded", 0, exc_info=(OSError, error, None)))
    assert len(lines()) == 5


def test_what_is_no_warning_is_always_written(log: Any) -> None:
    handler, lines = log
    for _ in range(3):
        handler.handle(record("request", 0, logging.INFO))
    assert len(lines()) == 3


def test_of_very_many_warnings_few_are_remembered(log: Any) -> None:
    handler, lines = log
    for place in range(5000):
        handler.handle(record(f"warning {place}", 0))
    assert len(lines()) == 5000
    assert len(handler._written) <= 1000
