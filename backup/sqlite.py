"""SQLite files, by SQLite's own online backup: whoever uses them goes on meanwhile."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from .errors import BackupError


def saved(path: Path) -> sqlite3.Connection:
    """Open a database of a backup, which may lie where nothing can be written."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


def save(source: Path, target: Path) -> None:
    """Copy one moment of a database that is in use to a new file."""
    _copy(source, target, lambda: sqlite3.connect(source, timeout=30))


def restore(source: Path, target: Path) -> None:
    """Replace a database by one of a backup, also one that is damaged."""
    remove(target)
    try:
        _copy(source, target, lambda: saved(source))
    except OSError as error:
        raise BackupError(
            f"The disk of {target} is full: free some space, and restore again."
        ) from error


def _copy(source: Path, target: Path, opened: Callable[[], sqlite3.Connection]) -> None:
    try:
        with (
            closing(opened()) as read,
            closing(sqlite3.connect(target, timeout=30)) as written,
        ):
            read.backup(written)
    except sqlite3.Error as error:
        if "full" in str(error):
            raise OSError(28, str(error), str(target)) from error
        raise BackupError(
            f"SQLite cannot copy {source} to {target}: {error}. Both must be readable and writable "
            "by WORKSPACE_UID of .env."
        ) from error


def remove(path: Path) -> None:
    """Remove a database with the files that belong to it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def problem(path: Path) -> str:
    """Return what is wrong with a database, empty where nothing is."""
    try:
        with closing(saved(path)) as database:
            [found] = database.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return "" if found == "ok" else str(found)


def rows(path: Path) -> int:
    """Return how many rows the tables of a database have together."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path, timeout=30)) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return sum(_count(database, name) for [name] in names if not name.startswith("sqlite_"))


def used(path: Path) -> bool:
    """Say whether a database has rows; one that is damaged may have some."""
    try:
        return rows(path) > 0
    except sqlite3.DatabaseError:
        return True


def jobs(path: Path) -> int:
    """Return how many jobs wait in a queue of a backup."""
    with closing(saved(path)) as database:
        return _count(database, "task")


def _count(database: sqlite3.Connection, table: str) -> int:
    try:
        [count] = database.execute(f'SELECT COUNT(*) FROM "{table}"').fetchone()  # noqa: S608
    except sqlite3.OperationalError:
        return 0  # no job was ever queued
    return int(count)
