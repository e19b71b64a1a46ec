"""Every test of the kernel runs on both: compiled, and in numpy."""

from __future__ import annotations

from collections.abc import Iterator

import kernels
import pytest


@pytest.fixture(params=["numpy", pytest.param("native", marks=kernels.BUILT)], autouse=True)
def kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    """Compute with one kernel after the other; return its name."""
    with kernels.kernel(request.param):
        yield request.param
