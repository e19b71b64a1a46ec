"""The door to the upstream package."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from anomaly_detector.univariate import _anomaly_kernel_cython
from anomaly_detector.univariate.util import boundary_utils
from anomaly_detector.univariate.util.critical_table_values import critical_table

from detector.univariate.kernel import upstream

APP = Path(__file__).parents[3] / "app"


@pytest.fixture(autouse=True)
def kernel() -> None:
    """Test once: nothing here is compiled."""


def test_tables_are_those_of_the_package() -> None:
    assert upstream.margin_factors().tolist() == boundary_utils.factors
    assert np.array_equal(upstream.critical_values(), np.array(critical_table, np.float32))


def test_tables_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        upstream.margin_factors()[0] = 1


def test_compiled_part_is_that_of_the_package() -> None:
    values = np.arange(12.0) % 5
    ours, theirs = upstream.compiled().gcv(values, 5), _anomaly_kernel_cython.gcv(values, 5)
    assert ours[0] == theirs[0]


def test_another_version_is_refused() -> None:
    program = (
        "import importlib.metadata as metadata; real = metadata.version;"
        "metadata.version = lambda name: '0.5.0' if 'series' in name else real(name);"
        "import detector.univariate.kernel.upstream"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=False, cwd=APP, text=True
    )
    assert done.returncode == 1
    assert "install time-series-anomaly-detector==0.4.0" in done.stderr
    assert importlib.metadata.version(upstream.DISTRIBUTION) == upstream.PROVED_FOR
