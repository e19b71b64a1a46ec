"""Says whether a backup would restore: its files and objects are there, and are what they were."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

from . import s3, settings, sqlite
from .database import COMPLETE
from .errors import BackupError
from .manifest import DUMP, MANIFEST, OBJECTS, Manifest, entries, hashed, parsed
from .places import PARTIAL, Folder, Place, found, held
from .progress import Progress, say, size

SHOWN = 20


@contextmanager
def opened(source: str) -> Iterator[tuple[Place, str, Manifest]]:
    """Return the place, the name and the manifest of a backup that nobody removes meanwhile."""
    place, name = found(source)
    with held(alone=False, place=place):
        try:
            with place.open(name, MANIFEST) as file:
                manifest = parsed(file.read())
        except FileNotFoundError as error:
            raise BackupError(
                f"{place.shown(name)} has no {MANIFEST}, so it is no whole backup: take another."
            ) from error
        yield place, name, manifest


@contextmanager
def fetched(place: Place, name: str, file: str) -> Iterator[Path]:
    """Return a file of a backup as one on this machine."""
    if isinstance(place, Folder):
        yield place.path / name / file
        return
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=settings.folder()) as folder:
        path = Path(folder) / file
        with place.open(name, file) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        yield path


def _wrong(read: IO[bytes], size_in_bytes: int, digest: str) -> str:
    try:
        got, length = hashed(read)
    except (OSError, BotoCoreError) as error:
        return f"cannot be read: {error}"
    if length != size_in_bytes:
        return f"has {length:,} bytes in place of {size_in_bytes:,}"
    return "" if got == digest else "has another content than when it was made"


def verify(source: str) -> str:
    """Check a backup; return what there is to say of it, or fail and name what is broken."""
    with opened(source) as (place, name, manifest):
        problems = list(_files(place, name, manifest))
        objects, total = 0, 0
        if not any(problem.startswith(OBJECTS) for problem in problems):
            progress = Progress("objects read")
            problems += _objects(place, name, manifest, progress)
            objects, total = progress.count, progress.bytes
        if problems:
            rest = len(problems) - SHOWN
            shown = problems[:SHOWN] + ([f"... and {rest} more"] if rest > 0 else [])
            raise BackupError(
                f"{place.shown(name)} would not restore whole. Remove the objects named here, and "
                "take another backup, which reads them anew:"
                + "".join(f"\n  {line}" for line in shown)
            )
        size_of_files = sum(each["size"] for each in manifest.files.values())
        return (
            f"{place.shown(name)} would restore: {sum(manifest.rows.values()):,} rows, "
            f"{sum(each['count'] for each in manifest.objects.values()):,} objects "
            f"({objects:,} different), {size(size_of_files + total)} read, every SHA-256 as it was"
        )


def _files(place: Place, name: str, manifest: Manifest) -> Iterator[str]:
    for file, said in manifest.files.items():
        say(f"{file}: {size(said['size'])}")
        try:
            with place.open(name, file) as read:
                problem = _wrong(read, said["size"], said["sha256"])
        except FileNotFoundError:
            problem = "is missing"
        if not problem and file.endswith(".db"):
            with fetched(place, name, file) as path:
                problem = sqlite.problem(path)
        if not problem and file == DUMP:
            with place.open(name, file) as read:
                problem = _incomplete(read)
        if problem:
            yield f"{file} {problem}"


def _incomplete(dump: IO[bytes]) -> str:
    end = b""
    try:
        with gzip.open(dump) as lines:
            while part := lines.read(1 << 20):
                end = (end + part)[-200:]
    except (EOFError, OSError, zlib.error) as error:
        return f"cannot be unpacked: {error}"
    return "" if COMPLETE in end else "ends before the database does"


def _objects(place: Place, name: str, manifest: Manifest, progress: Progress) -> list[str]:
    wanted: dict[tuple[str, int], str] = {}
    counts = dict.fromkeys(manifest.objects, 0)
    with place.open(name, OBJECTS) as file:
        for entry in entries(file):
            wanted.setdefault((entry.sha256, entry.size), f"{entry.bucket}/{entry.key}")
            counts[entry.bucket] += 1
    problems = [
        f"{OBJECTS} names {counts[bucket]} objects of {bucket} in place of {said['count']}"
        for bucket, said in manifest.objects.items()
        if counts[bucket] != said["count"]
    ]

    def check(one: tuple[tuple[str, int], str]) -> tuple[int, str]:
        (digest, length), key = one
        try:
            with place.open_object(digest) as read:
                problem = _wrong(read, length, digest)
        except FileNotFoundError:
            problem = "is missing"
        return length, f"{key} (objects/{digest[:2]}/{digest}) {problem}" if problem else ""

    with ThreadPoolExecutor(s3.AT_ONCE) as threads:
        for length, problem in threads.map(check, wanted.items()):
            progress.add(1, length)
            if problem:
                problems.append(problem)
    say(str(progress))
    return problems
