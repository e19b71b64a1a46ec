"""Threads for work that would keep the event loop from answering, and who waits for them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from detector.api.errors import GatewayError, let_go

__all__ = ["BoundedExecutor"]

_Result = TypeVar("_Result")


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
        self._most = threads + waiting
        self._what = what
        self._begun = 0

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """Do the work when its turn comes.

        Raises
        ------
        GatewayError
            429, when too much runs and waits already.
        """
        if self._begun >= self._most:
            raise GatewayError(
                429,
                f"{self._begun} {self._what} run and wait already, the most that this worker "
                "takes. Try again in a second.",
                {"Retry-After": "1"},
            )
        self._begun += 1
        # Counted down when the work is over, also where the client has gone meanwhile.
        future = asyncio.get_running_loop().run_in_executor(self._threads, _letting_go, work)
        future.add_done_callback(self._end)
        return await asyncio.shield(future)

    def _end(self, _: object) -> None:
        self._begun -= 1

    def close(self) -> None:
        """Wait for what is running, and give up what waits: nobody is left to be answered."""
        self._threads.shutdown(cancel_futures=True)


def _letting_go(work: Callable[[], _Result]) -> _Result:
    try:
        return work()
    except Exception as error:
        # Many may wait until their refusal is written.
        let_go(error)
        raise
