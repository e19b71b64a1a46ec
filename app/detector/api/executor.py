"""Threads for work that would keep the event loop from answering, and who waits for them."""

import asyncio
import math
import statistics
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from detector.api.errors import GatewayError, let_go

__all__ = ["BoundedExecutor", "has_left"]

_Result = TypeVar("_Result")
# How long work takes is the mean of so much that was done lately.
_LATELY = 16
# Nobody is told to wait longer, however many were refused that may never come back.
_LONGEST_SECONDS = 30.0


class BoundedExecutor:
    """Runs work in threads, in the order of its arrival, and refuses what would wait too long.

    What runs and waits is counted before it is begun.

    Parameters
    ----------
    threads : int
        How much runs at once.
    waiting : int
        How much may wait.
    name : str
        Of the threads.
    what : str
        The work, in the plural, for the refusal.
    """

    def __init__(self, threads: int, waiting: int, *, name: str, what: str) -> None:
        self._threads = ThreadPoolExecutor(threads, name)
        self._at_once = threads
        self._most = threads + waiting
        self._what = what
        self._begun = 0
        self._lately: deque[float] = deque(maxlen=_LATELY)
        # When there is a place for the one that was refused last.
        self._promised = 0.0

    @property
    def at_once(self) -> int:
        """How much runs at once."""
        return self._at_once

    async def run(
        self,
        work: Callable[[], _Result],
        *,
        receive: Receive | None = None,
        goes_on: bool = False,
    ) -> _Result:
        """Do the work when its turn comes.

        Parameters
        ----------
        work : callable
        receive : callable, optional
            Of the request, whose body has been read: it tells whether the client has gone.
        goes_on : bool
            Whether this is one more piece of work that was let in: it is not refused, and waits
            behind what came meanwhile.

        Raises
        ------
        GatewayError
            429, when too much runs and waits already.
        ClientDisconnect
            When the client went before its turn came; then the work is not done.
        """
        if not goes_on:
            self.require_a_place()
        self._begun += 1
        job = self._threads.submit(self._timed, work)
        # Counted down when the work is over, also where the client has gone meanwhile.
        future = asyncio.wrap_future(job)
        future.add_done_callback(self._end)
        if receive is None or self._begun <= self._at_once:
            return await asyncio.shield(future)
        left = asyncio.ensure_future(has_left(receive))
        # What runs goes on.
        left.add_done_callback(lambda _: job.cancel())
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if left.done():
                raise ClientDisconnect from None
            raise
        finally:
            left.cancel()

    def require_a_place(self) -> None:
        """Refuse, with 429 and when to come back, where too much runs and waits already."""
        if self._begun < self._most:
            return
        seconds = self._seconds_until_a_place()
        raise GatewayError(
            429,
            f"{self._begun} {self._what} run and wait already, the most that this worker takes. "
            f"Try again in {seconds} s.",
            {"Retry-After": str(seconds)},
        )

    def _seconds_until_a_place(self) -> int:
        """Return in how many seconds there is a place for whoever is refused now.

        Those who were refused before it come back too, and each takes one.
        """
        apart = statistics.fmean(self._lately or [0.0]) / self._at_once
        now = time.monotonic()
        self._promised = min(max(self._promised, now) + apart, now + _LONGEST_SECONDS)
        return max(1, math.ceil(self._promised - now))

    def _timed(self, work: Callable[[], _Result]) -> _Result:
        started = time.monotonic()
        try:
            return work()
        except Exception as error:
            # Many may wait until their refusal is written.
            let_go(error)
            raise
        finally:
            self._lately.append(time.monotonic() - started)

    def _end(self, _: object) -> None:
        self._begun -= 1

    def close(self) -> None:
        """Wait for what is running, and give up what waits: nobody is left to be answered."""
        self._threads.shutdown(cancel_futures=True)


async def has_left(receive: Receive) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
