"""The settings: every one comes from the environment (see docker-compose.yml)."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import BackupError


def text(name: str, default: str = "") -> str:
    """Return a setting; one that is empty has its default."""
    return os.environ.get(name, "") or default


def needed(name: str) -> str:
    value = text(name)
    if not value:
        raise BackupError(f"The setting {name} is missing: set it in .env.")
    return value


def folder() -> Path:
    """Return where backups lie, or are made before they go to a bucket."""
    return Path(text("BACKUP_MOUNT", "/backups"))


def keep() -> int:
    """Return how many backups are kept."""
    given = text("BACKUP_KEEP", "14")
    if not given.isdecimal() or int(given) < 1:
        raise BackupError(
            f"BACKUP_KEEP is '{given}': it must be a number of backups of at least 1."
        )
    return int(given)


def databases() -> dict[str, Path]:
    """Return the SQLite files that are saved, by the names that they have in a backup.

    A queue in Redis is none: the worker finds its jobs again in the runs of MLflow.
    """
    queue, accounts = text("DETECTOR_QUEUE"), text("BACKUP_ACCOUNTS")
    found = {}
    if queue and not queue.startswith(("redis://", "rediss://")):
        found["queue.db"] = Path(queue)
    if accounts:
        found["accounts.db"] = Path(accounts)
    return found
