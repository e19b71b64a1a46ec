"""Makes a backup while the stack works.

First the queue and the accounts, then one moment of the database, then the objects: what the
database names was in the store before. Objects that the last backup has are not read again.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import threading
import time
import urllib.request
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from . import s3, settings, sqlite
from .database import Database, connected
from .errors import BackupError
from .manifest import DUMP, MANIFEST, OBJECTS, Entry, Manifest, described, entries, hashed
from .places import PARTIAL, Place, destination, held
from .progress import Progress, say, size


@dataclass
class Copied:
    """The objects of a backup, and what was copied for it."""

    place: Place
    partial: Path
    known: dict[tuple[str, str], Entry]
    pool: dict[str, int]
    added: set[str] = field(default_factory=set)
    bytes: int = 0
    deleted: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def entry(self, store: s3.Store, bucket: str, listed: s3.Listed) -> Entry | None:
        """Return an object as the backup names it; read it where the last backup lacks it."""
        last = self.known.get((bucket, listed.key))
        if (
            last
            and (last.size, last.etag, last.modified) == (listed.size, listed.etag, listed.modified)
            and self.pool.get(last.sha256) == last.size
        ):
            return last
        try:
            answer = store.clients[bucket].get_object(Bucket=bucket, Key=listed.key)
        except ClientError as error:
            if s3.missing(error):
                self.deleted += 1
                return None
            raise
        path = self.partial / f"object-{threading.get_ident()}"
        with path.open("wb") as file:
            digest, length = hashed(answer["Body"], file)
        with self.lock:
            self.bytes += length
            new = self.pool.get(digest) != length
            if new:
                self.added.add(digest)
                self.pool[digest] = length
        if new:
            self.place.keep_object(digest, path)
        else:
            path.unlink()
        modified = answer["LastModified"].isoformat()
        kind = answer.get("ContentType", "")
        return Entry(bucket, listed.key, length, answer["ETag"], modified, kind, digest)

    def entries(self, store: s3.Store, bucket: str) -> Iterator[Entry]:
        progress = Progress(f"objects of {bucket}")
        with ThreadPoolExecutor(s3.AT_ONCE) as threads:
            for page in store.pages(bucket):
                for entry in threads.map(lambda each: self.entry(store, bucket, each), page):
                    if entry:
                        progress.add(1, entry.size)
                        yield entry
        say(str(progress))


def make() -> str:
    """Make a backup; return what there is to say of it."""
    begun = time.time()
    place, keep = destination(), settings.keep()
    with held(alone=True, place=place):
        place.sweep()
        for left in settings.folder().glob(f"{PARTIAL}*"):
            shutil.rmtree(left)
        moment = datetime.now(UTC)
        # A name is that of a second.
        while (name := moment.strftime("%Y-%m-%dT%H-%M-%SZ")) in place.names():
            time.sleep(0.1)
            moment = datetime.now(UTC)
        partial = settings.folder() / f"{PARTIAL}{name}"
        copied = Copied(place, partial, {}, place.pool())
        try:
            partial.mkdir(mode=0o700)
            manifest = Manifest(time=moment.isoformat(timespec="seconds"))
            _fill(manifest, copied)
            manifest.seconds = round(time.time() - begun, 1)
            (partial / MANIFEST).write_text(manifest.text())
            place.finish(partial, name)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            # What the place says now is not why it failed.
            with contextlib.suppress(BackupError, OSError):
                # Stopped at its last step, a backup may be whole: then it names what was added.
                if name not in place.names():
                    # Without it a full disk is as full as before.
                    place.remove_objects(copied.added)
            raise
        removed = _forget(place, keep)
    for line in manifest.left_out:
        say(f"not in this backup: {line}")
    if removed:
        say(f"removed {removed}: the last {keep} are kept (BACKUP_KEEP)")
    total = total_bytes(manifest)
    seconds = time.time() - begun
    report(begun, success=True, total=total, seconds=seconds)
    return (
        f"{place.shown(name)}: {size(total)} in {seconds:.1f} s, of which {size(copied.bytes)} "
        "were read from the store"
    )


def _fill(manifest: Manifest, copied: Copied) -> None:
    place, partial = copied.place, copied.partial
    with connected() as database, database.locked() as lock:
        database.refuse_half()
        _save_sqlite(manifest, partial)
        manifest.versions = _versions(database)
        manifest.rows = database.dump(partial / DUMP)
        say(f"database: {sum(manifest.rows.values()):,} rows in {len(manifest.rows)} tables")
        for last in place.names()[-1:]:
            known = _named(place, last) or ()
            copied.known = {(entry.bucket, entry.key): entry for entry in known}
        store = s3.Store()
        with store.explained(), gzip.open(partial / OBJECTS, "wt", encoding="utf-8") as lines:
            for bucket in s3.BUCKETS:
                manifest.objects[bucket] = {"count": 0, "bytes": 0}
                for entry in copied.entries(store, bucket):
                    manifest.objects[bucket]["count"] += 1
                    manifest.objects[bucket]["bytes"] += entry.size
                    lines.write(json.dumps(asdict(entry)) + "\n")
        # Nothing was removed from the store meanwhile by what asks for the lock.
        lock.check()
    if copied.deleted:
        manifest.left_out.append(f"{copied.deleted} objects that were deleted while it was made")
    manifest.files = {path.name: described(path) for path in sorted(partial.iterdir())}


def _save_sqlite(manifest: Manifest, partial: Path) -> None:
    databases = settings.databases()
    for name, path in databases.items():
        if path.exists():
            sqlite.save(path, partial / name)
        else:
            manifest.left_out.append(f"{name}, because {path} is not there")
    if "queue.db" not in databases:
        manifest.left_out.append(
            "the queue, which is in Redis; the worker finds its jobs again in the runs of MLflow"
        )
    elif (partial / "queue.db").exists():
        manifest.jobs = sqlite.jobs(partial / "queue.db")
        say(f"queue: {manifest.jobs} jobs wait")


def _versions(database: Database) -> dict[str, str]:
    versions = {"schema": database.schema(), "mysql": database.version()}
    try:
        with urllib.request.urlopen("http://mlflow/version", timeout=3) as answer:
            versions["mlflow"] = answer.read(100).decode()
    except OSError:
        pass  # the server need not run for a backup, and the schema says what reads it
    if settings.text("STACK_REVISION"):
        versions["stack"] = settings.text("STACK_REVISION")
    return versions


def _forget(place: Place, keep: int) -> str:
    """Remove the oldest backups and the objects that no backup names any more."""
    names = place.names()
    old = names[:-keep]
    for name in old:
        place.remove(name)
    named = [_named(place, name) for name in names[-keep:]]
    # What a damaged list names is not known, so all objects stay until its backup is gone.
    if None not in named:
        used = {entry.sha256 for each in named for entry in each or ()}
        place.remove_objects(place.pool().keys() - used)
    return ", ".join(old)


def _named(place: Place, name: str) -> list[Entry] | None:
    """Return the objects that a backup names; None where its list is damaged."""
    try:
        with place.open(name, OBJECTS) as file:
            return list(entries(file))
    except (OSError, EOFError, zlib.error, ValueError, TypeError) as error:
        say(f"{place.shown(name)} is damaged: its {OBJECTS} cannot be read ({error})")
        return None


def total_bytes(manifest: Manifest) -> int:
    """Return how many bytes a backup has, its objects included."""
    files = sum(each["size"] for each in manifest.files.values())
    return int(files + sum(each["bytes"] for each in manifest.objects.values()))


def report(begun: float, *, success: bool, total: int = 0, seconds: float = 0) -> None:
    """Write what Prometheus reads of the last backup and of the last that succeeded."""
    path = settings.folder() / "backup.prom"
    kept = {"last_success_timestamp_seconds": "0", "bytes": "0", "seconds": "0"}
    if success:
        kept = {
            "last_success_timestamp_seconds": f"{begun:.0f}",
            "bytes": f"{total}",
            "seconds": f"{seconds:.1f}",
        }
    elif path.exists():
        lines = dict(
            line.removeprefix("backup_").split()
            for line in path.read_text().splitlines()
            if line.startswith("backup_")
        )
        kept = {name: lines.get(name, value) for name, value in kept.items()}
    values = kept | {
        "last_attempt_timestamp_seconds": f"{begun:.0f}",
        "last_attempt_failed": "0" if success else "1",
    }
    partial = path.with_suffix(".prom.new")
    partial.write_text(
        "".join(
            f"# HELP backup_{name} {HELP[name]}\n"
            f"# TYPE backup_{name} gauge\nbackup_{name} {value}\n"
            for name, value in values.items()
        )
    )
    # It holds no secret, and who reads it for Prometheus is another user.
    partial.chmod(0o644)
    partial.rename(path)


HELP = {
    "last_success_timestamp_seconds": "When the last backup that succeeded began.",
    "last_attempt_timestamp_seconds": "When the last backup began.",
    "last_attempt_failed": "Whether the last backup failed.",
    "bytes": "Size of the last backup that succeeded, its objects included.",
    "seconds": "Time that the last backup that succeeded took.",
}
