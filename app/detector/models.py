"""The MLflow models that judge one series."""

from typing import Any

import mlflow.pyfunc
import pandas as pd

from detector.errors import DetectionError


def _upstream(kind: str, data: pd.DataFrame, params: dict[str, Any] | None) -> list[dict[str, Any]]:
    from anomaly_detector.univariate import univariate_anomaly_detection

    options = {name: value for name, value in (params or {}).items() if value is not None}
    try:
        model = getattr(univariate_anomaly_detection, kind)()
        answers: list[dict[str, Any]] = model.predict(None, data, options)
    except (TypeError, KeyError, ValueError) as error:
        raise DetectionError("BadArgument", f"The request cannot be judged: {error}") from error
    for answer in answers:
        answer["result"].setdefault("severity", 0.0)
    return answers


class EntireAnomalyDetector(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Judges every point of a series."""

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Return one ``{timestamp, result}`` for each row of `model_input`."""
        return _upstream("EntireAnomalyDetector", model_input, params)


class LatestAnomalyDetector(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Judges the last point of a series."""

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Return one ``{timestamp, result}`` for the last row of `model_input`."""
        return _upstream("LatestAnomalyDetector", model_input, params)
