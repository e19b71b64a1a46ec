"""Every text of the walk-throughs has its Japanese, and who asks for it gets it."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from string import Formatter
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from walkthroughs import APP

import words

FILES = ("test.py", "multivariate.py", "fleet.py", "walkthrough.py")
TREES = {name: ast.parse((APP / name).read_text()) for name in FILES}


def is_call(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def outside_translations(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a node has, but for what ``_`` is called with."""
    for child in ast.iter_child_nodes(node):
        if not is_call(child, "_"):
            yield child
            yield from outside_translations(child)


@pytest.mark.parametrize("name", FILES)
def test_every_text_that_is_translated_has_its_japanese(name: str) -> None:
    calls: list[Any] = [node for node in ast.walk(TREES[name]) if is_call(node, "_")]
    texts = [call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)]
    assert texts
    assert [text for text in texts if text not in words.JAPANESE] == []


@pytest.mark.parametrize("name", FILES)
def test_every_text_that_is_printed_is_translated(name: str) -> None:
    printed = [node for node in ast.walk(TREES[name]) if is_call(node, "print")]
    found = [each for call in printed for each in outside_translations(call)]
    values = [each.value for each in found if isinstance(each, ast.Constant)]
    texts = [value for value in values if isinstance(value, str)]
    assert [text for text in texts if any(map(str.isalpha, text))] == []


def test_every_japanese_text_is_of_one_that_is_there() -> None:
    nodes = [node for tree in TREES.values() for node in ast.walk(tree)]
    there = {node.value for node in nodes if isinstance(node, ast.Constant)}
    assert set(words.JAPANESE) - there == set()


@pytest.mark.parametrize("english", words.JAPANESE)
def test_a_text_and_its_japanese_have_the_same_fields(english: str) -> None:
    def fields(text: str) -> list[tuple[Any, ...]]:
        return sorted(part[1:] for part in Formatter().parse(text) if part[1] is not None)

    assert fields(words.JAPANESE[english]) == fields(english)
    assert not words.JAPANESE[english].isascii()


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "ja"}, "ja"),
        ({"LANG": "ja_JP"}, "ja"),
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "ja_JP.eucJP@x"}, "ja"),
        ({"LANG": "jam"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "ja_JP"}, "ja"),
        ({"LC_MESSAGES": "en_US", "LC_ALL": "ja_JP.UTF-8"}, "ja"),
        ({"LC_ALL": "C", "LANG": "ja_JP"}, "en"),
        ({"LC_ALL": "", "LANG": "ja_JP"}, "ja"),
        ({"LANGUAGE": "ja", "LC_ALL": "en_US.UTF-8"}, "ja"),
        ({"LANGUAGE": "fr:ja:en"}, "ja"),
        ({"LANGUAGE": "en:ja", "LANG": "ja_JP"}, "en"),
        ({"LANGUAGE": "fr", "LANG": "ja_JP"}, "en"),
    ],
)
def test_the_language_is_chosen_as_gettext_chooses(
    environment: dict[str, str], language: str
) -> None:
    assert words.language(environment) == language


@pytest.mark.parametrize(
    ("encoding", "can"),
    [("utf-8", True), ("euc_jp", True), ("cp932", True), ("ascii", False), ("latin-1", False)],
)
def test_japanese_is_for_outputs_that_can_show_it(encoding: str, can: bool) -> None:
    assert words.can_show(encoding) is can


@pytest.fixture
def japanese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_catalogue", lambda: words.JAPANESE)


def script(name: str) -> ModuleType:
    """Load a walk-through, whose names the tests' folders and Python itself have too."""
    spec = importlib.util.spec_from_file_location(f"walk_through_{name}", APP / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look for their module there.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def ends(line: str, mark: str) -> int:
    """Return the column of the terminal in which a part of a line ends."""
    return words.width(line[: line.index(mark) + len(mark)])


@pytest.mark.usefixtures("japanese")
def test_the_columns_of_points_stand_under_their_names() -> None:
    point = {"timestamp": pd.Timestamp("2026-01-01"), "value": 11.0, "expected_value": 22.0}
    point |= {"lower_margin": 2.0, "upper_margin": 3.0, "period": 7, "is_anomaly": True}
    head, row = (
        script("test").readable(pd.DataFrame([point | {"is_negative_anomaly": True}])).split("\n")
    )
    marks = {"値": " 11", "期待値": " 22", "下限": " 20", "上限": " 25", "周期": " 7"}
    assert [ends(head, name) for name in marks] == [ends(row, value) for value in marks.values()]
    assert row.endswith("  <- 異常（低い）")


@pytest.mark.usefixtures("japanese")
def test_the_columns_of_rows_stand_under_their_names() -> None:
    row = {"timestamp": pd.Timestamp("2026-01-01 10:00"), "severity": 0.34, "is_anomaly": True}
    head, line = (
        script("multivariate")
        .readable(pd.DataFrame([row | {"contributors": {"圧力": 0.5}}]))
        .split("\n")
    )
    assert ends(head, "重大度") == ends(line, "0.34")
    assert (
        ends(head, "  ")
        < words.width(head.partition("寄与")[0])
        == words.width(line.partition("圧力")[0])
    )


@pytest.mark.usefixtures("japanese")
def test_the_columns_of_series_stand_under_their_names() -> None:
    pytest.importorskip("pyspark")
    worst = pd.DataFrame({"店": ["東京", "a"], "points": 30, "anomalies": 1, "severity": 0.5})
    lines = script("fleet").readable(worst, ["店"]).split("\n")
    assert len({words.width(line) for line in lines}) == 1
    assert lines[0].split() == ["店", "点数", "異常", "重大度"]
