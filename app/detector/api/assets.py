"""Files that browsers load: a fixed list, at addresses that change with what is in them."""

import asyncio
import gzip
import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from detector.api.errors import GatewayError

__all__ = ["Assets", "html", "installed"]

# The system's own table of types differs from one to the next.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
# Another site can neither frame a page, nor hold a window of it, nor load what belongs to it.
_ALONE = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
_FOREVER = "public, max-age=31536000, immutable"


def installed(package: str, file: str) -> Path | None:
    """Return where a file of a package lies, without importing that; None where it is not there."""
    found = importlib.util.find_spec(package)
    folders = (found.submodule_search_locations if found else None) or []
    return next((path for folder in folders if (path := Path(folder, file)).is_file()), None)


@dataclass(frozen=True)
class _File:
    path: Path
    digest: str


class Assets:
    """Files below one address that has a digest of all of them, so that browsers keep them.

    Nothing of them stays in memory before a browser asks; then each stays as it is sent, packed.

    Parameters
    ----------
    files : mapping of str to Path
        By the names below the address; nothing else is ever served.
    missing : mapping of str to str
        By the names of files that are not there, a sentence that says what to do.
    """

    def __init__(self, files: Mapping[str, Path], missing: Mapping[str, str]) -> None:
        self._files = {name: _File(path, _digest(path)) for name, path in sorted(files.items())}
        self._missing = dict(missing)
        listed = "".join(f"{name} {file.digest}\n" for name, file in self._files.items())
        self.digest = hashlib.sha256(listed.encode()).hexdigest()[:16]
        self._packed: dict[str, bytes] = {}
        # One file is in memory unpacked at a time, however many ask.
        self._turn = asyncio.Lock()

    async def answer(self, request: Request, digest: str, name: str) -> Response:
        """Return a file.

        Raises
        ------
        GatewayError
            404 for another digest or name, 503 for a file that is not there any more or changed.
        """
        if digest == self.digest and name in self._missing:
            raise GatewayError(503, self._missing[name])
        if digest != self.digest or name not in self._files:
            path = request.scope["path"][:200]
            raise GatewayError(
                404, f"Resource not found: there is no {path}. Load the page again: it says where."
            )
        async with self._turn:
            if name not in self._packed:
                self._packed[name] = await asyncio.to_thread(_pack, self._files[name])
            content = self._packed[name]
            if not _takes_gzip(request.headers):
                content = await asyncio.to_thread(gzip.decompress, content)
        return _response(
            request,
            content,
            {
                "Content-Type": _TYPES[self._files[name].path.suffix],
                "Cache-Control": _FOREVER,
                "Vary": "Accept-Encoding",
                **_ALONE,
            },
        )


def html(request: Request, content: str, policy: str) -> Response:
    """Return a page, which browsers keep but ask for again.

    Parameters
    ----------
    content : str
        The page.
    policy : str
        Its Content-Security-Policy.
    """
    tag = f'W/"{hashlib.sha256(f"{policy} {content}".encode()).hexdigest()[:16]}"'
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-cache",
        "ETag": tag,
        "Vary": "Accept, Accept-Encoding",
        **_ALONE,
    }
    known = request.headers.get("if-none-match", "")
    if tag in (each.strip() for each in known.split(",")):
        return Response(status_code=304, headers=headers)
    headers["Content-Type"] = _TYPES[".html"]
    packed = _takes_gzip(request.headers)
    body = content.encode()
    return _response(request, gzip.compress(body, mtime=0) if packed else body, headers)


def _response(request: Request, content: bytes, headers: Mapping[str, str]) -> Response:
    packed = {"Content-Encoding": "gzip"} if _takes_gzip(request.headers) else {}
    return Response(content, headers={**headers, **packed})


def _takes_gzip(headers: Headers) -> bool:
    for each in headers.get("accept-encoding", "").lower().split(","):
        coding, _, weight = each.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return weight.rstrip("0").rstrip(".") not in ("0", "") if weight else True
    return False


def _digest(path: Path) -> str:
    if path.suffix not in _TYPES:
        raise ValueError(f"{path} has no known type: it must end in {', '.join(_TYPES)}")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pack(file: _File) -> bytes:
    try:
        content = file.path.read_bytes()
    except OSError:
        content = b""
    # Browsers would keep it for a year, under the address of what it was.
    if hashlib.sha256(content).hexdigest() != file.digest:
        raise GatewayError(
            503, f"The file {file.path.name} changed after the service started: start it again."
        )
    return gzip.compress(content, mtime=0)
