"""Answers about many variables, as each version of the API wrote them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from detector.api.multivariate.data_addresses import absolute
from detector.api.versions import PREVIEWS
from detector.datasource import Access
from detector.multivariate.alignment import VariableState
from detector.multivariate.model import AnomalyState
from detector.multivariate.wire import (
    anomaly_state_to_wire,
    detection_to_wire,
    state_to_wire,
    training_to_wire,
)
from detector.tracking.records import ModelRecord, ResultRecord

__all__ = ["latest", "model", "models", "result"]

_Wire = dict[str, Any]


def model(record: ModelRecord, version: str, access: Access) -> _Wire:
    """Return a model with everything that is known of it."""
    info = training_to_wire(record.request)
    info["dataSource"] = absolute(info["dataSource"], access.folders)
    asked = info if version not in PREVIEWS else _as_preview(info)
    diagnostics = record.diagnostics_on_wire
    return {
        **_identity(record),
        "modelInfo": {
            **asked,
            "status": record.status,
            "errors": record.errors,
            "diagnosticsInfo": {
                "modelState": diagnostics["modelState"],
                "variableStates": _states(diagnostics["variableStates"], version),
            },
        },
    }


def models(
    records: Iterable[ModelRecord],
    count: int,
    most: int,
    version: str,
    access: Access,
    *,
    next_link: str = "",
) -> _Wire:
    """Return a list of models, whole in version v1.1 and in short in the previews.

    Parameters
    ----------
    count, most
        How many models there are, and how many there may be.
    next_link
        Where the rest of them is.
    """
    preview = version in PREVIEWS
    return {
        "models": [
            _snapshot(each) if preview else model(each, version, access) for each in records
        ],
        "currentCount": count,
        "maxCount": most,
        # The service never sent one: clients ask for the next page with `skip`. They follow one.
        "nextLink": next_link,
    }


def result(record: ResultRecord, version: str, access: Access) -> _Wire:
    """Return a batch detection and, when it is ready, what it found."""
    setup = detection_to_wire(record.request)
    setup["dataSource"] = absolute(setup["dataSource"], access.folders)
    if version in PREVIEWS:
        setup = {
            "source": setup["dataSource"],
            "startTime": setup["startTime"],
            "endTime": setup["endTime"],
        }
    return {
        "resultId": record.result_id,
        "summary": {
            "status": record.status,
            "errors": record.errors,
            "variableStates": _states(record.found["variableStates"], version),
            "setupInfo": setup,
        },
        "results": [_anomaly_state(each, version) for each in record.found["results"]],
    }


def latest(
    states: Iterable[VariableState], anomaly_states: Iterable[AnomalyState], version: str
) -> _Wire:
    """Return what was found at the last timestamps."""
    return {
        "variableStates": _states(map(state_to_wire, states), version),
        "results": [
            _anomaly_state(anomaly_state_to_wire(each), version) for each in anomaly_states
        ],
    }


def _identity(record: ModelRecord) -> _Wire:
    return {
        "modelId": record.model_id,
        "createdTime": _time(record.created),
        # A new model is updated, by its writer's clock, just before it is created by the store's.
        "lastUpdatedTime": _time(max(record.created, record.updated)),
    }


def _snapshot(record: ModelRecord) -> _Wire:
    return {
        **_identity(record),
        "status": record.status,
        "displayName": record.request.display_name,
        "variablesCount": record.variables,
    }


def _as_preview(info: _Wire) -> _Wire:
    return {
        "slidingWindow": info["slidingWindow"],
        "alignPolicy": info["alignPolicy"],
        "source": info["dataSource"],
        "startTime": info["startTime"],
        "endTime": info["endTime"],
        "displayName": info["displayName"],
    }


def _states(states: Iterable[_Wire], version: str) -> list[_Wire]:
    if version not in PREVIEWS:
        return list(states)
    names = {"firstTimestamp": "startTime", "lastTimestamp": "endTime"}
    return [{names.get(name, name): value for name, value in each.items()} for each in states]


def _anomaly_state(state: _Wire, version: str) -> _Wire:
    """Return what was found at one timestamp.

    Every version of the API showed less than is known of an anomaly: ``changedValues`` were in
    version v1.1-preview.1 alone, and the first preview named the variables only.
    """
    value = state["value"]
    told = {name: value[name] for name in ("isAnomaly", "severity", "score")}
    because = value["interpretation"]
    if version == "v1.1-preview":
        told["contributors"] = [
            {"contributionScore": each["contributionScore"], "variable": each["variable"]}
            for each in because
        ]
    elif version == "v1.1-preview.1":
        told["interpretation"] = because
    else:
        told["interpretation"] = [
            {
                "variable": each["variable"],
                "contributionScore": each["contributionScore"],
                "correlationChanges": {
                    "changedVariables": each["correlationChanges"]["changedVariables"]
                },
            }
            for each in because
        ]
    return {"timestamp": state["timestamp"], "value": told, "errors": state["errors"]}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
