"""The models that answer: loaded from the registry by alias, and following it."""

import logging
import threading
from dataclasses import dataclass

import pandas as pd
from mlflow.exceptions import MlflowException

from detector.api.errors import GatewayError
from detector.api.metrics import MODEL_VERSION
from detector.api.model_kinds import KINDS, Detect, caller, check_shapes
from detector.tracking import registry, server

__all__ = ["Model", "ServedModels"]

_log = logging.getLogger("detector.models")


@dataclass(frozen=True)
class Model:
    """One version of a registered model.

    Attributes
    ----------
    detect : callable
        Takes the columns of a request, and the options by their wire names; returns what is found.
    """

    name: str
    version: int
    detect: Detect


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
        return {name: loaded[name].version if name in loaded else None for name in KINDS}

    @property
    def ready(self) -> bool:
        """Whether every model is loaded."""
        return len(self._loaded) == len(KINDS)

    def start(self) -> None:
        """Begin to load the models and to follow their aliases."""
        self._thread.start()

    def stop(self) -> None:
        """Follow the aliases no longer."""
        self._stop.set()

    def _follow(self) -> None:
        while not self._stop.is_set():
            for name in KINDS:
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
        kind = KINDS[name]
        if name not in self._loaded:
            server.connect()
            registry.ensure_registered(
                kind.model(), name=name, alias=self._alias, example=_example(), params=kind.params
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
    loaded = registry.load_version(name, version).unwrap_python_model()  # type: ignore[no-untyped-call]
    kind, label = KINDS[name], f"version {version} of '{name}'"
    detect = caller(kind, loaded, label)
    columns = kind.series.columns({"series": _example().to_dict("records"), **kind.params})
    found = detect(columns, dict(kind.params))
    check_shapes(kind, found, len(columns.values), label)
    return Model(name, version, detect)


def _example() -> pd.DataFrame:
    days = pd.date_range("2024-01-01", periods=28, freq="D")
    values = [100.0 + 10 * (day % 7) for day in range(28)]
    return pd.DataFrame({"timestamp": days, "value": values})
