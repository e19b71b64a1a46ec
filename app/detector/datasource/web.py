"""Files on allowed hosts: what is connected to is the very address that was checked."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from typing import Protocol
from urllib.parse import urljoin, urlsplit

from detector.datasource.access import Access
from detector.datasource.stream import shorten
from detector.errors import DetectionError
from detector.multivariate.requests import redacted

__all__ = ["SCHEMES", "Address", "Answer", "fetch", "no_data", "parse", "refusal"]

SCHEMES = {"http": 80, "https": 443}
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5
_BLOB_VERSION = "2020-10-02"
_SILENT_SECONDS = 30
_BLOCK = 1024 * 1024


@dataclass(frozen=True)
class Address:
    """An address that may be read.

    Attributes
    ----------
    text : str
        As given, with what may be secret in it.
    target : str
        Path and query, as the request names them.
    may_be_private : bool
        Whether the host may have an address of a private network.
    """

    text: str
    scheme: str
    host: str
    port: int
    target: str
    may_be_private: bool

    @property
    def shown(self) -> str:
        """The address in messages."""
        return shorten(redacted(self.text))


def parse(text: str, access: Access) -> Address:
    """Take an address apart, and refuse it with ``InvalidBlobURL`` where it may not be read."""
    shown = shorten(redacted(text))
    # Left to itself, urlsplit drops some of these, and takes "\" for a part of the host.
    if not re.fullmatch(r"[!-\[\]-~]+", text):
        raise DetectionError(
            "InvalidBlobURL",
            f"The address '{shown}' has a space, a backslash or another character that must be "
            "percent-encoded.",
        )
    try:
        parts = urlsplit(text)
        port, host = parts.port, (parts.hostname or "").rstrip(".")
    except ValueError:
        port, host = None, ""
    if not host or parts.scheme not in SCHEMES:
        raise DetectionError("InvalidBlobURL", f"'{shown}' is no address of http or https.")
    if "@" in parts.netloc:
        raise DetectionError(
            "InvalidBlobURL", f"The address '{shown}' names a user before its host: leave that out."
        )
    usual = SCHEMES[parts.scheme]
    port = usual if port is None else port
    name = f"[{host}]" if ":" in host else host
    names = {f"{name}:{port}"} | ({name} if port == usual else set())
    may_be_private = not names.isdisjoint(access.private_hosts)
    if not may_be_private and names.isdisjoint(access.hosts):
        raise DetectionError(
            "InvalidBlobURL",
            f"The address '{shown}' is on the host {shorten(name)}, port {port}, from which "
            "nothing may be read: the operator allows hosts in DETECTOR_DATA_HOSTS. Or upload the "
            "file with PUT /datasets/{name}.",
        )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Address(text, parts.scheme, host, port, target, may_be_private)


@dataclass(frozen=True)
class Answer:
    """How a host answered: from where, after redirects, with what status and headers."""

    address: Address
    status: int
    headers: Message


class Sink(Protocol):
    """What takes the bytes of a file."""

    def write(self, block: bytes, /) -> object:
        """Take some bytes."""


def fetch(address: Address, access: Access, sink: Sink, deadline: float) -> Answer:
    """Follow an address, and write the file there to a sink where the status is 200.

    Parameters
    ----------
    deadline : float
        By the monotonic clock, in seconds.

    Raises
    ------
    DetectionError
        ``InvalidBlobURL`` where it leads to what may not be read, ``FileSizeTooLarge``,
        ``ReadingFileError`` and ``GetDataError``.
    """
    for _ in range(_MOST_REDIRECTS + 1):
        answer = _get(address, access, deadline, sink)
        if answer.status not in _REDIRECTS:
            return answer
        location = answer.headers.get("Location")
        if not location:
            raise no_data(address, f"it answers {answer.status} without saying where it leads")
        address = parse(_joined(address.text, location), access)
    raise no_data(address, f"it redirects more than {_MOST_REDIRECTS} times")


def refusal(answer: Answer) -> DetectionError:
    """Return what an answer means that brought no file."""
    if answer.status in (404, 410):
        return DetectionError(
            "FileNotExist",
            f"File '{answer.address.shown}' does not exist: its host answers {answer.status}. It "
            "must be a CSV file or a zip; a folder is read from Azure's blob storage only.",
        )
    if answer.status in (401, 403):
        return no_data(
            answer.address,
            f"it answers {answer.status}, access denied; where the address ends in a SAS token, "
            "see whether that is still valid and allows to read",
        )
    return no_data(answer.address, f"it answers {answer.status}")


def _joined(base: str, location: str) -> str:
    try:
        return urljoin(base, location)
    except ValueError:
        return location


def _get(address: Address, access: Access, deadline: float, sink: Sink) -> Answer:
    try:
        with _connected(address, deadline) as connection:
            host = f"[{address.host}]" if ":" in address.host else address.host
            usual = address.port == SCHEMES[address.scheme]
            headers = {
                "Host": host if usual else f"{host}:{address.port}",
                "Accept-Encoding": "identity",
                "User-Agent": "anomaly-detector",
                # Blob storage then says with a code why it refuses; other hosts ignore it.
                "x-ms-version": _BLOB_VERSION,
            }
            connection.request("GET", address.target, headers=headers)
            with connection.getresponse() as answer:
                found = Answer(address, answer.status, answer.headers)
                if answer.status == 200:
                    _copy(answer, address, access, sink)
        late = time.monotonic() >= deadline
    except (OSError, http.client.HTTPException) as error:
        if time.monotonic() >= deadline:
            raise _too_late(address, access) from error
        # The text of an HTTPException may quote anything.
        known = isinstance(error, OSError) and not isinstance(error, http.client.HTTPException)
        reason = (getattr(error, "strerror", None) or str(error)) if known else type(error).__name__
        raise no_data(address, shorten(reason)) from error
    if late:
        raise _too_late(address, access)
    return found


def _copy(answer: http.client.HTTPResponse, address: Address, access: Access, sink: Sink) -> None:
    encoding = answer.headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity":
        raise DetectionError(
            "ReadingFileError",
            f"The file '{address.shown}' comes with the encoding '{shorten(encoding)}', although "
            "none was asked for. Its host must send it as it is.",
        )
    announced = answer.length
    count = 0
    while (announced or 0) <= access.max_bytes and count <= access.max_bytes:
        block = answer.read(_BLOCK)
        if not block:
            break
        count += len(block)
        sink.write(block)
    else:
        raise DetectionError(
            "FileSizeTooLarge",
            f"The file '{address.shown}' exceeds the limit of {access.max_bytes} bytes "
            "(DETECTOR_MAX_DATA_BYTES).",
        )
    if announced is not None and count < announced:
        raise OSError(f"it ended after {count} of {announced} bytes")


@contextmanager
def _connected(address: Address, deadline: float) -> Iterator[http.client.HTTPConnection]:
    """Connect to an address that was checked, and cut the connection at the deadline."""
    plain = _connect(address, deadline)
    connected = plain
    if address.scheme == "https":
        connected = ssl.create_default_context().wrap_socket(
            plain, server_hostname=address.host, do_handshake_on_connect=False
        )
    # A host that sends a byte now and then is never silent for long.
    watch = threading.Timer(max(0, deadline - time.monotonic()), _cut, [connected])
    watch.daemon = True
    watch.start()
    try:
        if isinstance(connected, ssl.SSLSocket):
            connected.do_handshake()
        connection = http.client.HTTPConnection(address.host, address.port)
        # Set here, so that it looks up no address of its own.
        connection.sock = connected
        yield connection
    finally:
        watch.cancel()
        connected.close()


def _cut(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Not SSLSocket's, after which what comes would be read as it is, encrypted.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


def _connect(address: Address, deadline: float) -> socket.socket:
    failure: OSError | None = None
    for place in _places(address):
        seconds = min(_SILENT_SECONDS, deadline - time.monotonic())
        if seconds <= 0:
            break
        try:
            return socket.create_connection((place, address.port), timeout=seconds)
        except OSError as error:
            failure = error
    raise failure or TimeoutError("no time was left to connect")


def _places(address: Address) -> list[str]:
    """Return the network addresses of a host; refuse it where one of them is private."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError("its host has no valid name") from error
    places = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    private = [place for place in places if not _is_public(place)]
    if private and not address.may_be_private:
        raise DetectionError(
            "InvalidBlobURL",
            f"The host of '{address.shown}' has the address {private[0]}, of a private network or "
            "of this machine. The operator allows such hosts in DETECTOR_PRIVATE_DATA_HOSTS.",
        )
    return places


def _is_public(place: str) -> bool:
    ip = ipaddress.ip_address(place)
    if isinstance(ip, ipaddress.IPv6Address) and (ip.sixtofour or ip.ipv4_mapped):
        # It may lead to any address of IPv4.
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


def no_data(address: Address, reason: str) -> DetectionError:
    """Return the refusal of what a host does not give."""
    return DetectionError("GetDataError", f"'{address.shown}' cannot be fetched: {reason}.")


def _too_late(address: Address, access: Access) -> DetectionError:
    return no_data(
        address, f"it did not arrive within {access.seconds:g} seconds (DETECTOR_DATA_SECONDS)"
    )
