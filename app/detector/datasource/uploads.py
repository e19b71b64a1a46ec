"""Keeps uploaded data: in the store's first bucket, or without a store in the first folder."""

from __future__ import annotations

import fcntl
import io
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from detector.datasource import s3
from detector.datasource.access import Access
from detector.datasource.archive import SIGNATURE
from detector.datasource.reading import describe
from detector.datasource.stream import shorten
from detector.errors import DetectionError

__all__ = ["Dataset", "begins_well", "datasets", "remove", "stem_of", "store", "sweep", "too_large"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SUFFIXES = (".csv", ".zip")
_PART = ".part"


@dataclass(frozen=True)
class Dataset:
    """Uploaded data.

    Attributes
    ----------
    source : str
        What a request names as its ``dataSource``.
    changed : datetime
        In UTC.
    """

    name: str
    source: str
    bytes: int
    changed: datetime


def stem_of(name: str) -> str:
    """Return a name without the suffix of its file; refuse one that cannot be a name."""
    if not _NAME.fullmatch(name):
        raise DetectionError(
            "BadArgument",
            f"The name '{shorten(name)}' cannot be that of a data set: use up to 100 letters, "
            "digits, '.', '_' and '-', the first a letter or digit.",
        )
    return name[:-4] if name.lower().endswith(_SUFFIXES) else name


def store(name: str, file: BinaryIO | Path, access: Access) -> str:
    """Keep a CSV file or zip under a name, in place of what had it.

    Parameters
    ----------
    name : str
        With the suffix of its kind or without.
    file : BinaryIO or Path
        A file that can be sought in; what it is, its content decides.

    Returns
    -------
    str
        Its ``dataSource``.

    Raises
    ------
    DetectionError
        ``BadArgument`` for the name, ``InvalidFileSize``, the codes of reading for a file that is
        neither, ``StorageWriteError`` where it cannot be kept.
    """
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return store(name, opened, access)
    stem = stem_of(name)
    if file.seek(0, os.SEEK_END) > access.max_bytes:
        raise too_large(stem, access)
    file.seek(0)
    suffix = describe(file, stem, access)
    file.seek(0)
    storage = _storage(access, "StorageWriteError")
    before = _named(stem, storage)
    source = storage.put(stem + suffix, file)
    # What came meanwhile is another upload's, which may not know of this one either.
    replaced = [each for each in before if each.source != source and each in _named(stem, storage)]
    storage.delete([each.source.rpartition("/")[2] for each in replaced])
    return source


def begins_well(start: bytes, name: str, access: Access) -> None:
    """Refuse what begins neither as a CSV file of data nor as a zip, as :func:`store` would."""
    if not start.startswith(SIGNATURE):
        describe(io.BytesIO(start), name, access)


def too_large(name: str, access: Access) -> DetectionError:
    """Return the refusal of a file that is larger than may be kept."""
    return DetectionError(
        "InvalidFileSize",
        f"File {name} exceeds the file size limit ({access.max_bytes} bytes; "
        "DETECTOR_MAX_DATA_BYTES).",
    )


def datasets(access: Access) -> list[Dataset]:
    """Return what is kept, by name."""
    storage = _storage(access, "GetDataError")
    return sorted(storage.list(), key=lambda dataset: dataset.name)


def remove(name: str, access: Access) -> None:
    """Delete what is kept under a name; ``FileNotExist`` where nothing is."""
    stem = stem_of(name)
    storage = _storage(access, "StorageWriteError")
    if not _named(stem, storage):
        raise DetectionError("FileNotExist", f"File {stem} does not exist.")
    storage.delete([stem + suffix for suffix in _SUFFIXES])


def _storage(access: Access, code: str) -> _Folder | _Bucket:
    """Return where data is kept; `code` is that of a store that does not answer."""
    return _Folder(access) if access.store_url is None else _Bucket(access, code)


def _named(stem: str, storage: _Folder | _Bucket) -> list[Dataset]:
    return [dataset for dataset in storage.list() if dataset.name == stem]


def sweep(access: Access) -> None:
    """Delete what uploads have left whose process was killed."""
    for part in access.folders[0].glob(f".*{_PART}"):
        # It may be gone by now, or another user's.
        with suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


def _part(folder: Path) -> tuple[int, Path]:
    """Make a file for an upload, locked for as long as its process writes to it."""
    while True:
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=_PART)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Before it was locked, a service that starts may have taken it for a leftover.
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)


class _Folder:
    def __init__(self, access: Access) -> None:
        self._folder = access.folders[0]

    def put(self, name: str, file: BinaryIO) -> str:
        path = self._folder / name
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor, part = _part(self._folder)
            try:
                with os.fdopen(descriptor, "wb") as copy:
                    shutil.copyfileobj(file, copy, 1024 * 1024)
                    copy.flush()
                    os.fsync(descriptor)
                    # Read by a worker too, which may be another user.
                    os.fchmod(descriptor, 0o644)
                    part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise DetectionError(
                "StorageWriteError", f"File {name} cannot be kept: {error.strerror}."
            ) from error
        return path.as_uri()

    def delete(self, names: list[str]) -> None:
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def list(self) -> Iterator[Dataset]:
        for path in self._folder.glob("[!.]*"):
            try:
                known = path.stat()
            except OSError:
                # Replaced or deleted meanwhile, or a link to nowhere or to itself.
                continue
            if path.suffix in _SUFFIXES and stat.S_ISREG(known.st_mode):
                changed = datetime.fromtimestamp(known.st_mtime, UTC)
                yield Dataset(path.stem, path.as_uri(), known.st_size, changed)


class _Bucket:
    def __init__(self, access: Access, code: str) -> None:
        self._access, self._code = access, code
        self._bucket = access.buckets[0]

    def put(self, name: str, file: BinaryIO) -> str:
        source = f"s3://{self._bucket}/{name}"
        with self._asked(source) as client:
            client.upload_fileobj(file, self._bucket, name)
        return source

    def delete(self, names: list[str]) -> None:
        with self._asked(f"s3://{self._bucket}") as client:
            for name in names:
                client.delete_object(Bucket=self._bucket, Key=name)

    def list(self) -> Iterator[Dataset]:
        with self._asked(f"s3://{self._bucket}") as client:
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Delimiter="/"
            )
            for entry in (entry for page in pages for entry in page.get("Contents", [])):
                key = entry["Key"]
                if key.endswith(_SUFFIXES):
                    source = f"s3://{self._bucket}/{key}"
                    changed = entry["LastModified"].astimezone(UTC)
                    yield Dataset(key[:-4], source, entry["Size"], changed)

    @contextmanager
    def _asked(self, source: str) -> Iterator[Any]:
        with (
            s3.client(self._access) as client,
            s3.explained(source, self._access, code=self._code),
        ):
            yield client
