"""Files on hosts; where a host is Azure's blob storage, also those of a container or folder.

Azure's own library is not used: it looks up hosts by itself, follows where they redirect to, and
limits neither bytes nor time. Here each request goes over a connection of `web`, to the network
address that was checked, and only two operations are needed: Get Blob and List Blobs.
"""

from __future__ import annotations

import ipaddress
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import BinaryIO, cast
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from detector.datasource import folder, listing, web
from detector.datasource.access import Access
from detector.datasource.stream import File
from detector.errors import DetectionError

__all__ = ["find"]

# As the `Server` header begins; Azurite is the emulator.
_SERVER = re.compile(r"(Windows-Azure|Azurite)-Blob/")
_CODE = re.compile(r"[A-Za-z]{1,60}")
# 404 and 409 where there is no token, and nothing public.
_ACCESS_DENIED = (401, 403, 404, 409)
_LACKS_PERMISSION = ("AuthorizationPermissionMismatch", "AuthorizationResourceTypeMismatch")


@dataclass(frozen=True)
class Place:
    """A container of blob storage, or a folder in one.

    Attributes
    ----------
    address : Address
        As it was asked for; its token is that of all requests.
    container : str
        The address of the container, without a query.
    prefix : str
        What the names of the folder's blobs begin with; empty for the container itself.
    """

    address: web.Address
    container: str
    prefix: str

    def file(self, name: str, access: Access) -> web.Address:
        """Return the address of a blob by its base name."""
        return self._on_its_host(f"/{quote(self.prefix + name)}", "", access)

    def page(self, marker: str, access: Access) -> web.Address:
        """Return the address of a page of the list of what lies here."""
        asked = {"restype": "container", "comp": "list", "delimiter": "/", "prefix": self.prefix}
        asked |= {"maxresults": str(listing.BLOBS_A_PAGE)} | ({"marker": marker} if marker else {})
        return self._on_its_host("", urlencode(asked), access)

    def _on_its_host(self, path: str, query: str, access: Access) -> web.Address:
        # The token as it was given, and for no other host.
        token = urlsplit(self.address.text).query
        asked = "&".join(part for part in (token, query) if part)
        return web.parse(self.container + path + (f"?{asked}" if asked else ""), access)


def find(source: str, access: Access) -> File | list[File]:
    """Return the file at an address, which is fetched, or the CSV files of the folder there."""
    address = web.parse(source, access)
    file, answer = _fetched(address, access)
    place = _place(answer)
    if file and not (place and _is_marker(answer)):
        return File(_base_name(address), lambda: file)
    if file:
        file.close()
    # A container is no blob, whatever blob storage answers who asks for it as one.
    if place is None or (place.prefix and answer.status not in (200, 404)):
        raise _refusal(answer)
    names = folder.chosen(_listed(place, access), source)
    return [_file(place, name, access) for name in names]


def _fetched(address: web.Address, access: Access) -> tuple[BinaryIO | None, web.Answer]:
    """Fetch a file to a disk where it has no name, so that nothing is left of it."""
    file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - closed by who reads it
    try:
        answer = web.fetch(address, access, file, time.monotonic() + access.seconds)
    except BaseException:
        file.close()
        raise
    if answer.status == 200:
        file.seek(0)
        return file, answer
    file.close()
    return None, answer


def _file(place: Place, name: str, access: Access) -> File:
    @contextmanager
    def opened() -> Iterator[BinaryIO]:
        file, answer = _fetched(place.file(name, access), access)
        if file is None:
            raise _refusal(answer)
        with file:
            yield file

    return File(name, opened)


def _listed(place: Place, access: Access) -> list[str]:
    """Return the base names of the CSV files of a folder, from a list that comes page by page."""
    found = listing.Listing(place.prefix)
    deadline = time.monotonic() + access.seconds
    # A list is no data; how long it may be it knows by itself.
    unlimited = replace(access, max_bytes=sys.maxsize)
    while True:
        page = place.page(found.marker, access)
        found.begin(page)
        answer = web.fetch(page, unlimited, found, deadline)
        if answer.status != 200:
            raise _refusal(answer, listed=place)
        found.end()
        if not found.marker:
            break
    if place.prefix and not found.is_there:
        raise DetectionError(
            "FileNotExist",
            f"File '{place.address.shown}' does not exist: no blob is called so, and no folder.",
        )
    return found.files


