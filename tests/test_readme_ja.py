"""README.ja.md says what README.md says: the same commands, paths, links and figures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from string import Formatter
from typing import Any

import pytest

import words

ROOT = Path(__file__).parents[1]
OTHER = {"README.md": "README.ja.md", "README.ja.md": "README.md"}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"(!?)\[[^\]]*\]\(([^)]+)\)|<(https?:[^>]+)>")


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it, up to the next one."""

    level: int
    heading: str
    blocks: list[tuple[str, str]]
    text: str


def sections(name: str) -> list[Section]:
    """Read a README; its first section has the title."""
    # A comment of a block begins as a heading does.
    blocks: list[tuple[str, str]] = []

    def taken(match: re.Match[str]) -> str:
        blocks.append((match[1], match[2]))
        return f"```{len(blocks) - 1}"

    found = []
    text = FENCE.sub(taken, (ROOT / name).read_text())
    for part in re.split(r"^(?=#+ )", text, flags=re.MULTILINE)[1:]:
        head, _, body = part.partition("\n")
        marks, _, heading = head.partition(" ")
        mine = [blocks[int(number)] for number in re.findall(r"^```(\d+)$", body, re.MULTILINE)]
        found.append(Section(len(marks), heading, mine, re.sub("^```.*$", "", body, flags=re.M)))
    return found


ENGLISH, JAPANESE = sections("README.md"), sections("README.ja.md")
PAIRS = [
    pytest.param(english, japanese, id=english.heading if english else "missing")
    for english, japanese in zip_longest(ENGLISH, JAPANESE)
]


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(section: Section, all_sections: list[Section]) -> list[tuple[bool, str]]:
    """Return where the pictures and links lead; within the page, to the number of a section."""
    places = {f"#{anchor(each.heading)}": f"#{place}" for place, each in enumerate(all_sections)}
    found = [(bool(mark), target or url) for mark, target, url in LINK.findall(section.text)]
    return sorted(
        (picture, places[target] if target.startswith("#") else target)
        for picture, target in found
        if target not in OTHER
    )


def commands(block: str) -> list[str]:
    """Return the lines of a block without their comments."""
    return [re.sub(r"(^|\s+)#(\s.*|)$", "", line) for line in block.splitlines()]


def translated(line: str) -> str:
    """Return in Japanese what the walk-throughs print in English."""
    for english, japanese in words.JAPANESE.items():
        pattern = "".join(
            re.escape(text) + (f"(?P<{field}>{'[0-9.,]+' if form else '.+'})" if field else "")
            for text, field, form, _ in Formatter().parse(english)
        )
        match = re.fullmatch(pattern, line)
        if match and match.groupdict():
            values = {name: translated(value) for name, value in match.groupdict().items()}
            return re.sub(r"\{(\w+):[^}]*}", r"{\1}", japanese).format(**values)
    if line in words.JAPANESE:
        return words.JAPANESE[line]
    # The name of a column, or what a point is.
    names = "|".join(map(re.escape, words.JAPANESE))
    return re.sub(f"(?<=  |- )({names})(?=  |$)", lambda name: words.JAPANESE[name[0]], line)


def cells(section: Section) -> list[list[str]]:
    """Return the code in the first column of each row of a table."""
    return [
        CODE.findall(line.split("|")[1]) for line in section.text.splitlines() if line[:1] == "|"
    ]


@pytest.mark.parametrize("name", OTHER)
def test_each_readme_leads_to_the_other_at_its_top(name: str) -> None:
    top = "\n".join((ROOT / name).read_text().splitlines()[:3])
    assert f"]({OTHER[name]})" in top


def test_they_have_the_same_headings() -> None:
    assert [section.level for section in JAPANESE] == [section.level for section in ENGLISH]
    assert len(ENGLISH) > 10


@pytest.mark.parametrize(("english", "japanese"), PAIRS)
def test_a_section_has_the_same_commands(english: Section, japanese: Section) -> None:
    assert [kind for kind, _ in japanese.blocks] == [kind for kind, _ in english.blocks]
    for (kind, ours), (_, theirs) in zip(english.blocks, japanese.blocks, strict=True):
        if kind:
            assert commands(theirs) == commands(ours)


@pytest.mark.parametrize(("english", "japanese"), PAIRS)
def test_a_section_shows_what_is_printed_in_japanese(english: Section, japanese: Section) -> None:
    """But for the blanks, which keep columns of another width apart."""

    def lines(block: str, change: Any = str) -> list[list[str]]:
        return [change(line).split() for line in block.splitlines()]

    for (kind, ours), (_, theirs) in zip(english.blocks, japanese.blocks, strict=True):
        if not kind:
            assert lines(theirs) == lines(ours, translated)


@pytest.mark.parametrize(("english", "japanese"), PAIRS)
def test_a_section_has_the_same_links_and_pictures(english: Section, japanese: Section) -> None:
    assert links(japanese, JAPANESE) == links(english, ENGLISH)


@pytest.mark.parametrize(("english", "japanese"), PAIRS)
def test_a_section_names_the_same_commands_paths_and_settings(
    english: Section, japanese: Section
) -> None:
    assert sorted(CODE.findall(japanese.text)) == sorted(CODE.findall(english.text))


@pytest.mark.parametrize(("english", "japanese"), PAIRS)
def test_a_table_has_the_same_rows(english: Section, japanese: Section) -> None:
    assert cells(japanese) == cells(english)


@pytest.mark.parametrize(("english", "japanese"), PAIRS)
def test_a_section_has_the_same_figures(english: Section, japanese: Section) -> None:
    """Those of two digits or more: both languages have words for some of the others."""

    def figures(text: str) -> set[str]:
        return set(re.findall(r"\d[\d.,]*\d", LINK.sub(" ", CODE.sub(" ", text))))

    assert figures(english.text) - figures(japanese.text) == set()
