"""These tests choose the kernel themselves, or ask for a build that checks every index."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from detector.univariate.kernel.native import PACKAGE
from detector.univariate.kernel.native.build import build

ROOT = Path(__file__).parents[4]


@pytest.fixture(autouse=True)
def kernel() -> None:
    """Leave the kernel as it is, in place of one after the other."""


@pytest.fixture(scope="session")
def checked(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return a folder with a kernel that refuses an index outside of its array.

    It takes a while to build, so that the processes of a run share it.
    """
    folder = tmp_path_factory.getbasetemp()
    folder = (folder if worker_id == "master" else folder.parent) / "checked"
    with FileLock(f"{folder}.lock"):
        if not (folder / PACKAGE).exists():
            build(folder, checked=True)
    return folder


@pytest.fixture
def run_checked(checked: Path) -> Callable[[str, str], None]:
    """Return what runs chosen tests of a file again, where every index is checked."""

    def run(file: str, chosen: str) -> None:
        program = (
            "import sys, detector_native, pytest; assert detector_native.CHECKED;"
            f"sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', {file!r}, '-k', {chosen!r}]))"
        )
        folders = os.pathsep.join(map(str, (checked, ROOT / "app", ROOT / "tests")))
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": folders},
        )
        assert done.returncode == 0, done.stdout

    return run
