"""The log: one JSON object a line, on standard output."""

import json
import logging
import math
import warnings
from datetime import UTC, datetime
from typing import Any, TextIO

__all__ = ["CONFIGURATION", "JsonLines", "Once", "ignore_foreign_warnings"]

# How long a warning that was written is only counted when it comes again.
_ONCE_SECONDS = 10.0
_MOST_REMEMBERED = 1000
_ORDINARY = {*vars(logging.makeLogRecord({})), "message", "asctime", "color_message", "taskName"}


class JsonLines(logging.Formatter):
    """Formats a record, and whatever was given as ``extra``, as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        when = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _ORDINARY}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class Once(logging.StreamHandler[TextIO]):
    """Writes a warning or an error once in ten seconds, and then how often it came again.

    Two are the same when all but their time is the same. What is no warning is always written.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        # By what they say: since when, the last one that was not written, and how many were not.
        self._written: dict[str, tuple[float, logging.LogRecord, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it."""
        self._catch_up(record.created - _ONCE_SECONDS)
        if record.levelno >= logging.WARNING:
            said = _said(record)
            if said in self._written:
                since, _, count = self._written[said]
                self._written[said] = since, record, count + 1
                return
            if len(self._written) >= _MOST_REMEMBERED:
                self._catch_up(record.created)
            self._written[said] = record.created, record, 0
        super().emit(record)

    def close(self) -> None:
        """Write what was only counted."""
        self._catch_up(math.inf)
        super().close()

    def _catch_up(self, until: float) -> None:
        # They are in the order of their times.
        for said, (since, record, count) in list(self._written.items()):
            if since > until:
                break
            del self._written[said]
            if count:
                record.repeats = count
                super().emit(record)


def _said(record: logging.LogRecord) -> str:
    extra = {key: value for key, value in vars(record).items() if key not in _ORDINARY}
    error = record.exc_info[1] if record.exc_info else None
    return f"{record.name} {record.levelno} {record.getMessage()} {extra} {error!r}"


CONFIGURATION: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonLines}},
    "handlers": {
        "stdout": {
            "class": "detector.log.Once",
            "stream": "ext://sys.stdout",
            "formatter": "json",
        }
    },
    "root": {"handlers": ["stdout"], "level": "WARNING"},
    "loggers": {
        "detector": {"level": "INFO"},
        "uvicorn": {"level": "INFO"},
        # It warns of each try of a request to a server that is away, whose absence is said once.
        "urllib3": {"level": "ERROR"},
    },
}


def ignore_foreign_warnings() -> None:
    """Keep out of the log what MLflow says of the upstream package's models, which are not ours."""
    warnings.filterwarnings("ignore", module=r"mlflow\.pyfunc\.utils\.data_validation")
