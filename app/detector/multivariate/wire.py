"""Requests, diagnostics and results of many variables by their names on the wire.

The runs in MLflow keep them by these names too, so a run of an older version is read here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from detector.multivariate.alignment import AlignPolicy, VariableState
from detector.multivariate.model import AnomalyState, Epoch
from detector.multivariate.requests import (
    DEFAULT_CONTRIBUTORS,
    DetectionRequest,
    TrainingRequest,
)

_Wire = dict[str, Any]

# What the wire calls the options of alignment and training, for messages.
NAMES = {
    "sliding_window": "slidingWindow",
    "mode": "alignMode",
    "fill": "fillNAMethod",
    "padding_value": "paddingValue",
    "start": "startTime",
    "end": "endTime",
}


@dataclass(frozen=True)
class Diagnostics:
    """How a training went.

    Attributes
    ----------
    epochs : tuple of Epoch
        Every tenth, as the service told them; while it trains, each of the last hundred.
    variable_states : tuple of VariableState
    """

    epochs: tuple[Epoch, ...] = ()
    variable_states: tuple[VariableState, ...] = ()


def time_to_wire(time: pd.Timestamp) -> str:
    """Return a time in UTC as the service wrote it: ``2021-01-02T05:00:00Z``."""
    return time.isoformat() + "Z"


def time_from_wire(text: str) -> pd.Timestamp:
    """Return a time of the wire as pandas has it: in UTC, without a zone."""
    return pd.Timestamp(text).tz_convert(None)


def training_to_wire(request: TrainingRequest) -> _Wire:
    """Return a request to train by its names, and in the order, of version v1.1.

    Its address is without what grants access to it.
    """
    return {
        "dataSource": request.public_source,
        "dataSchema": request.schema,
        "startTime": time_to_wire(request.start),
        "endTime": time_to_wire(request.end),
        "displayName": request.display_name,
        "slidingWindow": request.sliding_window,
        "alignPolicy": {
            "alignMode": request.align.mode,
            "fillNAMethod": request.align.fill,
            "paddingValue": request.align.padding_value or 0.0,
        },
    }


def training_from_wire(wire: Mapping[str, Any]) -> TrainingRequest:
    """Return the request that `training_to_wire` wrote."""
    policy = wire["alignPolicy"]
    return TrainingRequest(
        source=wire["dataSource"],
        schema=wire["dataSchema"],
        start=time_from_wire(wire["startTime"]),
        end=time_from_wire(wire["endTime"]),
        display_name=wire["displayName"],
        sliding_window=wire["slidingWindow"],
        align=AlignPolicy(policy["alignMode"], policy["fillNAMethod"], policy["paddingValue"]),
    )


def training_to_params(request: TrainingRequest) -> dict[str, str]:
    """Return what a run shows of a request to train, as the parameters of the run."""
    wire = training_to_wire(request)
    names = ("startTime", "endTime", "slidingWindow", "dataSource")
    shown = {name: wire[name] for name in names}
    shown |= {name: wire["alignPolicy"][name] for name in ("alignMode", "fillNAMethod")}
    return {name: str(value) for name, value in shown.items()}


def detection_to_wire(request: DetectionRequest) -> _Wire:
    """Return a request for a batch detection by its names, and in the order, of version v1.1.

    Its address is without what grants access to it.
    """
    return {
        "dataSource": request.public_source,
        "topContributorCount": request.top_contributors,
        "startTime": time_to_wire(request.start),
        "endTime": time_to_wire(request.end),
    }


def detection_from_wire(wire: Mapping[str, Any]) -> DetectionRequest:
    """Return the request that `detection_to_wire` wrote."""
    return DetectionRequest(
        source=wire["dataSource"],
        start=time_from_wire(wire["startTime"]),
        end=time_from_wire(wire["endTime"]),
        top_contributors=wire.get("topContributorCount", DEFAULT_CONTRIBUTORS),
    )


def diagnostics_to_wire(diagnostics: Diagnostics) -> _Wire:
    """Return how a training went by its names on the wire."""
    epochs = diagnostics.epochs
    return {
        "modelState": {
            "epochIds": [epoch.number for epoch in epochs],
            "trainLosses": [epoch.train_loss for epoch in epochs],
            "validationLosses": [epoch.validation_loss for epoch in epochs],
            "latenciesInSeconds": [epoch.seconds for epoch in epochs],
        },
        "variableStates": [state_to_wire(state) for state in diagnostics.variable_states],
    }


def diagnostics_from_wire(wire: Mapping[str, Any]) -> Diagnostics:
    """Return the diagnostics that `diagnostics_to_wire` wrote."""
    state = wire["modelState"]
    columns = ("epochIds", "trainLosses", "validationLosses", "latenciesInSeconds")
    epochs = zip(*(state[name] for name in columns), strict=True)
    return Diagnostics(
        epochs=tuple(Epoch(*epoch) for epoch in epochs),
        variable_states=tuple(_state_from_wire(each) for each in wire["variableStates"]),
    )


def state_to_wire(state: VariableState) -> _Wire:
    """Return the state of a variable by its names on the wire."""
    return {
        "variable": state.variable,
        "filledNARatio": state.filled_na_ratio,
        "effectiveCount": state.effective_count,
        "firstTimestamp": time_to_wire(state.first_timestamp),
        "lastTimestamp": time_to_wire(state.last_timestamp),
    }


def _state_from_wire(wire: Mapping[str, Any]) -> VariableState:
    return VariableState(
        variable=wire["variable"],
        filled_na_ratio=wire["filledNARatio"],
        effective_count=wire["effectiveCount"],
        first_timestamp=time_from_wire(wire["firstTimestamp"]),
        last_timestamp=time_from_wire(wire["lastTimestamp"]),
    )


def detection_result_to_wire(
    states: Iterable[VariableState] = (), anomaly_states: Iterable[AnomalyState] = ()
) -> _Wire:
    """Return what a batch detection found by its names on the wire."""
    return {
        "variableStates": [state_to_wire(state) for state in states],
        "results": [anomaly_state_to_wire(state) for state in anomaly_states],
    }


def anomaly_state_to_wire(state: AnomalyState) -> _Wire:
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
