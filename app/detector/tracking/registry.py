"""Models in MLflow: log, register, alias, load."""

from __future__ import annotations

import importlib.metadata
import inspect
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from mlflow.models.model import ModelInfo
from mlflow.models.signature import ModelSignature
from mlflow.pyfunc import PyFuncModel
from mlflow.pyfunc.model import PythonModel
from mlflow.types import DataType, ParamSchema, ParamSpec

from detector.models import MultivariateAnomalyDetector
from detector.multivariate.model import MultivariateModel
from detector.tracking import model_files
from detector.tracking.experiments import ensure_experiment

# What a logged model needs where it is loaded; pinned to what it was logged with.
_REQUIREMENTS = (
    "mlflow",
    "time-series-anomaly-detector",
    "torch",
    "numpy",
    "pandas",
    "scipy",
    "statsmodels",
)
# Where models are logged that no one trained: those that `ensure_registered` makes.
_EXPERIMENT = "detectors"
# How long one process waits for the version that another one is making.
_TURN_SECONDS = 60


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model, and the alias that points to it."""

    name: str
    version: int
    alias: str
    model_uri: str

    @property
    def alias_uri(self) -> str:
        """The address to load it by, whatever version the alias will point to."""
        return f"models:/{self.name}@{self.alias}"


def log(
    model: PythonModel,
    *,
    name: str,
    registered_as: str,
    alias: str,
    example: pd.DataFrame,
    params: dict[str, Any],
) -> RegisteredVersion:
    """Log `model` to the active run, register it, and point the alias to the new version.

    Parameters
    ----------
    name
        What the logged model is called in its run.
    registered_as, alias
        The registered model, and the alias that the new version gets.
    example
        An input of the model, kept with it as its input example.
    params
        The options `predict` takes, with their defaults: they become the params schema, without
        which MLflow would pass none of them on.
    """
    # As it looks to a client of a served model; MLflow has no schema for dates inside objects.
    answers = model.predict(None, example, params)
    as_json: Any = [answer | {"timestamp": str(answer["timestamp"])} for answer in answers]
    with tempfile.TemporaryDirectory() as folder:
        info = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(_as_code(model, Path(folder))),
            signature=infer_signature(example, as_json, params=params),
            input_example=(example, params),
            registered_model_name=registered_as,
            **_logged_environment(),
        )
    options = ", ".join(f"`{option}` {value}" for option, value in params.items())
    return _aliased(info, registered_as, alias, _about(model), f"The defaults are {options}.")


@overload
def log_multivariate(
    model: MultivariateModel, example: pd.DataFrame, *, registered_as: str, alias: str
) -> RegisteredVersion: ...


@overload
def log_multivariate(model: MultivariateModel, example: pd.DataFrame) -> str: ...


def log_multivariate(
    model: MultivariateModel,
    example: pd.DataFrame,
    *,
    registered_as: str | None = None,
    alias: str | None = None,
) -> RegisteredVersion | str:
    """Log a trained model to the active run as ``model``, and register it where that is asked.

    It loads as ``runs:/<run id>/model``, and has no code but the package's and no pickle.

    Parameters
    ----------
    example
        Rows that the model could score, with a column ``timestamp`` or timestamps as the index; no
        more of them than one detection takes are kept with the model.
    registered_as, alias
        The registered model, and the alias that the new version gets: both or neither.

    Returns
    -------
    RegisteredVersion or str
        The version; the address of the logged model where it is not registered.
    """
    rows = example.reset_index(names="timestamp") if "timestamp" not in example else example
    rows = rows.tail(min(model.options.sliding_window, max(1, _EXAMPLE_CELLS // rows.shape[1])))
    rows = rows.astype(dict.fromkeys(rows.columns.drop("timestamp"), np.float64))
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder, "model")
        model.save(kept)
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(_as_code(MultivariateAnomalyDetector(), Path(folder))),
            artifacts={"model": str(kept)},
            # The device of detection; whoever loads the model may say "cuda".
            model_config={"device": "cpu"},
            signature=ModelSignature(
                inputs=infer_signature(rows).inputs,
                outputs=infer_signature(_MULTIVARIATE_ANSWERS).inputs,
                params=ParamSchema(_MULTIVARIATE_PARAMS),
            ),
            input_example=(rows, {"topContributorCount": 10}),
            registered_model_name=registered_as,
            **_logged_environment(),
        )
    if registered_as is None or alias is None:
        return str(info.model_uri)
    trained = (
        f"Trained on {', '.join(model.variables)[:500]}: sliding window "
        f"{model.options.sliding_window}, {model.options.epochs} epochs, seed {model.options.seed}."
    )
    about = _about(MultivariateAnomalyDetector())
    return _aliased(info, registered_as, alias, about, trained)


# Of an input example: a window of many variables can have a million.
_EXAMPLE_CELLS = 20_000
_MULTIVARIATE_PARAMS = [
    ParamSpec("topContributorCount", DataType.long, 10),
    ParamSpec("startTime", DataType.string, None),
    ParamSpec("endTime", DataType.string, None),
]
# What `MultivariateAnomalyDetector.predict` returns, as it looks to a client of a served model.
_MULTIVARIATE_ANSWERS = [
    {
        "timestamp": "2026-01-01 00:00:00",
        "result": {
            "is_anomaly": True,
            "severity": 0.5,
            "score": 0.86,
            "interpretation": [
                {"variable": "a", "contribution_score": 1.0, "changed_variables": ["b"]}
            ],
            "error": {"code": "InsufficientHistoricalData", "message": "..."},
        },
    }
]


def _logged_environment() -> dict[str, Any]:
    return {
        # The package goes along, so that the model loads where only its requirements are.
        "code_paths": [str(Path(__file__).parents[1])],
        "pip_requirements": [f"{package}=={_release(package)}" for package in _REQUIREMENTS],
    }


def _about(model: PythonModel) -> str:
    """Return the first paragraph of what the class of a model says of it."""
    return (inspect.getdoc(type(model)) or "").split("\n\n")[0]


def _aliased(
    info: ModelInfo, name: str, alias: str, about_model: str, about_version: str
) -> RegisteredVersion:
    version: Any = info.registered_model_version
    client = MlflowClient()
    client.update_model_version(name, str(version), description=about_version)
    # A person may have written a better one.
    if not client.get_registered_model(name).description:
        client.update_registered_model(name, description=about_model)
    client.set_registered_model_alias(name, alias, str(version))
    return RegisteredVersion(name, int(version), alias, info.model_uri)


def _as_code(model: PythonModel, folder: Path) -> Path:
    # Logged as code and not as a pickle, which only the same version of Python could read:
    # https://mlflow.org/docs/latest/ml/model/models-from-code/
    path = folder / model_files.CODE
    path.write_text(model_files.code_of(type(model)))
    return path


def _release(package: str) -> str:
    # Without the local part: torch's `+cpu` is known to the index of CPU builds only.
    return importlib.metadata.version(package).split("+")[0]


def load(name: str, alias: str) -> PyFuncModel:
    """Load the version of the registered model that the alias points to."""
    model: PyFuncModel = mlflow.pyfunc.load_model(f"models:/{name}@{alias}")
    return model


def ensure_registered(
    model: PythonModel,
    *,
    name: str,
    alias: str,
    example: pd.DataFrame,
    params: Mapping[str, Any],
) -> None:
    """Make sure that the registered model has the alias; register `model` where it has not.

    Of several processes that start at once, the one that makes the registered model also logs its
    first version, and the others wait for it.
    """
    if aliased_version(name, alias) is not None:
        return
    try:
        MlflowClient().create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        deadline = time.monotonic() + _TURN_SECONDS
        while time.monotonic() < deadline:
            if aliased_version(name, alias) is not None:
                return
            time.sleep(0.5)
    with mlflow.start_run(run_name=name, experiment_id=ensure_experiment(_EXPERIMENT)):
        log(
            model,
            name=name,
            registered_as=name,
            alias=alias,
            example=example,
            params=dict(params),
        )


def aliased_version(name: str, alias: str) -> int | None:
    """Return the version that the alias points to; None where there is no such model or alias."""
    return aliases_of(name).get(alias)


def aliases_of(name: str) -> dict[str, int]:
    """Return the versions that the aliases of a model point to; none where there is no model."""
    try:
        aliases = MlflowClient().get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise
    return {alias: int(version) for alias, version in aliases.items()}
