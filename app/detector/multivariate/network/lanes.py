"""Threads that share out work, each of which calculates alone."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import torch

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_AHEAD = 2
_settings = threading.Lock()


class Lanes:
    """A few threads; torch uses one core in each, and in other threads what it did before.

    Two small products at once are quicker than each shared out over two cores, and the results
    do not hang on how many cores there are.
    """

    def __init__(self, most: int | None = None) -> None:
        # The setting holds for the thread that makes it, but a thread that starts later takes the
        # one made last: so that one is read by a new thread, and made again by another.
        with _settings:
            last = _in_new_thread(torch.get_num_threads)
            self.count = last if most is None else min(most, last)
            self._pool = ThreadPoolExecutor(self.count, thread_name_prefix="lane")
            ready = threading.Barrier(self.count)

            def prepare() -> None:
                # A thread takes over the last setting when it first asks: not after ours.
                torch.get_num_threads()
                torch.set_num_threads(1)
                ready.wait()

            for begun in [self._pool.submit(prepare) for _ in range(self.count)]:
                begun.result()
            _in_new_thread(lambda: torch.set_num_threads(last))

    def __enter__(self) -> "Lanes":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def map(self, do: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
        """Yield what `do` makes of each item, in order; few are begun before they are asked for."""
        begun: deque[Future[_Result]] = deque()
        for item in items:
            begun.append(self._pool.submit(do, item))
            if len(begun) > _AHEAD * self.count:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()


def _in_new_thread(do: Callable[[], _Result]) -> _Result:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(do).result()
