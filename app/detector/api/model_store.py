"""What a worker asks of the model store, in threads of its own."""

import contextlib
import errno
import logging
import re
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

import requests
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from detector.api.errors import GatewayError
from detector.api.executor import BoundedExecutor
from detector.jobs.queue import QueueError
from detector.multivariate.model import MultivariateModel
from detector.tracking import server
from detector.tracking.listing import ModelList
from detector.tracking.model_cache import ModelCache

__all__ = ["ModelStore"]

_log = logging.getLogger("detector.store")
_Answer = TypeVar("_Answer")
# The store's answers take milliseconds, or, where it is gone, many seconds of waiting.
_THREADS, _WAITING = 8, 64
# A list may take a second: those who ask for one wait for each other, and for nobody else.
_WAITING_FOR_LISTS = 32
_UNAVAILABLE = (
    server.TrackingError,
    MlflowException,
    SQLAlchemyError,
    requests.RequestException,
    sqlite3.Error,
    OSError,
)


class ModelStore:
    """The model store as one worker sees it."""

    def __init__(self) -> None:
        self._turns = BoundedExecutor(
            _THREADS, _WAITING, name="store", what="requests to the model store"
        )
        self._lists = BoundedExecutor(
            1, _WAITING_FOR_LISTS, name="lists", what="requests to list the models"
        )
        self._listed = ModelList()
        self._failed: tuple[float, GatewayError] | None = None
        self._connected = False
        self._models = ModelCache()

    async def ask(self, call: Callable[[], _Answer]) -> _Answer:
        """Return what the call returns, made in a thread.

        Raises
        ------
        GatewayError
            503 where the store does not answer, 429 where too many wait for it already.
        """
        return await self._turns.run(lambda: self._answer(call))

    async def list_models(self, call: Callable[[ModelList], _Answer]) -> _Answer:
        """Return what the call makes of the models, in a thread that does nothing else.

        Raises
        ------
        GatewayError
            As `ask`.
        """
        came = time.monotonic()

        def look() -> _Answer:
            # Where the store is away, those who waited meanwhile do not wait for it again.
            if self._failed is not None and self._failed[0] > came:
                raise self._failed[1].with_traceback(None)
            try:
                return self._answer(lambda: call(self._listed))
            except GatewayError as error:
                self._failed = (time.monotonic(), error)
                raise

        return await self._lists.run(look)

    async def prepare(self) -> None:
        """Read the models once, so that the first list does not take longer than those after."""
        # Where the store is away, a list reads them.
        with contextlib.suppress(GatewayError):
            await self.list_models(lambda listed: listed.page(0, 1))

    def model(self, model_id: str) -> MultivariateModel:
        """Return a trained model, loaded once; ask from within `ask`.

        Raises
        ------
        DetectionError
            ``ModelNotExist``, ``ModelNotReady`` or ``ModelFailed``.
        """
        return self._models.get(model_id)

    def close(self) -> None:
        """Wait for what is running, and let go of the threads."""
        self._turns.close()
        self._lists.close()

    def _answer(self, call: Callable[[], _Answer]) -> _Answer:
        try:
            if not self._connected:
                server.connect()
                self._connected = True
            return call()
        except QueueError as error:
            _log.error("queue unavailable", extra={"reason": str(error)})
            raise GatewayError(
                503,
                f"{error} Nothing was begun; send the request again when that is done.",
                {"Retry-After": "5"},
            ) from error
        except _UNAVAILABLE as error:
            _log.error("model store unavailable", extra={"reason": _reason(error)})
            if _is_full_disk(error):
                raise GatewayError(
                    507,
                    "There is no room left on a disk of the service or of the model store: make "
                    "some where MLflow keeps its database and its files, and in the folder for "
                    "temporary files, and send the request again.",
                ) from error
            raise GatewayError(
                503,
                "The model store does not answer: see that the MLflow server that "
                "MLFLOW_TRACKING_URI names, its database and its file store are up, and send the "
                "request again; the log of this service says what failed.",
                {"Retry-After": "5"},
            ) from error


def _is_full_disk(error: BaseException | None) -> bool:
    """Say whether a disk without room caused an error; MLflow hides that in its message."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "disk is full" in str(error) or "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _reason(error: BaseException) -> str:
    # What follows a question mark in an address may be what grants access to it.
    return re.sub(r"\?\S+", "?...", f"{type(error).__name__}: {error}")[:1000]
