"""A confined process computes, and does nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from services import ROOT, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux confines it")

# Root reads everything; without capabilities it is a user like any other.
ORDINARY = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []
START = """
import os, sys
from pathlib import Path
from detector import isolation
given = Path(sys.argv[1])
"""
CONFINE = START + "unconfined = isolation.confine([given], memory=300 << 20, seconds=2)\n"


def run(
    program: str, given: Path, *, ordinary: Sequence[str] = ORDINARY, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ordinary, sys.executable, "-c", program, str(given)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "app")} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "attempt",
    [
        "import socket; socket.socket()",
        "os.fork()",
        "import subprocess; subprocess.run(['true'])",
        "os.execv('/bin/true', ['true'])",
        "os.kill(os.getppid(), 0)",
        "(given / 'new').write_text('')",
        "(given / 'kept').unlink()",
        "(given / 'kept').chmod(0)",
        "os.truncate(given / 'kept', 0)",
        "Path(given, '..', 'outside').read_text()",
        "Path(f'/proc/{os.getppid()}/environ').read_bytes()",
        "Path('/etc/passwd').read_text()",
        "os.memfd_create('memory')",
        "import mmap; mmap.mmap(-1, 1 << 20)",
        "import resource; resource.prlimit(os.getppid(), resource.RLIMIT_CPU)",
        "import resource; resource.setrlimit(resource.RLIMIT_CPU, (9, 9))",
    ],
)
def test_it_may_not(attempt: str, tmp_path: Path) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "kept").write_text("kept")
    (tmp_path / "outside").write_text("a secret")
    done = run(CONFINE + attempt, folder)
    assert [path.name for path in folder.iterdir()] == ["kept"]
    assert (folder / "kept").read_text() == "kept"
    assert done.stderr.splitlines()[-1].startswith(("PermissionError", "OSError", "ValueError"))
    free = run(START + attempt, folder, ordinary=())
    assert free.returncode == 0, free.stderr


def test_it_may_compute_with_threads_and_read_what_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "given").write_text("read")
    program = CONFINE + (
        "import threading, numpy\n"
        "thread = threading.Thread(target=lambda: numpy.ones(9).sum())\n"
        "thread.start(); thread.join()\n"
        "print(given.joinpath('given').read_text(), unconfined)"
    )
    done = run(program, tmp_path, OPENBLAS_NUM_THREADS="1")
    assert done.stdout == "read []\n", done.stderr


def test_it_has_only_so_much_memory(tmp_path: Path) -> None:
    done = run(CONFINE + "bytearray(400 << 20)", tmp_path)
    assert "MemoryError" in done.stderr


def test_it_has_only_so_much_time(tmp_path: Path) -> None:
    assert run(CONFINE + "while True: pass", tmp_path).returncode == -9


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    waits = CONFINE + "import time; print(os.getpid(), flush=True); time.sleep(600)"
    starts = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {waits!r}, sys.argv[1]])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", starts, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "app")},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout
        confined = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    until(lambda: not confined.is_running(), "the confined process has ended")


READ_PARENT = (
    "import subprocess\n"
    "read = \"import os; print(open(f'/proc/{os.getppid()}/environ').read())\"\n"
    "subprocess.run([sys.executable, '-c', read], env={})"
)


def test_a_hidden_process_shows_its_environment_to_no_other_of_its_user(tmp_path: Path) -> None:
    shown = run(START + READ_PARENT, tmp_path, SECRET="in-the-open")  # noqa: S106
    hidden = run(START + "isolation.hide_memory()\n" + READ_PARENT, tmp_path, SECRET="in-the-open")  # noqa: S106
    assert "in-the-open" in shown.stdout
    assert "in-the-open" not in hidden.stdout
    assert "PermissionError" in hidden.stderr
