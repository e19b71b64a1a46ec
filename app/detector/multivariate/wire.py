"""What is known of many variables, by the names on the wire."""

from __future__ import annotations

from typing import Any

import pandas as pd

from detector.multivariate.alignment import VariableState
from detector.multivariate.model import AnomalyState

# What the wire calls the options of alignment and training, for messages.
NAMES = {
    "sliding_window": "slidingWindow",
    "mode": "alignMode",
    "fill": "fillNAMethod",
    "padding_value": "paddingValue",
    "start": "startTime",
    "end": "endTime",
}


def time_to_wire(moment: pd.Timestamp) -> str:
    """Return a time in UTC as the service wrote it: ``2021-01-02T05:00:00Z``."""
    return moment.isoformat() + "Z"


def state_to_wire(state: VariableState) -> dict[str, Any]:
    """Return the state of a variable by its names on the wire."""
    return {
        "variable": state.variable,
        "filledNARatio": state.filled_na_ratio,
        "effectiveCount": state.effective_count,
        "firstTimestamp": time_to_wire(state.first_timestamp),
        "lastTimestamp": time_to_wire(state.last_timestamp),
    }


def anomaly_state_to_wire(state: AnomalyState) -> dict[str, Any]:
    """Return what was found at one timestamp by its names on the wire.

    ``changedValues`` goes along, which only the version v1.1-preview.1 showed.
    """
    errors = [state.error] if state.error else []
    return {
        "timestamp": time_to_wire(state.timestamp),
        "value": {
            "isAnomaly": state.is_anomaly,
            "severity": state.severity,
            "score": state.score,
            "interpretation": [
                {
                    "variable": contributor.variable,
                    "contributionScore": contributor.score,
                    "correlationChanges": {
                        "changedVariables": list(contributor.changed_variables),
                        "changedValues": list(contributor.changed_values),
                    },
                }
                for contributor in state.contributors
            ],
        },
        "errors": [{"code": code, "message": message} for code, message in errors],
    }
