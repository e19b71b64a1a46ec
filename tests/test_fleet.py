"""The walk-through for many series as a person runs it, embedded, in an empty folder."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from walkthroughs import APP, runner

README = APP.parent / "README.md"
walk_through = runner("fleet.py")
pytestmark = pytest.mark.skipif(
    shutil.which("java") is None, reason="there is no Java (Debian: openjdk-17-jre-headless)"
)


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder that was empty, and what the walk-through in it said."""
    folder = tmp_path_factory.mktemp("embedded")
    return folder, walk_through(folder, "--series", "1000")


def test_the_readme_shows_what_it_prints(walked: tuple[Path, Any]) -> None:
    """But for the figures and the names of the series."""

    def form(text: str) -> list[str]:
        return [re.sub(r"[\d,. ]+", " ", line).strip() for line in text.splitlines()]

    readme = README.read_text()
    [shown] = [text for text in readme.split("```\n") if "series a second" in text]
    assert walked[1].returncode == 0, walked[1].stderr
    printed = form(walked[1].stdout)
    assert not [line for line in form(shown) if line and line not in printed]


def test_it_shows_how_far_it_is(walked: tuple[Path, Any]) -> None:
    assert re.search(r"Detecting: 100%.* (\d+)/\1 ", walked[1].stderr)


def test_every_point_of_every_series_is_answered(walked: tuple[Path, Any]) -> None:
    answers = pd.read_parquet(walked[0] / "fleet")
    assert len(answers) == 999 * 180 + 9
    assert answers.groupby("store").size().value_counts().to_dict() == {180: 999, 9: 1}
    failed = answers[answers["error"].notna()]
    assert set(failed["store"]) == {"store-000999"}
    assert failed["error"].str.startswith("InvalidSeries: The 'series' field must have at").all()


def test_the_stores_with_a_fault_are_among_the_worst(walked: tuple[Path, Any]) -> None:
    printed = walked[1].stdout
    # One is a single day, of no great weight.
    assert sum(f"store-{number:06}" in printed for number in range(0, 1000, 200)) >= 3


def test_the_run_has_figures_and_pictures(walked: tuple[Path, Any]) -> None:
    uri = f"sqlite:///{walked[0]}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("Many series")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    assert run.data.metrics["series"] == 1000
    assert run.data.metrics["errors"] == 1
    assert run.data.tags["detected_by"].startswith("time-series-anomaly-detector ")
    pictures = client.list_artifacts(run.info.run_id, "worst")
    assert len(pictures) == 10
    assert all(picture.file_size and picture.file_size > 10_000 for picture in pictures)


def test_a_folder_of_ones_own_over_answers_of_before(
    walked: tuple[Path, Any], tmp_path: Path
) -> None:
    days = pd.date_range("2026-01-01", periods=30)
    frames = [
        pd.DataFrame({"pump": name, "at": days, "bar": [1.0, 2.0, 3.0] * 10})
        for name in ("a", "b", None)
    ]
    frames[1].loc[20, "bar"] = 30.0
    frames[2].loc[20, "bar"] = 60.0
    (tmp_path / "pumps").mkdir()
    for number, frame in enumerate(frames):
        frame.to_csv(tmp_path / "pumps" / f"{number}.csv", index=False)
    shutil.copytree(walked[0] / "fleet", tmp_path / "found")
    done = walk_through(
        tmp_path, "pumps", "--by", "pump", "--timestamp", "at", "--value", "bar", "--out", "found"
    )
    assert done.returncode == 0, done.stderr
    for name in ("None", "b"):
        assert re.search(rf"^\d +{name} +30 +1 ", done.stdout, re.MULTILINE), done.stdout
    found = pd.read_parquet(tmp_path / "found").query("is_anomaly").sort_values("bar")
    assert found["bar"].tolist() == [30.0, 60.0]
    assert found["pump"].tolist() == ["b", None]
    assert len(list(tmp_path.rglob("?? None.png"))) == 1


def test_a_store_that_is_down_is_said_in_one_line(tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    down = "http://127.0.0.1:9"
    done = walk_through(
        tmp_path, "s3://datasets/x", "--by", "pump", AWS_ENDPOINT_URL_S3=down, **keys
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(
        f"The detection failed. GetDataError: The store at {down} does not serve"
    )
    assert "Traceback" not in done.stderr


def test_a_java_that_is_too_old_is_named(tmp_path: Path) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    # As an older one ends on Spark's classes.
    java.write_text("#!/bin/sh\necho UnsupportedClassVersionError >&2\nexit 1\n")
    java.chmod(0o755)
    done = walk_through(tmp_path, JAVA_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "Detection on Spark needs Java 17" in done.stderr.splitlines()[-1]


def test_what_is_wrong_is_said_in_one_line(tmp_path: Path) -> None:
    done = walk_through(tmp_path, "nowhere", "--by", "pump", PATH=str(tmp_path), JAVA_HOME="")
    assert done.returncode == 2
    assert "'nowhere' must be a Parquet or CSV file" in done.stderr
    assert "Traceback" not in done.stderr
