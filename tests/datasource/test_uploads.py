"""What is uploaded is kept whole under its name, or not at all."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest
from datasource.sources import EVER, SERIES, TABLE, packed, refused

from detector.datasource import Access, datasets, read, remove, store, uploads


def test_an_upload_is_kept_and_read(access: Access, folder: Path) -> None:
    source = store("mine", io.BytesIO(TABLE), access)
    assert source == (folder / "mine.csv").as_uri()
    assert read(source, access, **EVER).size == 4
    assert [(kept.name, kept.source, kept.bytes) for kept in datasets(access)] == [
        ("mine", source, len(TABLE))
    ]


def test_an_upload_replaces_what_had_its_name(access: Access, folder: Path) -> None:
    store("mine", io.BytesIO(TABLE), access)
    source = store("mine.csv", io.BytesIO(packed({"a.csv": SERIES})), access)
    assert source.endswith("/mine.zip")
    assert [path.name for path in folder.iterdir()] == ["mine.zip"]
    assert [kept.source for kept in datasets(access)] == [source]
    remove("mine", access)
    assert not list(folder.iterdir())
    with refused("FileNotExist", "mine"):
        remove("mine", access)


def test_uploads_of_one_name_at_once_do_not_delete_each_other(access: Access, folder: Path) -> None:
    contents = [TABLE, packed({"a.csv": SERIES})]
    with ThreadPoolExecutor(2) as threads:
        for _ in range(100):
            ready = threading.Barrier(2)

            def upload(content: bytes, ready: threading.Barrier = ready) -> str:
                ready.wait()
                return store("mine", io.BytesIO(content), access)

            sources = list(threads.map(upload, contents))
            kept = [dataset.source for dataset in datasets(access)]
            assert kept
            assert set(kept) <= set(sources)
            remove("mine", access)


def test_an_upload_that_came_meanwhile_is_not_replaced(
    access: Access, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store("mine", io.BytesIO(packed({"a.csv": SERIES})), access)
    put = uploads._Folder.put

    def put_after_another(self: uploads._Folder, name: str, file: BinaryIO) -> str:
        monkeypatch.undo()
        store("mine", io.BytesIO(packed({"b.csv": SERIES})), access)
        return put(self, name, file)

    monkeypatch.setattr(uploads._Folder, "put", put_after_another)
    sources = [store("mine", io.BytesIO(TABLE), access), (folder / "mine.zip").as_uri()]
    assert [kept.source for kept in datasets(access)] == sources
    assert read(sources[1], access, **EVER).columns.tolist() == ["b"]


def test_a_link_that_leads_nowhere_is_in_nobody_s_way(access: Access, folder: Path) -> None:
    (folder / "circle.csv").symlink_to("circle.csv")
    (folder / "nowhere.csv").symlink_to("gone.csv")
    source = store("mine", io.BytesIO(TABLE), access)
    assert [kept.source for kept in datasets(access)] == [source]


def test_an_upload_that_cannot_be_kept_leaves_nothing(access: Access, folder: Path) -> None:
    (folder / "mine.csv").mkdir()
    with refused("StorageWriteError", "mine.csv"):
        store("mine", io.BytesIO(TABLE), access)
    assert [path.name for path in folder.iterdir()] == ["mine.csv"]


def test_a_file_that_is_no_data_is_not_kept(access: Access, folder: Path) -> None:
    for content, code in (
        (b"hello", "FileColumnsNotExist"),
        (packed({"a.txt": b""}), "NoVariablesFound"),
        (packed({"a.csv": b""})[:40], "ReadingFileError"),
    ):
        with refused(code):
            store("mine", io.BytesIO(content), access)
    with refused("InvalidFileSize", "60 bytes"):
        store("mine", io.BytesIO(TABLE), replace(access, max_bytes=60))
    assert not list(folder.iterdir())


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "a/b", ".a", "a b", "ä", "a\0", "n" * 101])
def test_a_name_is_one_that_any_store_takes(access: Access, name: str) -> None:
    with refused("BadArgument", "letters, digits"):
        store(name, io.BytesIO(TABLE), access)
