"""The versions of registered models, as MLflow keeps them in a file."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from detector.tracking import versions

NAME = "univariate-entire"
FILE = "file:///nowhere"


@pytest.fixture
def client(store: Path) -> MlflowClient:
    client = MlflowClient()
    client.create_registered_model(NAME)
    return client


def add(client: MlflowClient, run: str | None = None, description: str = "") -> int:
    made = client.create_model_version(NAME, source=FILE, run_id=run, description=description)
    return int(made.version)


def test_a_version_has_its_aliases_and_the_metrics_of_its_run(client: MlflowClient) -> None:
    with mlflow.start_run(experiment_id=client.create_experiment("mine")) as run:
        mlflow.log_metric("precision", 0.5, step=0)
        mlflow.log_metric("precision", 0.75, step=1)
    add(client, run.info.run_id, "<b>Narrow</b> margins")
    add(client)
    client.set_registered_model_alias(NAME, "champion", "1")
    client.set_registered_model_alias(NAME, "best", "1")
    (found,) = versions.registered([NAME])
    assert found.aliases == {"champion": 1, "best": 1}
    newest, first = found.versions
    assert (newest.version, newest.aliases, newest.metrics) == (2, [], {})
    assert (first.version, first.aliases) == (1, ["best", "champion"])
    assert first.metrics == {"precision": 0.75}
    # Text stays text.
    assert first.description == "<b>Narrow</b> margins"
    assert not found.has_more
    # A file has no page.
    assert first.link is None


def test_what_the_registry_does_not_have_has_no_versions(store: Path) -> None:
    (found,) = versions.registered([NAME])
    assert found == versions.Registered(NAME)


def test_of_many_versions_the_newest_hundred_are_told(client: MlflowClient, store: Path) -> None:
    add(client)
    # MLflow takes seconds to make so many.
    with contextlib.closing(sqlite3.connect(store / "mlflow.db")) as file, file:
        table = file.execute("PRAGMA table_info(model_versions)").fetchall()
        names = ", ".join(each[1] for each in table)
        values = names.replace("version", "version + ?", 1)
        file.executemany(
            f"INSERT INTO model_versions ({names}) SELECT {values} FROM model_versions "
            "WHERE version = 1",
            [(more,) for more in range(1, 105)],
        )
    (found,) = versions.registered([NAME])
    assert [each.version for each in found.versions] == list(range(105, 5, -1))
    assert found.has_more


def test_more_runs_than_are_asked_for_at_once_have_their_metrics(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "_RUNS", 2)
    experiment = client.create_experiment("mine")
    for place in range(3):
        run = client.create_run(experiment)
        client.log_metric(run.info.run_id, "place", place)
        add(client, run.info.run_id)
    (found,) = versions.registered([NAME])
    assert [each.metrics for each in found.versions] == [{"place": 2}, {"place": 1}, {"place": 0}]


def test_a_run_of_very_many_metrics_shows_the_first(client: MlflowClient) -> None:
    with mlflow.start_run(experiment_id=client.create_experiment("mine")) as run:
        mlflow.log_metrics({f"m{place:03}": place for place in range(70)})
    add(client, run.info.run_id)
    (found,) = versions.registered([NAME])
    assert list(found.versions[0].metrics) == [f"m{place:03}" for place in range(50)]
