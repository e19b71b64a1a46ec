"""A batch detection, from the beginning of its run to its end."""

from __future__ import annotations

import pandas as pd

from detector.multivariate.model import MultivariateModel
from detector.tracking import runs
from detector.tracking.training import aligned_table


def detect_batch(result_id: str, frame: pd.DataFrame, model: MultivariateModel) -> None:
    """Detect in the data of a batch and keep the result.

    Raises
    ------
    DetectionError
        If the data is not valid; the run is then FAILED and says why.
    """
    with runs.recording_failure(result_id, runs.RESULTS):
        runs.set_status(result_id, runs.RUNNING)
        setup = runs.get_result(result_id).setup
        table = aligned_table(frame, setup, model.options)
        top = setup.get("topContributorCount", 10)
        anomaly_states = model.detect_table(table, top_contributors=top)
        runs.store_result(result_id, table.states, anomaly_states)
        runs.set_status(result_id, runs.READY)
