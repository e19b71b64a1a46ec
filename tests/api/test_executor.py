"""Light, large and huge work does not wait for each other, and each is bounded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from detector.api.errors import GatewayError
from detector.api.executor import Lanes

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


def run(check: Callable[[Lanes], Coroutine[Any, Any, None]], *, threads: int, waiting: int) -> None:
    async def checked() -> None:
        executor = Lanes(threads, waiting, name="test", what="detections")
        try:
            await check(executor)
        finally:
            executor.close()

    asyncio.run(checked())


async def begun(executor: Lanes, *given: tuple[Callable[[], str], int]) -> list[asyncio.Task[str]]:
    """Ask for work, one after the other."""
    tasks = []
    for work, cost in given:
        tasks.append(asyncio.ensure_future(executor.run(work, cost=cost)))
        await asyncio.sleep(0)
    return tasks


def test_small_work_does_not_wait_for_large_or_huge_work(work: Work) -> None:
    async def check(executor: Lanes) -> None:
        tasks = await begun(
            executor,
            (work.of("large", held=True), LARGE),
            (work.of("huge", held=True), HUGE),
            (work.of("large that waits"), LARGE),
        )
        assert await executor.run(work.of("small"), cost=SMALL) == "small"
        assert "large that waits" not in work.order
        work.end()
        await asyncio.gather(*tasks)

    run(check, threads=1, waiting=16)


def test_work_of_a_kind_is_done_in_the_order_of_its_arrival(work: Work) -> None:
    async def check(executor: Lanes) -> None:
        names = [f"large {place}" for place in range(5)]
        tasks = await begun(
            executor,
            (work.of("first", held=True), LARGE),
            *[(work.of(name), LARGE) for name in names],
        )
        work.end("first")
        await asyncio.gather(*tasks)
        assert work.order == ["first", *names]

    run(check, threads=1, waiting=16)


def test_large_work_that_waits_does_not_refuse_small_work(work: Work) -> None:
    async def check(executor: Lanes) -> None:
        tasks = await begun(
            executor,
            (work.of("first", held=True), LARGE),
            *[(work.of(str(place)), LARGE) for place in range(3)],
        )
        with pytest.raises(GatewayError) as refused:
            await executor.run(work.of("one too many"), cost=LARGE)
        assert refused.value.status == 429
        assert refused.value.headers == {"Retry-After": "1"}
        assert "4 large detections run and wait" in refused.value.message
        assert await executor.run(work.of("small"), cost=SMALL) == "small"
        work.end("first")
        await asyncio.gather(*tasks)
        assert await executor.run(work.of("large again"), cost=LARGE) == "large again"

    run(check, threads=1, waiting=3)


def test_huge_work_runs_one_at_a_time(work: Work) -> None:
    async def check(executor: Lanes) -> None:
        tasks = await begun(
            executor,
            (work.of("huge", held=True), HUGE),
            (work.of("second huge"), HUGE),
            *[(work.of(f"large {place}"), LARGE) for place in range(2)],
        )
        await asyncio.gather(*tasks[2:])
        assert "second huge" not in work.order
        work.end("huge")
        await asyncio.gather(*tasks)
        assert work.order[-1] == "second huge"

    run(check, threads=2, waiting=16)


def test_work_is_counted_to_its_end_though_its_client_has_gone(work: Work) -> None:
    async def check(executor: Lanes) -> None:
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
    async def check(executor: Lanes) -> None:
        with pytest.raises(ZeroDivisionError):
            await executor.run(lambda: 1 // 0, cost=0)
        assert await executor.run(lambda: 1, cost=0) == 1

    run(check, threads=1, waiting=0)


def test_what_waits_is_given_up_when_the_service_stops(work: Work) -> None:
    async def check() -> None:
        executor = Lanes(1, 4, name="test", what="detections")
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
