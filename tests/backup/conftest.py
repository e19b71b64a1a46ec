"""A store and a database as the stack has them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import mariadb
import pytest
import seaweed
from backup_kit import SECRETS, Kit


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    if not shutil.which("mariadb-dump"):
        pytest.skip("needs MariaDB's client (Debian: mariadb-client)")
    users = {name: (SECRETS[name], {"detector": "datasets"}.get(name, name)) for name in SECRETS}
    with (
        mariadb.running(tmp_path_factory.mktemp("mariadb")) as url,
        seaweed.running(tmp_path_factory.mktemp("seaweed"), users) as store,
    ):
        for bucket in ("mlflow", "elsewhere"):
            seaweed.client(store).create_bucket(Bucket=bucket)
        yield url, store


@pytest.fixture
def kit(parts: tuple[str, str], tmp_path: Path) -> Iterator[Kit]:
    """A stack with data and no backup yet."""
    kit = Kit(*parts, tmp_path)
    kit.folder.mkdir(mode=0o700)
    kit.empty()
    kit.fill()
    yield kit
    kit.engine.dispose()
