"""What the documentation says exists, and what exists is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def test_every_command_of_the_makefile_is_in_the_readme() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert "demo" in targets
    assert not [target for target in targets if f"`make {target}`" not in README]


def test_every_command_of_the_readme_is_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    commands = set(re.findall(r"`make ([a-z-]+)`", README))
    assert not [name for name in commands if not re.search(rf"^{name}:", makefile, re.MULTILINE)]


PAGES = [
    *sorted(ROOT.glob("README*.md")),
    ROOT / "CONTRIBUTING.md",
    *sorted(ROOT.glob("docs/*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    assert not [
        link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()
    ]


def test_every_file_that_the_architecture_names_is_there() -> None:
    package = ROOT / "app" / "detector"
    page = (ROOT / "docs" / "architecture.md").read_text().split("## Where is it?")[1]
    table, _ = page.split("## Around the package")
    named = re.findall(r"`(\w[\w/]*\.py)`", table)
    assert len(named) > 15
    network = package / "multivariate" / "network"
    assert not [name for name in named if not any((f / name).exists() for f in (package, network))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_within_the_project_is_there(page: Path) -> None:
    folders = "app|backup|caddy|docs|mlflow|prometheus|scripts|tests|.ci"
    paths = re.findall(rf"`((?:{folders})/[\w./-]*)`", page.read_text())
    assert not [path for path in paths if not (ROOT / path).exists()]
