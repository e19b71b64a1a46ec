"""A registered model as Spark uses it: its version and its options; the workers load nothing."""

from dataclasses import fields
from typing import Any

from detector.errors import DetectionError, shown
from detector.series.options import ChangePointOptions, Options

__all__ = ["registered"]


def registered(uri: str, mode: str) -> tuple[str, dict[str, Any]]:
    """Look up a registered model.

    Parameters
    ----------
    uri : str
        ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.
    mode : str
        Of `detector.spark.detect`.

    Returns
    -------
    str
        ``models:/NAME/VERSION``.
    dict
        The options it was logged with, as `detector.detect_entire` calls them.

    Raises
    ------
    DetectionError
        If there is no such version, or it is not this package's model for the mode.
    detector.tracking.server.TrackingError
        If MLflow cannot be used.
    """
    # Who names no model needs no MLflow, which takes seconds.
    from mlflow.exceptions import MlflowException
    from mlflow.models import get_model_info

    from detector import models
    from detector.tracking import model_files, server

    server.connect()
    kinds: dict[str, Any] = {
        "entire": models.EntireAnomalyDetector,
        "latest": models.LatestAnomalyDetector,
        "change_points": models.ChangePointDetector,
    }
    try:
        version = _version(uri)
        if not model_files.is_built_in(version, kinds[mode]):
            raise DetectionError(
                "BadArgument",
                f"{version} is not a logged {kinds[mode].__name__} of this package, which the mode "
                f"'{mode}' needs: on Spark the package of the workers detects.",
            )
        signature = get_model_info(version).signature
    except (MlflowException, model_files.FilesError) as error:
        if isinstance(error, MlflowException) and server.is_outage(error):
            raise server.TrackingError(server.explain(error)) from error
        raise DetectionError("BadArgument", f"'model' names {shown(uri)}: {error}") from error
    params = {} if signature is None or signature.params is None else signature.params
    defaults = {param.name: param.default for param in params}
    return version, _options(mode, defaults)


def _version(uri: str) -> str:
    from mlflow import MlflowClient

    scheme, _, rest = uri.partition(":/")
    name, at, alias = rest.partition("@")
    if scheme == "models" and at and name and alias:
        return f"models:/{name}/{MlflowClient().get_model_version_by_alias(name, alias).version}"
    name, _, number = rest.rpartition("/")
    if scheme == "models" and name and number.isdigit():
        return f"models:/{name}/{MlflowClient().get_model_version(name, number).version}"
    raise DetectionError(
        "BadArgument",
        f"'model' must be models:/NAME@ALIAS or models:/NAME/VERSION, not {shown(uri)}.",
    )


def _options(mode: str, params: dict[str, Any]) -> dict[str, Any]:
    read = ChangePointOptions if mode == "change_points" else Options
    options, usual = read.from_request(params), read()
    found = {field.name: getattr(options, field.name) for field in fields(read) if field.compare}
    return {name: value for name, value in found.items() if value != getattr(usual, name)}
