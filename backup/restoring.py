"""Brings a stack back from a backup.

The database comes last, and has a mark until then: when a restore ends half-way, MLflow does not
start on what is there, and the next restore begins anew.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import s3, settings, sqlite
from .database import MARK, Database, connected
from .errors import BackupError
from .making import total_bytes
from .manifest import DUMP, OBJECTS, Entry, Manifest, entries
from .places import Place
from .progress import Progress, say, size
from .verifying import fetched, opened

# What a database has that nobody has used: MLflow's default experiment and workspace.
FRESH = {"alembic_version": 1, "experiments": 1, "experiment_tags": 2, "workspaces": 1}


def check(source: str, *, overwrite: bool) -> str:
    """Say whether a backup can come to this stack as it is; change nothing."""
    with opened(source) as (place, name, manifest), connected() as database:
        _fits(manifest)
        with database.locked():
            if not overwrite:
                _refuse_data(database)
        return f"{place.shown(name)} can be restored to this stack"


def _fits(manifest: Manifest) -> None:
    """Refuse the database of a newer MLflow than the one of this stack."""
    known = settings.text("KNOWN_SCHEMAS").split()
    schema = manifest.versions.get("schema", "")
    if known and schema and schema not in known:
        version = manifest.versions.get("mlflow", "that is newer")
        raise BackupError(
            f"The backup is of MLflow {version}, whose schema {schema} the MLflow of this stack "
            "does not know: check out the version of the stack that made the backup or a newer "
            "one, and restore with it."
        )


def _refuse_data(database: Database) -> None:
    """Refuse a stack that has data."""
    there = []
    if database.query(f"SHOW TABLES LIKE '{MARK}'"):
        raise BackupError(
            "A restore of this stack was cut off half-way. To begin anew: "
            "make restore FROM=... OVERWRITE=yes"
        )
    used = {name: count for name, count in database.counts().items() if count > FRESH.get(name, 0)}
    if used:
        count = sum(used.values())
        there.append(f"{count:,} rows in the database")
    store = s3.Store()
    with store.explained():
        for bucket in s3.BUCKETS:
            count, total = store.count(bucket)
            if count:
                there.append(f"{count:,} objects in the bucket {bucket} ({size(total)})")
    for name, path in settings.databases().items():
        if sqlite.used(path):
            there.append(f"rows in {name}")
    if there:
        raise BackupError(
            f"This stack has data: {', '.join(there)}. A restore replaces all of it. If that is "
            "what you want: make restore FROM=... OVERWRITE=yes"
        )


def restore(source: str, *, overwrite: bool) -> str:
    """Replace what the stack has by a backup; return what came back."""
    with opened(source) as (place, name, manifest), connected() as database:
        _fits(manifest)
        with database.locked() as lock:
            if not overwrite:
                _refuse_data(database)
            _warn_of_disk(manifest)
            database.mark()
            _objects(place, name)
            _sqlite(place, name, manifest)
            say("database ...")
            with place.open(name, DUMP) as dump:
                database.load(dump)
            lock.check()
            lines = list(_compared(database, manifest))
            database.whole()
        for line in lines:
            say(line)
        return f"{place.shown(name)} is restored"


def _warn_of_disk(manifest: Manifest) -> None:
    """Say where the disk of the volumes is too small; the store's may be another."""
    needed = total_bytes(manifest)
    for path in settings.databases().values():
        with contextlib.suppress(FileNotFoundError):
            free = shutil.disk_usage(path.parent).free
            if free < needed:
                say(
                    f"warning: the disk of {path.parent} has {size(free)} free, and the backup has "
                    f"{size(needed)}: if the store is on it too, it will be full before the end"
                )


def _objects(place: Place, name: str) -> None:
    store = s3.Store()
    with store.explained(), place.open(name, OBJECTS) as file:
        wanted = {(entry.bucket, entry.key): entry for entry in entries(file)}
        for bucket, client in store.clients.items():
            there = {each.key: each for page in store.pages(bucket) for each in page}
            extra = [key for key in there if (bucket, key) not in wanted]
            progress = Progress(f"objects of {bucket}")
            with ThreadPoolExecutor(s3.AT_ONCE) as threads:
                for _ in threads.map(
                    lambda key, client=client, bucket=bucket: client.delete_object(
                        Bucket=bucket, Key=key
                    ),
                    extra,
                ):
                    pass
                of_bucket = [entry for entry in wanted.values() if entry.bucket == bucket]
                for length in threads.map(
                    lambda entry, client=client, there=there: _put(place, client, entry, there),
                    of_bucket,
                ):
                    progress.add(1, length)
            removed = f"; {len(extra):,} that are not in the backup were removed" if extra else ""
            say(f"{progress}{removed}")


def _put(place: Place, client: Any, entry: Entry, there: dict[str, s3.Listed]) -> int:
    """Put an object into the store where it has not the same already."""
    listed = there.get(entry.key)
    if not listed or (listed.etag, listed.size) != (entry.etag, entry.size):
        with place.open_object(entry.sha256) as content:
            s3.put(client, entry.bucket, entry.key, content, entry.size, entry.type)
    return entry.size


def _sqlite(place: Place, name: str, manifest: Manifest) -> None:
    for file, path in settings.databases().items():
        if file in manifest.files:
            with fetched(place, name, file) as saved:
                sqlite.restore(saved, path)
            say(f"{file}: {sqlite.rows(path)} rows")
        else:
            sqlite.remove(path)
    for file in manifest.files.keys() - settings.databases().keys():
        if file.endswith(".db"):
            say(f"{file} is in the backup, but this stack has no place for it: left out")


def _compared(database: Database, manifest: Manifest) -> Iterator[str]:
    """Compare what came back with the manifest."""
    rows, wrong = database.counts(), []
    for table, count in manifest.rows.items():
        if rows.get(table) != count:
            wrong.append(f"{table} has {rows.get(table)} rows in place of {count}")
    store = s3.Store()
    with store.explained():
        found = {bucket: store.count(bucket) for bucket in manifest.objects}
    for bucket, said in manifest.objects.items():
        if found[bucket] != (said["count"], said["bytes"]):
            count, total = found[bucket]
            wrong.append(
                f"{bucket} has {count} objects of {total} bytes in place of {said['count']} of "
                f"{said['bytes']}"
            )
    if wrong:
        raise BackupError(
            "What came back is not what the backup has: " + "; ".join(wrong) + ". Restore again: "
            "make restore FROM=... OVERWRITE=yes"
        )
    shown = ("experiments", "runs", "registered_models", "model_versions")
    named = ", ".join(
        f"{rows[table]:,} {table.replace('_', ' ')}" for table in shown if table in rows
    )
    yield f"database: {sum(rows.values()):,} rows as in the backup: {named}"
    for bucket, (count, total) in found.items():
        yield f"bucket {bucket}: {count:,} objects, {size(total)}, as in the backup"
