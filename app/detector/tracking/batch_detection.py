"""A batch detection, from the beginning of its run to its end."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from detector.multivariate.model import MultivariateModel
from detector.tracking import runs
from detector.tracking.training import aligned_table


def detect_batch(
    result_id: str, frame: pd.DataFrame, model: MultivariateModel, *, stop: Callable[[], bool]
) -> None:
    """Detect in the data of a batch and keep the result.

    Parameters
    ----------
    stop
        Called after every block of rows; the detection ends when it returns True.

    Raises
    ------
    Stopped
        If `stop` asked for it; the run's status stays as it is.
    DetectionError
        If the data is not valid; the worker then writes that into the run.
    """
    runs.set_status(result_id, runs.RUNNING)
    request = runs.get_result(result_id).request
    table = aligned_table(frame, request.start, request.end, model.options)
    anomaly_states = model.detect_table(table, top_contributors=request.top_contributors, stop=stop)
    runs.store_result(result_id, table.states, anomaly_states)
    runs.set_status(result_id, runs.READY)
