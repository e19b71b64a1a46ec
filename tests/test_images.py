"""``make images``, and the page about images: each that is pulled is described as it is pinned."""

from __future__ import annotations

import re
import subprocess

import pytest
from compose import ROOT


def images(command: str, given: str = "") -> str:
    """Run functions of the script."""
    done = subprocess.run(
        ["bash", "-c", f"source scripts/images; {command}"],
        cwd=ROOT,
        input=given,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("tag", "others", "newer"),
    [
        ("9.7", "8.4 9.6 9.7 9.7.2 9.10 26.7 latest lts 9.8-oracle", "26.7 9.10"),
        (
            "RELEASE.2026-09-16T00-00-00Z",
            "RELEASE.2026-08-01T00-00-00Z RELEASE.2026-10-02T01-00-00Z "
            "RELEASE.2026-10-02T01-00-00Z-distroless latest",
            "RELEASE.2026-10-02T01-00-00Z",
        ),
        (
            "3.12-slim-bookworm",
            "3.11-slim-bookworm 3.13-slim-bookworm 3.13-slim 3.14-slim-trixie",
            "3.13-slim-bookworm",
        ),
        ("v3.13.2", "v3.13.2 v3.13.10 v3.14.0-rc.0 v3.9.9 main", "v3.13.10"),
        ("v3.13.2", "", ""),
    ],
)
def test_newer_tags_are_of_the_same_form_and_the_newest_comes_first(
    tag: str, others: str, newer: str
) -> None:
    assert images(f"newer {tag}", others.replace(" ", "\n") + "\n").split() == newer.split()


def test_names_are_read_from_the_answer_of_a_registry() -> None:
    answer = '{"results":[{"name":"9.7","digest":"sha256:1"},{"name": "9.8","last_name":"no"}]}'
    assert images("values name", answer).split() == ["9.7", "9.8"]


def test_where_no_registry_answers_one_line_says_so_and_the_rest_is_told() -> None:
    # Nothing listens on this port.
    printed = images("HUB=http://127.0.0.1:9; main")
    assert printed.count("Docker Hub does not answer") == 1
    assert "mysql:9.7\n  pinned  " in printed
    assert re.search(r"pgsty/silo:RELEASE\S+\n  pinned  sha256:[0-9a-f]{64}\n  here    ", printed)


def test_every_image_that_is_pulled_is_described_with_its_tag_and_digest() -> None:
    page = (ROOT / "docs" / "images.md").read_text()
    rows = [[cell.strip(" `") for cell in row.split("|")] for row in page.splitlines()]
    described = {(row[1], row[2]): row[3] for row in rows if len(row) == 9}
    pulled = images("pulled").split()
    assert len(pulled) >= 3
    for image in pulled:
        name, _, digest = image.partition("@")
        name, _, tag = name.rpartition(":")
        # A machine where no registry answers has another Python.
        tag = re.sub(r"^3\.11(?=-slim)", "3.12", tag)
        assert described[name, tag] == (digest or "not known here"), image
