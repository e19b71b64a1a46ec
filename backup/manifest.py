"""What a backup says of itself: its files, versions and counts, and the list of its objects."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from .errors import BackupError

FORMAT = 1
MANIFEST, DUMP, OBJECTS = "manifest.json", "database.sql.gz", "objects.jsonl.gz"


@dataclass(frozen=True)
class Entry:
    """An object of a backup; its content lies in the pool under its SHA-256."""

    bucket: str
    key: str
    size: int
    etag: str
    modified: str
    type: str
    sha256: str


@dataclass
class Manifest:
    """A whole backup.

    ``files`` has the size in bytes and the SHA-256 of each file, ``rows`` the rows of each table,
    ``objects`` the count and the bytes of each bucket, ``jobs`` what waited in the queue.
    """

    time: str
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    objects: dict[str, dict[str, int]] = field(default_factory=dict)
    jobs: int = 0
    left_out: list[str] = field(default_factory=list)

    def text(self) -> str:
        return json.dumps({"format": FORMAT} | asdict(self), indent=2) + "\n"


def parsed(content: bytes) -> Manifest:
    """Read a manifest; refuse one that is damaged or of another format."""
    try:
        given = json.loads(content)
        found = given.pop("format")
        if found != FORMAT:
            raise BackupError(
                f"The manifest has format {found}, and this version of the stack reads format "
                f"{FORMAT}: restore with the version that made the backup."
            )
        manifest = Manifest(**given)
        if not {DUMP, OBJECTS} <= manifest.files.keys():
            raise ValueError("it names no dump or no objects")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BackupError(f"{MANIFEST} is damaged ({error}): take another backup.") from error
    return manifest


def hashed(file: IO[bytes], target: IO[bytes] | None = None) -> tuple[str, int]:
    """Return the SHA-256 and the size of what a file holds; copy it to a target."""
    digest, size = hashlib.sha256(), 0
    while part := file.read(1 << 20):
        digest.update(part)
        size += len(part)
        if target:
            target.write(part)
    return digest.hexdigest(), size


def described(path: Path) -> dict[str, Any]:
    """Return what a manifest says of a file."""
    with path.open("rb") as file:
        digest, size = hashed(file)
    return {"size": size, "sha256": digest}


def entries(source: IO[bytes]) -> Iterator[Entry]:
    """Read the list of objects."""
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield Entry(**json.loads(line))
