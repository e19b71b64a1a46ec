"""A table that Spark wrote in parts is read as one, wherever the parts lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from clients.azurite import Azurite
from datasource.sources import EVER, SERIES, TABLE, packed, parts_of, read_bytes, refused

from detector.datasource import Access, read
from detector.datasource.folder import MOST_PARTS, is_part
from detector.datasource.s3 import client

UUID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
PART = f"part-00000-{UUID}-c000.csv"


@pytest.fixture
def table() -> pd.DataFrame:
    minutes = pd.date_range("2021-01-01", periods=100, freq="min", name="timestamp")
    values = np.random.default_rng(1).normal(size=(100, 3)).round(6)
    return pd.DataFrame(values, index=minutes, columns=["a", "b", "c"])


def keep(folder: Path, files: dict[str, bytes]) -> str:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return str(folder)


def assert_same(found: pd.DataFrame, table: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, table, check_exact=True, check_freq=False)


def test_parts_in_a_folder_are_one_table(access: Access, folder: Path, table: pd.DataFrame) -> None:
    assert_same(read(keep(folder / "table.csv", parts_of(table)), access, **EVER), table)
    window = {"start": table.index[50], "end": table.index[60], "look_back": 9}
    assert_same(read(str(folder / "table.csv"), access, **window), table[41:61])


def test_parts_in_a_zip_are_one_table(access: Access, table: pd.DataFrame) -> None:
    for schema in ("OneTable", "MultiTable"):
        found = read_bytes(packed(parts_of(table)), access, "table.zip", schema=schema)
        assert_same(found, table)


def test_parts_in_the_store_are_one_table(stored: Access, table: pd.DataFrame) -> None:
    # More keys than the store lists at once.
    files = parts_of(table) | {f"a note {place}": b"" for place in range(1000)}
    with client(stored) as s3:
        for name, content in files.items():
            s3.put_object(Bucket="datasets", Key=f"some/table.csv/{name}", Body=content)
    assert_same(read("s3://datasets/some/table.csv", stored, **EVER), table)


def test_parts_in_blob_storage_are_one_table(
    azurite: Azurite, access: Access, table: pd.DataFrame
) -> None:
    allowed = replace(access, private_hosts=frozenset({azurite.host}))
    azurite.make("spark")
    # Hadoop's driver of blob storage marks a folder with a blob.
    source = azurite.put("spark/table.csv", b"", hdi_isfolder="true")
    azurite.put("spark/table.csv/older.csv", b"", hdi_isfolder="true")
    azurite.put("spark/table.csv/older.csv/_SUCCESS", b"")
    for name, content in parts_of(table).items():
        azurite.put(f"spark/table.csv/{name}", content)
    assert_same(read(f"{source}?{azurite.token('spark')}", allowed, **EVER), table)


def test_a_single_part_is_a_table(access: Access, folder: Path, table: pd.DataFrame) -> None:
    files = parts_of(table, count=1)
    assert_same(read(keep(folder / "all", files), access, **EVER), table)
    # The name of a part is made up anew each time, and no name of a variable.
    one = keep(folder / "one", {PART: SERIES})
    assert read(one, access, schema="MultiTable", **EVER).columns.tolist() == ["value"]


def test_parts_without_rows_add_none(access: Access, folder: Path, table: pd.DataFrame) -> None:
    files = parts_of(table)
    files |= {
        PART.replace("00000", "00007"): b"",
        PART.replace("00000", "00008"): b"timestamp,c,b,a\n",
    }
    assert_same(read(keep(folder / "table", files), access, **EVER), table)
    with refused("NoVariablesFound", "or only empty parts"):
        read(keep(folder / "none", {PART: b""}), access, **EVER)


def test_parts_of_other_columns_are_refused(access: Access, folder: Path) -> None:
    files = {PART: TABLE, PART.replace("00000", "00001"): SERIES}
    with refused("FileColumnsNotExist", "part-00001", "'value'", "'a', 'b'"):
        read(keep(folder / "table", files), access, **EVER)


def test_parts_beside_other_files_are_refused(access: Access, folder: Path) -> None:
    with refused("ReadingFileError", PART, "'x.csv'", "folders of their own"):
        read(keep(folder / "both", {PART: TABLE, "x.csv": SERIES}), access, **EVER)


def test_packed_parts_are_refused_and_not_left_out(access: Access, folder: Path) -> None:
    files = {PART: TABLE, f"{PART.replace('00000', '00001')}.gz": b"\x1f\x8b\x08" + bytes(50)}
    with refused("ReadingFileError", "part-00001", "gzip"):
        read(keep(folder / "table", files), access, **EVER)


def test_a_table_in_too_many_parts_is_refused(access: Access, folder: Path) -> None:
    files = {f"part-{place:05}-{UUID}-c000.csv": b"" for place in range(MOST_PARTS + 1)}
    with refused("DataExceedsLimit", "more than 1000 parts", "coalesce"):
        read(keep(folder / "table", files), access, **EVER)


def test_parts_together_keep_to_the_limits(
    access: Access, folder: Path, table: pd.DataFrame
) -> None:
    source = keep(folder / "table", parts_of(table))
    assert read(source, replace(access, max_cells=300), **EVER).size == 300
    with refused("TooManyData", "more than 299 values"):
        read(source, replace(access, max_cells=299), **EVER)
    count = len(b"".join(parts_of(table).values()))
    assert read(source, replace(access, max_bytes=count), **EVER).size == 300
    with refused("FileSizeTooLarge", "part-00002"):
        read(source, replace(access, max_bytes=count - 1), **EVER)


@pytest.mark.parametrize(
    "name",
    [
        PART,
        f"part-00012-{UUID}.c000.csv",
        f"part-00012-{UUID}-c001.csv.gz",
        f"part-00012-tid-6329483647158-{UUID}-12-1-c000.csv",
        f"part-100000-{UUID}.csv",
    ],
)
def test_a_part_is_known_by_what_spark_calls_it(name: str) -> None:
    assert is_part(name)


@pytest.mark.parametrize(
    "name", ["part-00001.csv", "part-1.csv", f"{UUID}.csv", f"part-{UUID}.csv", "_SUCCESS"]
)
def test_a_variable_may_be_called_part(name: str) -> None:
    assert not is_part(name)


def test_a_folder_called_like_a_file_is_no_variable(access: Access, folder: Path) -> None:
    keep(folder / "many", {"a.csv": SERIES, "b.csv": SERIES})
    keep(folder / "many" / "table.csv", {PART: TABLE})
    assert read("many", access, **EVER).columns.tolist() == ["a", "b"]
