"""A registered model is called by its `detect`, or by its `predict` where it has only that."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from mlflow.pyfunc.model import PythonModel

from detector.api.model_kinds import (
    CHANGE_POINT,
    ENTIRE,
    KINDS,
    LATEST,
    Found,
    caller,
    check_shapes,
)
from detector.models import ChangePointDetector, EntireAnomalyDetector, LatestAnomalyDetector
from detector.univariate.detection import Detection

# Of MLflow about classes whose `predict` has no type hints.
pytestmark = pytest.mark.filterwarnings("ignore")

OWN = {
    ENTIRE: EntireAnomalyDetector,
    LATEST: LatestAnomalyDetector,
    CHANGE_POINT: ChangePointDetector,
}


def detect(name: str, model: Any, body: dict[str, Any]) -> Found:
    kind = KINDS[name]
    params = {key: value for key, value in body.items() if key != "series"}
    return caller(kind, model, "the model")(kind.series.columns(body), params)


def written(name: str, found: Found) -> bytes:
    columns = {each: getattr(found, each) for each in KINDS[name].names}
    return orjson.dumps(columns, option=orjson.OPT_SERIALIZE_NUMPY)


class Wrapped(PythonModel):
    """A model that has only what MLflow asks of one, and answers as ours do."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return self._model.predict(context, model_input, params)


@pytest.mark.parametrize("name", OWN)
def test_both_ways_find_the_same_to_the_byte(name: str, weeks: dict[str, Any]) -> None:
    by_detect = detect(name, OWN[name](), weeks)
    by_predict = detect(name, Wrapped(OWN[name]()), weeks)
    assert written(name, by_detect) == written(name, by_predict)


@pytest.mark.parametrize("name", OWN)
def test_our_models_answer_without_a_dictionary_a_point(
    name: str, weeks: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(OWN[name], "predict")
    assert detect(name, OWN[name](), weeks).period == 7


def marked(answers: Any) -> Any:
    for answer in answers:
        answer["result"]["severity"] = 0.125
    return answers


class OwnPredict(EntireAnomalyDetector):
    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return marked(super().predict(context, model_input, params))


class OwnDetect(EntireAnomalyDetector):
    def detect(self, series: Any) -> Detection:
        found = super().detect(series)
        return Detection(**vars(found) | {"severity": np.full(len(series.values), 0.25)})


class PredictAfterDetect(OwnDetect):
    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return marked(super().predict(context, model_input, params))


class InheritsPredict(OwnPredict):
    pass


@pytest.mark.parametrize(
    ("model", "severity"),
    [
        (OwnPredict, 0.125),
        (InheritsPredict, 0.125),
        (PredictAfterDetect, 0.125),
        (OwnDetect, 0.25),
    ],
)
def test_a_subclass_answers_by_what_it_overrides(
    model: type[EntireAnomalyDetector], severity: float, weeks: dict[str, Any]
) -> None:
    found = detect(ENTIRE, model(), weeks)
    assert set(np.asarray(found.severity).tolist()) == {severity}


class Foreign(Wrapped):
    def detect(self, frame: Any) -> Any:
        raise AssertionError("a method of another meaning")


def test_a_detect_of_another_model_is_not_called(weeks: dict[str, Any]) -> None:
    assert detect(ENTIRE, Foreign(EntireAnomalyDetector()), weeks).period == 7


class Recorder(PythonModel):
    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        self.asked = (context, model_input, params)
        return EntireAnomalyDetector().predict(context, model_input, params)


def test_a_model_with_only_predict_gets_the_values_and_options_as_they_were_sent(
    weeks: dict[str, Any],
) -> None:
    weeks["series"][3]["value"] = "130"
    model = Recorder()
    detect(ENTIRE, model, weeks | {"maxAnomalyRatio": 0.3, "ofThisModel": "x"})
    context, frame, params = model.asked
    assert context is None
    assert frame["value"][3] == "130"
    assert frame["timestamp"][3] == "2024-01-04T00:00:00Z"
    assert params == {"granularity": "daily", "maxAnomalyRatio": 0.3, "ofThisModel": "x"}


class Short(PythonModel):
    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return EntireAnomalyDetector().predict(context, model_input, params)[:-1]


class Unnamed(PythonModel):
    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> Any:
        return [{"result": {"is_anomaly": False}} for _ in range(len(model_input))]


@pytest.mark.parametrize(
    ("model", "reason"), [(Short, "answered 34 results"), (Unnamed, "with the keys")]
)
def test_a_predict_that_answers_otherwise_is_refused(
    model: type[PythonModel], reason: str, weeks: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=reason):
        detect(ENTIRE, model(), weeks)


@pytest.mark.parametrize("name", OWN)
def test_a_detection_of_another_shape_is_refused(name: str, weeks: dict[str, Any]) -> None:
    kind, found = KINDS[name], detect(name, OWN[name](), weeks)
    check_shapes(kind, found, 35, "the model")
    with pytest.raises(ValueError, match=r"the model answered a .* is missing or has not"):
        check_shapes(kind, object(), 35, "the model")
    if name != LATEST:
        with pytest.raises(ValueError, match=r"has not the shape \(36,\)"):
            check_shapes(kind, found, 36, "the model")
