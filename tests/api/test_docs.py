"""The documentation names every setting, route, code and metric."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from detector.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "api.md").read_text()


def test_every_setting_is_in_the_docs_with_its_default() -> None:
    for name, field in Settings.model_fields.items():
        row = re.search(rf"^\| `{field.validation_alias}` \| (.*?) ?\|", TEXT, re.MULTILINE)
        assert row, name
        default = f"`{field.default}`" if field.default else ""
        assert row[1] == default, name


def test_every_route_is_in_the_docs(service: Any) -> None:
    for path, methods in service.call("/openapi.json").json["paths"].items():
        for method in methods:
            assert f"`{method.upper()} {path}`" in TEXT


def test_every_code_is_in_the_docs() -> None:
    sources = [ROOT / "app" / "detector" / "series.py", ROOT / "app" / "detector" / "univariate.py"]
    made = "".join(source.read_text() for source in sources)
    codes = set(re.findall(r'"((?:Invalid|Required|Missing|Bad)[A-Z]\w+)"', made))
    # The version of the API decides on the boundary; no request can ask for another.
    assert len(codes) > 12
    for code in codes - {"InvalidBoundaryVersion"}:
        assert f"`{code}`" in TEXT
    errors = (ROOT / "app" / "detector" / "api" / "errors.py").read_text()
    for status in re.findall(r"^    (\d{3}):", errors, re.MULTILINE):
        assert f"\n| {status} |" in TEXT


def test_every_metric_is_in_the_docs(service: Any) -> None:
    text = service.call("/metrics").content.decode()
    for name in re.findall(r"^# TYPE (\w+)", text, re.MULTILINE):
        assert f"`{name}`" in TEXT
