"""The walk-through for many series: where it writes, and what it says of unusual ones."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

import fleet
from detector import DetectionError


@pytest.fixture
def _without_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be who has no Java, in a folder with a letter: what is refused is so before Spark starts."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("kept")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", "")


@pytest.mark.usefixtures("_without_java")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "--by must name the column by which the series differ."),
        (["--out", "mine"], "--out names 'mine', where other things lie than answers of before"),
    ],
)
def test_what_is_wrong_is_refused_before_spark_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.setattr("sys.argv", ["fleet.py", *arguments])
    with pytest.raises(DetectionError) as refused:
        fleet.main()
    assert says in str(refused.value)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "kept"


@pytest.mark.usefixtures("_without_java")
def test_without_java_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["fleet.py"])
    assert fleet.main() == 1
    assert "Detection on Spark needs Java 17: install it" in capsys.readouterr().err


def options(**changes: object) -> argparse.Namespace:
    """Return the options of who asks for nothing but these."""
    usual = {"source": None, "by": None, "timestamp": "timestamp", "value": "value"}
    usual |= {"granularity": "daily", "sensitivity": 95, "model": None, "series": 20, "out": None}
    return argparse.Namespace(**usual | changes)


@pytest.fixture
def _in_a_folder(
    empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Walk through in a folder whose store has no runs, as a person does."""
    shutil.copy(empty_store, tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    yield
    mlflow.set_tracking_uri(before)


def test_it_writes_over_answers_of_before_alone(spark: SparkSession, tmp_path: Path) -> None:
    for name in ("detected_by", "price"):
        (tmp_path / name).mkdir()
        pd.DataFrame({name: ["x"]}).to_parquet(tmp_path / name / "part.parquet")
    (tmp_path / "empty").mkdir()
    for free in ("nowhere", "empty", "detected_by"):
        fleet.check_out(spark, str(tmp_path / free))
    with pytest.raises(DetectionError, match="price', where other things lie than answers"):
        fleet.check_out(spark, str(tmp_path / "price"))


@pytest.mark.usefixtures("_in_a_folder")
def test_a_file_in_which_nothing_is_found(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    days = pd.date_range("2026-01-01", periods=30)
    table = pd.DataFrame({"pump": "a", "timestamp": days, "value": 1.0})
    # Spark's own folder is another one.
    path, out = str(tmp_path / "pumps.parquet"), str(tmp_path / "fleet")
    table.to_parquet(path, coerce_timestamps="us")
    assert fleet.walk_through(spark, options(source=path, by=["pump"], out=out)) == 1
    assert fleet._("none has an anomaly") in capsys.readouterr().out
    assert len(pd.read_parquet(out)) == 30


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("An error.\n: a.B: outer\n\tat a.B.c\nCaused by: d.E: inner\n\tat d.E.f", "d.E: inner"),
        ("An error.\n: a.B: outer\n\tat a.B.c", "a.B: outer"),
        ("An error.\nMore of it.", "An error."),
        ("", "Exception('')"),
        ("Caused by: x\n  detector.DetectionError: GetDataError: It is down.\n", None),
    ],
)
def test_of_a_page_of_java_the_cause_is_told(text: str, said: str | None) -> None:
    expected = fleet._("The detection failed. {error}").format(error="GetDataError: It is down.")
    if said:
        expected = fleet._("Spark could not finish: {error}").format(error=said)
    assert fleet.explain(Exception(text)) == expected


@pytest.mark.usefixtures("_in_a_folder")
def test_what_cannot_be_written_is_said_in_one_line(spark: SparkSession) -> None:
    with pytest.raises((PySparkException, Py4JJavaError)) as raised:
        fleet.walk_through(spark, options(out="/dev/null/x"))
    said = fleet.explain(raised.value)
    assert said.startswith(fleet._("Spark could not finish: {error}").format(error=""))
    assert "Parent path is not a directory: file:/dev/null" in said
    assert "\n" not in said
