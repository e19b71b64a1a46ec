"""Bodies share their bytes: who has room, who gives way, and who waits for a turn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from detector.api import bodies as bodies_module
from detector.api.bodies import LARGE, Bodies, Body
from detector.api.errors import GatewayError

MEGABYTE = 1024 * 1024
MOST = 64 * MEGABYTE


def run(work: Callable[[], Any]) -> Any:
    return anyio.run(work)


async def arriving(*chunks: bytes, end: anyio.Event | None = None) -> AsyncIterator[bytes]:
    """Return the chunks, and, with an end, nothing more until it is set."""
    for chunk in chunks:
        yield chunk
    if end:
        await end.wait()


async def read(
    bodies: Bodies, *chunks: bytes, end: anyio.Event | None = None, seconds: float = 20
) -> tuple[Body, bytes | None]:
    body = Body(seconds)
    try:
        return body, await bodies.read(arriving(*chunks, end=end), body, most=MOST)
    except BaseException:
        body.release()
        raise


def test_a_body_is_what_arrived_unless_it_has_too_much() -> None:
    async def work() -> None:
        bodies = Bodies(2 * MOST)
        for content in (b"", b"a", b"b" * LARGE, b"c" * (LARGE + 1), b"d" * MOST):
            chunks = [content[at : at + 65_536] for at in range(0, len(content), 65_536)]
            body, found = await read(bodies, *chunks)
            assert found == content
            body.release()
        # It is read on, and nothing of it is kept.
        body, found = await read(bodies, *[b"e" * MEGABYTE] * 100)
        assert found is None
        assert body.bytes < MEGABYTE

    run(work)


def test_a_body_that_does_not_arrive_is_not_waited_for() -> None:
    async def work() -> None:
        bodies = Bodies(2 * MOST)
        with pytest.raises(TimeoutError):
            await read(bodies, b"a", end=anyio.Event(), seconds=0.05)

    run(work)


def test_large_bodies_have_three_quarters_of_the_bytes_until_they_are_answered() -> None:
    async def work() -> None:
        # Room for three, each of which takes its turn.
        bodies, end = Bodies(4 * 10 * MEGABYTE), anyio.Event()
        ten = [b"a" * MEGABYTE] * 10
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(lambda: read(bodies, *ten, end=end))
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(GatewayError) as refused:
                await read(bodies, *ten)
            assert refused.value.status == 429
            assert refused.value.headers["Retry-After"] == "1"
            assert "DETECTOR_MAX_BODIES_BYTES" in refused.value.message
            # Small ones have room.
            body, found = await read(bodies, b"small")
            assert found == b"small"
            body.release()
            tasks.cancel_scope.cancel()
        # And so has a large one again.
        body, found = await read(bodies, *ten)
        assert found

    run(work)


def test_large_bodies_are_answered_one_after_the_other() -> None:
    async def work() -> None:
        bodies = Bodies(2 * MOST)
        first, _ = await read(bodies, b"a" * 2 * MEGABYTE)
        small, _ = await read(bodies, b"a" * MEGABYTE)
        with pytest.raises(GatewayError, match="one after the other"):
            await read(bodies, b"a" * 2 * MEGABYTE, seconds=0.05)
        first.release()
        second, found = await read(bodies, b"a" * 2 * MEGABYTE, seconds=0.05)
        assert found
        for body in (small, second, second):
            # Twice is once.
            body.release()
        assert (await read(bodies, b"a" * 2 * MEGABYTE, seconds=0.05))[1]

    run(work)


def test_the_small_body_that_takes_longest_gives_way_to_a_new_one() -> None:
    async def work() -> None:
        # A quarter of it holds 16 bodies.
        bodies, ended = Bodies(4 * MEGABYTE), []

        async def withheld(place: int) -> None:
            with pytest.raises(GatewayError, match="slowly") as refused:
                await read(bodies, b"{", end=anyio.Event())
            assert refused.value.status == 429
            ended.append(place)

        async with anyio.create_task_group() as tasks:
            for place in range(20):
                tasks.start_soon(withheld, place)
                await anyio.wait_all_tasks_blocked()
            assert ended == [0, 1, 2, 3]
            for _ in range(100):
                body, found = await read(bodies, b"usual")
                assert found == b"usual"
                body.release()
            await anyio.wait_all_tasks_blocked()
            assert ended == [0, 1, 2, 3, 4]
            tasks.cancel_scope.cancel()

    run(work)


@pytest.mark.parametrize(
    ("first", "others"), [(b"{", 15), (b"a" * 10 * MEGABYTE, 2)], ids=["small", "large"]
)
def test_a_body_that_gives_way_to_itself_holds_nothing(
    monkeypatch: pytest.MonkeyPatch, first: bytes, others: int
) -> None:
    monkeypatch.setattr(bodies_module, "_PATIENCE_SECONDS", 0)

    async def work() -> None:
        # Room for 16 small ones in a quarter, or for 3 large ones in the rest.
        bodies = Bodies(4 * MEGABYTE if len(first) == 1 else 40 * MEGABYTE)
        more, ended = anyio.Event(), []

        async def growing() -> AsyncIterator[bytes]:
            yield first
            await more.wait()
            for _ in range(2):
                yield b"a" * 100_000

        async def grow() -> None:
            body = Body(20)
            with pytest.raises(GatewayError, match="slowly") as refused:
                await bodies.read(growing(), body, most=MOST)
            assert refused.value.status == 429
            body.release()
            ended.append(body)

        async def withhold() -> None:
            body = Body(20)
            try:
                await bodies.read(arriving(first, end=anyio.Event()), body, most=MOST)
            finally:
                body.release()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(grow)
            await anyio.wait_all_tasks_blocked()
            for _ in range(others):
                tasks.start_soon(withhold)
            await anyio.wait_all_tasks_blocked()
            more.set()
            await anyio.wait_all_tasks_blocked()
            assert len(ended) == 1
            tasks.cancel_scope.cancel()
        for pool in (bodies._small, bodies._large):
            assert (pool._held, pool.arriving) == (0, {})

    run(work)


def test_a_body_that_gave_way_cannot_grow() -> None:
    async def work() -> None:
        bodies = Bodies(4 * MEGABYTE)
        body, _ = await read(bodies, b"usual")
        body.give_way()
        with pytest.raises(GatewayError, match="slowly"):
            body.grow(MEGABYTE, bodies._small)
        assert body.bytes == 0

    run(work)


def test_a_body_that_is_answered_does_not_give_way() -> None:
    async def work() -> None:
        bodies = Bodies(4 * MEGABYTE)
        for _ in range(16):
            await read(bodies, b"usual")
        with pytest.raises(GatewayError, match="hold 1048576 bytes already"):
            await read(bodies, b"one more")

    run(work)
