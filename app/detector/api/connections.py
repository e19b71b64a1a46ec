"""The connections of one worker: how many, and how long each may keep it waiting.

uvicorn has no time limit for the head of a request or for a client that does not read its answer,
and no limit of connections under which a new one is still answered. Neither it nor asyncio counts
those whose TLS handshake does not end.
"""

import asyncio
import itertools
import resource
import socket
import ssl
import sys
import time
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["IDLE_SECONDS", "Connection", "Loop", "backlog", "most_open", "raise_file_limit"]

_MOST_OPEN = 4096
# For a first request, from before its handshake, and for any from its first byte to its head's end.
_HEAD_SECONDS = 10
# Between two requests. Clients send on the connections that they keep, and many do not send again
# what meets the end of one; Azure's gateway kept them for as long.
IDLE_SECONDS = 240
# A client that reads an answer more slowly, or of all answers more than so many bytes unread.
_ANSWER_SECONDS, _ANSWER_BYTES_PER_SECOND = 30.0, 100_000
_MOST_UNREAD_BYTES = 128 * 1024 * 1024
_LOOK_SECONDS = 1.0
# Chunks of one body: one for each point of the longest series, and one more for so many bytes.
_MOST_CHUNKS, _BYTES_A_CHUNK = 10_000, 64
# Of TLS that brings nothing for the connection; a record has up to 16 KiB.
_MOST_UNHEARD_BYTES = 20_000
# What is read of a connection at once; all of them may be ready at the same time.
_BLOCK = 64 * 1024


