"""The list of the models: whole, in order, counted, and read anew only where something changed."""

from __future__ import annotations

import itertools
import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from detector.multivariate.alignment import VariableState
from detector.multivariate.model import Epoch
from detector.multivariate.requests import TrainingRequest
from detector.multivariate.wire import Diagnostics
from detector.tracking import records, runs
from detector.tracking.listing import ModelList, has_models

START = pd.Timestamp("2026-01-01")
REQUEST = TrainingRequest(source="pump.csv", start=START, end=START, sliding_window=40)


@pytest.fixture
def seven(store: Path) -> list[str]:
    """Return the ids of seven models, the last updated first, beside one that was deleted."""
    made = [runs.create_model(REQUEST).model_id for _ in range(8)]
    runs.delete_model(made.pop(3))
    return made[::-1]


def test_every_page_has_its_models_and_the_count_of_all(seven: list[str]) -> None:
    for skip, top in itertools.product((0, 1, 3, 6, 7, 9), (1, 2, 4, 7, 8)):
        listed, count = ModelList().page(skip, top)
        assert [record.model_id for record in listed] == seven[skip : skip + top], (skip, top)
        assert count == 7


def test_models_are_counted_where_there_are_none(store: Path) -> None:
    assert ModelList().page(0, 10) == ([], 0)
    assert not has_models(1)


def test_it_is_known_whether_there_are_so_many(seven: list[str]) -> None:
    assert {count: has_models(count) for count in (1, 6, 7, 8)} == {
        1: True,
        6: True,
        7: True,
        8: False,
    }


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many runs each search found, from now on."""
    found: list[int] = []
    search = MlflowClient.search_runs

    def count(*given: Any, **options: Any) -> Any:
        runs = search(*given, **options)
        found.append(len(runs))
        return runs

    monkeypatch.setattr(MlflowClient, "search_runs", count)
    return found


def test_only_what_changed_is_read_again(seven: list[str], searched: list[int]) -> None:
    models = ModelList()
    assert models.page(0, 10)[1] == 7
    assert searched == [7]
    runs.set_status(seven[-1], runs.READY)
    listed, count = models.page(0, 2)
    assert [(each.model_id, each.status) for each in listed] == [
        (seven[-1], runs.READY),
        (seven[0], runs.CREATED),
    ]
    assert count == 7
    assert searched[1:] == [7, 1]


def test_an_update_that_reaches_the_store_late_is_seen(seven: list[str]) -> None:
    models = ModelList()
    runs.set_status(seven[0], runs.RUNNING)
    known = models.page(0, 10)[0][0].updated
    # The clock of another writer goes behind.
    tags = {records.UPDATED: (known - timedelta(seconds=1)).isoformat(timespec="microseconds")}
    for name, value in (tags | {records.STATUS: runs.READY}).items():
        MlflowClient().set_tag(runs.run_id(seven[4]), name, value)
    shown = {each.model_id: each.status for each in models.page(0, 10)[0]}
    assert shown[seven[4]] == runs.READY


@pytest.mark.parametrize("place", [0, 3, 6])
def test_what_is_deleted_and_what_is_new_are_seen(seven: list[str], place: int) -> None:
    models = ModelList()
    models.page(0, 10)
    runs.delete_model(seven.pop(place))
    seven.insert(0, runs.create_model(REQUEST).model_id)
    assert [each.model_id for each in models.page(0, 10)[0]] == seven
    runs.delete_model(seven.pop(place))
    assert [each.model_id for each in models.page(0, 10)[0]] == seven
    for each in seven:
        runs.delete_model(each)
    assert models.page(0, 10) == ([], 0)


@pytest.mark.parametrize(("variables", "epochs"), [(1, 0), (301, 10), (301, 1000)])
def test_a_list_says_of_a_model_what_is_known_of_it(
    store: Path, variables: int, epochs: int
) -> None:
    end = START + pd.Timedelta(days=1)
    states = (
        VariableState(f"series_{each}", math.sin(each) ** 2, each, START, end)
        for each in range(variables)
    )
    losses = (Epoch(10 * n, math.sin(n), math.cos(n), math.exp(-n)) for n in range(1, epochs + 1))
    told = Diagnostics(epochs=tuple(losses), variable_states=tuple(states))
    model_id = runs.create_model(REQUEST).model_id
    runs.set_status(model_id, runs.RUNNING)
    # What an attempt before this one left is longer.
    runs.store_diagnostics(model_id, Diagnostics(told.epochs * 2, told.variable_states))
    runs.store_diagnostics(model_id, told)
    [listed] = ModelList().page(0, 10)[0]
    assert listed == runs.get_model(model_id)
    assert listed.diagnostics == told
    assert listed.variables == variables
    tags = MlflowClient().get_run(runs.run_id(model_id)).data.tags
    assert records.DIAGNOSTICS in tags
