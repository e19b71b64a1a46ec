"""The models that answer: loaded from the registry by alias, and following it."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException

from detector.api.errors import GatewayError
from detector.api.metrics import MODEL_VERSION
from detector.models import ChangePointDetector, EntireAnomalyDetector, LatestAnomalyDetector
from detector.tracking import registry, server

__all__ = ["CHANGE_POINT", "ENTIRE", "LATEST", "Model", "ServedModels"]

ENTIRE, LATEST, CHANGE_POINT = "univariate-entire", "univariate-latest", "change-point"

_log = logging.getLogger("detector.models")
# The options a model takes, with the defaults they have where the client gives none.
_PARAMS = {
    "granularity": "none",
    "customInterval": 1,
    "maxAnomalyRatio": 0.25,
    "sensitivity": 99,
    "imputeMode": "auto",
    "boundaryVersion": "V2",
}
_COMMON = ("is_anomaly", "is_positive_anomaly", "is_negative_anomaly")
_DETECTED = ("expected_value", "upper_margin", "lower_margin", "severity", "period", *_COMMON)


@dataclass(frozen=True)
class _Kind:
    """What a registered model must be able to do, and what to register where there is none."""

    make: Callable[[], Any]
    params: Mapping[str, Any]
    answers: tuple[str, ...]


_KINDS: dict[str, _Kind] = {
    ENTIRE: _Kind(EntireAnomalyDetector, _PARAMS, _DETECTED),
    LATEST: _Kind(LatestAnomalyDetector, _PARAMS, (*_DETECTED, "suggested_window")),
    CHANGE_POINT: _Kind(
        ChangePointDetector,
        {"granularity": "daily", "customInterval": 1},
        ("is_change_point", "confidence_score", "period"),
    ),
}


@dataclass(frozen=True)
class Model:
    """One version of a registered model.

    Attributes
    ----------
    predict : callable
        Takes a table of ``timestamp`` and ``value`` and options by their wire names; returns the
        result of each point scored.
    """

    name: str
    version: int
    predict: Callable[[pd.DataFrame, Mapping[str, Any]], list[dict[str, Any]]]


class ServedModels:
    """The loaded models of one worker, and the thread that follows their aliases."""

    def __init__(self, alias: str, refresh_seconds: float) -> None:
        self._alias = alias
        self._refresh_seconds = refresh_seconds
        self._loaded: dict[str, Model] = {}
        self._said: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="models", daemon=True)

    def __getitem__(self, name: str) -> Model:
        try:
            return self._loaded[name]
        except KeyError:
            raise GatewayError(
                503,
                f"The model '{name}' is not loaded yet. Try again in a few seconds; /health/ready "
                "answers 200 when it is.",
                {"Retry-After": "5"},
            ) from None

    def versions(self) -> dict[str, int | None]:
        """Return the version of each model that answers, None for one not loaded yet."""
        loaded = self._loaded
        return {name: loaded[name].version if name in loaded else None for name in _KINDS}

    @property
    def ready(self) -> bool:
        """Whether every model is loaded."""
        return len(self._loaded) == len(_KINDS)

    def start(self) -> None:
        """Begin to load the models and to follow their aliases."""
        self._thread.start()

    def stop(self) -> None:
        """Follow the aliases no longer."""
        self._stop.set()

    def _follow(self) -> None:
        while not self._stop.is_set():
            for name in _KINDS:
                self._refresh(name)
            self._stop.wait(self._refresh_seconds if self.ready else min(1, self._refresh_seconds))

    def _refresh(self, name: str) -> None:
        # Whatever goes wrong here, the version that answers now goes on answering.
        try:
            self._load_if_moved(name)
            self._said.pop(name, None)
        except Exception as error:  # noqa: BLE001 - a registered model may raise anything
            message = f"{type(error).__name__}: {error}"
            if self._said.get(name) != message:
                self._said[name] = message
                _log.error(
                    "model not loaded",
                    extra={
                        "model": name,
                        "alias": self._alias,
                        "reason": message[:1000],
                        "in_service": self.versions()[name],
                    },
                )

    def _load_if_moved(self, name: str) -> None:
        kind = _KINDS[name]
        if name not in self._loaded:
            server.connect()
            registry.ensure_registered(
                kind.make(), name=name, alias=self._alias, example=_example(), params=kind.params
            )
        version = registry.aliased_version(name, self._alias)
        if version is None:
            raise MlflowException(f"The model '{name}' has no alias '{self._alias}'.")
        if name in self._loaded and self._loaded[name].version == version:
            return
        model = _load(name, version)
        self._loaded = {**self._loaded, name: model}
        MODEL_VERSION.labels(name).set(version)
        _log.info("model loaded", extra={"model": name, "alias": self._alias, "version": version})


def _load(name: str, version: int) -> Model:
    """Load a version, and try it on a series before it may answer."""
    # Called directly, because MLflow's checks of a table take longer than most detections.
    loaded = registry.load_version(name, version).unwrap_python_model()  # type: ignore[no-untyped-call]

    def predict(points: pd.DataFrame, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [answer["result"] for answer in loaded.predict(None, points, params)]

    kind, example = _KINDS[name], _example()
    results = predict(example, dict(kind.params))
    expected = 1 if name == LATEST else len(example)
    if len(results) != expected or any(key not in results[0] for key in kind.answers):
        raise ValueError(
            f"version {version} of '{name}' answered {len(results)} results with the keys "
            f"{sorted(results[0]) if results else []}; there must be {expected} with the keys "
            f"{sorted(kind.answers)}"
        )
    return Model(name, version, predict)


def _example() -> pd.DataFrame:
    days = pd.date_range("2024-01-01", periods=28, freq="D")
    values = [100.0 + 10 * (day % 7) for day in range(28)]
    return pd.DataFrame({"timestamp": days, "value": values})
