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


def test_the_example_settings_are_those_of_the_compose_files() -> None:
    files = [ROOT / "docker-compose.yml", *ROOT.glob("minio/*.yml")]
    used = {name for file in files for name in re.findall(r"\$\{([A-Z_]+)", file.read_text())}
    example = (ROOT / ".env.example").read_text()
    documented = set(re.findall(r"^#?([A-Z_]+)=", example, flags=re.MULTILINE))
    # Read by the docker compose command itself.
    assert documented - {"COMPOSE_FILE"} == used


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *ROOT.glob("docs/*.md")], ids=lambda p: p.name
)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    assert not [
        link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()
    ]


def test_every_direct_requirement_is_pinned_exactly_and_locked_the_same() -> None:
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    for file in (
        "requirements.txt",
        "requirements-dev.txt",
        "mlflow/requirements.txt",
        "minio/requirements.txt",
    ):
        for line in (ROOT / file).read_text().splitlines():
            if line and not line.startswith(("#", "-")):
                assert re.fullmatch(r"[\w-]+==[\w.]+", line), line
                assert any(locked.split(" ;")[0] == line for locked in lock), f"{line} of {file}"
