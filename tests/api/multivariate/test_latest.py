"""Of the values that come with a request only the rows that the model looks at are kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.api.multivariate import requests
from detector.errors import DetectionError
from detector.multivariate.model import MultivariateModel

MODELS = "/anomalydetector/v1.1/multivariate/models"
WINDOW = 28
TIMES = pd.date_range("2026-01-01", periods=90, freq="min")


@pytest.fixture(scope="module")
def models() -> dict[str, MultivariateModel]:
    values = np.random.default_rng(0).normal(size=(40, 3))
    frame = pd.DataFrame(values, index=TIMES[:40], columns=["a", "b", "c"])
    return {
        mode: MultivariateModel.fit(frame, sliding_window=WINDOW, epochs=1, align_mode=mode)
        for mode in ("Inner", "Outer")
    }


def asked(frame: pd.DataFrame, **fields: Any) -> dict[str, Any]:
    variables = [
        {
            "variable": name,
            "timestamps": [f"{time.isoformat()}Z" for time in column.index],
            "values": [None if np.isnan(value) else value for value in column],
        }
        for name, column in ((name, frame[name].dropna()) for name in frame)
    ]
    return {"variables": variables} | fields


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    mode=st.sampled_from(["Inner", "Outer"]),
    share=st.sampled_from([0.0, 0.1, 0.5, 0.99]),
    points=st.integers(1, 10),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_frame_is_the_end_of_all_values_side_by_side(
    models: Any, mode: str, share: float, points: int, seed: int
) -> None:
    noise = np.random.default_rng(seed)
    values = np.where(noise.random((90, 3)) < share, np.nan, noise.normal(size=(90, 3)))
    whole = pd.DataFrame(values, index=TIMES, columns=["a", "b", "c"]).dropna(how="all")
    request = asked(whole, detectingPoints=points)
    for variable in request["variables"]:
        # In any order, and a null is no value.
        order = noise.permutation(len(variable["values"]))
        for field in ("timestamps", "values"):
            variable[field] = [variable[field][place] for place in order]
        variable["timestamps"].append("2027-01-01T00:00:00Z")
        variable["values"].append(None)
    whole.loc[pd.Timestamp("2027-01-01")] = np.nan
    expected = (whole.dropna() if mode == "Inner" else whole)[-(WINDOW + points - 1) :]
    latest = requests.latest(request, "v1.1-preview.1", models[mode])
    pd.testing.assert_frame_equal(latest.frame, expected, check_freq=False)
    assert latest.points == points


@pytest.mark.parametrize("name", ["variable", "name"])
def test_names_of_fields_may_be_in_any_case(models: Any, name: str) -> None:
    frame = pd.DataFrame(np.ones((WINDOW, 3)), index=TIMES[:WINDOW], columns=["a", "b", "c"])
    usual = asked(frame, detectingPoints=2)
    variables = [
        {name.upper(): each["variable"], "Timestamps": each["timestamps"], "VALUES": each["values"]}
        for each in usual["variables"]
    ]
    pascal = {"Variables": variables, "DetectingPoints": 2}
    read = [requests.latest(body, "v1.1-preview.1", models["Outer"]) for body in (usual, pascal)]
    pd.testing.assert_frame_equal(read[0].frame, read[1].frame)
    assert read[0].points == read[1].points == 2


def test_variables_are_those_of_the_model_before_a_timestamp_is_read(models: Any) -> None:
    frame = pd.DataFrame(np.zeros((3, 3)), index=TIMES[:3], columns=["a", "b", "x"])
    request = asked(frame)
    request["variables"][0]["timestamps"][0] = "no date"
    with pytest.raises(DetectionError) as refused:
        requests.latest(request, "v1.1", models["Outer"])
    assert refused.value.code == "ColumnNotFound"


def test_more_different_timestamps_than_a_day_has_seconds_are_refused_unread(models: Any) -> None:
    variables = [
        {"variable": name, "timestamps": [f"{name}{i}" for i in range(2880)], "values": [0] * 2880}
        for name in "abc"
    ]
    model = MultivariateModel(
        tuple(f"v{place:02}" for place in range(31)),
        models["Outer"].options,
        models["Outer"]._network,
    )
    many = [
        {"variable": name, "timestamps": [f"{name}-{i}" for i in range(2880)], "values": [0] * 2880}
        for name in model.variables
    ]
    with pytest.raises(DetectionError) as refused:
        requests.latest({"variables": many}, "v1.1", model)
    assert refused.value.code == "DataExceedsLimit"
    assert "at most 86400 different ones" in refused.value.message
    assert "'v30' they are 89280" in refused.value.message
    with pytest.raises(DetectionError) as refused:
        requests.latest({"variables": variables}, "v1.1", models["Outer"])
    assert refused.value.code == "InvalidTimestampFormat"


@pytest.mark.parametrize("number", [10**4300 - 1, 10**400, 1e308, -0.5, "9" * 5000, [[[]]]])
def test_a_number_without_end_is_refused_in_few_words(models: Any, number: Any) -> None:
    frame = pd.DataFrame(np.zeros((30, 3)), index=TIMES[:30], columns=["a", "b", "c"])
    for field, version in (("detectingPoints", "v1.1-preview.1"), ("topContributorCount", "v1.1")):
        with pytest.raises(DetectionError) as refused:
            requests.latest(asked(frame, **{field: number}), version, models["Outer"])
        assert refused.value.code == "BadArgument"
        assert len(refused.value.message) < 250
    request = asked(frame)
    request["variables"][1]["values"][3] = number if number != -0.5 else 1e101
    with pytest.raises(DetectionError) as refused:
        requests.latest(request, "v1.1", models["Outer"])
    assert refused.value.code == "VariableParseError"
    assert len(refused.value.message) < 250


def test_a_body_of_many_more_values_than_the_model_has_is_refused_unread(
    factory: Any, model_id: str, kit: Any
) -> None:
    many = [1] * kit.MINUTES
    variables = [
        {"variable": f"v{place}", "timestamps": many, "values": many} for place in range(300)
    ]
    refused = factory.call(f"{MODELS}/{model_id}:detect-last", {"variables": variables})
    assert refused.status == 400
    assert refused.json["code"] == "DataExceedsLimit"
    assert "more than 64560 values" in refused.json["message"]
