"""JSON: records, columns, pairs, whole requests, and lines of objects."""

import json
from collections.abc import Mapping
from typing import Any

import orjson

from detector.errors import DetectionError, shown
from detector.files.content import Content
from detector.files.grid import MOST_COLUMNS
from detector.files.table import Table

__all__ = ["is_json", "read_json"]

_FORMS = (
    "a list of points, an object of columns, or a request with its series, such as "
    '[{"timestamp": "2021-12-31", "value": 1.5}]'
)
_PAIR = 2


def is_json(content: Content, text: str) -> bool:
    """Say whether a text is JSON; a table of columns starts with no bracket."""
    return text.lstrip()[:1] in ("[", "{") or content.suffix in (".json", ".jsonl", ".ndjson")


def read_json(content: Content, text: str) -> Table:
    """Read points in any of the forms that programs write them in.

    Raises
    ------
    FileError
        If it is no JSON, or none of these forms.
    DetectionError
        ``RequiredSeries`` for a request without one.
    """
    text = text.lstrip("\ufeff \t\r\n")
    try:
        return _table(content, _parsed(text))
    except ValueError as error:
        if isinstance(error, DetectionError):
            raise
        lines = [(at, line) for at, line in enumerate(text.splitlines(), 1) if line.strip()]
        if len(lines) > 1 and lines[0][1].strip()[-1:] in "}]":
            return _of_lines(content, lines)
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        why = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise content.problem(f"is no JSON{where}: {why}. It must be {_FORMS}.") from None


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        # It knows NaN, which Python and pandas write.
        read = json.loads(text)
        orjson.dumps(read)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except TypeError:
        # What cannot be answered with is not read.
        raise ValueError("an integer, or half of a character, is out of range") from None
    return read


def _of_lines(content: Content, lines: list[tuple[int, str]]) -> Table:
    points = []
    for number, line in lines:
        try:
            points.append(_parsed(line))
        except ValueError:
            raise content.problem(
                f"is no JSON, line {number}: each line must be one object, such as "
                '{"timestamp": "2021-12-31", "value": 1.5}.'
            ) from None
    table = _of_points(content, points)
    table.place = lambda row: f"line {lines[row][0]}"
    return table


def _table(content: Content, body: Any) -> Table:
    if isinstance(body, Mapping):
        return _of_object(content, body)
    if isinstance(body, list):
        return _of_points(content, body)
    raise content.problem(f"holds {shown(body)}, and must be {_FORMS}.")


def _of_object(content: Content, body: Mapping[str, Any]) -> Table:
    names = {name.lower(): name for name in body}
    if "series" in names:
        series = body[names["series"]]
        if not isinstance(series, list):
            raise content.problem(f"has a 'series' that is no list: it must be {_FORMS}.")
        table = _of_points(content, series)
        table.options = {name: each for name, each in body.items() if name.lower() != "series"}
        return table
    # As pandas writes it with orient="split".
    if isinstance(body.get("columns"), list) and isinstance(body.get("data"), list):
        table = _of_points(content, body["data"], [str(name) for name in body["columns"]])
        index = body.get("index")
        if isinstance(index, list) and len(index) == len(table):
            return _joined(content, "index", index, table)
        return table
    values = list(body.values())
    lists = [each for each in values if isinstance(each, list) and each]
    if len(lists) == 1 and isinstance(lists[0][0], Mapping):
        # The answer of a program, with its points under some name.
        return _of_points(content, lists[0])
    if values and all(isinstance(each, list) for each in values):
        if len({len(each) for each in values}) > 1:
            raise content.problem("has columns of different lengths.")
        return _checked(content, list(map(str, body)), values)
    if values and all(isinstance(each, Mapping) for each in values):
        return _of_nested(content, body)
    if len(values) > _PAIR and not any(isinstance(each, list | Mapping) for each in values):
        return _checked(content, ["timestamp", "value"], [list(body), values])
    raise DetectionError(
        "RequiredSeries",
        f"{content.name} has no 'series', which a request must have: it must be {_FORMS}.",
    )


def _of_nested(content: Content, body: Mapping[str, Any]) -> Table:
    """Read objects of columns, each an object of rows, as pandas writes them by default."""
    rows = list(dict.fromkeys(row for column in body.values() for row in column))
    content.check_cells(len(rows), len(body))
    columns = [[column.get(row) for row in rows] for column in body.values()]
    table = _checked(content, list(map(str, body)), columns)
    if all(row.isdigit() for row in rows) and rows[:1] == ["0"]:
        return table
    return _joined(content, "index", rows, table)


def _joined(content: Content, name: str, cells: list[Any], table: Table) -> Table:
    while name in table.names:
        name = f"{name} of rows"
    return _checked(content, [name, *table.names], [cells, *table.columns])


def _of_points(content: Content, points: list[Any], names: list[str] | None = None) -> Table:
    if not points:
        raise content.problem("has no points.")
    kinds = set(map(type, points))
    if kinds == {dict}:
        found = list(dict.fromkeys(name for point in points for name in point))
        content.check_cells(len(points), len(found))
        columns: list[Any] = [[point.get(name) for point in points] for name in found]
        return _checked(content, found, columns)
    if kinds == {list}:
        width = max(map(len, points))
        content.check_cells(len(points), width)
        given = names or (["timestamp", "value"] if width == _PAIR else [])
        if len(given) != width:
            given = [f"column {number}" for number in range(1, width + 1)]
        even = [[*point, *[None] * (width - len(point))] for point in points]
        return _checked(content, given, list(zip(*even, strict=True)))
    if not kinds & {dict, list}:
        return _checked(content, ["value"], [points])
    wrong = next(at for at, point in enumerate(points) if type(point) is not type(points[0]))
    raise content.problem(
        f"has points of several forms: the one at index {wrong} is {shown(points[wrong])}."
    )


def _checked(content: Content, names: list[str], columns: list[Any]) -> Table:
    if not columns or not len(columns[0]):
        raise content.problem("has no points.")
    if len(columns) > MOST_COLUMNS:
        raise content.problem(f"has {len(columns)} columns, and at most {MOST_COLUMNS} are read.")
    columns = [
        [shown(cell) if isinstance(cell, dict | list) else cell for cell in column]
        if any(isinstance(cell, dict | list) for cell in column)
        else column
        for column in columns
    ]
    return Table(content, names, columns, lambda row: f"index {row}")
