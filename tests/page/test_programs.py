"""The call as code: what the page shows runs as it stands, and finds what the page found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from chromium import Page
from services import ROOT, Service

CLIENTS = ROOT / "tests" / "clients" / "node_modules"
# By the language: the file, what runs it, and what it prints of the sample's only anomaly.
PROGRAMS = {
    "curl": ("program.sh", ["sh"], '"isAnomaly":[' + "false," * 19 + "true]"),
    "azure": ("program.py", [sys.executable], "[19]"),
    "own": ("program.py", [sys.executable], "1963-08-31"),
    "javascript": ("program.js", ["node"], "[ 19 ]"),
}


def run(folder: Path, name: str, command: list[str], program: str) -> str:
    """Run a program of the page in a folder; return what it prints."""
    missing = not shutil.which(command[0]) or (command == ["node"] and not CLIENTS.exists())
    if missing:
        pytest.skip(f"no {command[0]}, or not its packages (make clients)")
    (folder / name).write_text(program)
    ran = subprocess.run(
        [*command, name],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "app"), "NODE_PATH": str(CLIENTS)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def shown(page: Page, language: str) -> str:
    """Return the program in a language, once the result is there."""
    page.click(f"#code-{language}")
    return str(page.js("return document.querySelector('#code-text').textContent"))


@pytest.mark.parametrize("language", PROGRAMS)
def test_a_short_series_stands_in_the_program(
    page: Page, service: Service, tmp_path: Path, language: str
) -> None:
    page.open("#series?sample=fault")
    name, command, printed = PROGRAMS[language]
    program = shown(page, language)
    assert (service.url in program) == (language != "own")
    assert printed in run(tmp_path, name, command, program)


@pytest.mark.parametrize("language", PROGRAMS)
def test_a_long_series_is_read_from_a_file(page: Page, tmp_path: Path, language: str) -> None:
    page.open("#series?sample=shift&tab=changepoint&threshold=0.8")
    name, command, _ = PROGRAMS[language]
    parts = {"curl": ["true"], "own": ["2026-02-10", "2026-03-25"]}.get(language, ["40, 83"])
    program = shown(page, language)
    assert "threshold" in program
    page.click("#save-series")
    # It is saved where the program runs.
    assert page.downloaded("series*.json").name == "series.json"
    printed = run(tmp_path, name, command, program)
    for part in parts:
        assert part in printed


def test_csharp_has_the_options_and_the_address(page: Page, service: Service) -> None:
    page.open("#series?sample=fault&sensitivity=80&imputeMode=fixed&imputeFixedValue=2.5")
    program = shown(page, "csharp")
    assert f'new Uri("{service.url}")' in program
    assert "Sensitivity = 80," in program
    assert "ImputeMode = ImputeMode.Fixed," in program
    assert "ImputeFixedValue = 2.5f," in program
    page.open("#series?sample=daily")
    # As Azure's client calls it.
    assert "Granularity = TimeGranularity.PerMinute," in shown(page, "csharp")


def test_kql_has_the_options_and_the_address(page: Page, service: Service) -> None:
    page.open("#series?sample=fault&sensitivity=80&imputeMode=fixed&imputeFixedValue=2.5")
    program = shown(page, "kql")
    assert f'let uri = "{service.url}/anomalydetector/v1.1/timeseries/entire/detect";' in program
    assert "'sensitivity', 80, 'imputeMode', 'fixed', 'imputeFixedValue', 2.5" in program
