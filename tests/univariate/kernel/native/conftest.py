"""These tests choose the kernel themselves."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def kernel() -> None:
    """Leave the kernel as it is, in place of one after the other."""
