"""These tests choose the kernel themselves, or ask for a build that checks every index."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def kernel() -> None:
    """Leave the kernel as it is, in place of one after the other."""
