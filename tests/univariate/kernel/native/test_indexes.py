"""No index lies outside of its array: comparisons done again where every index is checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import kernels
import pytest

from detector.univariate.kernel.native import build

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[3]
CHOSEN = (
    str(FOLDER / "test_season.py"),
    f"{FOLDER / 'test_segmentation.py'}::test_what_a_short_series_is_weighed_by",
)
# The tests' own conftest imports MLflow, which takes longer than they do.
PROGRAM = """
import sys, warnings
import detector_native, pytest
assert detector_native.CHECKED
if pytest.main(["-q", "-p", "no:cacheprovider", "--noconftest", *sys.argv[1:]]):
    sys.exit(1)

warnings.simplefilter("ignore")
import kernels, oracle
from hypothesis import given, seed, settings, HealthCheck

@seed(5)
@settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(oracle.series(900))
def compare(request):
    kernels.assert_same(oracle.ours, *request)

compare()
print("Whole calls are alike.")
"""


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a kernel that refuses an index outside of its array."""
    folder = tmp_path_factory.mktemp("checked")
    with pytest.MonkeyPatch.context() as patch:
        # It is built to be run once: quickly, and without what a debugger reads.
        patch.setattr(build, "_QUICK_TO_BUILD", "-O0")
        patch.setenv("CFLAGS", "-g0")
        build.build(folder, checked=True)
    return folder


@kernels.BUILT
def test_no_index_lies_outside_of_its_array(checked: Path) -> None:
    folders = os.pathsep.join(map(str, (checked, ROOT / "app", ROOT / "tests")))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *CHOSEN],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": folders},
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "skipped" not in done.stdout
    assert done.stdout.endswith("Whole calls are alike.\n")
