"""MySQL, through the programs of Debian's MariaDB client.

The password is in a file that only this user reads: others see the arguments of a process.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from .errors import BackupError
from .settings import needed, text

# Backup, restore and `stack gc` hold this lock, so that no two of them run at the same time.
LOCK = "anomaly-detector-maintenance"
# A table that is there while a restore is under way: `stack migrate` refuses the database then.
MARK = "restore_unfinished"
COMPLETE = b"-- Dump completed"
_INSERT = re.compile(rb"INSERT INTO `((?:[^`]|``)+)` VALUES\s*$")


def explained(printed: str) -> BackupError:
    """Return what to do about an error that a client of MySQL has printed."""
    line = next((line for line in printed.splitlines() if "rror" in line), printed.strip())
    if re.search(r"\b(1045|1698)\b", line):
        return BackupError(
            "MySQL refuses the user of the stack: MYSQL_PASSWORD in .env is not the one that the "
            "database was made with."
        )
    if re.search(r"\b(2002|2003|2005|2006|2013|1053|1927|2026)\b", line):
        return BackupError(
            f"MySQL does not answer ({line}). Look at `docker compose logs db`, start it with "
            "`docker compose up -d --wait db`, and try again."
        )
    if re.search(r"\b1419\b", line):
        return BackupError(
            "MySQL does not let the application's user create triggers (error 1419): it must run "
            "with log_bin_trust_function_creators=1, as mysql/my.cnf says. Start it anew with that "
            "file (`docker compose up -d --force-recreate --wait db`), and restore again."
        )
    return BackupError(f"MySQL reports: {line or 'nothing, and ended'}")


class Database:
    """The database of the stack, as its application's user sees it."""

    def __init__(self, options: Path, name: str) -> None:
        self._options, self.name = options, name

    def _command(self, program: str, *options: str) -> list[str]:
        # The file with the password must come first.
        return [program, f"--defaults-extra-file={self._options}", *options, self.name]

    def query(self, statement: str) -> list[list[str]]:
        """Run a statement; return its rows."""
        done = subprocess.run(
            self._command("mariadb", "--batch", "--skip-column-names"),
            input=statement,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise explained(done.stderr)
        return [line.split("\t") for line in done.stdout.splitlines()]

    @contextmanager
    def locked(self) -> Iterator[Lock]:
        """Hold the lock of maintenance for as long as the connection lives."""
        session = subprocess.Popen(
            self._command("mariadb", "--batch", "--skip-column-names", "--unbuffered"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            lock = Lock(session)
            # The connection is idle for as long as a backup lasts.
            taken = lock.ask(f"SET wait_timeout = 604800; SELECT GET_LOCK('{LOCK}', 0);")
            if taken == "":
                raise explained(session.communicate()[1])
            if taken != "1":
                raise BackupError(
                    "A backup, a restore or a removal of deleted runs is under way on this stack: "
                    "wait until it has ended, and try again."
                )
            yield lock
        finally:
            session.kill()
            session.communicate()

    def refuse_half(self) -> None:
        """Refuse a database that a restore has left half-way."""
        if self.tables() and self.query(f"SHOW TABLES LIKE '{MARK}'"):
            raise BackupError(
                "A restore of this stack was cut off half-way, so it is not whole. Restore again: "
                "make restore FROM=... OVERWRITE=yes"
            )

    def tables(self) -> list[str]:
        rows = self.query(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() "
            "AND table_type = 'BASE TABLE' ORDER BY table_name"
        )
        return [name for [name] in rows]

    def counts(self) -> dict[str, int]:
        """Return how many rows each table has."""
        tables = [name for name in self.tables() if name != MARK]
        if not tables:
            return {}
        rows = self.query(
            " UNION ALL ".join(f"SELECT '{name}', COUNT(*) FROM `{name}`" for name in tables)  # noqa: S608
        )
        return {name: int(count) for name, count in rows}

    def version(self) -> str:
        return self.query("SELECT VERSION()")[0][0]

    def schema(self) -> str:
        """Return the revision of MLflow's schema, empty where there is none yet."""
        if "alembic_version" not in self.tables():
            return ""
        return ",".join(row[0] for row in self.query("SELECT version_num FROM alembic_version"))

    def dump(self, target: Path) -> dict[str, int]:
        """Write one moment of the database to a gzip file; return the rows of each table in it."""
        command = self._command(
            "mariadb-dump",
            "--single-transaction",
            "--no-tablespaces",
            "--routines",
            "--triggers",
            "--hex-blob",
            "--max-allowed-packet=1G",
        )
        rows: dict[str, int] = {}
        table, last = "", b""
        with tempfile.TemporaryFile() as errors:
            with (
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as dump,
                gzip.open(target, "wb", compresslevel=6) as file,
            ):
                assert dump.stdout is not None  # noqa: S101
                try:
                    for line in dump.stdout:
                        file.write(line)
                        found = _INSERT.match(line)
                        if found:
                            table = found[1].decode().replace("``", "`")
                        elif table and line.startswith(b"("):
                            # A row is a line: line breaks in a value are escaped.
                            rows[table] = rows.get(table, 0) + 1
                            # Lines of triggers may begin in the same way.
                            table = "" if line.endswith(b";\n") else table
                        elif line.startswith(b"CREATE TABLE `"):
                            rows.setdefault(line.split(b"`")[1].decode(), 0)
                        last = line if line.strip() else last
                except BaseException:
                    dump.kill()
                    raise
            errors.seek(0)
            printed = errors.read().decode(errors="replace")
        if dump.returncode or not last.startswith(COMPLETE):
            raise explained(printed)
        return rows

    def mark(self) -> None:
        """Say that this database is not whole, before anything of it changes."""
        self.query(f"CREATE TABLE IF NOT EXISTS {MARK} (since TEXT)")

    def load(self, source: IO[bytes]) -> None:
        """Replace all that the database has by a dump; the mark stays until the end."""
        names = [name for name in self.tables() if name != MARK]
        rows = self.query(
            "SELECT table_name FROM information_schema.views WHERE table_schema = DATABASE()"
        )
        drop = [f"DROP VIEW `{name}`;" for [name] in rows]
        drop += [f"DROP TABLE `{name}`;" for name in names]
        self.query("SET foreign_key_checks = 0; " + " ".join(drop))
        with tempfile.TemporaryFile() as errors:
            with subprocess.Popen(
                self._command("mariadb", "--max-allowed-packet=1G"),
                stdin=subprocess.PIPE,
                stderr=errors,
            ) as client:
                assert client.stdin is not None  # noqa: S101
                try:
                    with gzip.open(source) as dump:
                        shutil.copyfileobj(dump, client.stdin, 1 << 20)
                    client.stdin.close()
                except BrokenPipeError:
                    pass  # the client has ended, and says why below
                except BaseException:
                    client.kill()
                    raise
            errors.seek(0)
            printed = errors.read().decode(errors="replace")
        if client.returncode:
            raise explained(printed)

    def whole(self) -> None:
        """Take the mark away."""
        self.query(f"DROP TABLE {MARK}")


class Lock:
    """A lock on the server, which a connection holds."""

    def __init__(self, session: subprocess.Popen[str]) -> None:
        self._session = session

    def ask(self, statement: str) -> str:
        """Return the one value that a statement answers; empty where the connection is gone."""
        session = self._session
        assert session.stdin is not None and session.stdout is not None  # noqa: S101, PT018
        try:
            session.stdin.write(statement + "\n")
            session.stdin.flush()
        except BrokenPipeError:
            return ""
        return session.stdout.readline().strip()

    def check(self) -> None:
        """Fail where the lock is lost: another may have changed the store meanwhile."""
        if self.ask(f"SELECT IS_USED_LOCK('{LOCK}') = CONNECTION_ID();") != "1":
            raise BackupError(
                "MySQL was stopped or started anew meanwhile. Look at `docker compose logs db`, "
                "start it with `docker compose up -d --wait db`, and try again."
            )


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@contextmanager
def connected() -> Iterator[Database]:
    """Return the database of the settings; its password lies in a file in memory meanwhile."""
    lines = {
        "host": text("MYSQL_HOST", "db"),
        "port": text("MYSQL_PORT", "3306"),
        "user": needed("MYSQL_USER"),
        "password": _quoted(needed("MYSQL_PASSWORD")),
        "default-character-set": "utf8mb4",
    }
    descriptor, name = tempfile.mkstemp(suffix=".cnf")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write("[client]\n" + "".join(f"{key}={value}\n" for key, value in lines.items()))
        yield Database(Path(name), needed("MYSQL_DATABASE"))
    finally:
        Path(name).unlink()
