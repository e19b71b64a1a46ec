"""The models, listed: only what has changed since the last time is read from MLflow.

MLflow takes a second to write out a thousand runs, and cannot count them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.utils.search_utils import SearchUtils

from detector.tracking import records
from detector.tracking.experiments import ensure_experiment
from detector.tracking.records import ModelRecord
from detector.tracking.runs import MODELS

__all__ = ["ModelList", "has_models"]

# When a run was updated, as its tag says, and its model; None for a run that cannot be read.
_Known = tuple[str, ModelRecord | None]
# How many models may have changed since the last time, or else all are read.
_CHANGED = 20
# After so long all are read again: an update that arrived late is not always among the first.
_READ_SECONDS = 600.0
# The most that MLflow finds at once is far more.
_PAGE = 1000
_LAST_UPDATED_FIRST = (f"tags.`{records.UPDATED}` DESC",)


def has_models(count: int) -> bool:
    """Say whether there are at least so many models."""
    return bool(_search(count - 1, 1, order=()))


class ModelList:
    """The models of the store, the last updated first; for one thread at a time.

    The diagnostics of models that a version before this one trained are left out: they are in
    files, and `detector.tracking.runs.get_model` reads them.
    """

    def __init__(self) -> None:
        # By the id of the run, in order: its tag of when it was updated, and what it says.
        self._models: dict[str, _Known] = {}
        self._read_at = 0.0

    def page(self, skip: int, top: int) -> tuple[list[ModelRecord], int]:
        """Return at most `top` models after the first `skip`, and how many there are."""
        young = time.monotonic() - self._read_at < _READ_SECONDS
        if not (self._models and young and self._catch_up()):
            self._models, self._read_at = self._read(), time.monotonic()
        models = [model for _, model in self._models.values() if model is not None]
        return models[skip : skip + top], len(models)

    def _catch_up(self) -> bool:
        """Read what was updated since the last time; return False where more may have changed."""
        changed: dict[str, _Known] = {}
        # All of them: by its writer's clock, an update may be older than one that is known.
        first = _search(0, _CHANGED)
        for run in first:
            known = self._models.get(run.info.run_id)
            if known is None or known[0] != _updated(run):
                changed[run.info.run_id] = _known(run)
        if len(changed) == len(first):
            return False
        others = {run: each for run, each in self._models.items() if run not in changed}
        models = dict(sorted((changed | others).items(), key=lambda each: each[1][0], reverse=True))
        # Where one was deleted or restored there are fewer or more. To put a thousand in order
        # takes MLflow ten times as long as to find the last one of any order.
        if [run.info.run_id in models for run in _search(len(models) - 1, 2, order=())] != [True]:
            return False
        self._models = models
        return True

    def _read(self) -> dict[str, _Known]:
        models: dict[str, _Known] = {}
        while True:
            runs = _search(len(models), _PAGE)
            models |= {run.info.run_id: _known(run) for run in runs}
            if len(runs) < _PAGE:
                return models


def _known(run: Run) -> _Known:
    return _updated(run), records.where_readable(run, records.model_of)


def _updated(run: Run) -> str:
    return str(run.data.tags.get(records.UPDATED, ""))


def _search(skip: int, top: int, *, order: Sequence[str] = _LAST_UPDATED_FIRST) -> list[Run]:
    # The token of a page is where it begins.
    token = SearchUtils.create_page_token(skip) if skip else None  # type: ignore[no-untyped-call]
    return MlflowClient().search_runs(
        [ensure_experiment(MODELS)],
        filter_string=f"tags.`{records.STATUS}` != ''",
        order_by=list(order),
        max_results=top,
        page_token=token,
    )
