"""These tests choose the kernel themselves, or ask for a build that checks every index."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.univariate.kernel.native.build import build


@pytest.fixture(autouse=True)
def kernel() -> None:
    """Leave the kernel as it is, in place of one after the other."""


@pytest.fixture(scope="session")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a kernel that refuses an index outside of its array."""
    folder = tmp_path_factory.mktemp("checked")
    build(folder, checked=True)
    return folder
