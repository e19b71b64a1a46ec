"""Folders of processes that were killed are removed, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from detector import temporary

ROOT = Path(__file__).parents[1]
MAKE = """
import sys, pathlib, time
from detector import temporary
with temporary.made("test-", pathlib.Path(sys.argv[1])) as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


def test_only_the_folder_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    with (
        subprocess.Popen(
            [sys.executable, "-c", MAKE, tmp_path],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT / "app")},
        ) as process,
        temporary.made("test-", tmp_path) as ours,
    ):
        assert process.stdout
        folder = Path(process.stdout.readline().strip())
        temporary.sweep("test-", tmp_path)
        assert folder.exists()
        process.kill()
        process.wait()
        temporary.sweep("test-", tmp_path)
        assert not folder.exists()
        assert ours.exists()
    assert not ours.exists()


@pytest.mark.parametrize("in_its_place", ["link", "pipe"])
def test_what_stands_in_place_of_a_lock_is_left_alone(tmp_path: Path, in_its_place: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    folder = tmp_path / "test-planted"
    folder.mkdir()
    if in_its_place == "link":
        (folder / "lock").symlink_to(precious)
    else:
        os.mkfifo(folder / "lock")
    temporary.sweep("test-", tmp_path)
    assert precious.read_text() == "kept"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_the_folder_of_another_user_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "test-foreign"
    folder.mkdir()
    (folder / "lock").touch()
    os.chown(folder, 65534, 65534)
    temporary.sweep("test-", tmp_path)
    assert folder.exists()
