"""The connections of one worker: how many, and how long each may keep it waiting.

uvicorn has no time limit for the head of a request or for a client that does not read its answer,
and no limit of connections under which a new one is still answered.
"""

import asyncio
import itertools
import resource
import time
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["HEAD_SECONDS", "Connection", "backlog", "most_open", "raise_file_limit"]

_MOST_OPEN = 4096
# For a first request, for the next one, and again from its first byte to the end of its head.
HEAD_SECONDS = 10
# A client that reads an answer more slowly, or of all answers more than so many bytes unread.
_ANSWER_SECONDS, _ANSWER_BYTES_PER_SECOND = 30.0, 100_000
_MOST_UNREAD_BYTES = 128 * 1024 * 1024
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


class Connection(H11Protocol):
    """One connection, which must send the head of a request in time and read its answer in time.

    Where there are too many, the one that has been silent for the longest time is closed: of those
    that have not sent a request yet, or of those between two requests, whichever are more.
    """

    # Of this process, each with when its silence began, which is the order of the entries.
    _new: ClassVar[dict["Connection", float]] = {}
    _kept: ClassVar[dict["Connection", float]] = {}
    # Each with when its answer must be read, and how much of that was left to be sent.
    _unread: ClassVar[dict["Connection", tuple[float, int]]] = {}
    _most: ClassVar[int] = 0
    _has_begun = False
    _is_answered_when_read = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a new connection, in place of a silent one where there are too many."""
        super().connection_made(transport)
        transport.max_size = _BLOCK  # type: ignore[attr-defined]
        if not self._most:
            Connection._most = most_open()
            self._look(self.loop)
        self._be_silent()
        if len(self.connections) > self._most:
            more = self._new if len(self._new) > len(self._kept) else self._kept
            next(iter(more))._drop()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request; its first byte gives it time for the rest of its head."""
        if not self._has_begun:
            self._be_silent()
            self._has_begun = True
        super().data_received(data)
        if self.cycle and not self.cycle.response_complete:
            self._speak()

    def on_response_complete(self) -> None:
        """Wait for the next request, but not before the answer of this one has been read."""
        if self.flow.write_paused:
            self._is_answered_when_read = True
            return
        super().on_response_complete()
        # Another request may have been sent already. One that is closing has bytes to send.
        if self.cycle.response_complete:
            self._be_silent()

    def pause_writing(self) -> None:
        """Count an answer that the client does not read as fast as it is written."""
        super().pause_writing()
        size = self.transport.get_write_buffer_size()
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
        self._speak()
        self._unread.pop(self, None)
        super().connection_lost(exc)

    def _be_silent(self) -> None:
        self._speak()
        self._has_begun = False
        silent = self._kept if self.cycle else self._new
        silent[self] = time.monotonic()

    def _speak(self) -> None:
        self._new.pop(self, None)
        self._kept.pop(self, None)

    def _drop(self) -> None:
        self._speak()
        self._unread.pop(self, None)
        self.transport.abort()

    @classmethod
    def _look(cls, loop: asyncio.AbstractEventLoop) -> None:
        """Close what has kept this worker waiting for too long, and look again in a second."""
        now = time.monotonic()
        silent = itertools.chain(cls._new.items(), cls._kept.items())
        late = [each for each, began in silent if now - began > HEAD_SECONDS]
        late += [each for each, (until, _) in cls._unread.items() if now > until]
        for each in late:
            each._drop()
        loop.call_later(1, cls._look, loop)
