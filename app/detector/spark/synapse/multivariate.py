"""The stages for many variables together: training, and detection in all rows or the last ones."""

from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pyspark.ml import Estimator, Model, Transformer
from pyspark.ml.param import TypeConverters
from pyspark.sql import DataFrame

from detector.errors import DetectionError, shown
from detector.multivariate.alignment import MOST_ROWS, AlignPolicy, too_many, utc
from detector.multivariate.model import DEFAULT_WINDOW, MultivariateModel, TrainingOptions
from detector.multivariate.requests import (
    DEFAULT_CONTRIBUTORS,
    MOST_CONTRIBUTORS,
    TrainingRequest,
)
from detector.multivariate.wire import NAMES, time_to_wire
from detector.spark.multivariate import frames, last, scoring
from detector.spark.multivariate.parts import Span, plan, span_of
from detector.spark.multivariate.rows import NO_TIME, Columns
from detector.spark.synapse.stage import Stage, param
from detector.tracking import environment

__all__ = [
    "DetectLastMultivariateAnomaly",
    "SimpleDetectMultivariateAnomaly",
    "SimpleFitMultivariateAnomaly",
]

_IS_ANOMALY, _DETECTED_AT = "isAnomaly", "DetectDataTimestamp"


def _nanoseconds(time: pd.Timestamp) -> int:
    return int(time.as_unit("ns").value)


def _load(model_id: str) -> MultivariateModel:
    environment.quiet()
    # MLflow takes seconds to import, and not all who use the stages need it.
    from detector.spark.synapse import trained

    return trained.load(model_id)


def _word(value: Any) -> str:
    """Return a word as the service wrote it, however it is written."""
    return str(TypeConverters.toString(value)).capitalize()


class _Dated(Stage):
    """What has a column of timestamps."""

    timestampCol = param(
        "timestampCol",
        "The column of the timestamps: dates, or text in ISO 8601, such as 2021-01-02T00:00:00Z.",
        TypeConverters.toString,
    )


class _Spanned(_Dated):
    """What takes the rows of a DataFrame from one time to another."""

    inputCols = param("inputCols", "The columns of the variables.", TypeConverters.toListString)
    startTime = param(
        "startTime", "The first moment that matters, in ISO 8601.", TypeConverters.toString
    )
    endTime = param(
        "endTime", "The last moment that matters, in ISO 8601.", TypeConverters.toString
    )
    intermediateSaveDir = param(
        "intermediateSaveDir",
        "Where the service was sent the rows; it has no effect.",
        TypeConverters.toString,
    )

    def cleanUpIntermediateData(self) -> None:
        """Do nothing: no intermediate data is kept."""

    def _span(self) -> tuple[pd.Timestamp, pd.Timestamp]:
        start, end = (
            pd.Timestamp(utc(name, self.getOrDefault(name))) for name in ("startTime", "endTime")
        )
        if end < start:
            raise DetectionError(
                "BadArgument",
                f"The 'endTime' field ({time_to_wire(end)}) must not lie before the 'startTime' "
                f"field ({time_to_wire(start)}).",
            )
        return start, end

    def _columns(self, dataset: DataFrame) -> Columns:
        columns = Columns(
            self.getOrDefault("timestampCol"), tuple(sorted(self.getOrDefault("inputCols")))
        )
        names = {"timestamp": "timestampCol", "variables": "inputCols"}
        frames.check_columns(dataset, columns, names=names)
        return columns


class SimpleFitMultivariateAnomaly(_Spanned, Estimator["SimpleDetectMultivariateAnomaly"]):
    """Trains a model of many variables on the rows from one time to another.

    The driver trains, on rows that it collects; the model is kept in MLflow as one that the
    endpoint trained, which answers with it too.
    """

    slidingWindow = param(
        "slidingWindow",
        "28 to 2880: on how many rows, itself among them, the score of a row rests.",
        TypeConverters.toInt,
    )
    alignMode = param(
        "alignMode", "Outer for all timestamps, Inner for those all variables share.", _word
    )
    fillNAMethod = param(
        "fillNAMethod", "How gaps are filled: Previous, Subsequent, Linear, Zero or Fixed.", _word
    )
    paddingValue = param("paddingValue", "What Fixed fills gaps with.", TypeConverters.toFloat)
    displayName = param("displayName", "What the model is called.", TypeConverters.toString)
    defaults: ClassVar[dict[str, Any]] = {
        "timestampCol": "timestamp",
        "slidingWindow": DEFAULT_WINDOW,
        "alignMode": "Outer",
        "fillNAMethod": "Linear",
    }

    def _fit(self, dataset: DataFrame) -> "SimpleDetectMultivariateAnomaly":
        self.require("inputCols", "startTime", "endTime")
        request = self._request(dataset)
        columns = self._columns(dataset)
        environment.quiet()
        from detector.spark.synapse import trained
        from detector.tracking import server

        # Before rows are read for a training that could not be kept.
        server.connect()
        rows = frames.look_at(dataset, columns, start=_nanoseconds(request.start))
        span = span_of(
            rows,
            start=request.start,
            end=request.end,
            sliding_window=request.sliding_window,
            policy=request.align,
        )
        if len(span.rows) > MOST_ROWS:
            raise too_many(len(span.rows), NAMES)
        first, final = (int(rows.times[span.rows[place]]) for place in (0, -1))
        frame = frames.collect(dataset, columns, first, final)
        model_id, diagnostics = trained.train(frame, request)
        found = SimpleDetectMultivariateAnomaly(modelId=model_id, diagnosticsInfo=diagnostics)
        for name in ("timestampCol", "inputCols", "intermediateSaveDir"):
            if self.isSet(name):
                found.set(found.getParam(name), self.getOrDefault(name))
        return found

    def _request(self, dataset: DataFrame) -> TrainingRequest:
        start, end = self._span()
        window = self.getOrDefault("slidingWindow")
        padding = self.getOrDefault("paddingValue") if self.isSet("paddingValue") else None
        policy = AlignPolicy(
            self.getOrDefault("alignMode"), self.getOrDefault("fillNAMethod"), padding, names=NAMES
        )
        TrainingOptions(sliding_window=window, align=policy, names=NAMES)
        return TrainingRequest(
            source=f"spark:{dataset.sparkSession.sparkContext.applicationId}",
            start=start,
            end=end,
            display_name=self.getOrDefault("displayName") if self.isSet("displayName") else "",
            sliding_window=window,
            align=policy,
        )


