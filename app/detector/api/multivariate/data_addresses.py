"""Addresses of data as answers have them: absolute, because clients make an URI of each."""

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

__all__ = ["absolute"]

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# Whatever stands there, which another program may have written.
_FILE = re.compile(r"file:(?://[^/?#]*)?([^?#]*)", re.IGNORECASE)


def absolute(source: str, folders: Sequence[Path]) -> str:
    """Return the absolute address of a data source, which may be a path.

    A path below a folder that may be read becomes its ``file://`` address, which may be sent as a
    data source again. Of any other, from which a script once read, only the name is told.

    Parameters
    ----------
    source : str
    folders : sequence of Path
        Those that may be read. Relative paths start at the first.
    """
    if file := _FILE.match(source):
        source = unquote(file[1])
    elif _SCHEME.match(source):
        return source
    path = Path(os.path.normpath(folders[0] / source))
    if not _is_below(path, folders):
        # A link may lead there.
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            path = path.resolve()
        if not _is_below(path, folders):
            path = Path("/", path.name)
    return path.as_uri()


def _is_below(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
