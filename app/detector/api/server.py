"""Runs the service: ``python -m detector serve``."""

import contextlib
import logging
import logging.config
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

import uvicorn
from pydantic import ValidationError

from detector import isolation
from detector.api import container, metrics_folder, tls
from detector.api.connections import IDLE_SECONDS, backlog, raise_file_limit
from detector.jobs import processes
from detector.log import CONFIGURATION
from detector.settings import Settings
from detector.univariate.kernel import native

__all__ = ["serve"]

_log = logging.getLogger("detector.kernel")

# A worker that loads a model or scores long series may not answer its supervisor for a while.
_WORKER_PATIENCE_SECONDS = 60


def serve(given: Mapping[str, object], arguments: Sequence[str] = ()) -> None:
    """Serve until told to stop; finish what has begun.

    Parameters
    ----------
    given : mapping
        Settings that replace those of the environment: ``host``, ``port``, ``workers``,
        ``tls``.
    arguments : sequence of str
        Of the service's own container, such as ``Eula=accept``.

    Raises
    ------
    ValueError
        For settings that make no sense, saying in one sentence what to change.
    """
    for name, value in given.items():
        # Workers are processes of their own, and read the environment.
        os.environ[str(Settings.model_fields[name].validation_alias)] = str(value)
    logging.config.dictConfig(CONFIGURATION)
    try:
        container.take_arguments(arguments)
        container.keep_key()
        settings = Settings()
    except ValidationError as error:
        raise ValueError(_in_words(error)) from None
    _check_folders(settings)
    try:
        secured = tls.prepare(settings)
    except ValueError as error:
        raise ValueError(f"The service does not start: {error}.") from None
    if secured.authority:
        sys.stderr.write(tls.advice(secured))
    if native.reason:
        _log.info("numpy computes, several times slower", extra={"reason": native.reason})
    raise_file_limit()
    # The environment holds secrets, and registered models may bring code.
    isolation.hide_memory()
    # uvicorn raises the signal again when it has stopped; what is temporary must still go.
    signal.signal(signal.SIGTERM, _leave)
    worker = (
        processes.run_embedded_worker() if settings.embedded_worker else contextlib.nullcontext()
    )
    with worker, metrics_folder.made(settings.workers):
        uvicorn.run(
            "detector.api.app:create",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            # h11 is there wherever uvicorn is, and the connections are asyncio's.
            http="detector.api.connections:Connection",
            loop="detector.api.connections:Loop",
            ws="none",
            backlog=backlog(),
            timeout_keep_alive=IDLE_SECONDS,
            ssl_certfile=secured.certificate,
            ssl_keyfile=secured.key,
            ssl_context_factory=tls.context if secured.certificate else None,
            forwarded_allow_ips=list(settings.trusted_proxies),
            log_config=CONFIGURATION,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.stop_seconds,
            timeout_worker_healthcheck=_WORKER_PATIENCE_SECONDS,
        )


def _check_folders(settings: Settings) -> None:
    """Raise ValueError for a folder that the service, or its worker, could not write to."""
    kept = []
    if "://" not in settings.queue:
        kept.append((Path(settings.queue).absolute().parent, "its queue", "DETECTOR_QUEUE"))
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        kept.append((Path.cwd(), "its models", "MLFLOW_TRACKING_URI"))
    for folder, what, setting in kept:
        while not folder.exists():
            # It is made when it is needed.
            folder = folder.parent
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ValueError(
                f"The service does not start: it keeps {what} in {folder}, where it cannot write "
                f"({error.strerror}). Start it in a folder of its own, or set {setting}."
            ) from None


def _leave(signal_number: int, frame: FrameType | None) -> None:
    sys.exit(0)


def _in_words(error: ValidationError) -> str:
    problems = []
    for problem in error.errors():
        message = problem["msg"].removeprefix("Value error, ")
        name = problem["loc"][0] if problem["loc"] else None
        problems.append(f"{name}: {message}" if name else message)
    return "The service does not start: " + "; ".join(problems) + "."
