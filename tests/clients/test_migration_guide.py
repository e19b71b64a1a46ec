"""The programs in docs/migrate-from-azure.md do what it says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import quick_starts
import recordings
from services import KEYS, ROOT, Service

GUIDE = (ROOT / "docs" / "migrate-from-azure.md").read_text()
PROGRAMS = re.findall(r"^```(\S+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
RUN = ("python", "javascript", "bash")
# What would need a client, or a service of Azure's, that is not here.
NOT_RUN = {"console", "csharp", "go", "java", "kusto", "powerquery", "python-spark", "scala"}
MODULES = Path(__file__).parent / "node_modules"


def test_the_guide_has_programs_that_run_here() -> None:
    assert {language for language, _ in PROGRAMS} == {*RUN, *NOT_RUN}


@pytest.mark.parametrize(
    ("language", "program"),
    [pytest.param(*each, id=each[1].splitlines()[0]) for each in PROGRAMS if each[0] in RUN],
)
def test_a_program_of_the_guide_finds_what_azure_found(
    language: str, program: str, served: Service, tmp_path: Path
) -> None:
    program = program.replace("http://127.0.0.1:8080", served.url)
    program = program.replace("the-key-your-programs-hold", KEYS[0])
    shutil.copy(recordings.DAILY, tmp_path / "request-data.csv")
    file = tmp_path / "program"
    file.write_text(program)
    environment = dict(os.environ)
    if language == "javascript":
        if not shutil.which("node") or not MODULES.exists():
            pytest.skip("Azure's clients for Node are not here: install npm, then run make clients")
        command, environment["NODE_PATH"] = ["node", str(file)], str(MODULES)
    elif language == "python":
        command = [sys.executable, "-W", "ignore", str(file)]
    else:
        command = ["bash", "-euo", "pipefail", str(file)]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    places = quick_starts.AZURE_FOUND["anomalies"]
    if language == "bash":
        flags = json.loads(done.stdout)["isAnomaly"]
        assert [place for place, flag in enumerate(flags) if flag] == places
    else:
        assert done.stdout == f"Anomalies at: {' '.join(map(str, places))}\n"