def raise_file_limit() -> None:
    """Let this process, and those that it starts, open as many files as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def backlog() -> int:
    """Return how many connections the system accepts before a worker has looked at them.

    It takes all of them at once, and they must not take the place of each other.
    """
    return most_open() // 4


def most_open() -> int:
    """Return how many connections a worker keeps."""
    # The other half of the files is for everything else, and for those that wait to be closed.
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_OPEN if files == resource.RLIM_INFINITY else min(_MOST_OPEN, files // 2)


class _ManyChunksError(Exception):
    pass


class _Parser(h11.Connection):
    """What reads requests and writes answers.

    Each chunk of a body that it reads costs it as much as hundreds of bytes.
    """

    _chunks = 0
    _bytes = 0
    # Of an answer whose body has not begun.
    _head = b""

    def send(self, event: Any) -> Any:
        """Return what is to be sent; the head of an answer goes with what follows it.

        One piece is sent sooner than two, and a piece takes a twentieth of a small request.
        """
        data = super().send(event)
        if isinstance(event, h11.Response):
            self._head = data or b""
            return b""
        if self._head:
            data, self._head = self._head + (data or b""), b""
        return data

    def next_event(self) -> Any:
        """Return the next event; raise an exception where a body has too many small chunks."""
        event = super().next_event()
        if isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            self._bytes += len(event.data)
            if self._chunks > _MOST_CHUNKS + self._bytes // _BYTES_A_CHUNK:
                raise _ManyChunksError
        elif isinstance(event, h11.Request):
            self._chunks = self._bytes = 0
        return event


class Connection(H11Protocol):
    """One connection, which must send the head of a request in time and read its answer in time.

    Where there are too many, the one that has been silent for the longest time is closed: of those
    that have not sent a request yet, or of those between two requests, whichever are more.
    """

    # Of this process, each with when its silence began, which is the order of the entries.
    _new: ClassVar[dict["Connection", float]] = {}
    _kept: ClassVar[dict["Connection", float]] = {}
    # Those that a place is taken by, from before their handshake.
    _open: ClassVar[set["Connection"]] = set()
    # Those whose TLS handshake is under way, each of which takes a tenth of a megabyte.
    _handshakes: ClassVar[dict["Connection", None]] = {}
    # Each with when its answer must be read, and how much of that was left to be sent.
    _unread: ClassVar[dict["Connection", tuple[float, int]]] = {}
    _most: ClassVar[int] = 0
    _has_begun = False
    # Whether TLS has brought something since `_Tls` last looked.
    is_heard = False
    _is_answered_when_read = False
    # The socket's own, below that of TLS.
    _socket: asyncio.Transport = None  # type: ignore[assignment]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.conn = _Parser(h11.SERVER)

    def accept(self, transport: asyncio.Transport) -> None:
        """Take a new connection, in place of a silent one where there are too many."""
        self._socket = transport
        transport.max_size = _BLOCK  # type: ignore[attr-defined]
        # asyncio does so, but not where several workers share a socket that uvicorn made
        # (https://github.com/Kludex/uvicorn/issues/3149): each answer on a kept connection would
        # wait 40 ms for the client to acknowledge its head.
        accepted = transport.get_extra_info("socket")
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._most:
            Connection._most = most_open()
            self._look(self.loop)
        self._be_silent()
        self._open.add(self)
        if len(self._open) > self._most:
            more = self._new if len(self._new) > len(self._kept) else self._kept
            next(iter(more))._drop()

    def begin_handshake(self) -> None:
        """Count a handshake, in place of the oldest one where there are too many."""
        self._handshakes[self] = None
        if len(self._handshakes) > self._most // 4:
            next(iter(self._handshakes))._drop()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first request."""
        if self._socket is None:
            self.accept(transport)
        else:
            self._handshakes.pop(self, None)
            # A part of a record waits for the rest of it, so the lower limit is above a whole one.
            limits = {"high": _BLOCK, "low": _BLOCK // 2}
            transport.set_read_buffer_limits(**limits)  # type: ignore[attr-defined]
            # What is not read waits in the socket's transport, which says so to `_Tls`.
            transport.set_write_buffer_limits(high=sys.maxsize)
        super().connection_made(transport)

    def shutdown(self) -> None:
        """Close the connection because the service stops, at once where it is idle."""
        super().shutdown()
        self._hang_up()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request; its first byte gives it time for the rest of its head."""
        self.is_heard = True
        if not self._has_begun:
            self._be_silent()
            self._has_begun = True
        super().data_received(data)
        if self.cycle and not self.cycle.response_complete:
            self._speak()

    def handle_events(self) -> None:
        """Act on what was read; close the connection where it was made to take long."""
        try:
            super().handle_events()
        except _ManyChunksError:
            self._drop()

    def on_response_complete(self) -> None:
        """Wait for the next request, but not before the answer of this one has been read."""
        if self.flow.write_paused:
            self._is_answered_when_read = True
            return
        super().on_response_complete()
        self._hang_up()
        # Another request may have been sent already. One that is closing has bytes to send.
        if self.cycle.response_complete:
            self._be_silent()

    def pause_writing(self) -> None:
        """Count an answer that the client does not read as fast as it is written."""
        super().pause_writing()
        size = self._socket.get_write_buffer_size()
        until = time.monotonic() + _ANSWER_SECONDS + size / _ANSWER_BYTES_PER_SECOND
        self._unread[self] = until, size
        while (
            sum(each for _, each in self._unread.values()) > _MOST_UNREAD_BYTES
            or len(self._unread) > self._most // 4
        ):
            next(iter(self._unread))._drop()

    def resume_writing(self) -> None:
        """Go on where the client has read."""
        self._unread.pop(self, None)
        super().resume_writing()
        if self._is_answered_when_read:
            self._is_answered_when_read = False
            self.on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.forget()
        super().connection_lost(exc)

    def forget(self) -> None:
        """Give its place away."""
        self._speak()
        self._handshakes.pop(self, None)
        self._unread.pop(self, None)
        self._open.discard(self)

    def _be_silent(self) -> None:
        self._speak()
        self._has_begun = False
        silent = self._kept if self.cycle else self._new
        silent[self] = time.monotonic()

    def _speak(self) -> None:
        self._new.pop(self, None)
        self._kept.pop(self, None)

    def _hang_up(self) -> None:
        # TLS says good-bye, and would wait until the client does so too.
        if self.transport.is_closing() and not self.flow.write_paused:
            self._socket.close()

    def _drop(self) -> None:
        self._speak()
        self._handshakes.pop(self, None)
        self._unread.pop(self, None)
        self._socket.abort()

    def _patience(self) -> float:
        """Return how many seconds it may be silent."""
        is_idle = self.cycle and not self._has_begun and not self.transport.is_closing()
        return IDLE_SECONDS if is_idle else _HEAD_SECONDS

    @classmethod
    def _look(cls, loop: asyncio.AbstractEventLoop) -> None:
        """Close what has kept this worker waiting for too long, and look again soon."""
        now = time.monotonic()
        silent = itertools.chain(cls._new.items(), cls._kept.items())
        late = [each for each, began in silent if now - began > each._patience()]
        late += [each for each, (until, _) in cls._unread.items() if now > until]
        for each in late:
            each._drop()
        loop.call_later(_LOOK_SECONDS, cls._look, loop)


class _Tls(SSLProtocol):
    """TLS of one connection, which takes a place, and is bounded, from before its handshake.

    asyncio does not document the class that this one extends; it is that of Python 3.11 and 3.12.
    """

    # What each has for what arrives: asyncio's size would be 1 GiB for all of them.
    max_size = 16 * 1024

    def __init__(
        self, loop: asyncio.AbstractEventLoop, connection: Connection, context: ssl.SSLContext
    ) -> None:
        super().__init__(
            loop,
            connection,
            context,
            None,  # type: ignore[arg-type]
            server_side=True,
            # The connection has limits of its own, and that of a good-bye depends on the answer.
            ssl_handshake_timeout=3600,
            ssl_shutdown_timeout=3600,
        )
        self._connection = connection
        self._is_paused = False
        self._unheard = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, and begin the handshake."""
        self._connection.accept(transport)
        self._connection.begin_handshake()
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection; one whose handshake failed is not told of it."""
        self._connection.forget()
        super().connection_lost(exc)

    def buffer_updated(self, size: int) -> None:
        """Read a part of a record; close a connection whose records bring nothing."""
        super().buffer_updated(size)
        flow = self._connection.flow
        if self._connection.is_heard or (flow and flow.read_paused):
            self._connection.is_heard = False
            self._unheard = 0
            return
        self._unheard += size
        if self._unheard > _MOST_UNHEARD_BYTES:
            self._connection._drop()

    def pause_writing(self) -> None:
        """Count an answer that the client does not read."""
        super().pause_writing()
        self._is_paused = True
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """Go on where the client has read, unless what was left fills the socket again."""
        self._is_paused = False
        super().resume_writing()
        if not self._is_paused:
            self._connection.resume_writing()


class Loop(asyncio.SelectorEventLoop):
    """asyncio's loop, but that it counts connections with TLS from before their handshake."""

    async def create_server(  # type: ignore[override]
        self,
        factory: Callable[[], Connection],
        *arguments: Any,
        ssl: ssl.SSLContext | None = None,
        **named: Any,
    ) -> asyncio.Server:
        """Listen, and speak TLS where there is a context for it."""

        def secured() -> asyncio.BaseProtocol:
            return _Tls(self, factory(), ssl) if ssl else factory()

        return await super().create_server(secured, *arguments, **named)
