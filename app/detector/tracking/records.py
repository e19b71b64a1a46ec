"""What the run of a model or of a batch detection says, as a record.

A run's tags hold what was asked, the status, the errors and how a training went, so that a list
needs nothing else; the result of a batch detection is an artifact.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import itertools
import json
import logging
import uuid
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson
from mlflow.entities import Run

from detector.multivariate.requests import DetectionRequest, TrainingRequest
from detector.multivariate.wire import (
    Diagnostics,
    detection_from_wire,
    detection_result_to_wire,
    detection_to_wire,
    diagnostics_from_wire,
    diagnostics_to_wire,
    training_from_wire,
    training_to_wire,
)

_log = logging.getLogger("detector.models")
_Record = TypeVar("_Record")

# The tags of a run. Runs of older versions have them too: they keep their names.
STATUS, UPDATED, ERRORS = "detector.status", "detector.updated", "detector.errors"
ASKED, MODEL, QUEUED = "detector.request", "detector.model", "detector.queued"
# There where the address in the request lacks what grants access to it.
WITHHELD = "detector.withheld"
# How a training went: JSON, packed, in as many tags as it takes, the later ones with a number.
DIAGNOSTICS = "detector.diagnostics"
# Written as base64 it is the most that MLflow keeps in a tag.
_TAG_BYTES = 6000
# Far more than 301 variables and 10,000 epochs take.
_UNPACKED_BYTES = 4 * 1024 * 1024
# What reading raises where another program wrote the tags of a run.
UNREADABLE = (LookupError, ValueError, TypeError, AttributeError, OverflowError, RecursionError)
# What a training logs as the number of its variables.
VARIABLES = "variables"


@dataclass(frozen=True)
class ModelRecord:
    """A multivariate model: what was asked for and how far it is.

    Attributes
    ----------
    model_id : str
        A UUID; without its dashes it is the id of the MLflow run.
    created, updated : datetime
        In UTC.
    request : TrainingRequest
    status : str
        ``CREATED``, ``RUNNING``, ``READY`` or ``FAILED``.
    errors : list of dict
        ``code`` and ``message`` of what went wrong.
    packed : bytes
        How its training goes or went, packed: a list holds it of a thousand models.
    withheld : bool
        Whether the address in the request lacks what grants access to it, which the queue keeps.
    logged_variables : int
        How many variables its run says it has; 0 until its training has ended.
    """

    model_id: str
    created: datetime
    updated: datetime
    request: TrainingRequest
    status: str
    errors: list[dict[str, str]]
    packed: bytes
    withheld: bool
    logged_variables: int = 0

    @property
    def diagnostics(self) -> Diagnostics:
        """How its training goes or went."""
        return diagnostics_from_wire(self.diagnostics_on_wire)

    @property
    def diagnostics_on_wire(self) -> dict[str, Any]:
        """The diagnostics by their names on the wire."""
        with contextlib.suppress(ValueError, RecursionError, zlib.error):
            # Behind its end there may be what an attempt before this one left.
            told: dict[str, Any] = json.loads(
                zlib.decompressobj().decompress(self.packed, _UNPACKED_BYTES)
            )
            if _are_diagnostics(told):
                return told
        return diagnostics_to_wire(Diagnostics())

    @property
    def variables(self) -> int:
        """How many variables it has; 0 until that is known."""
        return self.logged_variables or len(self.diagnostics_on_wire["variableStates"])


@dataclass(frozen=True)
class ResultRecord:
    """A batch detection: what was asked for, how far it is, and what was found.

    Attributes
    ----------
    result_id, model_id : str
        UUIDs; the first without its dashes is the id of the MLflow run.
    created : datetime
        In UTC.
    request : DetectionRequest
    status : str
        ``CREATED``, ``RUNNING``, ``READY`` or ``FAILED``.
    errors : list of dict
        ``code`` and ``message`` of what went wrong.
    found : dict
        What `detector.multivariate.wire.detection_result_to_wire` returns; empty lists until the
        status is ``READY``.
    withheld : bool
        As of a model.
    """

    result_id: str
    model_id: str
    created: datetime
    request: DetectionRequest
    status: str
    errors: list[dict[str, str]]
    found: dict[str, Any]
    withheld: bool


@dataclass(frozen=True)
class Unfinished:
    """What is neither READY nor FAILED.

    Attributes
    ----------
    experiment : str
        ``runs.MODELS`` or ``runs.RESULTS``.
    identity : str
        The id of the model or the result.
    updated : datetime
        When it last gave a sign of life, in UTC.
    queued : bool
        Whether it is a worker's to do; otherwise the program that began it does it.
    withheld : bool
        As of a model.
    """

    experiment: str
    identity: str
    updated: datetime
    queued: bool
    withheld: bool


def where_readable(run: Run, read: Callable[[Run], _Record]) -> _Record | None:
    """Return what a run says; None, and a warning, for one whose tags cannot be read.

    Whoever may write to MLflow may make such a run.
    """
    try:
        return read(run)
    except UNREADABLE as error:
        _warn(run.info.run_id, f"{type(error).__name__}: {error}"[:200])
        return None


# Once for each run, as runs are read every few seconds.
@functools.lru_cache(1000)
def _warn(run_id: str, reason: str) -> None:
    _log.warning(
        "A run cannot be read, and is passed over: another program wrote its tags. Delete it.",
        extra={"run": run_id, "reason": reason},
    )


def model_of(run: Run, diagnostics: Mapping[str, Any] | None = None) -> ModelRecord:
    """Return the model that a run is.

    Parameters
    ----------
    diagnostics
        By their names on the wire, in place of those of its tags.
    """
    tags = run.data.tags
    request = training_from_wire(json.loads(tags[ASKED]))
    return ModelRecord(
        model_id=identity_of(run),
        created=created_at(run),
        updated=updated_at(run),
        request=request,
        status=tags[STATUS],
        errors=_errors_in(tags, training_to_wire(request)),
        packed=_packed_in(tags) if diagnostics is None else _pack(diagnostics),
        withheld=WITHHELD in tags,
        logged_variables=int(run.data.params.get(VARIABLES, 0)),
    )


def result_of(run: Run, found: Mapping[str, Any]) -> ResultRecord:
    """Return the batch detection that a run is."""
    tags = run.data.tags
    request = detection_from_wire(json.loads(tags[ASKED]))
    return ResultRecord(
        result_id=identity_of(run),
        model_id=tags[MODEL],
        created=created_at(run),
        request=request,
        status=tags[STATUS],
        errors=_errors_in(tags, detection_to_wire(request)),
        found={**detection_result_to_wire(), **found},
        withheld=WITHHELD in tags,
    )


def unfinished_of(run: Run, experiment: str) -> Unfinished:
    """Return what a run that is neither READY nor FAILED says of the work."""
    tags = run.data.tags
    return Unfinished(
        experiment=experiment,
        identity=identity_of(run),
        updated=updated_at(run),
        queued=tags[QUEUED] == "true",
        withheld=WITHHELD in tags,
    )


def _errors_in(tags: Mapping[str, str], asked: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the errors; ValueError or TypeError where an answer cannot tell of them and of what
    was asked.
    """
    errors: list[dict[str, str]] = json.loads(tags[ERRORS])
    if not all(isinstance(each["code"] + each["message"], str) for each in errors):
        raise TypeError("the errors are no texts")
    orjson.dumps([asked, errors])
    return errors


