"""The models that answer: loaded from the registry by alias, and following it."""

import logging
import shutil
import tempfile
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path

from mlflow.exceptions import MlflowException

from detector.api.errors import GatewayError
from detector.api.metrics import MODEL_LOADED, MODEL_REFUSED, MODEL_VERSION
from detector.api.model_kinds import KINDS, Detect, Kind, caller, check_shapes
from detector.api.model_trial import ModelRefusedError, example, load, try_out
from detector.tracking import model_files, registry, server

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

    def __init__(self, alias: str, refresh_seconds: float, *, allow_code: bool) -> None:
        self._alias = alias
        self._refresh_seconds = refresh_seconds
        self._allow_code = allow_code
        self._loaded: dict[str, Model] = {}
        # The version of each model that was refused last.
        self._refused: dict[str, tuple[int, ModelRefusedError]] = {}
        self._said: dict[str, str] = {}
        # Versions that answer by the code of this package, not yet compared with what was logged.
        self._uncompared: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="models", daemon=True)
        for name in KINDS:
            MODEL_LOADED.labels(name).set(0)
            MODEL_REFUSED.labels(name).set(0)

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

    def refused(self, name: str, version: int | None) -> str | None:
        """Return why a version of a model may not answer; None where it may, or was not tried."""
        refused, why = self._refused.get(name, (None, None))
        return str(why) if why is not None and refused == version else None

    @property
    def ready(self) -> bool:
        """Whether every model is loaded."""
        return len(self._loaded) == len(KINDS)

    def waiting(self) -> str:
        """Say which models are not loaded yet, and why where a version was refused."""
        missing = [name for name, version in self.versions().items() if version is None]
        refused = [str(self._refused[name][1]) for name in missing if name in self._refused]
        return " ".join([f"Waiting for the models {', '.join(missing)}.", *refused])

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
            for name in list(self._uncompared):
                self._compare(name)
            self._stop.wait(self._refresh_seconds if self.ready else min(1, self._refresh_seconds))

    def _refresh(self, name: str) -> None:
        # Whatever goes wrong here, the version that answers now goes on answering.
        try:
            self._load_if_moved(name)
            self._said.pop(name, None)
        except Exception as error:  # noqa: BLE001 - a registered model may raise anything
            message = f"{type(error).__name__}: {error}"
            if isinstance(error, ModelRefusedError):
                message = f"{error} {error.details}".strip()
            # Once, also where it holds for every model.
            if message not in self._said.values():
                _log.error(
                    "model not loaded",
                    extra={
                        "model": name,
                        "alias": self._alias,
                        "reason": message[:1000],
                        "in_service": self.versions()[name],
                    },
                )
            self._said[name] = message

    def _compare(self, name: str) -> None:
        """Say whether another release logged a version that answers by the code of this one.

        It fetches the whole package, so it comes when every model answers.
        """
        version = self._uncompared.pop(name)
        about = {"model": name, "version": version}
        try:
            is_same = model_files.has_this_package(f"models:/{name}/{version}")
        except Exception as error:  # noqa: BLE001 - whatever it is, the model answers
            if server.is_outage(error):
                self._uncompared[name] = version
            else:
                _log.warning("model not compared with this release", extra=about, exc_info=error)
        else:
            if not is_same:
                _log.warning(
                    "model logged by another release: it answers by the code of this one",
                    extra=about,
                )

    def _load_if_moved(self, name: str) -> None:
        kind = KINDS[name]
        if name not in self._loaded:
            server.connect()
            registry.ensure_registered(
                kind.model(), name=name, alias=self._alias, example=example(), params=kind.params
            )
        version = registry.aliased_version(name, self._alias)
        if version is None:
            raise MlflowException(f"The model '{name}' has no alias '{self._alias}'.")
        if name in self._loaded and self._loaded[name].version == version:
            MODEL_REFUSED.labels(name).set(0)
            return
        if name in self._refused and self._refused[name][0] == version:
            # The alias may have pointed to another one meanwhile.
            MODEL_REFUSED.labels(name).set(1)
            # Each raise would add to its traceback, for as long as the alias points to it.
            raise self._refused[name][1].with_traceback(None)
        try:
            try:
                model = self._load(name, version)
            except model_files.FilesError as error:
                reason = f"Version {version} of the model '{name}' is refused: {error}"
                raise ModelRefusedError(reason) from error
        except ModelRefusedError as refusal:
            # Its trial takes time and memory, and what it does will not change.
            self._refused[name] = (version, refusal)
            MODEL_REFUSED.labels(name).set(1)
            raise
        self._loaded = {**self._loaded, name: model}
        MODEL_VERSION.labels(name).set(version)
        MODEL_LOADED.labels(name).set(1)
        MODEL_REFUSED.labels(name).set(0)
        _log.info("model loaded", extra={"model": name, "alias": self._alias, "version": version})

    def _load(self, name: str, version: int) -> Model:
        """Load a version: of a class of ours by the code of this package, or by its own code.

        Raises
        ------
        ModelRefusedError
            For a version that may not answer. It is not tried again.
        """
        kind, uri = KINDS[name], f"models:/{name}/{version}"
        label = f"Version {version} of the model '{name}'"
        if model_files.is_built_in(uri, kind.model):
            model = Model(name, version, _tried(kind, caller(kind, kind.model(), label), label))
            self._uncompared[name] = version
            return model
        if not self._allow_code:
            raise ModelRefusedError(
                f"{label} is refused because it brings code of its own: point the alias "
                f"'{self._alias}' to another version, or set DETECTOR_ALLOW_MODEL_CODE=true, with "
                "which whoever may register models runs code in this service."
            )
        if model_files.size_of(uri, "") > model_files.LARGEST:
            raise ModelRefusedError(f"{label} is refused because its files hold more than 1 GiB.")
        folder = Path(tempfile.mkdtemp(prefix="detector-model-"))
        try:
            # What is loaded is what was tried: these files, and not those of a second download.
            model_files.download(uri, "", folder)
            try_out(name, folder, label)
            model = Model(name, version, _tried(kind, load(name, folder, label), label))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)
        return model


def _tried(kind: Kind, detect: Detect, label: str) -> Detect:
    """Return how to detect, when it detects in the example what its kind must."""
    columns = kind.series.columns({"series": example().to_dict("records"), **kind.params})
    check_shapes(kind, detect(columns, dict(kind.params)), len(columns.values), label)
    return detect
