"""What the walk-throughs share: whatever goes wrong, a person gets one line and a status."""

import atexit
import gc
import io
import logging
import sys
from collections.abc import Callable

import mlflow
from mlflow.exceptions import MlflowException

from detector import DetectionError
from detector.tracking import server
from words import _


def run(walk_through: Callable[[], int]) -> int:
    """Run a walk-through; return its status, 2 for bad input, 1 where MLflow cannot be used."""
    # The interpreter would look through all that was imported before it ends, for most of a second.
    atexit.register(gc.freeze)
    # A terminal that lacks a character is shown its code, and the walk-through goes on.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        return walk_through()
    except DetectionError as error:
        print(_("The detection failed. {error}").format(error=error), file=sys.stderr)
        return 2
    except server.TrackingError as error:
        print(error, file=sys.stderr)
    except MlflowException as error:
        print(server.explain(error), file=sys.stderr)
    return 1


def address(run: mlflow.entities.Run) -> str:
    """Return where to look at a run, in the person's language."""
    return server.run_address(run).replace("served by:", _("served by:"))