class _Detecting(Stage):
    """What detects with a trained model."""

    modelId = param(
        "modelId", "The id of the model, which is that of its run.", TypeConverters.toString
    )
    diagnosticsInfo = param(
        "diagnosticsInfo", "How the training went, as the service told it.", dict
    )
    topContributorCount = param(
        "topContributorCount",
        "1 to 30: so many variables are named for an anomaly at most.",
        TypeConverters.toInt,
    )

    def _contributors(self) -> int:
        count: int = self.getOrDefault("topContributorCount")
        if not 1 <= count <= MOST_CONTRIBUTORS:
            raise DetectionError(
                "BadArgument",
                "The 'topContributorCount' field must be a whole number from 1 to "
                f"{MOST_CONTRIBUTORS}; {shown(count)} was given.",
            )
        return count


class SimpleDetectMultivariateAnomaly(_Spanned, _Detecting, Model):
    """Detects anomalies of many variables in the rows from one time to another.

    All rows come out, in order of time; what is found is null where they lie outside.
    """

    defaults: ClassVar[dict[str, Any]] = {
        "timestampCol": "timestamp",
        "topContributorCount": DEFAULT_CONTRIBUTORS,
    }

    def _transform(self, dataset: DataFrame) -> DataFrame:
        self.require("modelId", "inputCols", "startTime", "endTime")
        top = self._contributors()
        start, end = self._span()
        columns = self._columns(dataset)
        model = _load(self.getOrDefault("modelId"))
        model.check_variables(columns.variables)
        rows = frames.look_at(dataset, columns, start=_nanoseconds(start))
        options = model.options
        span = span_of(
            rows,
            start=start,
            end=end,
            sliding_window=options.sliding_window,
            policy=options.align,
        )
        parts = plan(
            rows,
            span,
            look_back=options.sliding_window - 1,
            policy=options.align,
            cores=dataset.sparkSession.sparkContext.defaultParallelism,
        )
        names = (self.getOrDefault("outputCol"), self.getOrDefault("errorCol"), _IS_ANOMALY)
        work = partial(
            scoring.score,
            columns=columns,
            plan=parts,
            model=dataset.sparkSession.sparkContext.broadcast(model),
            top_contributors=top,
            names=names,
        )
        found = dict(zip(names, scoring.KINDS, strict=True))
        return frames.work_on(dataset, columns, parts, work, found)


class DetectLastMultivariateAnomaly(_Dated, _Detecting, Transformer):
    """Asks about each row as the last one of a window of `batchSize` rows before it and itself.

    All rows come out, in order of time, as text or as dates, as they were.
    """

    inputVariablesCols = param(
        "inputVariablesCols", "The columns of the variables.", TypeConverters.toListString
    )
    batchSize = param(
        "batchSize",
        "How many rows before it go with each row: the sliding window of the model or more.",
        TypeConverters.toInt,
    )
    defaults: ClassVar[dict[str, Any]] = {
        "timestampCol": "timestamp",
        "topContributorCount": DEFAULT_CONTRIBUTORS,
        "batchSize": DEFAULT_WINDOW,
    }

    def _transform(self, dataset: DataFrame) -> DataFrame:
        self.require("modelId", "inputVariablesCols")
        top, size = self._contributors(), self._batch_size()
        columns = Columns(
            self.getOrDefault("timestampCol"),
            tuple(sorted(self.getOrDefault("inputVariablesCols"))),
        )
        names = {"timestamp": "timestampCol", "variables": "inputVariablesCols"}
        frames.check_columns(dataset, columns, names=names)
        model = _load(self.getOrDefault("modelId"))
        model.check_variables(columns.variables)
        rows = frames.look_at(dataset, columns)
        there = np.flatnonzero(rows.times != NO_TIME)
        parts = plan(
            rows,
            Span(there, 0),
            look_back=size,
            policy=None,
            cores=dataset.sparkSession.sparkContext.defaultParallelism,
        )
        made = (
            self.getOrDefault("errorCol"),
            self.getOrDefault("outputCol"),
            _IS_ANOMALY,
            _DETECTED_AT,
        )
        work = partial(
            last.answer,
            columns=columns,
            plan=parts,
            model=dataset.sparkSession.sparkContext.broadcast(model),
            batch_size=size,
            top_contributors=top,
            names=made,
        )
        return frames.work_on(
            dataset, columns, parts, work, dict(zip(made, last.KINDS, strict=True))
        )

    def _batch_size(self) -> int:
        size: int = self.getOrDefault("batchSize")
        if size < 1:
            raise DetectionError(
                "BadArgument",
                f"The 'batchSize' field must be a whole number of at least 1; {size} was given.",
            )
        return size
