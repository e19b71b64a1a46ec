"""Where tests of data sources may read: a folder, a server on this machine, an S3 store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import seaweed
from clients.azurite import Azurite, running
from datasource.sources import Web

from detector.datasource import Access


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
    for name, value in seaweed.KEYS.items():
        monkeypatch.setenv(name, value)
    with seaweed.running(tmp_path) as url:
        yield replace(access, store_url=url)
