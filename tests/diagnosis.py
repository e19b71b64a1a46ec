"""Reads what `scripts/doctor` prints."""

from __future__ import annotations

import re


def lines(output: str) -> dict[str, tuple[str, str]]:
    """Return the state and the text of each line, by its name; the text has what to do."""
    found: dict[str, tuple[str, str]] = {}
    name = ""
    for line in output.splitlines():
        if told := re.match(r"(ok|warn|fail) {1,4} (.{20}) (.*)", line):
            name = told[2].strip()
            found[name] = told[1], told[3]
        elif line.lstrip().startswith("-> "):
            found[name] = found[name][0], f"{found[name][1]} {line.strip()}"
    return found
