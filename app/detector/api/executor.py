"""Threads for work that would keep the event loop from answering, and whose turn it is."""

import asyncio
import heapq
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple, TypeVar

from detector.api.errors import GatewayError

__all__ = ["BoundedExecutor"]

_Result = TypeVar("_Result")
# Work that costs up to the first is light, such as a series of a thousand points, and that which
# costs more than the second takes so much memory that it runs alone of its kind.
_LIGHT, _HUGE = 65_536, 2_097_152
# So much cost lets others go first for a second, and however much there is, for no longer than
# the most.
_COST_A_SECOND = 65_536
_MOST_SECONDS = 30.0


class _Waiting(NamedTuple):
    """Work that waits for its turn; no two have the same number."""

    turn: float
    number: int
    start: Callable[[], None]
    done: "asyncio.Future[Any]"


@dataclass
class _Lane:
    """Work of about the same cost: what has begun or waits, and what waits for its turn."""

    threads: int
    begun: int = 0
    running: int = 0
    waiting: list["_Waiting"] = field(default_factory=list)


class BoundedExecutor:
    """Runs work in threads, the cheaper first, and refuses what would wait too long.

    Whoever waits goes by the time of its arrival and its cost: what is cheap passes by what is
    costly, but not for ever. Each of three lanes, of light, large and huge work, takes `threads`
    and `waiting` together, so that large work leaves room for light work; of huge work one runs
    at a time.

    Parameters
    ----------
    threads : int
        How much runs at once.
    waiting : int
        How much of each lane may wait.
    name : str
        Of the threads.
    what : str
        The work, in the plural, for the refusal.
    """

    def __init__(self, threads: int, waiting: int, *, name: str, what: str) -> None:
        self._threads = ThreadPoolExecutor(threads, name)
        self._most = threads + waiting
        self._what = what
        self._free = threads
        self._arrivals = count()
        self._light, self._large, self._huge = _Lane(threads), _Lane(threads), _Lane(1)

    async def run(self, work: Callable[[], _Result], *, cost: int = 0) -> _Result:
        """Do the work when its turn comes.

        Parameters
        ----------
        work : callable
        cost : int
            What the work takes, as far as it is known: bytes of its request.

        Raises
        ------
        GatewayError
            429, when too much of that cost runs and waits already.
        """
        lane = self._light if cost <= _LIGHT else self._large if cost <= _HUGE else self._huge
        if lane.begun >= self._most:
            raise GatewayError(
                429,
                f"{lane.begun} {self._what} run and wait already, the most that this worker "
                "takes. Try again in a second.",
                {"Retry-After": "1"},
            )
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_Result] = loop.create_future()

        def end(future: asyncio.Future[_Result]) -> None:
            lane.begun -= 1
            lane.running -= 1
            self._free += 1
            _hand_over(future, done)
            self._start_next()

        def start() -> None:
            lane.running += 1
            self._free -= 1
            loop.run_in_executor(self._threads, work).add_done_callback(end)

        lane.begun += 1
        turn = loop.time() + min(cost / _COST_A_SECOND, _MOST_SECONDS)
        heapq.heappush(lane.waiting, _Waiting(turn, next(self._arrivals), start, done))
        self._start_next()
        # It is done to its end, and counted until then, also where the client has gone meanwhile.
        return await asyncio.shield(done)

    def _start_next(self) -> None:
        """Start what waits and may start, as long as a thread is free."""
        while self._free:
            ready = [
                lane
                for lane in (self._light, self._large, self._huge)
                if lane.waiting and lane.running < lane.threads
            ]
            if not ready:
                return
            heapq.heappop(min(ready, key=lambda lane: lane.waiting[0]).waiting).start()

    def close(self) -> None:
        """Wait for what is running, and give up what waits: nobody is left to be answered."""
        for lane in (self._light, self._large, self._huge):
            while lane.waiting:
                lane.waiting.pop().done.cancel()
        self._threads.shutdown(cancel_futures=True)


def _hand_over(future: "asyncio.Future[Any]", done: "asyncio.Future[Any]") -> None:
    if future.cancelled():
        done.cancel()
    elif error := future.exception():
        done.set_exception(error)
    else:
        done.set_result(future.result())
