"""The MLflow models: those for one series, and the one for many variables.

Logged with ``code_paths=["app/detector"]`` they load wherever ``requirements.txt`` is installed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.pyfunc.model import PythonModel

from detector.errors import DetectionError
from detector.multivariate.alignment import align
from detector.multivariate.model import AnomalyState, MultivariateModel
from detector.multivariate.wire import NAMES
from detector.series.series import ChangePointSeries, Series
from detector.univariate import detection
from detector.univariate.changepoint import ChangePoints, change_points
from detector.univariate.detection import Detection, LatestDetection

# In the order of the package that ran the service.
_OF_LAST_POINT = (
    "expected_value",
    "upper_margin",
    "lower_margin",
    "is_negative_anomaly",
    "is_positive_anomaly",
    "is_anomaly",
    "period",
    "suggested_window",
    "severity",
)


class EntireAnomalyDetector(PythonModel):
    """Detects anomalies among all points of a series.

    Examples
    --------
    >>> import pandas as pd
    >>> from detector import EntireAnomalyDetector
    >>> frame = pd.DataFrame({"value": [1.0, 2.0, 3.0] * 5 + [9.0]})
    >>> answers = EntireAnomalyDetector().predict(None, frame, {"period": 3})
    >>> answers[15]["timestamp"], answers[15]["result"]["is_anomaly"]
    (15, True)
    """

    def detect(self, series: Series) -> Detection:
        """Detect the anomalies of a series that was read and checked.

        Raises
        ------
        DetectionError
            With Azure's code, for a series that does not fit its options.
        """
        return detection.entire(series)

    def predict(
        self,
        context: Any,
        model_input: pd.DataFrame,
        params: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Detect the anomalies of a series.

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
            With Azure's code, for a series or an option that is not valid.
        """
        return _entire_answers(self.detect(Series.from_frame(model_input, params)))


class LatestAnomalyDetector(PythonModel):
    """Detects whether the last point of a series is an anomaly.

    Examples
    --------
    >>> import pandas as pd
    >>> from detector import LatestAnomalyDetector
    >>> frame = pd.DataFrame({"value": [1.0, 2.0, 3.0] * 5 + [9.0]})
    >>> [answer] = LatestAnomalyDetector().predict(None, frame, {"period": 3})
    >>> answer["result"]["is_positive_anomaly"], answer["result"]["suggested_window"]
    (True, 13)
    """

    def detect(self, series: Series) -> LatestDetection:
        """Detect whether the last point is an anomaly, in a series that was read and checked.

        Raises
        ------
        DetectionError
            With Azure's code, for a series that does not fit its options.
        """
        return detection.latest(series)

    def predict(
        self,
        context: Any,
        model_input: pd.DataFrame,
        params: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Detect whether the last point of a series is an anomaly.

        Takes what `EntireAnomalyDetector.predict` takes. The one result returned has
        ``suggested_window`` as well: how many points to send for the next detection.

        Raises
        ------
        DetectionError
            With Azure's code, for a series or an option that is not valid.
        """
        found = self.detect(Series.from_frame(model_input, params))
        columns = found.columns()
        result = {name: columns[name] for name in _OF_LAST_POINT}
        return [{"timestamp": found.timestamp, "result": result}]


class ChangePointDetector(PythonModel):
    """Finds where the level or the trend of a series breaks.

    Examples
    --------
    >>> import pandas as pd
    >>> from detector import ChangePointDetector
    >>> frame = pd.DataFrame({"value": [0.0] * 20 + [5.0] * 20})
    >>> answers = ChangePointDetector().predict(None, frame, {"granularity": "none"})
    >>> answers[20]["result"]
    {'is_change_point': True, 'confidence_score': 1.0, 'period': 0}
    """

    def detect(self, series: ChangePointSeries) -> ChangePoints:
        """Find the change points of a series that was read and checked.

        Raises
        ------
        DetectionError
            With Azure's code, for a series that does not fit its options.
        """
        return change_points(series)

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
            Options by their names on the wire: ``granularity``, ``customInterval``, ``period``,
            ``stableTrendWindow``, ``threshold``.

        Returns
        -------
        list of dict
            One ``{"timestamp": ..., "result": {...}}`` for each row, the result with
            ``is_change_point``, ``confidence_score`` and ``period``.

        Raises
        ------
        DetectionError
            With Azure's code, for a series or an option that is not valid.
        """
        return _change_point_answers(self.detect(ChangePointSeries.from_frame(model_input, params)))


# A series has up to 8640 rows, and Python makes a dictionary of names that are written out in half
# the time of any other.


def _entire_answers(found: Detection) -> list[dict[str, Any]]:
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
                "period": found.period,
                "severity": severity,
            },
        }
        for timestamp, expected, upper, lower, negative, positive, anomaly, severity in zip(
            found.timestamps,
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


def _change_point_answers(found: ChangePoints) -> list[dict[str, Any]]:
    return [
        {
            "timestamp": timestamp,
            "result": {
                "is_change_point": is_change_point,
                "confidence_score": confidence,
                "period": found.period,
            },
        }
        for timestamp, is_change_point, confidence in zip(
            found.timestamps,
            found.is_change_point.tolist(),
            found.confidence.tolist(),
            strict=True,
        )
    ]


class MultivariateAnomalyDetector(PythonModel):
    """Detects anomalies of the variables that it was trained on, together.

    Parameters
    ----------
    model : MultivariateModel
        Loaded by MLflow from the logged folder, unless it is given. It detects on the CPU; on a GPU
        with ``mlflow.pyfunc.load_model(..., model_config={"device": "cuda"})``.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from detector import MultivariateAnomalyDetector, MultivariateModel
    >>> minutes = pd.date_range("2026-01-01", periods=100, freq="min")
    >>> frame = pd.DataFrame({"timestamp": minutes, "a": np.sin(np.arange(100) / 5), "b": 1.0})
    >>> model = MultivariateModel.fit(frame, sliding_window=28, epochs=1)
    >>> answers = MultivariateAnomalyDetector(model).predict(None, frame)
    >>> answers[0]["result"]["error"]["code"], answers[99]["result"]["error"]
    ('InsufficientHistoricalData', None)
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
        """Detect anomalies among rows of all variables.

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
            last moment to score, all by default; ``topContributorCount``, 10 by default.

        Returns
        -------
        list of dict
            One ``{"timestamp": ..., "result": {...}}`` for each row, the result with
            ``is_anomaly``, ``severity``, ``score``, ``interpretation`` and ``error``. Of an anomaly
            the interpretation lists ``variable``, ``contribution_score`` and
            ``changed_variables``; the error is None, or ``code`` and ``message`` where a row has
            not enough before it to be scored.

        Raises
        ------
        DetectionError
            With Azure's code, for data that is not valid.
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
            names=NAMES,
        )
        top = params.get("topContributorCount", 10)
        return [_answer(found) for found in self.model.detect_table(table, top_contributors=top)]


def _answer(found: AnomalyState) -> dict[str, Any]:
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
