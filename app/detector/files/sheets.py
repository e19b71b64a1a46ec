"""Sheets of Excel and LibreOffice."""

import io
import re
import zipfile
from dataclasses import dataclass
from datetime import time, timedelta
from typing import Any

from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetTypeEnum

from detector.errors import listed
from detector.files.content import BROKEN, Bounds, Content, check_method
from detector.files.grid import kinds_of, table_of
from detector.files.problems import FileError
from detector.files.table import Table

__all__ = ["is_workbook", "read_sheet"]

_ZIP, _OLD = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PASSWORD = "EncryptedPackage".encode("utf-16-le")
_CELL = re.compile(rb"""\br\s*=\s*["']\$?([A-Za-z]{1,7})\$?(\d{1,10})["']""")
_SHARED = re.compile(rb"""\bt\s*=\s*["']s["']""")
_END_OF_TEXT = re.compile(rb"/(?:\w+:)?si\s*>")
_ERRORS = (*BROKEN, CalamineError, TypeError)
_BLOCK = 1024 * 1024
_SAMPLE = 100


def is_workbook(content: Content) -> bool:
    """Say whether a file is a workbook, by its first bytes."""
    return content.data.startswith((_ZIP, _OLD))


def read_sheet(content: Content, sheet: str | None, bounds: Bounds) -> Table:
    """Read the sheet that is named, or the one that holds a series.

    Raises
    ------
    FileError
        If the workbook cannot be read, or it is not clear which sheet is meant.
    """
    _check(content, bounds)
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(content.data))
        names = [each.name for each in book.sheets_metadata if each.typ == SheetTypeEnum.WorkSheet]
    except PasswordError:
        raise _encrypted(content) from None
    except _ERRORS as error:
        raise _broken(content, error) from error
    if sheet is not None:
        if sheet not in names:
            raise content.problem(f"has no sheet {sheet!r}: it has {listed(names)}.")
        return _table(content, sheet, _rows(content, book, sheet))
    return _only(content, names, book)


def _only(content: Content, names: list[str], book: CalamineWorkbook) -> Table:
    """Return the one sheet that holds dates and numbers, or the only one that holds anything."""
    found: dict[str, Any] = {}
    cells = letters = 0
    for name in names:
        rows = _rows(content, book, name)
        # Several may be of one part of the workbook.
        cells += sum(map(len, rows))
        content.check_cells(cells, 1)
        letters += sum(len(cell) for row in rows for cell in row if isinstance(cell, str))
        if letters > content.bounds.texts:
            raise _too_much_text(content)
        if rows:
            found[name] = rows
    if not found:
        raise content.problem("is empty: it must hold dates and numbers.")
    chosen = [name for name, each in found.items() if _holds_series(each)] or list(found)
    if len(chosen) > 1:
        raise content.problem(
            f"has several sheets that may be meant: {listed(chosen)}. Choose one by --sheet NAME "
            "(sheet over HTTP).",
            sheets=chosen,
        )
    table = _table(content, chosen[0], found[chosen[0]])
    if len(names) > 1:
        table.notes.append(f"sheet {chosen[0]!r}")
    return table


def _holds_series(rows: Any) -> bool:
    later = rows[len(rows) // 2 :][:_SAMPLE]
    kinds = {kinds_of(column) for column in zip(*later, strict=True)}
    return len(rows) > 1 and "numbers" in kinds and ("dates" in kinds or len(rows) > _SAMPLE)


def _table(content: Content, sheet: str, rows: Any) -> Table:
    if not rows:
        raise content.problem(f"has nothing in the sheet {sheet!r}.")
    return table_of(content, rows, lambda row: f"row {row + 1}")


def _rows(content: Content, book: CalamineWorkbook, name: str) -> list[list[Any]]:
    try:
        return [
            [_cell(cell) for cell in row]
            for row in book.get_sheet_by_name(name).to_python(skip_empty_area=False)
        ]
    except _ERRORS as error:
        raise _broken(content, error) from error


def _cell(cell: Any) -> Any:
    if isinstance(cell, time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return cell.total_seconds()
    return None if cell == "" else cell


def _encrypted(content: Content) -> FileError:
    return content.problem("is encrypted: save it without a password.")


def _broken(content: Content, error: Exception) -> FileError:
    why = " ".join(str(error).split())[:80].rstrip(".")
    return content.problem(f"cannot be read as a workbook ({why}): save it again as .xlsx.")


def _check(content: Content, bounds: Bounds) -> None:
    """Refuse what would take more memory than the bounds before it is read."""
    if content.data.startswith(_OLD):
        if _PASSWORD in content.data:
            raise _encrypted(content)
        if not bounds.old_excel:
            raise content.problem("is in the format of old Excel: save it as .xlsx.")
        return
    try:
        archive = zipfile.ZipFile(io.BytesIO(content.data))
        entries = archive.infolist()
        if not bounds.old_excel and not any(
            entry.filename.startswith("xl/worksheets/") for entry in entries
        ):
            raise content.problem("is no workbook of Excel: save it as .xlsx.")
        if any(entry.flag_bits & 1 for entry in entries):
            raise _encrypted(content)
        for entry in entries:
            check_method(content, entry)
        budget = bounds.bytes
        longest = strings = 0
        for entry in entries:
            part = _unpacked(content, archive, entry, budget, bounds)
            budget -= part.size
            longest, strings = max(longest, part.longest), strings + part.strings
        if longest * strings > bounds.texts:
            raise _too_much_text(content)
    except FileError:
        raise
    except BROKEN as error:
        raise _broken(content, error) from error


def _too_much_text(content: Content) -> FileError:
    return content.problem(
        "has more text in its cells than is read: cut out the time or the columns that matter."
    )


@dataclass
class _Part:
    """What a part of a workbook holds.

    Attributes
    ----------
    size : int
        Bytes, unpacked.
    longest : int
        Of the texts that cells share, in bytes.
    strings : int
        How many cells have such a text.
    """

    size: int = 0
    longest: int = 0
    strings: int = 0


def _unpacked(
    content: Content,
    archive: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    budget: int,
    bounds: Bounds,
) -> _Part:
    """Return what a part holds, refusing what is too much; a sheet is held by its corners."""
    part, tail, rows, columns = _Part(), b"", 1, 1
    shared = bytearray() if entry.filename.lower().endswith("sharedstrings.xml") else None
    with archive.open(entry) as stream:
        while block := stream.read(_BLOCK):
            part.size += len(block)
            if part.size > budget:
                raise content.problem(
                    f"holds more than {bounds.bytes // 1024 // 1024} MiB unpacked, the most that "
                    "is read: cut out the time or the columns that matter."
                )
            if shared is not None:
                shared += block
                continue
            # Any part may be a sheet, whatever it is called.
            part.strings += len(_SHARED.findall(tail + block))
            for letters, digits in _CELL.findall(tail + block):
                rows = max(rows, int(digits))
                columns = max(columns, _number(letters))
            tail = block[-40:]
            if rows * columns > bounds.cells:
                raise content.problem(
                    f"has a sheet of {rows} rows and {columns} columns, more than the "
                    f"{bounds.cells} cells that are read: delete what lies far off."
                )
    if shared is not None:
        part.longest = max(map(len, _END_OF_TEXT.split(bytes(shared))))
    return part


def _number(letters: bytes) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - ord("A") + 1
    return number
