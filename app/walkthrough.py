"""What the walk-throughs share: whatever goes wrong, a person gets one line and a status."""

import atexit
import gc
import logging
import sys
from collections.abc import Callable

from mlflow.exceptions import MlflowException

from detector import DetectionError
from detector.tracking import server


def run(walk_through: Callable[[], int]) -> int:
    """Run a walk-through; return its status, 2 for bad input, 1 where MLflow cannot be used."""
    # The interpreter would look through all that was imported before it ends, for most of a second.
    atexit.register(gc.freeze)
    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        return walk_through()
    except DetectionError as error:
        print(f"The detection failed. {error}", file=sys.stderr)
        return 2
    except server.TrackingError as error:
        print(error, file=sys.stderr)
    except MlflowException as error:
        print(server.explain(error), file=sys.stderr)
    return 1
