"""The compiled kernel: when it is used, when it is not, and what it is built from."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import kernels

from detector.univariate.kernel import native

ROOT = Path(__file__).parents[4]
SAY = """
import json
from detector.univariate.kernel import native
print(json.dumps([native.stl is not None, native.reason]))
"""


def run(
    program: str, *path: Path, given: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own."""
    folders = os.pathsep.join(map(str, (*path, ROOT / "app", ROOT / "tests")))
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        input=given,
        env={**os.environ, **variables, "PYTHONPATH": folders},
    )


@kernels.BUILT
def test_the_variable_chooses() -> None:
    assert json.loads(run(SAY, DETECTOR_KERNEL="numpy").stdout) == [
        False,
        "DETECTOR_KERNEL asks for it",
    ]
    assert json.loads(run(SAY, DETECTOR_KERNEL="native").stdout) == [True, ""]
    assert "must be native or numpy" in run(SAY, DETECTOR_KERNEL="fast").stderr


@kernels.BUILT
def test_a_build_of_other_sources_is_not_used(tmp_path: Path) -> None:
    other = tmp_path / native.PACKAGE
    other.mkdir()
    (other / "__init__.py").write_text('SOURCES = "other"\n')
    used, reason = json.loads(run(SAY, tmp_path).stdout)
    assert not used
    assert reason == "the compiled kernel is of other sources: run make native"
    refused = run(SAY, tmp_path, DETECTOR_KERNEL="native")
    assert refused.returncode == 1
    assert refused.stderr.strip().endswith(f"ImportError: {reason}")


@kernels.BUILT
def test_a_build_that_was_cut_off_is_not_used(tmp_path: Path) -> None:
    (tmp_path / native.PACKAGE).mkdir()
    (tmp_path / native.PACKAGE / "__init__.py").touch()
    assert json.loads(run(SAY, tmp_path).stdout) == [
        False,
        "the compiled kernel is of other sources: run make native",
    ]


DETECT = """
import json, sys
if sys.stdin.read() == "another environment":
    sys.modules["detector_native"] = None
import detector
from detector.univariate.kernel import native
values = [float(place * place % 23) for place in range(60)]
print(json.dumps([native.reason, detector.detect_entire(values, period=7).expected.tolist()]))
"""


@kernels.BUILT
def test_an_environment_without_it_gives_the_same_bits() -> None:
    answers = [
        json.loads(run(DETECT, given=environment).stdout)
        for environment in ("this environment", "another environment")
    ]
    assert answers[0][0] == ""
    assert answers[1][0] == "the compiled kernel was not built here: run make native"
    assert answers[0][1] == answers[1][1]


def test_a_logged_model_carries_python_code_alone() -> None:
    suffixes = {path.suffix for path in (ROOT / "app" / "detector").rglob("*") if path.is_file()}
    assert suffixes <= {".py", ".pyc", ".pyx", ".pxd", ".html", ".xml", ".js", ".css", ".svg"}


def test_without_a_compiler_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    # With one source, because Cython reads all of them before the first is compiled.
    app = tmp_path / "app"
    shutil.copytree(ROOT / "app", app, ignore=shutil.ignore_patterns("__pycache__"))
    for source in app.rglob("*.pyx"):
        if source.stem != "stationarity":
            source.unlink()
    done = subprocess.run(
        [sys.executable, "-m", "detector.univariate.kernel.native.build", "--target", tmp_path],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(app), "CC": "no-such-compiler"},
    )
    assert done.returncode == 1
    assert done.stderr.startswith("The kernel was not compiled: the C compiler or the headers")
    assert "gcc and python3-dev" in done.stderr
    assert "numpy does its work, with the same results" in done.stderr.splitlines()[-1]
    assert not (tmp_path / native.PACKAGE).exists()
