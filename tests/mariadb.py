"""MariaDB, the database that tests start on this machine where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from services import free_port, until

PASSWORD = "p@ss/word:%"  # noqa: S105 - of the tests' own server


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Start a server with the database ``plant``; return SQLAlchemy's URL of it."""
    pytest.importorskip("pymysql")
    # A system's programs are on no user's path.
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin"])
    server, install = (shutil.which(name, path=path) for name in ("mariadbd", "mariadb-install-db"))
    if not (server and install):
        pytest.skip("needs MariaDB (Debian: mariadb-server-core, mariadb-client-core)")
    base, data, port = Path(install).parents[1], folder / "data", free_port()
    subprocess.run(
        [install, "--no-defaults", f"--basedir={base}", f"--datadir={data}", "--skip-test-db",
         "--auth-root-authentication-method=normal"],
        check=True, capture_output=True,
    )  # fmt: skip
    process = subprocess.Popen(
        [server, "--no-defaults", "--user=root", f"--datadir={data}", f"--port={port}",
         f"--lc-messages-dir={base}/share/mysql", f"--socket={folder}/s",
         "--bind-address=127.0.0.1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    root = sa.URL.create("mysql+pymysql", "root", host="127.0.0.1", port=port)
    engine = sa.create_engine(root, poolclass=sa.NullPool)
    try:
        until(lambda: _answers(engine), "MariaDB answers")
        with engine.connect() as connection:
            connection.exec_driver_sql("CREATE DATABASE plant")
            connection.exec_driver_sql("GRANT ALL ON plant.* TO me IDENTIFIED BY %s", (PASSWORD,))
        yield root.set(username="me", password=PASSWORD, database="plant").render_as_string(False)
    finally:
        process.terminate()
        process.wait(20)


def _answers(engine: sa.Engine) -> bool:
    try:
        engine.connect().close()
    except sa.exc.OperationalError:
        return False
    return True
