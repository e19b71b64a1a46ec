"""No data source takes more memory, rows or bytes than it may."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from datasource.sources import ROOT, SERIES, TABLE, packed, read_bytes, refused

from detector.datasource import Access
from detector.errors import DetectionError


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
