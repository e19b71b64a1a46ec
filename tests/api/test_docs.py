"""The documentation names every setting, route and metric."""

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


def test_every_metric_is_in_the_docs(service: Any) -> None:
    text = service.call("/metrics").content.decode()
    for name in re.findall(r"^# TYPE (\w+)", text, re.MULTILINE):
        assert f"`{name}`" in TEXT
