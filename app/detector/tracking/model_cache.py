"""The trained models that a process has loaded."""

from __future__ import annotations

import threading

from cachetools import LRUCache

from detector.multivariate.model import MultivariateModel
from detector.tracking import runs

_MODELS_KEPT = 4


class ModelCache:
    """Loads each trained model once, and keeps those that were asked for last."""

    def __init__(self) -> None:
        self._models: LRUCache[str, MultivariateModel] = LRUCache(_MODELS_KEPT)
        self._keeping = threading.Lock()
        self._loading = threading.Lock()

    def get(self, model_id: str) -> MultivariateModel:
        """Return a trained model.

        Raises
        ------
        DetectionError
            ``ModelNotExist``, ``ModelNotReady`` or ``ModelFailed``.
        """
        # Another process may have deleted a model that is still loaded here.
        if runs.run_of(model_id, runs.MODELS) is None:
            self._forget(model_id)
        model = self._kept(model_id)
        if model is not None:
            return model
        # One at a time: the first one imports torch, and each takes memory.
        with self._loading:
            return self._kept(model_id) or self._load(model_id)

    def _kept(self, model_id: str) -> MultivariateModel | None:
        with self._keeping:
            return self._models.get(model_id)

    def _forget(self, model_id: str) -> None:
        with self._keeping:
            self._models.pop(model_id, None)

    def _load(self, model_id: str) -> MultivariateModel:
        model = runs.load_model(model_id)
        with self._keeping:
            self._models[model_id] = model
        return model
