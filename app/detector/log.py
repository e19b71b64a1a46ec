"""The log: one JSON object a line, on standard output."""

import json
import logging
import warnings
from datetime import UTC, datetime
from typing import Any

__all__ = ["CONFIGURATION", "JsonLines", "ignore_foreign_warnings"]

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


CONFIGURATION: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": JsonLines}},
    "handlers": {
        "stdout": {
            "class": "logging.StreamHandler",
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
