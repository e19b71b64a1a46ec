"""The trained models that a process has loaded."""

from __future__ import annotations

import logging
import threading
import time

from cachetools import LRUCache

from detector.multivariate.model import MultivariateModel
from detector.tracking import runs
from detector.tracking.server import is_outage

_log = logging.getLogger("detector.models")
_MODELS_KEPT = 4
# How long models that are loaded answer without asking again whether they were deleted, where
# MLflow was away: to find that out may take many seconds.
_AWAY_SECONDS = 10.0


class ModelCache:
    """Loads each trained model once, and keeps those that were asked for last."""

    def __init__(self) -> None:
        self._models: LRUCache[str, MultivariateModel] = LRUCache(_MODELS_KEPT)
        self._keeping = threading.Lock()
        self._loading = threading.Lock()
        self._away_until = 0.0

    def get(self, model_id: str) -> MultivariateModel:
        """Return a trained model; one that is loaded also while MLflow is away.

        Raises
        ------
        DetectionError
            ``ModelNotExist``, ``ModelNotReady`` or ``ModelFailed``.
        """
        if self._kept(model_id) is None or time.monotonic() >= self._away_until:
            self._forget_deleted(model_id)
        model = self._kept(model_id)
        if model is not None:
            return model
        # One at a time: the first one imports torch, and each takes memory.
        with self._loading:
            return self._kept(model_id) or self._load(model_id)

    def _kept(self, model_id: str) -> MultivariateModel | None:
        with self._keeping:
            return self._models.get(model_id)

    def _forget_deleted(self, model_id: str) -> None:
        """Forget a model that another process has deleted; MLflow may be away meanwhile."""
        try:
            if runs.run_of(model_id, runs.MODELS) is None:
                with self._keeping:
                    self._models.pop(model_id, None)
        except Exception as error:
            if self._kept(model_id) is None or not is_outage(error):
                raise
            self._away_until = time.monotonic() + _AWAY_SECONDS
            _log.warning("MLflow is away: models that are loaded answer without it.")

    def _load(self, model_id: str) -> MultivariateModel:
        model = runs.load_model(model_id)
        with self._keeping:
            self._models[model_id] = model
        return model
