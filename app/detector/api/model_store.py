"""What a worker asks of the model store, in threads of its own."""

import logging
import re
import sqlite3
from collections.abc import Callable
from typing import TypeVar

import requests
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from detector.api.errors import GatewayError, let_go
from detector.api.limits import BoundedExecutor
from detector.errors import DetectionError
from detector.multivariate.model import MultivariateModel
from detector.tracking import server
from detector.tracking.model_cache import ModelCache

__all__ = ["ModelStore"]

_log = logging.getLogger("detector.store")
_Answer = TypeVar("_Answer")
# The store's answers take milliseconds, or, where it is gone, many seconds of waiting.
_THREADS, _WAITING = 8, 64
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

    def _answer(self, call: Callable[[], _Answer]) -> _Answer:
        try:
            if not self._connected:
                server.connect()
                self._connected = True
            return call()
        except DetectionError as error:
            # Many may wait until the refusal is written.
            let_go(error)
            raise
        except _UNAVAILABLE as error:
            _log.error("model store unavailable", extra={"reason": _reason(error)})
            raise GatewayError(
                503,
                "The model store does not answer: see that the MLflow server that "
                "MLFLOW_TRACKING_URI names, its database and its file store are up, and send the "
                "request again; the log of this service says what failed.",
                {"Retry-After": "5"},
            ) from error


def _reason(error: BaseException) -> str:
    # What follows a question mark in an address may be what grants access to it.
    return re.sub(r"\?\S+", "?...", f"{type(error).__name__}: {error}")[:1000]
