"""The XML in which blob storage lists blobs, read while it arrives, whoever may have sent it."""

from __future__ import annotations

from xml.parsers import expat

from detector.datasource import web
from detector.datasource.folder import is_csv
from detector.errors import DetectionError

__all__ = ["BLOBS_A_PAGE", "Listing"]

# A blob takes some 1000 bytes of a list, and 6000 at most. What the parser keeps of a page may be
# twenty times its size, where no two elements have the same name.
BLOBS_A_PAGE = 500
_MOST_BYTES_A_PAGE = 4 * 1024**2
_MOST_BYTES = 64 * 1024**2
_MOST_NAMES = 10_000
# A name has up to 1024 characters, and a marker some more.
_LONGEST_TEXT = 8192
_DEEPEST = 16
_BLOB = ["EnumerationResults", "Blobs", "Blob", "Name"]
_FOLDER = ["EnumerationResults", "Blobs", "BlobPrefix", "Name"]
_MARKER = ["EnumerationResults", "NextMarker"]


class Listing:
    """What lies in a folder, from page after page of a list.

    Parameters
    ----------
    prefix : str
        What the names of the folder's blobs begin with.

    Attributes
    ----------
    is_there : bool
        Whether there was any blob or folder.
    marker : str
        What the next page is asked for with; empty after the last.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._bytes = 0
        self._files: list[str] = []
        self._folders: set[str] = set()
        self.is_there = False
        self.marker = ""

    def begin(self, address: web.Address) -> None:
        """Make ready for a page."""
        self.marker = ""
        self._page_bytes = 0
        self._address = address
        self._path: list[str] = []
        self._text: list[str] = []
        self._length = 0
        # Blob storage declares no document type, with which a few bytes may become many.
        parser = expat.ParserCreate("utf-8")
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.CharacterDataHandler = self._add
        parser.EndElementHandler = self._end
        self._parser = parser

    def write(self, block: bytes) -> None:
        """Take some bytes of the page."""
        self._bytes += len(block)
        self._page_bytes += len(block)
        if self._page_bytes > _MOST_BYTES_A_PAGE:
            self._refuse()
        if self._bytes > _MOST_BYTES:
            raise self._too_long(f"{_MOST_BYTES} bytes")
        self._parse(block)

    def end(self) -> None:
        """Take the end of the page."""
        self._parse(b"", last=True)

    @property
    def files(self) -> list[str]:
        """The base names of the CSV files, without blobs that only mark a folder."""
        return [name for name in self._files if name not in self._folders]

    def _parse(self, block: bytes, *, last: bool = False) -> None:
        try:
            self._parser.Parse(block, last)
        except expat.ExpatError:
            self._refuse()

    def _too_long(self, limit: str) -> DetectionError:
        return DetectionError(
            "DataExceedsLimit",
            f"'{self._address.shown}' holds so much that its list exceeds {limit}. Put the CSV "
            "files into a folder of their own.",
        )

    def _refuse(self, *_: object) -> None:
        raise web.no_data(self._address, "its list of blobs is not the XML of blob storage")

    def _start(self, name: str, _: object) -> None:
        self._path.append(name)
        self._text, self._length = [], 0
        if len(self._path) > _DEEPEST:
            self._refuse()

    def _add(self, text: str) -> None:
        if self._path in (_BLOB, _FOLDER, _MARKER):
            self._text.append(text)
            self._length += len(text)
            if self._length > _LONGEST_TEXT:
                self._refuse()

    def _end(self, _: str) -> None:
        text = "".join(self._text)
        if self._path == _MARKER:
            self.marker = text
        elif self._path in (_BLOB, _FOLDER):
            self.is_there = True
            name = text.removeprefix(self._prefix)
            keep = self._files.append
            if self._path == _FOLDER:
                name, keep = name.removesuffix("/"), self._folders.add
            # Nothing else was asked for; a name with a slash could lead elsewhere.
            if text.startswith(self._prefix) and "/" not in name and is_csv(name):
                keep(name)
            if max(len(self._files), len(self._folders)) > _MOST_NAMES:
                raise self._too_long(f"{_MOST_NAMES} CSV files")
        self._path.pop()