def diagnostics_to_tags(diagnostics: Diagnostics) -> dict[str, str]:
    """Return how a training goes as tags of its run."""
    packed = _pack(diagnostics_to_wire(diagnostics))
    parts = range(0, len(packed), _TAG_BYTES)
    return {
        _part(number): base64.b64encode(packed[start : start + _TAG_BYTES]).decode()
        for number, start in enumerate(parts)
    }


def _are_diagnostics(told: Any) -> bool:
    """Say whether an answer can tell of diagnostics, which another program may have written."""
    return (
        isinstance(told, dict)
        and isinstance(told.get("modelState"), dict)
        and isinstance(told.get("variableStates"), list)
        and all(isinstance(each, dict) for each in told["variableStates"])
    )


def _pack(wire: Mapping[str, Any]) -> bytes:
    return zlib.compress(json.dumps(wire).encode())


def _packed_in(tags: Mapping[str, str]) -> bytes:
    numbers = itertools.takewhile(lambda number: _part(number) in tags, itertools.count())
    return b"".join(base64.b64decode(tags[_part(number)]) for number in numbers)


def _part(number: int) -> str:
    return f"{DIAGNOSTICS}.{number + 1}" if number else DIAGNOSTICS


def identity_of(run: Run) -> str:
    """Return the id of the model or result that a run is."""
    return str(uuid.UUID(run.info.run_id))


def updated_at(run: Run) -> datetime:
    """Return when a run last gave a sign of life, in UTC."""
    return datetime.fromisoformat(run.data.tags[UPDATED]).astimezone(UTC)


def created_at(run: Run) -> datetime:
    """Return when a run was created, in UTC."""
    return datetime.fromtimestamp(run.info.start_time / 1000, UTC)
