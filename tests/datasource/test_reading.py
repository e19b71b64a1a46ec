"""A data source becomes a table, whatever it is; what is none is refused with what is wrong."""

from __future__ import annotations

import contextlib
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import recordings
from datasource.sources import EVER, FEW, SEED, SERIES, TABLE, packed, read_bytes, refused
from hypothesis import given, seed
from hypothesis import strategies as st

from detector.datasource import Access, read
from detector.errors import DetectionError

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
    "gzip": (b"\x1f\x8b\x08" + bytes(50), "ReadingFileError", "gzip"),
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