def _place(answer: web.Answer) -> Place | None:
    """Return the container or folder at an address; None where that is no blob storage."""
    if not _is_blob_storage(answer):
        return None
    parts = urlsplit(answer.address.text)
    root, path = f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/")
    if _names_account_in_path(answer.address.host):
        account, _, path = path.partition("/")
        root += f"/{account}"
    container, _, below = path.partition("/")
    # No container has a dot in its name: this is a blob of the account's root.
    if not container or "." in container:
        return None
    prefix = unquote(below).removesuffix("/")
    return Place(answer.address, f"{root}/{container}", f"{prefix}/" if prefix else "")


def _is_blob_storage(answer: web.Answer) -> bool:
    # Some of Azure's own answers lack the first, and some of the emulator's the second.
    named = _SERVER.match(answer.headers.get("Server", ""))
    return named is not None or "x-ms-request-id" in answer.headers


def _names_account_in_path(host: str) -> bool:
    """Return whether an account is the first part of a path, as with the emulator.

    Azure has a host for each account, as has a domain of one's own.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host == "host.docker.internal"
    return True


def _base_name(address: web.Address) -> str:
    return unquote(urlsplit(address.text).path).rsplit("/", 1)[-1] or address.host


def _is_marker(answer: web.Answer) -> bool:
    """Return whether a blob only stands for a folder, as Hadoop and other programs leave them."""
    marked = answer.headers.get("x-ms-meta-hdi_isfolder", "").lower() == "true"
    return marked or urlsplit(answer.address.text).path.endswith("/")


def _refusal(answer: web.Answer, *, listed: Place | None = None) -> DetectionError:
    """Return what an answer means that brought neither a blob nor the list of a place."""
    if not _is_blob_storage(answer):
        return web.refusal(answer)
    address = answer.address if listed is None else listed.address
    code = answer.headers.get("x-ms-error-code", "")
    if code == "ContainerNotFound":
        return DetectionError(
            "FileNotExist",
            f"File '{address.shown}' does not exist: there is no such container (blob storage "
            f"answers {answer.status} {code}).",
        )
    if answer.status == 404 and listed is None:
        return web.refusal(answer)
    said = f"{answer.status} {code}" if _CODE.fullmatch(code) else str(answer.status)
    reason = "it is not given"
    if answer.status in _ACCESS_DENIED:
        reason = _reason(code, urlsplit(address.text).query, listed) or reason
    return web.no_data(address, f"{reason} (blob storage answers {said})")


def _reason(code: str, query: str, listed: Place | None) -> str | None:
    """Return what is wrong with the token of an address to which access is denied."""
    token = {name: values[-1] for name, values in parse_qs(query).items()}
    now, start, end = datetime.now(UTC), _moment(token.get("st")), _moment(token.get("se"))
    if "sig" not in token:
        if listed is None:
            return "it has no SAS token, and is not public"
        return (
            "it has no SAS token, and is neither a public blob nor a folder of a container that "
            "everybody may list"
        )
    if end and end <= now:
        return f"its SAS token expired at {end:%Y-%m-%dT%H:%M:%SZ}: make a new one"
    if start and start > now:
        return f"its SAS token is valid from {start:%Y-%m-%dT%H:%M:%SZ} on"
    if listed and (code in _LACKS_PERMISSION or token.get("sr") == "b"):
        no_blob = "no blob is called so, and " if listed.prefix else ""
        return f"{no_blob}to read a folder its SAS token must be that of the container, with sp=rl"
    if code in _LACKS_PERMISSION:
        return "its SAS token does not allow to read: it needs sp=r"
    if code.startswith("Auth"):
        return (
            "its SAS token is not accepted: it must be whole, and made for this blob, its "
            "container or its account"
        )
    return None


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
