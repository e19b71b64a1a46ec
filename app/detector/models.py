"""The MLflow models: those that judge one series, and the one that judges many together.

Logged with ``code_paths=["app/detector"]`` they load wherever ``requirements.txt`` is installed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.pyfunc.model import PythonModel

from detector.changepoint import detect_change_points
from detector.errors import DetectionError
from detector.multivariate import Judgement, MultivariateModel, align
from detector.series import ChangePointSeries, Series
from detector.univariate import detect_entire, detect_latest


class EntireAnomalyDetector(PythonModel):
    """Judges every point of a series by all the others."""

    def predict(
        self,
        context: Any,
        model_input: pd.DataFrame,
        params: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Judge a series.

        Parameters
        ----------
        context : object
            MLflow's; not used.
        model_input : DataFrame
            12 to 8640 rows with the columns ``timestamp`` and ``value``.
        params : mapping, optional
            Options by their names on the wire: ``granularity``, ``customInterval``, ``period``,
            ``maxAnomalyRatio``, ``sensitivity``, ``imputeMode``, ``imputeFixedValue``,
            ``boundaryVersion``, ``alpha``, ``threshold``, ``detector``.

        Returns
        -------
        list of dict
            One ``{"timestamp": ..., "result": {...}}`` for each row, the result with
            ``expected_value``, ``upper_margin``, ``lower_margin``, ``is_negative_anomaly``,
            ``is_positive_anomaly``, ``is_anomaly``, ``period`` and ``severity``.

        Raises
        ------
        DetectionError
            With Azure's code, for a series or an option that cannot be judged.
        """
        series = Series.from_frame(model_input, params)
        found = detect_entire(series)
        period = found.period
        return [
            {
                "timestamp": timestamp,
                "result": {
                    "expected_value": expected,
                    "upper_margin": upper,
                    "lower_margin": lower,
                    "is_negative_anomaly": negative,
                    "is_positive_anomaly": positive,
                    "is_anomaly": anomaly,
                    "period": period,
                    "severity": severity,
                },
            }
            for timestamp, expected, upper, lower, negative, positive, anomaly, severity in zip(
                series.timestamps,
                found.expected.tolist(),
                found.upper_margin.tolist(),
                found.lower_margin.tolist(),
                found.is_negative.tolist(),
                found.is_positive.tolist(),
                found.is_anomaly.tolist(),
                found.severity.tolist(),
                strict=True,
            )
        ]


class LatestAnomalyDetector(PythonModel):
    """Judges the last point of a series by those before it."""

    def predict(
        self,
        context: Any,
        model_input: pd.DataFrame,
        params: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Judge the last point of a series.

        Takes what `EntireAnomalyDetector.predict` takes. The one result returned has
        ``suggested_window`` as well: how many points to send for the next judgement.
        """
        series = Series.from_frame(model_input, params)
        found = detect_latest(series)
        return [
            {
                "timestamp": series.timestamps[-1],
                "result": {
                    "expected_value": found.expected,
                    "upper_margin": found.upper_margin,
                    "lower_margin": found.lower_margin,
                    "is_negative_anomaly": found.is_negative,
                    "is_positive_anomaly": found.is_positive,
                    "is_anomaly": found.is_anomaly,
                    "period": found.period,
                    "suggested_window": found.suggested_window,
                    "severity": found.severity,
                },
            }
        ]


class ChangePointDetector(PythonModel):
    """Finds where the level or the trend of a series breaks."""

    def predict(
        self,
        context: Any,
        model_input: pd.DataFrame,
        params: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Find the change points of a series.

        Parameters
        ----------
        context : object
            MLflow's; not used.
        model_input : DataFrame
            12 to 8640 rows with the columns ``timestamp`` and ``value``.
        params : mapping
            Options by their names on the wire: ``granularity``, which is required,
            ``customInterval``, ``period``, ``stableTrendWindow``, ``threshold``.

        Returns
        -------
        list of dict
            One ``{"timestamp": ..., "result": {...}}`` for each row, the result with
            ``is_change_point``, ``confidence_score`` and ``period``.

        Raises
        ------
        DetectionError
            With Azure's code, for a series or an option that cannot be judged.
        """
        series = ChangePointSeries.from_frame(model_input, params)
        found = detect_change_points(series)
        return [
            {
                "timestamp": timestamp,
                "result": {
                    "is_change_point": change_point,
                    "confidence_score": confidence,
                    "period": found.period,
                },
            }
            for timestamp, change_point, confidence in zip(
                series.timestamps,
                found.is_change_point.tolist(),
                found.confidence.tolist(),
                strict=True,
            )
        ]


class MultivariateAnomalyDetector(PythonModel):
    """Judges many variables together, as it was trained on them.

    Parameters
    ----------
    model : MultivariateModel
        Loaded by MLflow from the logged folder, unless it is given. It judges on the CPU; on a GPU
        with ``mlflow.pyfunc.load_model(..., model_config={"device": "cuda"})``.
    """

    model: MultivariateModel

    def __init__(self, model: MultivariateModel | None = None) -> None:
        if model is not None:
            self.model = model

    def load_context(self, context: Any) -> None:
        """Read the logged model; MLflow calls it."""
        self.model = MultivariateModel.load(
            Path(context.artifacts["model"]), device=context.model_config["device"]
        )

    def predict(
        self,
        context: Any,
        model_input: pd.DataFrame,
        params: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Judge rows of all variables.

        Parameters
        ----------
        context : object
            MLflow's; not used.
        model_input : DataFrame
            A column ``timestamp`` and one for each variable, NaN where it has no value. They are
            aligned as in the training. The first rows are only looked back on: as many as the
            sliding window less one.
        params : mapping, optional
            By their names on the wire: ``startTime`` and ``endTime``, ISO 8601, the first and the
            last moment to judge, all by default; ``topContributorCount``, 10 by default.

        Returns
        -------
        list of dict
            One ``{"timestamp": ..., "result": {...}}`` for each row, the result with
            ``is_anomaly``, ``severity``, ``score``, ``interpretation`` and ``error``. Of an anomaly
            the interpretation lists ``variable``, ``contribution_score`` and
            ``changed_variables``; the error is None, or ``code`` and ``message`` where a row has
            not enough before it to be judged.

        Raises
        ------
        DetectionError
            With Azure's code, for data that cannot be judged.
        """
        params = params or {}
        if "timestamp" not in model_input.columns:
            raise DetectionError(
                "FileColumnsNotExist",
                f"The data has the columns {', '.join(map(repr, model_input.columns))}, and lacks "
                "'timestamp'.",
            )
        options = self.model.options
        table = align(
            model_input.set_index("timestamp"),
            start=params.get("startTime"),
            end=params.get("endTime"),
            sliding_window=options.sliding_window,
            policy=options.align,
        )
        top = params.get("topContributorCount", 10)
        return [_answer(found) for found in self.model.judge(table, top_contributors=top)]


def _answer(found: Judgement) -> dict[str, Any]:
    interpretation = [
        {
            "variable": contributor.variable,
            "contribution_score": contributor.score,
            "changed_variables": list(contributor.changed_variables),
        }
        for contributor in found.contributors
    ]
    error = None
    if found.error is not None:
        code, message = found.error
        error = {"code": code, "message": message}
    return {
        "timestamp": found.timestamp,
        "result": {
            "is_anomaly": found.is_anomaly,
            "severity": found.severity,
            "score": found.score,
            "interpretation": interpretation,
            "error": error,
        },
    }
