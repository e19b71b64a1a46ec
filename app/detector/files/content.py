"""The bytes of a file, whatever it is packed with, and never more than a bound."""

import bz2
import io
import lzma
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import pyarrow as pa

from detector.files.problems import FileError, quoted

__all__ = ["BROKEN", "STANDARD_INPUT", "Bounds", "Content", "Source", "check_method", "load"]

STANDARD_INPUT = "-"
Source = str | Path | bytes | bytearray | IO[bytes]
# What is raised on packed garbage is not documented; all of it is the file's fault.
BROKEN = (
    *(OSError, EOFError, ValueError, RuntimeError, NotImplementedError, KeyError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)
_ZIP = b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ENCRYPTED = 1
# That a file of xz may take to unpack; its strongest level takes half of it.
_MOST_MEMORY = 128 * 1024 * 1024
# What is packed in what is packed.
_DEEPEST = 3
_BLOCK = 1024 * 1024
_TEXTS = 16
_FIRST_STEP = 4096
_SUFFIXES = (".gz", ".gzip", ".bz2", ".xz", ".lzma", ".zst", ".zstd", ".zip")


@dataclass(frozen=True)
class Bounds:
    """How much of a file is taken.

    Attributes
    ----------
    bytes : int
        As it lies on the disk, and again unpacked.
    cells : int
        Of a table, empty ones between others too.
    old_excel : bool
        Whether the formats of Excel beside .xlsx are read: what their sheets take of memory is not
        known before, so that they must come from someone who is trusted.
    """

    bytes: int = 512 * 1024 * 1024
    cells: int = 50_000_000
    old_excel: bool = True

    @property
    def texts(self) -> int:
        """How much text the cells of a table may have: many of them may share one."""
        return _TEXTS * self.bytes


@dataclass(frozen=True)
class Content:
    """The bytes of a file, unpacked.

    Attributes
    ----------
    name : str
        As a message shows it, quoted; ``standard input`` for that.
    suffix : str
        The ending of the name in lower case, without that of a compression.
    data : bytes
    notes : list of str
    bounds : Bounds
    """

    name: str
    suffix: str
    data: bytes
    notes: list[str]
    bounds: Bounds

    def problem(self, says: str, **details: Any) -> FileError:
        """Return the error that the file is refused with: its name, and what is wrong."""
        return FileError(f"{self.name} {says}", **details)

    def check_cells(self, rows: int, columns: int) -> None:
        """Refuse a table of more cells than are read, before short rows are filled up."""
        if rows * columns > self.bounds.cells:
            raise self.problem(
                f"holds more than {self.bounds.cells} cells, the most that are read: cut out the "
                "time or the columns that matter."
            )


def load(source: Source, name: str | None, bounds: Bounds) -> Content:
    """Read a file and unpack it.

    Parameters
    ----------
    source : str, Path, bytes or binary stream
        A path, ``-`` for standard input, or the content.
    name : str, optional
        Of the file, for messages and its ending; that of the path by default.
    bounds : Bounds

    Raises
    ------
    FileError
        If it cannot be opened, is empty, too large or cannot be unpacked.
    """
    file_name = _name_of(source) if name is None else name
    called = quoted(file_name) if file_name else "The file"
    if isinstance(source, str) and source == STANDARD_INPUT and name is None:
        file_name, called = "", "Standard input"
    data = _read(source, called, bounds)
    content = Content(called, "", data, [], bounds)
    for _ in range(_DEEPEST):
        unpacked = _unpacked(content, bounds)
        if unpacked is None:
            break
        data, inner = unpacked
        content = Content(called, "", data, content.notes, bounds)
        file_name = inner or _without(file_name)
    if not data.strip(b"\0 \t\r\n"):
        raise content.problem("is empty: it must hold dates and numbers.")
    suffix = Path(_without(file_name)).suffix.lower()
    return Content(called, suffix, data, content.notes, bounds)


def _name_of(source: Source) -> str:
    if isinstance(source, str | Path):
        return str(source)
    return str(getattr(source, "name", "") or "")


def _without(name: str) -> str:
    path = Path(name)
    return path.stem if path.suffix.lower() in _SUFFIXES else name


def _read(source: Source, called: str, bounds: Bounds) -> bytes:
    if isinstance(source, bytes | bytearray):
        data = bytes(source)
    elif isinstance(source, str | Path):
        try:
            if source == STANDARD_INPUT:
                data = sys.stdin.buffer.read(bounds.bytes + 1)
            else:
                with Path(source).open("rb") as file:
                    data = file.read(bounds.bytes + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise FileError(f"{called} cannot be read: {reason}.") from error
    else:
        data = source.read(bounds.bytes + 1)
    if len(data) > bounds.bytes:
        raise FileError(
            f"{called} is larger than {_size(bounds.bytes)}, the most that is read: cut out the "
            "time or the columns that matter."
        )
    return data


def _size(count: int) -> str:
    for unit, size in (("MiB", 1024 * 1024), ("KiB", 1024)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count} bytes"


def _unpacked(content: Content, bounds: Bounds) -> tuple[bytes, str] | None:
    """Return what is packed and its name, or None where nothing is."""
    data = content.data
    if data.startswith((_ZIP, _EMPTY_ZIP)):
        return _member(content, bounds)
    if data.startswith(_ZSTD):
        # It takes no more than 128 MiB to unpack, whatever the file says.
        with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
            return _bounded(stream, content, bounds), ""
    for begin, unpacker in _UNPACKERS.items():
        if data.startswith(begin):
            return _joined(content, bounds, begin, unpacker), ""
    return None


_UNPACKERS: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(wbits=31),
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\0": lambda: lzma.LZMADecompressor(memlimit=_MOST_MEMORY),
}


def _joined(content: Content, bounds: Bounds, begin: bytes, unpacker: Callable[[], Any]) -> bytes:
    """Unpack what may be several packed files one behind the other."""
    data, at, out, size = content.data, 0, [], 0
    try:
        while data.startswith(begin, at):
            unpack, step = unpacker(), _FIRST_STEP
            while not unpack.eof:
                # What lies behind the end is given back: of many small files, only a little.
                given = data[at : at + step]
                if not given:
                    raise EOFError("it is cut off")
                at, step = at + len(given), min(2 * step, _BLOCK)
                block = unpack.decompress(given, bounds.bytes + 1 - size)
                size += len(block)
                if size > bounds.bytes:
                    raise _too_large(content, bounds)
                out.append(block)
            at -= len(unpack.unused_data)
    except FileError:
        raise
    except BROKEN as error:
        raise _broken(content, error) from error
    return b"".join(out)


def _bounded(stream: BinaryIO, content: Content, bounds: Bounds) -> bytes:
    out = bytearray()
    try:
        while block := stream.read(_BLOCK):
            out += block
            if len(out) > bounds.bytes:
                raise _too_large(content, bounds)
    except FileError:
        raise
    except BROKEN as error:
        raise _broken(content, error) from error
    return bytes(out)


def _too_large(content: Content, bounds: Bounds) -> FileError:
    return content.problem(
        f"holds more than {_size(bounds.bytes)} unpacked, the most that is read: cut out the time "
        "or the columns that matter."
    )


def _broken(content: Content, error: Exception) -> FileError:
    why = " ".join(str(error).split())[:80].rstrip(".")
    return content.problem(f"cannot be unpacked ({why}): save or copy it again.")


def _member(content: Content, bounds: Bounds) -> tuple[bytes, str] | None:
    """Return the one file of a zip that holds data, or None where the zip is a workbook."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content.data))
        entries = archive.infolist()
    except BROKEN as error:
        raise _broken(content, error) from error
    names = {entry.filename for entry in entries}
    if "[Content_Types].xml" in names or "mimetype" in names:
        return None
    files = [each for each in entries if not each.is_dir() and not _is_hidden(each.filename)]
    if len(files) != 1:
        what = ", ".join(quoted(each.filename) for each in files[:5]) or "none"
        raise content.problem(
            f"must be a zip of one file, and holds {len(files)}: {what}. Unpack it, and give the "
            "one that holds the series."
        )
    [entry] = files
    if entry.flag_bits & _ENCRYPTED:
        raise content.problem("is encrypted: pack it without a password.")
    check_method(content, entry)
    try:
        with archive.open(entry) as stream:
            return _bounded(cast(BinaryIO, stream), content, bounds), entry.filename
    except FileError:
        raise
    except BROKEN as error:
        raise _broken(content, error) from error


def check_method(content: Content, entry: zipfile.ZipInfo) -> None:
    """Refuse a part of a zip that takes as much memory to unpack as it says."""
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise content.problem(
            f"is packed with method {entry.compress_type}: pack it with the usual one, deflate."
        )


def _is_hidden(name: str) -> bool:
    return name.startswith("__MACOSX/") or Path(name).name.startswith(".")
