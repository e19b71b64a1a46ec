"""The programs in docs/migrate-from-azure.md do what it says."""

from __future__ import annotations

import contextlib
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
import requests
from services import HEADER, KEYS, ROOT, Service, free_port, prepare, until

GUIDE = (ROOT / "docs" / "migrate-from-azure.md").read_text()
PROGRAMS = re.findall(r"^```(\S+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
RUN = ("python", "javascript", "bash")
# What would need a client, or a service of Azure's, that is not here.
NOT_RUN = {"csharp", "go", "java", "kusto", "powerquery", "python-spark", "scala"}
# Commands, each of which has a test: those of the container in tests/stack/test_image.py.
COMMANDS = re.findall(r"^\$ ([^#].*)$", GUIDE, re.MULTILINE)
MODULES = Path(__file__).parent / "node_modules"


def test_the_guide_has_programs_that_run_here() -> None:
    assert {language for language, _ in PROGRAMS} == {*RUN, *NOT_RUN, "console"}
    begin = [command.split()[0] for command in COMMANDS]
    assert begin == [
        'API_KEYS="the-key-your-programs-hold,a-new-one-of-yours"',
        *["docker"] * 2,
        "curl",
    ]


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


def test_the_service_starts_with_the_keys_of_the_guide(tmp_path: Path) -> None:
    port = free_port()
    prepare(tmp_path)
    (tmp_path / "app").symlink_to(ROOT / "app")
    own = {"PORT": str(port), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    own["DETECTOR_EMBEDDED_WORKER"] = "false"
    command = f"exec env {COMMANDS[0]}"
    with subprocess.Popen(["bash", "-c", command], cwd=tmp_path, env=os.environ | own) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            until(lambda: answers(f"{address}/health/live"), "it answers")
            for key, status in (("the-key-your-programs-hold", 200), ("another", 401)):
                answer = requests.get(f"{address}/datasets", headers={HEADER: key}, timeout=20)
                assert answer.status_code == status
        finally:
            process.terminate()


def answers(address: str) -> bool:
    with contextlib.suppress(requests.ConnectionError):
        return requests.get(address, timeout=5).status_code == 200
    return False


def test_a_file_is_uploaded_as_the_guide_says(served: Service, tmp_path: Path) -> None:
    shutil.copy(recordings.SAMPLE, tmp_path / "machine.csv")
    command = COMMANDS[-1].replace("http://127.0.0.1:8080", served.url)
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env=os.environ | {"KEY": KEYS[0]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert json.loads(done.stdout)["dataSource"].endswith("/machine.csv"), done.stderr
