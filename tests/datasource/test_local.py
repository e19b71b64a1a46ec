"""Files are read below the allowed folders, and nowhere else."""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from datasource.sources import EVER, SERIES, TABLE, refused

from detector.datasource import Access, check, read

OUTSIDE = [
    "../secret.csv",
    "x/../../secret.csv",
    "/etc/passwd",
    "/proc/self/environ",
    "file:///etc/passwd",
    "file:///proc/self/mem",
    "file:../secret.csv",
    "file:%2e%2e/secret.csv",
    "file://elsewhere/secret.csv",
    "file:///%2e%2e/secret.csv",
    "file://[::1",
    "file://[x]/secret.csv",
    "file://\u2100.com/secret.csv",
    "link.csv",
    "linked/secret.csv",
    "nul\0.csv",
    "n" * 5000,
    "circle",
    "ftp://127.0.0.1/a.csv",
    "data:text/csv,timestamp",
    "gopher://127.0.0.1/",
    "jar:file:///etc/passwd",
    "C:\\data\\a.csv",
    "",
    " ",
    "s3://datasets/a.csv",
    "http:///a.csv",
    "http:a.csv",
    "https://",
]


@pytest.mark.parametrize("source", OUTSIDE, ids=lambda source: source[:30].replace("\0", "0"))
def test_what_lies_elsewhere_is_refused_unread(
    access: Access, folder: Path, tmp_path: Path, source: str
) -> None:
    (tmp_path / "secret.csv").write_bytes(TABLE)
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "linked").symlink_to(tmp_path)
    (folder / "circle").symlink_to(folder / "circle")
    for ask in (lambda: check(source, access), lambda: read(source, access, **EVER)):
        with refused("InvalidBlobURL"):
            ask()


@pytest.mark.parametrize("way", ["relative", "absolute", "address", "local", "folder", "link"])
def test_what_lies_below_the_folder_is_read(access: Access, folder: Path, way: str) -> None:
    (folder / "sub dir").mkdir()
    path = folder / "sub dir" / "a.csv"
    path.write_bytes(TABLE)
    (folder / "link.csv").symlink_to(path)
    source = {
        "relative": "sub dir/../sub dir/a.csv",
        "absolute": str(path),
        "address": path.as_uri(),
        "local": path.as_uri().replace("file://", "file://localhost"),
        "folder": str(path.parent),
        "link": "link.csv",
    }[way]
    check(source, access)
    assert read(source, access, **EVER).shape == (2, 2)


def test_what_is_not_there_is_said(access: Access) -> None:
    for ask in (lambda: check("a.csv", access), lambda: read("a.csv", access, **EVER)):
        with refused("FileNotExist", "File 'a.csv' does not exist."):
            ask()


def test_a_folder_without_variables_is_refused(access: Access, folder: Path) -> None:
    (folder / "none").mkdir()
    (folder / "none" / "notes.txt").touch()
    with refused("NoVariablesFound", "none"):
        read("none", access, **EVER)


def test_a_link_in_a_folder_does_not_lead_out_of_it(
    access: Access, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret.csv").write_bytes(SERIES)
    (folder / "a.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "b.csv").write_bytes(SERIES)
    with refused("InvalidBlobURL"):
        read(str(folder), access, **EVER)


def test_what_is_no_ordinary_file_is_refused_without_waiting(access: Access, folder: Path) -> None:
    os.mkfifo(folder / "fifo.csv")
    with refused("ReadingFileError", "no ordinary file"):
        read("fifo.csv", access, **EVER)
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(folder)  # The path of such a socket is short.
        try:
            listener.bind("socket.csv")
        finally:
            os.chdir(here)
        with refused("ReadingFileError", "socket.csv"):
            read("socket.csv", access, **EVER)
    if os.access("/dev/zero", os.R_OK):
        with refused("ReadingFileError", "no ordinary file"):
            read("zero", replace(access, folders=(Path("/dev"),)), **EVER)


def test_a_path_that_became_a_link_after_it_was_checked_is_not_followed(
    access: Access, folder: Path, tmp_path: Path
) -> None:
    from detector.datasource import local

    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.csv").write_bytes(TABLE)
    (folder / "sub").mkdir()
    (folder / "sub" / "a.csv").write_bytes(TABLE)
    file, parent = (local.find("sub/a.csv", access) for _ in range(2))
    assert isinstance(file, local.File)
    assert isinstance(parent, local.File)
    (folder / "sub" / "a.csv").unlink()
    (folder / "sub" / "a.csv").symlink_to(tmp_path / "secret" / "a.csv")
    with refused("ReadingFileError"), file.open():
        pass
    shutil.rmtree(folder / "sub")
    (folder / "sub").symlink_to(tmp_path / "secret")
    with refused("ReadingFileError"), parent.open():
        pass
