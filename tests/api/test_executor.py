"""Work is done in its turn and bounded; small, large and multivariate work has turns of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from detector.api.errors import GatewayError
from detector.api.limits import Limits
from detector.settings import Settings

SMALL, LARGE = 3_000, 500_000


def client(gone: asyncio.Event | None = None) -> Request:
    """Return the request of a client that stays, or that goes."""

    async def receive() -> Message:
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http"}, receive)


STAYS = client()


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


@pytest.fixture(autouse=True)
def one_processor() -> Iterator[None]:
    """Use one processor: how much may wait depends on how many there are."""
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(every)})
    yield
    os.sched_setaffinity(0, every)


def limits(threads: int | None, waiting: int) -> Limits:
    return Limits(Settings(concurrent_detections=threads, waiting_detections=waiting))


def run(
    check: Callable[[Limits], Coroutine[Any, Any, None]], *, threads: int | None, waiting: int
) -> None:
    async def checked() -> None:
        executor = limits(threads, waiting)
        try:
            await check(executor)
        finally:
            executor.close()

    asyncio.run(checked())


async def begun(executor: Limits, *given: tuple[Callable[[], str], int]) -> list[asyncio.Task[str]]:
    """Ask for work, one after the other."""
    tasks = []
    for work, cost in given:
        tasks.append(asyncio.ensure_future(executor.run(STAYS, work, size=cost)))
        await asyncio.sleep(0)
    return tasks


def test_small_work_does_not_wait_for_large_or_multivariate_work(work: Work) -> None:
    async def check(executor: Limits) -> None:
        tasks = await begun(executor, (work.of("large", held=True), LARGE))
        many = work.of("many variables", held=True), work.of("many variables that wait")
        tasks += [asyncio.ensure_future(executor.run_multivariate(STAYS, each)) for each in many]
        tasks += await begun(executor, (work.of("large that waits"), LARGE))
        assert await executor.run(STAYS, work.of("small"), size=SMALL) == "small"
        assert set(work.order) == {"large", "many variables", "small"}
        work.end()
        await asyncio.gather(*tasks)

    run(check, threads=1, waiting=16)


def test_work_of_a_kind_is_done_in_the_order_of_its_arrival(work: Work) -> None:
    async def check(executor: Limits) -> None:
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
    async def check(executor: Limits) -> None:
        tasks = await begun(
            executor,
            (work.of("first", held=True), LARGE),
            *[(work.of(str(place)), LARGE) for place in range(3)],
        )
        with pytest.raises(GatewayError) as refused:
            await executor.run(STAYS, work.of("one too many"), size=LARGE)
        assert refused.value.status == 429
        assert refused.value.headers == {"Retry-After": "1"}
        assert "4 large detections run and wait" in refused.value.message
        assert await executor.run(STAYS, work.of("small"), size=SMALL) == "small"
        work.end("first")
        await asyncio.gather(*tasks)
        assert await executor.run(STAYS, work.of("large again"), size=LARGE) == "large again"

    run(check, threads=1, waiting=3)


def test_whoever_is_refused_is_told_when_there_is_a_place(work: Work) -> None:
    async def check(executor: Limits) -> None:
        executor._large._lately.extend([1.5, 2.5])
        tasks = await begun(
            executor,
            (work.of("first", held=True), LARGE),
            *[(work.of(str(place)), LARGE) for place in range(3)],
        )
        told = []
        for _ in range(17):
            with pytest.raises(GatewayError) as refused:
                await executor.run(STAYS, work.of("one too many"), size=LARGE)
            told.append(refused.value.headers["Retry-After"])
            assert f"Try again in {told[-1]} s." in refused.value.message
        # A place for each of them, as far as one can see ahead.
        assert told == [str(min(2 * place, 30)) for place in range(1, 18)]
        work.end("first")
        await asyncio.gather(*tasks)
        # What was done took no time.
        executor._large._promised = 0
        last = await begun(
            executor,
            *[(work.of(f"next {place}", held=True), LARGE) for place in range(4)],
        )
        for place in range(16):
            executor._large._lately.append(place / 1000)
        with pytest.raises(GatewayError) as refused:
            await executor.run(STAYS, work.of("one too many"), size=LARGE)
        assert refused.value.headers == {"Retry-After": "1"}
        work.end()
        await asyncio.gather(*last)
        assert len(executor._large._lately) == 16

    run(check, threads=1, waiting=3)


def test_four_small_ones_wait_where_one_large_one_may(work: Work) -> None:
    async def check(executor: Limits) -> None:
        tasks = await begun(
            executor,
            (work.of("first", held=True), SMALL),
            *[(work.of(str(place)), SMALL) for place in range(8)],
        )
        with pytest.raises(GatewayError, match="9 small detections run and wait"):
            await executor.run(STAYS, work.of("one too many"), size=SMALL)
        work.end("first")
        await asyncio.gather(*tasks)

    run(check, threads=1, waiting=2)


@pytest.mark.parametrize(
    ("processors", "workers", "threads"),
    [(1, 1, 1), (2, 1, 2), (2, 2, 1), (3, 4, 1), (4, 2, 2), (64, 1, 8)],
)
def test_by_default_each_worker_has_threads_for_its_share_of_the_processors(
    monkeypatch: pytest.MonkeyPatch, processors: int, workers: int, threads: int
) -> None:
    # joblib lets it be lowered only, and this machine may have fewer.
    monkeypatch.setattr("joblib.cpu_count", lambda: processors)
    made = Limits(Settings(workers=workers))
    assert (made._small._at_once, made._large._at_once) == (threads, threads)
    assert made._multivariate._at_once == 1
    made.close()


def test_two_of_a_kind_run_at_once_on_two_threads(work: Work) -> None:
    async def check(executor: Limits) -> None:
        tasks = await begun(
            executor, *[(work.of(name, held=True), SMALL) for name in ("a", "b", "c")]
        )
        await until(lambda: len(work.order) == 2)
        assert set(work.order) == {"a", "b"}
        work.end()
        assert await asyncio.gather(*tasks) == ["a", "b", "c"]

    run(check, threads=2, waiting=16)


def test_work_is_counted_to_its_end_though_its_client_has_gone(work: Work) -> None:
    async def check(executor: Limits) -> None:
        (task,) = await begun(executor, (work.of("left", held=True), SMALL))
        await until(lambda: bool(work.order))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(GatewayError):
            await executor.run(STAYS, work.of("refused"), size=SMALL)
        work.end("left")

        async def accepted() -> bool:
            try:
                return await executor.run(STAYS, work.of("next"), size=SMALL) == "next"
            except GatewayError:
                return False

        async with asyncio.timeout(20):
            while not await accepted():
                await asyncio.sleep(0)

    run(check, threads=1, waiting=0)


def test_what_waits_for_a_client_that_has_gone_is_not_done(work: Work) -> None:
    async def check(executor: Limits) -> None:
        gone = asyncio.Event()
        (first,) = await begun(executor, (work.of("first", held=True), LARGE))
        left = asyncio.ensure_future(executor.run(client(gone), work.of("left"), size=LARGE))
        await until(lambda: bool(work.order))
        gone.set()
        with pytest.raises(ClientDisconnect):
            await left
        # There is room for another in its place.
        (next_one,) = await begun(executor, (work.of("next"), LARGE))
        work.end("first")
        assert await asyncio.gather(first, next_one) == ["first", "next"]
        assert work.order == ["first", "next"]

    run(check, threads=1, waiting=1)


def test_an_error_is_raised_where_the_work_was_asked_for() -> None:
    async def check(executor: Limits) -> None:
        with pytest.raises(ZeroDivisionError):
            await executor.run(STAYS, lambda: 1 // 0, size=0)
        assert await executor.run(STAYS, lambda: 1, size=0) == 1

    run(check, threads=1, waiting=0)


def test_what_waits_is_given_up_when_the_service_stops(work: Work) -> None:
    async def check() -> None:
        executor = limits(1, 4)
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


def test_work_in_pieces_goes_on_behind_what_came_meanwhile(work: Work) -> None:
    async def check(executor: Limits) -> None:
        pieces = [work.of("a", held=True), work.of("b"), work.of("c")]
        many = asyncio.ensure_future(executor.run_pieces(STAYS, pieces))
        await until(lambda: work.order == ["a"])
        tasks = await begun(executor, (work.of("meanwhile"), LARGE))
        with pytest.raises(GatewayError, match="2 large detections run and wait already"):
            await executor.run_pieces(STAYS, [work.of("no place")])
        work.end()
        assert await many == ["a", "b", "c"]
        await asyncio.gather(*tasks)
        assert work.order == ["a", "meanwhile", "b", "c"]

    run(check, threads=1, waiting=1)


def test_the_pieces_of_a_client_that_has_gone_are_not_begun(work: Work) -> None:
    async def check(executor: Limits) -> None:
        gone = asyncio.Event()
        pieces = [work.of("a", held=True), work.of("b"), work.of("c")]
        many = asyncio.ensure_future(executor.run_pieces(client(gone), pieces))
        await until(lambda: work.order == ["a"])
        gone.set()
        with pytest.raises(ClientDisconnect):
            await many
        work.end()
        assert await executor.run(STAYS, work.of("next"), size=LARGE) == "next"
        assert work.order == ["a", "next"]

    run(check, threads=1, waiting=1)
