"""Whose turn it is: the cheap before the costly, but not for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from detector.api.errors import GatewayError
from detector.api.executor import BoundedExecutor

SMALL, LARGE, HUGE = 3_000, 500_000, 5_000_000


class Work:
    """Work that says that it runs, and runs until it is told to stop."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self._ends: dict[str, threading.Event] = {}

    def of(self, name: str, *, held: bool = False) -> Callable[[], str]:
        end = self._ends.setdefault(name, threading.Event())
        if not held:
            end.set()

        def run() -> str:
            self.order.append(name)
            assert end.wait(20)
            return name

        return run

    def end(self, *names: str) -> None:
        for name in names or self._ends:
            self._ends[name].set()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


@pytest.fixture
def work() -> Iterator[Work]:
    work = Work()
    yield work
    work.end()


def run(
    check: Callable[[BoundedExecutor], Coroutine[Any, Any, None]], *, threads: int, waiting: int
) -> None:
    async def checked() -> None:
        executor = BoundedExecutor(threads, waiting, name="test", what="detections")
        try:
            await check(executor)
        finally:
            executor.close()

    asyncio.run(checked())


async def begun(
    executor: BoundedExecutor, *given: tuple[Callable[[], str], int]
) -> list[asyncio.Task[str]]:
    """Ask for work, one after the other."""
    tasks = []
    for work, cost in given:
        tasks.append(asyncio.ensure_future(executor.run(work, cost=cost)))
        await asyncio.sleep(0)
    return tasks


def test_small_work_passes_by_large_work_that_waits(work: Work) -> None:
    async def check(executor: BoundedExecutor) -> None:
        tasks = await begun(
            executor,
            (work.of("first", held=True), LARGE),
            *[(work.of(f"large {place}"), LARGE) for place in range(4)],
            (work.of("small"), SMALL),
        )
        work.end("first")
        assert (await asyncio.gather(*tasks))[-1] == "small"
        assert work.order[:2] == ["first", "small"]
        assert work.order[2:] == [f"large {place}" for place in range(4)]

    run(check, threads=1, waiting=16)


def test_large_work_has_its_turn_before_what_came_much_later(work: Work) -> None:
    async def check(executor: BoundedExecutor) -> None:
        tasks = await begun(
            executor,
            (work.of("first", held=True), 0),
            (work.of("large"), 66_000),
            (work.of("a"), 0),
        )
        # What is 66,000 bytes lets others go first for a second.
        later = asyncio.get_running_loop().time() + 1.02
        await until(lambda: asyncio.get_running_loop().time() > later)
        tasks += await begun(executor, (work.of("b"), 0))
        work.end("first")
        await asyncio.gather(*tasks)
        assert work.order == ["first", "a", "large", "b"]

    run(check, threads=1, waiting=16)


def test_large_work_that_waits_does_not_refuse_small_work(work: Work) -> None:
    async def check(executor: BoundedExecutor) -> None:
        tasks = await begun(
            executor,
            (work.of("first", held=True), LARGE),
            *[(work.of(str(place)), LARGE) for place in range(3)],
        )
        with pytest.raises(GatewayError) as refused:
            await executor.run(work.of("one too many"), cost=LARGE)
        assert refused.value.status == 429
        assert refused.value.headers == {"Retry-After": "1"}
        assert "4 detections run and wait" in refused.value.message
        tasks += await begun(executor, (work.of("small"), SMALL))
        work.end("first")
        await asyncio.gather(*tasks)
        assert work.order[1] == "small"
        assert await executor.run(work.of("large again"), cost=LARGE) == "large again"

    run(check, threads=1, waiting=3)


def test_huge_work_runs_one_at_a_time_and_leaves_a_thread_to_others(work: Work) -> None:
    async def check(executor: BoundedExecutor) -> None:
        tasks = await begun(
            executor,
            (work.of("huge", held=True), HUGE),
            (work.of("second huge"), HUGE),
            (work.of("large"), LARGE),
        )
        assert await tasks[2] == "large"
        assert work.order == ["huge", "large"]
        work.end("huge")
        await asyncio.gather(*tasks)
        assert work.order[2] == "second huge"

    run(check, threads=2, waiting=16)


def test_work_is_counted_to_its_end_though_its_client_has_gone(work: Work) -> None:
    async def check(executor: BoundedExecutor) -> None:
        (task,) = await begun(executor, (work.of("left", held=True), SMALL))
        await until(lambda: bool(work.order))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(GatewayError):
            await executor.run(work.of("refused"), cost=SMALL)
        work.end("left")

        async def accepted() -> bool:
            try:
                return await executor.run(work.of("next"), cost=SMALL) == "next"
            except GatewayError:
                return False

        async with asyncio.timeout(20):
            while not await accepted():
                await asyncio.sleep(0)

    run(check, threads=1, waiting=0)


def test_an_error_is_raised_where_the_work_was_asked_for() -> None:
    async def check(executor: BoundedExecutor) -> None:
        with pytest.raises(ZeroDivisionError):
            await executor.run(lambda: 1 // 0)
        assert await executor.run(lambda: 1) == 1

    run(check, threads=1, waiting=0)


def test_what_waits_is_given_up_when_the_service_stops(work: Work) -> None:
    async def check() -> None:
        executor = BoundedExecutor(1, 4, name="test", what="detections")
        running, waiting = await begun(
            executor, (work.of("running", held=True), SMALL), (work.of("waiting"), SMALL)
        )
        await until(lambda: bool(work.order))
        work.end("running")
        executor.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await running == "running"
        assert work.order == ["running"]

    asyncio.run(check())
