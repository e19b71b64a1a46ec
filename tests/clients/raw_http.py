"""Sends the bytes of a request on a socket, and reads the bytes of its answer, as they are."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Raw:
    """An answer, with the names of its headers as they came."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def named(self, name: str) -> str:
        """Return a header as a client finds it that minds the case."""
        return next(value for each, value in self.headers if each == name)

    def header(self, name: str) -> str:
        """Return a header as most clients find it, in any case."""
        return {each.lower(): value for each, value in self.headers}[name.lower()]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """A client that keeps its connection, as those of that age do.

    Parameters
    ----------
    port : int
    write : callable
        How it writes the name of a header.
    """

    def __init__(self, port: int, write: Callable[[str], str] = str) -> None:
        self._write = write
        self.host = f"127.0.0.1:{port}"
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def send(
        self,
        method: str,
        target: str,
        headers: Headers,
        body: bytes | None = None,
        *,
        chunked: bool = False,
    ) -> Raw:
        """Send a request; its target may be an address that was answered."""
        if target.startswith("http"):
            address = urlsplit(target)
            assert address.netloc == self.host
            target = target.removeprefix(f"http://{self.host}")
        sent = [("Host", self.host), *headers]
        if chunked:
            assert body is not None
            sent.append(("Transfer-Encoding", "chunked"))
            blocks = [body[start : start + 4096] for start in range(0, len(body), 4096)]
            body = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in blocks) + b"0\r\n\r\n"
        elif body is not None:
            sent.append(("Content-Length", str(len(body))))
        self._socket.sendall(self._head(method, target, sent) + (body or b""))
        return self._read()

    def expect(self, method: str, target: str, headers: Headers, body: bytes) -> Raw:
        """Send a request whose body waits until the service says that it may go on."""
        sent = [("Host", self.host), *headers]
        sent += [("Content-Length", str(len(body))), ("Expect", "100-continue")]
        self._socket.sendall(self._head(method, target, sent))
        assert self._file.readline().startswith(b"HTTP/1.1 100")
        assert self._file.readline() == b"\r\n"
        self._socket.sendall(body)
        return self._read()

    def _head(self, method: str, target: str, headers: Headers) -> bytes:
        lines = [f"{self._write(name)}: {value}" for name, value in headers]
        return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode()

    def _read(self) -> Raw:
        version, status, reason = self._file.readline().decode().rstrip().split(" ", 2)
        assert version == "HTTP/1.1"
        headers = []
        while line := self._file.readline().decode().rstrip("\r\n"):
            name, _, value = line.partition(":")
            headers.append((name, value.strip()))
        length = {name.lower(): value for name, value in headers}.get("content-length", "0")
        return Raw(int(status), reason, tuple(headers), self._file.read(int(length)))
