"""These tests choose the kernel themselves, or ask for a build that checks every index."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock

from detector.univariate.kernel.native import PACKAGE
from detector.univariate.kernel.native.build import build


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
