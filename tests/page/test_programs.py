"""The call as code: what the page shows runs as it stands, and finds what the page found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from chromium import Page
from selenium import webdriver
from services import ROOT, Service

CLIENTS = ROOT / "tests" / "clients" / "node_modules"
Programs = tuple[dict[str, str], dict[str, str], Path]
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


@pytest.fixture(scope="module")
def programs(
    driver: webdriver.Chrome, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> Programs:
    """Return the programs of a short series, those of a long one, and the file that these read."""
    page = Page(driver, service, tmp_path_factory.mktemp("programs"))
    try:
        page.open("#series?sample=fault")
        short = {language: shown(page, language) for language in PROGRAMS}
        page.open("#series?sample=shift&tab=changepoint&threshold=0.8")
        long = {language: shown(page, language) for language in PROGRAMS}
        page.click("#save-series")
        file = page.downloaded("series*.json")
        page.check()
    finally:
        page.close()
    return short, long, file


@pytest.mark.parametrize("language", PROGRAMS)
def test_a_short_series_stands_in_the_program(
    programs: Programs, service: Service, tmp_path: Path, language: str
) -> None:
    name, command, printed = PROGRAMS[language]
    program = programs[0][language]
    assert (service.url in program) == (language != "own")
    assert printed in run(tmp_path, name, command, program)


@pytest.mark.parametrize("language", PROGRAMS)
def test_a_long_series_is_read_from_a_file(
    programs: Programs, tmp_path: Path, language: str
) -> None:
    name, command, _ = PROGRAMS[language]
    parts = {"curl": ["true"], "own": ["2026-02-10", "2026-03-25"]}.get(language, ["40, 83"])
    _, long, file = programs
    assert "threshold" in long[language]
    # It is saved where the program runs.
    assert file.name == "series.json"
    shutil.copy(file, tmp_path)
    printed = run(tmp_path, name, command, long[language])
    for part in parts:
        assert part in printed


def test_csharp_and_kql_have_the_options_and_the_address(page: Page, service: Service) -> None:
    page.open("#series?sample=fault&sensitivity=80&imputeMode=fixed&imputeFixedValue=2.5")
    program = shown(page, "csharp")
    assert f'new Uri("{service.url}")' in program
    assert "Sensitivity = 80," in program
    assert "ImputeMode = ImputeMode.Fixed," in program
    assert "ImputeFixedValue = 2.5f," in program
    program = shown(page, "kql")
    assert f'let uri = "{service.url}/anomalydetector/v1.1/timeseries/entire/detect";' in program
    assert "'sensitivity', 80, 'imputeMode', 'fixed', 'imputeFixedValue', 2.5" in program
    page.open("#series?sample=daily")
    # As Azure's client calls it.
    assert "Granularity = TimeGranularity.PerMinute," in shown(page, "csharp")
