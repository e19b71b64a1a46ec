"""What one worker takes at a time: bodies of a bounded size, and bounded queues of work."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fastapi import Request

from detector.api.bodies import Bodies, Body
from detector.api.errors import GatewayError
from detector.settings import Settings

__all__ = ["BoundedExecutor", "Limits"]

_Result = TypeVar("_Result")


class BoundedExecutor:
    """Threads for work that would keep the event loop from answering, and who waits for them.

    What runs and waits is counted before it is begun.
    """

    def __init__(self, threads: int, waiting: int, *, name: str, what: str) -> None:
        self._threads = ThreadPoolExecutor(threads, name)
        self._most = threads + waiting
        self._what = what
        self._begun = 0

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """Do the work when its turn comes; refuse, with 429, when too much waits already."""
        if self._begun >= self._most:
            raise GatewayError(
                429,
                f"{self._begun} {self._what} run and wait already, the most that this worker "
                "takes. Try again in a second.",
                {"Retry-After": "1"},
            )
        self._begun += 1
        # Counted down when the work is over, also where the client has gone meanwhile.
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        future.add_done_callback(self._end)
        return await asyncio.shield(future)

    def _end(self, _: object) -> None:
        self._begun -= 1

    def close(self) -> None:
        """Wait for what is running, and give up what waits: nobody is left to be answered."""
        self._threads.shutdown(cancel_futures=True)


class Limits:
    """The limits of one worker, and the threads that detect."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bodies = Bodies(settings.max_bodies_bytes)
        self._detections = BoundedExecutor(
            settings.concurrent_detections,
            settings.waiting_detections,
            name="detection",
            what="detections",
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

    async def run(self, detect: Callable[[], _Result]) -> _Result:
        """Run a detection when its turn comes; refuse, with 429, when too many wait already."""
        return await self._detections.run(detect)

    def close(self) -> None:
        """Wait for what is running, and let go of the threads."""
        self._detections.close()
