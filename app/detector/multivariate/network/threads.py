"""Threads that share work, each of which calculates on one core."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_settings = threading.Lock()


class Threads:
    """At most `most` threads, no more than torch uses cores; other threads keep their cores.

    Two small products at once are faster than each on two cores, above all on a busy machine.
    """

    def __init__(self, most: int | None = None) -> None:
        # The setting belongs to the thread that makes it, but threads that start later take the
        # one made last. So a new thread reads that one, and another makes it again.
        with _settings:
            with ThreadPoolExecutor(1) as new:
                last = new.submit(torch.get_num_threads).result()
            self._count = last if most is None else min(most, last)
            self._pool = ThreadPoolExecutor(self._count, thread_name_prefix="network")
            ready = threading.Barrier(self._count)

            def prepare() -> None:
                # A thread takes the last setting when it first asks for it: ask before setting.
                torch.get_num_threads()
                torch.set_num_threads(1)
                ready.wait()

            for begun in [self._pool.submit(prepare) for _ in range(self._count)]:
                begun.result()
            with ThreadPoolExecutor(1) as new:
                new.submit(torch.set_num_threads, last).result()

    def __enter__(self) -> "Threads":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def map(self, do: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        """Yield what `do` returns for each item, in order; only a few are begun in advance."""
        begun: deque[Future[_Result]] = deque()
        for item in items:
            begun.append(self._pool.submit(do, item))
            if len(begun) > 2 * self._count:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
