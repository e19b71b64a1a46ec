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


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    days = pd.date_range("2026-01-01", periods=30)
    frames = [
        pd.DataFrame({"pump": name, "at": days, "bar": [1.0, 2.0, 3.0] * 10}) for name in "ab"
    ]
    frames[1].loc[20, "bar"] = 30.0
    (tmp_path / "pumps").mkdir()
    for number, frame in enumerate(frames):
        frame.to_csv(tmp_path / "pumps" / f"{number}.csv", index=False)
    done = walk_through(
        tmp_path, "pumps", "--by", "pump", "--timestamp", "at", "--value", "bar", "--out", "found"
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^0 +b +30 +1 ", done.stdout, re.MULTILINE), done.stdout
    found = pd.read_parquet(tmp_path / "found").query("is_anomaly")
    assert found[["pump", "bar"]].to_numpy().tolist() == [["b", 30.0]]


def test_no_anomaly_and_a_series_without_a_name(tmp_path: Path) -> None:
    days = pd.date_range("2026-01-01", periods=30)
    table = pd.DataFrame({"pump": ["a"] * 30 + [None] * 30, "timestamp": [*days, *days]})
    table["value"] = 1.0
    table.to_parquet(tmp_path / "pumps.parquet", coerce_timestamps="us")
    done = walk_through(tmp_path, "pumps.parquet", "--by", "pump")
    assert done.returncode == 0, done.stderr
    assert "none has an anomaly" in done.stdout
    table.loc[50, "value"] = 9.0
    table.to_parquet(tmp_path / "pumps.parquet", coerce_timestamps="us")
    # What it wrote before is written over.
    done = walk_through(tmp_path, "pumps.parquet", "--by", "pump")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^0 +None +30 +1 ", done.stdout, re.MULTILINE), done.stdout
    assert [file.name for file in tmp_path.rglob("01 None.png")] == ["01 None.png"]


@pytest.fixture
def without_java(tmp_path: Path) -> dict[str, str]:
    """Return the variables of who has no Java: what is refused with them is so before Spark."""
    return {"PATH": str(tmp_path), "JAVA_HOME": ""}


def test_what_lies_where_it_would_write_is_kept(
    tmp_path: Path, without_java: dict[str, str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("kept")
    done = walk_through(tmp_path, "--series", "20", "--out", "mine", **without_java)
    assert done.returncode == 2
    assert "--out names 'mine', where other things lie than answers of before" in done.stderr
    assert (tmp_path / "mine" / "letter.txt").read_text() == "kept"


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (
            ["s3://datasets/x", "--by", "pump"],
            {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"},
            "The detection failed. GetDataError: The store at http://127.0.0.1:9 does not serve",
        ),
        (
            ["--series", "20", "--out", "/dev/null/x"],
            {},
            "Spark could not finish: ",
        ),
    ],
)
def test_what_is_down_or_full_is_said_in_one_line(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], says: str
) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    done = walk_through(tmp_path, *arguments, **keys, **environment)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(says)
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


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere", "--by", "pump"], "'nowhere' must be a Parquet or CSV file"),
        (["nowhere"], "--by must name the column by which the series differ."),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, without_java: dict[str, str], arguments: list[str], says: str
) -> None:
    done = walk_through(tmp_path, *arguments, **without_java)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_without_java_it_says_what_to_install(tmp_path: Path, without_java: dict[str, str]) -> None:
    done = walk_through(tmp_path, **without_java)
    assert done.returncode == 1
    assert "Detection on Spark needs Java 17: install it" in done.stderr
