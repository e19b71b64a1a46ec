"""What one worker takes at a time: bodies of a bounded size, and bounded queues of work."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import joblib
from fastapi import Request
from starlette.requests import ClientDisconnect

from detector.api.bodies import Bodies, Body
from detector.api.errors import GatewayError
from detector.api.executor import BoundedExecutor, has_left
from detector.settings import Settings

__all__ = ["Limits"]

_Result = TypeVar("_Result")
# Up to so many bytes, a series of about a thousand points, a request is small.
_SMALL = 65_536
# So many of them wait where one large one may.
_SMALL_FOR_LARGE = 4
# More threads gain little, as what is Python in a detection takes turns, and each may take some ten
# megabytes for what it reads: more workers do.
_MOST_THREADS = 8


class Limits:
    """The limits of one worker, and the threads that detect."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bodies = Bodies(settings.worker_bodies_bytes)
        # Those that this process, or its container, may use.
        processors = joblib.cpu_count()
        threads = settings.concurrent_detections
        if threads is None:
            threads = min(max(1, processors // settings.workers), _MOST_THREADS)
        large = -(-settings.waiting_detections * processors // settings.workers)
        # Threads of their own, so that none waits for another kind.
        self._small, self._large, self._multivariate = (
            BoundedExecutor(at_once, waiting, name=f"{kind} detection", what=f"{kind} detections")
            for kind, at_once, waiting in (
                ("small", threads, _SMALL_FOR_LARGE * large),
                ("large", threads, large),
                ("multivariate", 1, large),
            )
        )

    async def read(self, request: Request, *, times: int = 1) -> bytes:
        """Return the body of a request; it is counted until the answer is done.

        Parameters
        ----------
        times
            How many times the largest body of one series this one may have.

        Raises
        ------
        GatewayError
            413 for one that is too large, 408 for one that does not arrive, 429 where the bodies
            of other requests leave no room.
        """
        most, seconds = times * self._settings.max_body_bytes, self._settings.body_seconds
        request.state.body = body = Body(seconds)
        try:
            content = await self._bodies.read(request.stream(), body, most=most)
        except TimeoutError:
            raise GatewayError(
                408, f"The body did not arrive within {seconds:g} seconds (DETECTOR_BODY_SECONDS)."
            ) from None
        if content is None:
            raise GatewayError(
                413,
                f"The body is larger than {most} bytes, the most that this service takes "
                f"({f'{times} times ' if times > 1 else ''}DETECTOR_MAX_BODY_BYTES).",
            )
        return content

    def check_points(self, count: int) -> None:
        """Refuse, with 413, a series longer than the operator lets through."""
        most = self._settings.max_points
        if count > most:
            raise GatewayError(
                413,
                f"The 'series' has {count} points, and this service takes at most {most} "
                "(DETECTOR_MAX_POINTS).",
            )

    async def run(self, request: Request, detect: Callable[[], _Result], *, size: int) -> _Result:
        """Run a detection in one series when its turn comes.

        Parameters
        ----------
        detect : callable
        size : int
            Bytes of the body: what is small does not wait behind what is large.

        Raises
        ------
        GatewayError
            429, when too many of about that size wait already.
        """
        executor = self._small if size <= _SMALL else self._large
        return await executor.run(detect, receive=request.receive)

    async def run_pieces(
        self, request: Request, pieces: Sequence[Callable[[], _Result]]
    ) -> list[_Result]:
        """Run pieces of a request that was let in, as many at once as there are threads.

        Each waits for its turn behind what came meanwhile, so that a long request leaves room.

        Raises
        ------
        GatewayError
            429, when too much waits already for the first piece to begin.
        ClientDisconnect
            When the client has gone; then no other piece is begun.
        """
        self._large.require_a_place()
        results: dict[int, _Result] = {}
        rest = iter(enumerate(pieces))

        async def work() -> None:
            for place, piece in rest:
                results[place] = await self._large.run(piece, goes_on=True)

        working = [asyncio.ensure_future(work()) for _ in range(self._large.at_once)]
        all_done = asyncio.gather(*working)
        gone = asyncio.ensure_future(has_left(request.receive))
        try:
            either: set[asyncio.Future[Any]] = {all_done, gone}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not all_done.done():
                raise ClientDisconnect
            await all_done
        finally:
            for each in (gone, *working):
                each.cancel()
        return [results[place] for place in range(len(pieces))]

    async def run_multivariate(self, request: Request, detect: Callable[[], _Result]) -> _Result:
        """Run a detection in many variables, which may take much memory, when its turn comes.

        Raises
        ------
        GatewayError
            429, when too many wait already.
        """
        return await self._multivariate.run(detect, receive=request.receive)

    def close(self) -> None:
        """Wait for what is running, and let go of the threads."""
        for each in (self._small, self._large, self._multivariate):
            each.close()
