"""Tables in text: the encoding, what stands between columns, and the rows."""

import csv
import io
import re
from collections.abc import Sequence
from itertools import islice
from typing import Any

from charset_normalizer import from_bytes

from detector.files.content import Content
from detector.files.grid import kind_of, kinds_of, table_of
from detector.files.problems import FileError
from detector.files.table import Table

__all__ = ["decoded", "read_text"]

# In the order in which they are tried: a comma may be a decimal mark too.
_DELIMITERS = ("\t", ";", "|", ",")
_SAMPLE_LINES = 100
_LONGEST_CELL = 1_000_000
_COMMENT = "#"
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_HEAD = 65_536
_LEAST_ZEROS = 0.3
# A euro, or the blank that groups digits, as Windows of the West writes them: no letter elsewhere.
_EUROS = re.compile(rb"[0-9 ][\x80\xa0]")
# What begins so is no table, whatever it is called.
_OTHERS = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"%PDF": "a PDF document",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"SQLite format 3": "a SQLite database",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"{\\rtf": "a document of a word processor",
    b"ARROW1": "a Feather file",
    b"ORC": "an ORC file",
    b"\x89HDF": "an HDF5 file",
}
_PAGES = (b"<!doctype html", b"<html", b"<?xml")
_WANTED = "Give CSV, Excel, JSON or Parquet."


def decoded(content: Content) -> str:
    """Return the text of a file, in whatever encoding it is.

    Raises
    ------
    FileError
        If it is no text.
    """
    data = content.data
    for begin, what in _OTHERS.items():
        if data.startswith(begin):
            raise content.problem(f"is {what}, not a table. {_WANTED}")
    if data[:64].lstrip().lower().startswith(_PAGES):
        raise content.problem(f"is a page of the web or XML, not a table. {_WANTED}")
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), None)
    encoding = encoding or _without_mark(data[:_HEAD])
    try:
        return data.decode(encoding or "utf-8")
    except (UnicodeDecodeError, UnicodeError):
        if encoding:
            raise content.problem(f"is cut off, or is no text in {encoding}.") from None
    if b"\0" in data:
        raise content.problem(f"is no text. {_WANTED}")
    return _guessed(content)


def _without_mark(head: bytes) -> str | None:
    """Return the encoding of UTF-16 without a mark: every other byte is zero."""
    for place, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = head[place::2].count(0), head[1 - place :: 2].count(0)
        if zeros > _LEAST_ZEROS * len(head) / 2 and not others:
            return name
    return None


def _guessed(content: Content) -> str:
    """Decode what is not in UTF-8: as Excel of Japan writes it, or of the West."""
    data = content.data
    if _EUROS.search(data[:_HEAD]):
        try:
            return data.decode("cp1252")
        except UnicodeDecodeError:
            pass
    high = [byte for byte in data[:_HEAD] if byte >= 0x80]
    try:
        text = data.decode("cp932")
        # In Japanese most of the first bytes of a pair are below the letters of the West.
        if sum(byte < 0xA0 for byte in high) * 4 >= len(high):
            return text
    except UnicodeDecodeError:
        pass
    found = from_bytes(data[:_HEAD]).best() if len(high) > 20 else None
    for encoding in (found.encoding if found else "cp1252", "cp1252"):
        try:
            return data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return data.decode("latin-1")


def read_text(content: Content, text: str) -> Table:
    """Read rows of cells, find the header, and return the columns.

    Raises
    ------
    FileError
        If it is no table.
    """
    lines = list(io.StringIO(text, newline=None))
    numbers: list[int] | None = None
    delimiter = None
    first = lines[0].strip().lower() if lines else ""
    if first.startswith("sep=") and len(first) in (4, 5):
        delimiter = first[4:] or "\t"
        lines[0] = "\n"
    comments = []
    if text.startswith(_COMMENT) or f"\n{_COMMENT}" in text or f"\r{_COMMENT}" in text:
        numbers = [at for at, line in enumerate(lines) if not line.startswith(_COMMENT)]
        comments = [line for line in lines if line.startswith(_COMMENT)]
        lines = [lines[at] for at in numbers]
    delimiter = delimiter or _delimiter(lines)
    rows = _rows(content, lines, delimiter)
    where = _Lines(lines, delimiter, numbers)
    if comments:
        rows, where = _with_header(rows, where, comments[-1], delimiter)
    table = table_of(content, rows, where.place, delimiter=delimiter)
    if comments:
        table.notes.append(f"{len(comments)} comment lines left out")
    return table


def _reader(lines: Any, delimiter: str) -> Any:
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter != "\t")


def _rows(content: Content, lines: Sequence[str], delimiter: str) -> list[tuple[str, ...]]:
    csv.field_size_limit(_LONGEST_CELL)
    reader = _reader(lines, delimiter)
    try:
        # The interpreter does not look through tuples of strings again and again.
        return list(map(tuple, reader))
    except csv.Error:
        raise FileError(
            f"{content.name}, line {reader.line_num}: a cell is longer than {_LONGEST_CELL} "
            "characters, or a quote is not closed."
        ) from None


class _Lines:
    """Where rows stand in the file, which is asked for only when something is wrong."""

    def __init__(
        self, lines: Sequence[str], delimiter: str, numbers: list[int] | None, shift: int = 0
    ) -> None:
        self.lines, self.delimiter, self.numbers, self.shift = lines, delimiter, numbers, shift

    def place(self, row: int) -> str:
        """Return where a row stands; a quoted cell may take several lines."""
        reader = _reader(self.lines, self.delimiter)
        for _ in islice(reader, max(0, row - self.shift)):
            pass
        line = reader.line_num
        if self.numbers:
            line = self.numbers[min(line, len(self.numbers) - 1)]
        return f"line {line + 1}"


def _with_header(
    rows: list[tuple[str, ...]], where: _Lines, comment: str, delimiter: str
) -> tuple[list[tuple[str, ...]], _Lines]:
    """Take a comment before the points as the header, as numpy writes it."""
    [named] = list(_reader([comment.lstrip(f"{_COMMENT} ")], delimiter)) or [[]]
    first: tuple[str, ...] = next((row for row in rows if row), ())
    is_header = len(named) == len(first) > 1 and {kind_of(cell) for cell in named} == {"text"}
    if not is_header or {kind_of(cell) for cell in first} == {"text"}:
        return rows, where
    return [tuple(named), *rows], _Lines(where.lines, delimiter, where.numbers, 1)


def _delimiter(lines: Sequence[str]) -> str:
    """Return what stands between columns: what makes columns of dates and of numbers."""
    there = [line for line in lines if not line.isspace()]
    half = len(there) // 2
    sample = there[half : half + _SAMPLE_LINES]
    # A comma stands between most tables that cannot be told.
    best, most = ",", (0, 0, 0.0)
    for delimiter in _DELIMITERS:
        if not any(delimiter in line for line in sample):
            continue
        try:
            rows = [row for row in _reader(sample, delimiter) if row]
        except csv.Error:
            continue
        lengths = [len(row) for row in rows]
        usual = max(set(lengths), key=lengths.count) if lengths else 0
        if usual < 2:
            continue
        even = [row for row in rows if len(row) == usual]
        kinds = [kinds_of(column) for column in zip(*even, strict=True)]
        typed = len({"dates", "numbers"} & set(kinds))
        score = (typed, sum(kind != "text" for kind in kinds), len(even) / len(rows))
        if score[0] > most[0] or (score[0] == most[0] and score[2] > most[2]):
            best, most = delimiter, score
    return best
