"""The bodies of requests: how they arrive, and how much of them one worker holds at a time."""

import asyncio
import io
from collections.abc import AsyncIterator

import anyio

from detector.api.connections import most_open
from detector.api.errors import GatewayError

__all__ = ["LARGE", "Bodies", "Body"]

# The longest legal series has half of it; what is larger shares a budget of its own.
LARGE = 1024 * 1024
# What a body counts at least: a connection may hold so much of it that nobody has asked for yet.
_LEAST = 64 * 1024
# A body that is refused is read on, unless it is much too large: a client that still sends does not
# see the answer.
_DISCARDED = 4
_SMALL_SHARE = 4
# Where there is no room, a large body that takes longer gives way to others.
_PATIENCE_SECONDS = 5.0


class Body:
    """What is held for one request, until its answer is done.

    Parameters
    ----------
    seconds : float
        How long it may take to arrive.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.began = anyio.current_time()
        self.arrival = anyio.CancelScope(deadline=self.began + seconds)
        self.bytes = 0
        self.gave_way = False
        self._pool: _Pool | None = None
        self._turn: asyncio.Semaphore | None = None

    def grow(self, size: int, pool: "_Pool") -> None:
        """Count so many bytes, in a pool that may be another one than before.

        Raises
        ------
        GatewayError
            429 where there is no room, or the body has given way.
        """
        if self.gave_way:
            raise _gave_way()
        if pool is self._pool:
            pool.take(self, size - self.bytes)
        else:
            pool.take(self, size)
            self._leave()
        self._pool, self.bytes = pool, size

    def arrived(self) -> None:
        """Stay, whoever needs room."""
        if self._pool:
            self._pool.arriving.pop(self, None)

    def give_way(self) -> None:
        """Make room for another body."""
        self.gave_way = True
        self._leave()
        self.arrival.cancel()

    async def take_turn(self, turns: asyncio.Semaphore) -> None:
        """Wait until no other large body is being answered."""
        try:
            with anyio.fail_after(self.seconds):
                await turns.acquire()
        except TimeoutError:
            raise _too_much(
                "Large bodies are answered one after the other, and too many wait"
            ) from None
        self._turn = turns

    def release(self) -> None:
        """Let go of all that is held, when the answer is done."""
        self._leave()
        if self._turn:
            self._turn.release()
            self._turn = None

    def _leave(self) -> None:
        if self._pool:
            self._pool.give_back(self, self.bytes)
        self._pool, self.bytes = None, 0


class _Pool:
    """Bytes that bodies share."""

    def __init__(self, most: int, patience: float) -> None:
        self._most = most
        self._patience = patience
        self._held = 0
        # By when they began to arrive.
        self.arriving: dict[Body, None] = {}

    def take(self, body: Body, size: int) -> None:
        """Count bytes of a body that arrives; refuse it, with 429, where there is no room."""
        while self._held + size > self._most:
            oldest = next(iter(self.arriving), None)
            if oldest is None or anyio.current_time() - oldest.began < self._patience:
                raise _too_much(
                    f"The bodies of other requests hold {self._held} bytes already, and there is "
                    f"room for {self._most} (DETECTOR_MAX_BODIES_BYTES)"
                )
            oldest.give_way()
            if oldest is body:
                raise _gave_way()
        self._held += size
        self.arriving[body] = None

    def give_back(self, body: Body, size: int) -> None:
        """Count bytes no longer."""
        self._held -= size
        self.arriving.pop(body, None)


class Bodies:
    """The bodies of all requests of one worker.

    Small ones have a share of the bytes of their own, where the newest is what counts: the others
    are read as fast as a network is, so the one that takes longest gives way. Large ones take
    turns, because what is read from one may need ten times its bytes.

    Parameters
    ----------
    most : int
        The bytes that they may have together.
    """

    def __init__(self, most: int) -> None:
        # Connections that wait for bodies must leave some for others.
        share = min(most // _SMALL_SHARE, _LEAST * most_open() // 2)
        self._small = _Pool(share, 0)
        self._large = _Pool(most - most // _SMALL_SHARE, _PATIENCE_SECONDS)
        self._turns = asyncio.Semaphore(1)

    async def read(self, chunks: AsyncIterator[bytes], body: Body, *, most: int) -> bytes | None:
        """Return what arrives, None where it has more than the most bytes.

        Raises
        ------
        TimeoutError
            For a body that does not arrive.
        GatewayError
            429 where other bodies leave no room for it.
        """
        content = None
        with body.arrival:
            content = await self._arrive(chunks, body, most)
        body.arrived()
        if body.gave_way:
            raise _gave_way()
        if body.arrival.cancelled_caught:
            raise TimeoutError
        if content and len(content) > LARGE:
            await body.take_turn(self._turns)
        return content

    async def _arrive(self, chunks: AsyncIterator[bytes], body: Body, most: int) -> bytes | None:
        body.grow(_LEAST, self._small)
        content, size = io.BytesIO(), 0
        refused: GatewayError | None = None
        async for chunk in chunks:
            size += len(chunk)
            if size > _DISCARDED * most or body.gave_way:
                break
            if size <= most and not refused:
                refused = self._grow(body, size)
            if size <= most and not refused:
                content.write(chunk)
            elif body.bytes > _LEAST:
                content = io.BytesIO()
                body.grow(_LEAST, self._small)
        if refused:
            raise refused
        # Without a copy.
        return content.getvalue() if size <= most else None

    def _grow(self, body: Body, size: int) -> GatewayError | None:
        """Count so many bytes of a body; return why there is no room for them."""
        if size > body.bytes:
            try:
                body.grow(size, self._small if size <= LARGE else self._large)
            except GatewayError as error:
                return error
        return None


def _gave_way() -> GatewayError:
    return _too_much("The body arrived slowly, and others needed its room")


def _too_much(what: str) -> GatewayError:
    return GatewayError(429, f"{what}. Try again in a second.", {"Retry-After": "1"})
