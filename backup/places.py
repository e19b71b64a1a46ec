"""Where backups lie: a folder, or a bucket elsewhere. Both have the same layout."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from . import s3, settings
from .errors import BackupError
from .manifest import MANIFEST

NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ")
PARTIAL = ".partial-"


class Place(Protocol):
    """Holds backups, each under its name, and the pool of their objects by SHA-256."""

    def names(self) -> list[str]:
        """Return the whole backups, the oldest first."""

    def open(self, name: str, file: str) -> IO[bytes]:
        """Read a file of a backup; FileNotFoundError where it is not there."""

    def pool(self) -> dict[str, int]:
        """Return the objects of the pool with their sizes."""

    def open_object(self, digest: str) -> IO[bytes]:
        """Read an object; FileNotFoundError where it is not there."""

    def keep_object(self, digest: str, path: Path) -> None:
        """Move a file to the pool."""

    def finish(self, partial: Path, name: str) -> None:
        """Make a backup of a folder that has all its files."""

    def remove(self, name: str) -> None:
        """Remove a backup, but for its objects."""

    def sweep(self) -> None:
        """Remove what was a backup or was to be one."""

    def remove_objects(self, digests: Iterable[str]) -> None:
        """Remove objects from the pool."""

    def shown(self, name: str) -> str:
        """Return how an operator names a backup."""


def _object(digest: str) -> str:
    return f"objects/{digest[:2]}/{digest}"


class Folder:
    """Backups in a folder."""

    def __init__(self, path: Path, shown: str) -> None:
        self.path, self._shown = path, shown

    def names(self) -> list[str]:
        found = (each.name for each in self.path.iterdir() if (each / MANIFEST).is_file())
        return sorted(name for name in found if NAME.fullmatch(name))

    def open(self, name: str, file: str) -> IO[bytes]:
        return (self.path / name / file).open("rb")

    def pool(self) -> dict[str, int]:
        files = (self.path / "objects").glob("??/*")
        return {file.name: file.stat().st_size for file in files}

    def open_object(self, digest: str) -> IO[bytes]:
        return (self.path / _object(digest)).open("rb")

    def keep_object(self, digest: str, path: Path) -> None:
        target = self.path / _object(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)

    def finish(self, partial: Path, name: str) -> None:
        # What a rename names must be on the disk before it, the objects too.
        os.sync()
        partial.rename(self.path / name)
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, name: str) -> None:
        # Without its manifest it is no backup any more, wherever this ends.
        (self.path / name / MANIFEST).unlink()
        shutil.rmtree(self.path / name)

    def sweep(self) -> None:
        whole = self.names()
        for path in self.path.iterdir():
            if NAME.fullmatch(path.name) and path.name not in whole:
                shutil.rmtree(path)

    def remove_objects(self, digests: Iterable[str]) -> None:
        for digest in digests:
            (self.path / _object(digest)).unlink(missing_ok=True)

    def shown(self, name: str) -> str:
        return f"{self._shown.rstrip('/')}/{name}"


# Its errors are not those of the stack's own store.
_explained = s3.explained(
    "The S3 store of backups", "See BACKUP_DESTINATION and the settings beside it in .env."
)


class Bucket:
    """Backups in a bucket, under a prefix."""

    def __init__(self, address: str) -> None:
        bucket, _, prefix = address.removeprefix("s3://").partition("/")
        if not bucket:
            raise BackupError(f"'{address}' names no bucket: it must be s3://BUCKET/PREFIX.")
        self.bucket, self.prefix = bucket, prefix.strip("/") and prefix.strip("/") + "/"
        self.client = s3.client(
            settings.text("BACKUP_S3_ENDPOINT_URL"),
            settings.needed("BACKUP_S3_ACCESS_KEY_ID"),
            settings.needed("BACKUP_S3_SECRET_ACCESS_KEY"),
            settings.text("BACKUP_S3_REGION", "us-east-1"),
        )

    def _listed(self, prefix: str, **options: Any) -> Iterator[dict[str, Any]]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self.prefix + prefix, **options
        )
        yield from pages

    def _begun(self) -> list[str]:
        found = (
            each["Prefix"].removeprefix(self.prefix).rstrip("/")
            for page in self._listed("", Delimiter="/")
            for each in page.get("CommonPrefixes", ())
        )
        return sorted(name for name in found if NAME.fullmatch(name))

    @_explained
    def names(self) -> list[str]:
        # The manifest comes last: without it a backup is not whole.
        return [name for name in self._begun() if self._has(f"{name}/{MANIFEST}")]

    @_explained
    def sweep(self) -> None:
        for name in self._begun():
            if not self._has(f"{name}/{MANIFEST}"):
                self.remove(name)

    def _has(self, key: str) -> bool:
        try:
            self.client.head_object(Bucket=self.bucket, Key=self.prefix + key)
        except ClientError as error:
            if s3.missing(error):
                return False
            raise
        return True

    @_explained
    def _get(self, key: str) -> IO[bytes]:
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)
        except ClientError as error:
            if s3.missing(error):
                raise FileNotFoundError(key) from error
            raise
        body: IO[bytes] = answer["Body"]
        return body

    def open(self, name: str, file: str) -> IO[bytes]:
        return self._get(f"{name}/{file}")

    def _put(self, path: Path, key: str) -> None:
        with path.open("rb") as content:
            s3.put(self.client, self.bucket, self.prefix + key, content, path.stat().st_size)

    @_explained
    def pool(self) -> dict[str, int]:
        return {
            each["Key"].rsplit("/", 1)[1]: each["Size"]
            for page in self._listed("objects/")
            for each in page.get("Contents", ())
        }

    def open_object(self, digest: str) -> IO[bytes]:
        return self._get(_object(digest))

    @_explained
    def keep_object(self, digest: str, path: Path) -> None:
        self._put(path, _object(digest))
        path.unlink()

    @_explained
    def finish(self, partial: Path, name: str) -> None:
        files = sorted(partial.iterdir(), key=lambda path: path.name == MANIFEST)
        for path in files:
            self._put(path, f"{name}/{path.name}")
        shutil.rmtree(partial)

    @_explained
    def remove(self, name: str) -> None:
        listed = (page.get("Contents", ()) for page in self._listed(f"{name}/"))
        keys = [each["Key"] for page in listed for each in page]
        for key in sorted(keys, key=lambda key: not key.endswith(MANIFEST)):
            self.client.delete_object(Bucket=self.bucket, Key=key)

    @_explained
    def remove_objects(self, digests: Iterable[str]) -> None:
        for digest in digests:
            self.client.delete_object(Bucket=self.bucket, Key=self.prefix + _object(digest))

    def shown(self, name: str) -> str:
        return f"s3://{self.bucket}/{self.prefix}{name}"


def destination() -> Place:
    """Return where backups go."""
    address = settings.text("BACKUP_DESTINATION")
    if address:
        if not address.startswith("s3://"):
            raise BackupError(
                f"BACKUP_DESTINATION is '{address}': it must be s3://BUCKET/PREFIX. For a folder "
                "leave it out, and set BACKUP_FOLDER."
            )
        return Bucket(address)
    return Folder(settings.folder(), settings.text("BACKUP_FOLDER", str(settings.folder())))


def found(source: str) -> tuple[Place, str]:
    """Return the place and the name of a backup that an operator names."""
    parent, _, name = source.rstrip("/").rpartition("/")
    if not NAME.fullmatch(name):
        raise BackupError(
            f"'{source}' is no backup: name one as backups/2026-11-27T08-28-17Z, or by its address "
            "as s3://BUCKET/PREFIX/2026-11-27T08-28-17Z."
        )
    place: Place
    if source.startswith("s3://"):
        place = Bucket(parent)
    else:
        place = Folder(Path(parent), settings.text("BACKUP_FROM", parent))
        if not (Path(parent) / name).is_dir():
            raise BackupError(f"There is no backup {place.shown(name)}.")
    return place, name


@contextmanager
def held(*, alone: bool, place: Place) -> Iterator[None]:
    """Keep others from removing from a folder of backups what is read or written meanwhile."""
    path = place.path if isinstance(place, Folder) else settings.folder()
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise unusable(error) from error
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupError(
                "A backup or a restore that uses this folder is under way: wait until it has "
                "ended, and try again."
            ) from error
        yield
    finally:
        os.close(descriptor)


def unusable(error: OSError) -> BackupError:
    """Return what to do where the folder of backups cannot be used."""
    folder = settings.text("BACKUP_FROM") or settings.text("BACKUP_FOLDER", str(settings.folder()))
    if isinstance(error, PermissionError):
        user, group = os.getuid(), os.getgid()
        return BackupError(
            f"The user {user} cannot use {error.filename or folder}: let the folder {folder} and "
            f"all in it belong to it, with `sudo chown -R {user}:{group} {folder}`."
        )
    if error.errno == 28:
        return BackupError(
            f"The disk of {folder} is full: free some space or lower BACKUP_KEEP, and try again. "
            "Nothing of this attempt is left there."
        )
    return BackupError(f"The folder {folder} cannot be used ({error}).")
