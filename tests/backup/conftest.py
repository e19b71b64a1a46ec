"""A store and a database as the stack has them."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import mariadb
import pytest
import seaweed
from backup.__main__ import main
from backup_kit import SECRETS, Kit


class CallingKit(Kit):
    """Calls the program in this process: to start one, and import boto3, takes longer than it does.

    Those that a test ends half-way are started.
    """

    def ended(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        printed, error, code = io.StringIO(), io.StringIO(), 0
        # The program sets both anew. Without what it sets, its files would be for everybody.
        mask, handler = os.umask(0), signal.getsignal(signal.SIGTERM)
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(error),
        ):
            patch.setattr(sys, "argv", ["backup", *arguments])
            for name, value in (self.environment | environment).items():
                patch.setenv(name, value)
            try:
                main()
            except SystemExit as end:
                # As Python does with a text.
                code = 1
                print(end, file=error)
            finally:
                os.umask(mask)
                signal.signal(signal.SIGTERM, handler)
        return code, printed.getvalue(), error.getvalue()


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
    kit = CallingKit(*parts, tmp_path)
    kit.folder.mkdir(mode=0o700)
    kit.empty()
    kit.fill()
    yield kit
    kit.engine.dispose()
