"""The documentation names every setting, route, code and metric."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from detector.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "api.md").read_text()
# Uploads have a page of their own.
ALL = TEXT + (ROOT / "docs" / "data-sources.md").read_text()


def written(default: Any) -> str:
    """Return a default as it would be set."""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, tuple):
        return ", ".join(f"`{each}`" for each in default)
    return f"`{default}`" if default else ""


def test_every_setting_is_in_the_docs_with_its_default() -> None:
    for name, field in Settings.model_fields.items():
        row = re.search(rf"^\| `{field.validation_alias}` \| (.*?) ?\|", ALL, re.MULTILINE)
        assert row, name
        assert row[1] == written(field.default), name


def test_every_route_is_in_the_docs(service: Any) -> None:
    for path, methods in service.call("/openapi.json").json["paths"].items():
        for method in methods:
            assert f"`{method.upper()} {path}`" in ALL


def test_every_code_is_in_the_docs() -> None:
    package = ROOT / "app" / "detector"
    names = (
        "series univariate multivariate runs jobs work api/multivariate api/multivariate_request"
    )
    sources = [package / f"{name}.py" for name in names.split()]
    sources += (package / "datasource").glob("*.py")
    made = "".join(source.read_text() for source in sources)
    codes = set(re.findall(r'DetectionError\(\s*"([A-Z]\w+)"', made))
    codes |= set(re.findall(r'"((?:Invalid|Required|Missing|Bad)[A-Z]\w+)"', made))
    # The version of the API decides on the boundary; no request can ask for another.
    assert len(codes) > 30
    for code in codes - {"InvalidBoundaryVersion"}:
        assert f"`{code}`" in ALL, code
    errors = (package / "api" / "errors.py").read_text()
    for status in re.findall(r"^    (\d{3}):", errors, re.MULTILINE):
        assert f"\n| {status} |" in TEXT


def test_every_metric_is_in_the_docs(service: Any) -> None:
    text = service.call("/metrics").content.decode()
    for name in re.findall(r"^# TYPE (\w+)", text, re.MULTILINE):
        assert f"`{name}`" in TEXT
