"""Files that are made to take memory or time: refused in a sentence, and soon."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from files.workbooks import xlsx, zipped

from detector import files
from detector.errors import DetectionError

BOUNDS = files.Bounds(bytes=1_000_000, cells=100_000, old_excel=False)
ZEROS = bytes(20_000_000)


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


def strong(content: bytes) -> bytes:
    """Return a zip whose part says how much memory it takes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.csv", content)
    return file.getvalue()


def book(sheet: str) -> bytes:
    return zipped({"[Content_Types].xml": "<Types/>", "xl/worksheets/sheet1.xml": sheet})


def shared(text: str, cells: int) -> bytes:
    """Return a workbook whose cells share one text."""
    book = zipfile.ZipFile(io.BytesIO(xlsx({"A": [("x",)]})))
    parts = {name: book.read(name).decode() for name in book.namelist()}
    [sheet] = [name for name in parts if name.startswith("xl/worksheets/")]
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    rows = "".join(
        f'<row r="{row}"><c r="A{row}" t="s"><v>0</v></c></row>' for row in range(1, cells + 1)
    )
    parts[sheet] = f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>'
    parts["xl/sharedStrings.xml"] = f'<sst xmlns="{main}"><si><t>{text}</t></si></sst>'
    return zipped(parts)


def parquet(text: str, rows: int) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"date": [text] * rows, "v": [1.0] * rows}), file)
    return file.getvalue()


def aliased(count: int) -> bytes:
    """Return a workbook of many sheets that are all the same part, with one cell far off."""
    book = zipfile.ZipFile(io.BytesIO(xlsx({"A": [("x",), *[()] * 900, ("y",) * 26]})))
    parts = {name: book.read(name).decode() for name in book.namelist()}
    sheets = "".join(f'<sheet name="s{at}" sheetId="{at}" r:id="r1"/>' for at in range(1, count))
    before, _, after = parts["xl/workbook.xml"].partition("<sheets>")
    parts["xl/workbook.xml"] = f"{before}<sheets>{sheets}</sheets>{after.partition('</sheets>')[2]}"
    return zipped(parts)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (shared("x" * 500_000, 1000), "more text in its cells than is read"),
        (parquet("x" * 200_000, 200), "more text in its cells than is read"),
        (aliased(30), "more than 100000 cells"),
        (
            zipped(
                {
                    "[Content_Types].xml": "<Types/>",
                    "xl/worksheets/sheet1.xml": "<worksheet/>",
                    "xl/other/sheet1.xml": '<c r="A1"/><c r="XFD1048576"/>',
                }
            ),
            "a sheet of 1048576 rows and 16384 columns",
        ),
        (json.dumps([{f"c{at}": 1} for at in range(1000)]).encode(), "more than 100000 cells"),
        (json.dumps([[1] * 1000, *[[1]] * 1000]).encode(), "more than 100000 cells"),
        (
            json.dumps({f"c{at}": {f"r{at}": 1} for at in range(1000)}).encode(),
            "more than 100000 cells",
        ),
        (b"1\n" * 1000 + b"1" + b",1" * 999 + b"\n" + b"1\n" * 900, "more than 100000 cells"),
        (gzip.compress(b"") * 20_000, "is empty"),
        (gzip.compress(ZEROS), "unpacked, the most that is read"),
        (gzip.compress(gzip.compress(ZEROS)), "unpacked, the most that is read"),
        (bz2.compress(ZEROS), "unpacked, the most that is read"),
        (lzma.compress(ZEROS), "unpacked, the most that is read"),
        (zstd(ZEROS), "unpacked, the most that is read"),
        (zipped({"a.csv": ZEROS}), "unpacked, the most that is read"),
        (book(" " * 20_000_000), "unpacked, the most that is read"),
        (book('<c r="A1"/><c r="XFD1048576"/>'), "a sheet of 1048576 rows and 16384 columns"),
        (strong(b"a,b\n"), "packed with method 14"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1000), "save it as .xlsx"),
        (b"," * 200_000, "more than 100000 cells"),
        (b"[" * 200_000, "is no JSON"),
        (b"a," * 50_000, "columns"),
        (b'date,v\n"' + b"2021-01-01\n" * 80_000, "."),
        (b"date,v\n2021-01-01,$" + b" " * 400_000 + b"x\n", "no column of numbers"),
        (b"date,v\n2021-01-01" + b" " * 400_000 + b"x,5\n", "must be a date"),
        (b'[{"timestamp": 1' + b"0" * 400 + b', "value": 5}]', "is out of range"),
        (b'[{"timestamp": "2021-01-01", "value": 1' + b"0" * 400 + b"}]", "is out of range"),
        (b'[{"timestamp": "2021-01-01", "value": Infinity}]', "inf in 'value' must be a number"),
        (b'{"series": [{"value": 1}], "x": "\\ud800"}', "is out of range"),
        (b"x" * 1_000_001, "the most that is read"),
    ],
    ids=range(30),
)
def test_it_is_refused_in_a_sentence(content: bytes, says: str) -> None:
    with pytest.raises(DetectionError) as caught:
        files.read(content, bounds=BOUNDS)
    assert says in caught.value.message
    assert "\n" not in caught.value.message
