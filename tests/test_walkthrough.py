"""The walk-through as a person runs it, embedded: a subprocess in an empty folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from walkthroughs import APP, runner

README = APP.parent / "README.md"
walk_through = runner("test.py")


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A folder that was empty, and what two walk-throughs in it said, the second in Japanese."""
    folder = tmp_path_factory.mktemp("embedded")
    return folder, [walk_through(folder), walk_through(folder, LANG="ja_JP")]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a walk-through on a real series said."""
    return walk_through(tmp_path_factory.mktemp("real"), "--sample", "elnino")


@pytest.fixture
def client(twice: tuple[Path, list[Any]], monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    folder, _ = twice
    monkeypatch.chdir(folder)
    uri = f"sqlite:///{folder}/mlflow.db"
    mlflow.set_tracking_uri(uri)
    return MlflowClient(uri)


def test_it_says_what_it_does(twice: tuple[Path, list[Any]]) -> None:
    _, (walk, _) = twice
    assert walk.returncode == 0, walk.stderr
    assert "Traceback" not in walk.stderr
    assert "tracking-quickstart, version 1, alias 'champion'" in walk.stdout
    lines = [line for line in walk.stdout.splitlines() if line[:4] in ("1962", "1963")]
    assert len(lines) == 20
    assert [line.endswith("<- anomaly, low") for line in lines] == [False] * 19 + [True]
    assert "1 of 20 points is an anomaly: 1963-08-31." in walk.stdout


def test_it_succeeds_again_and_prints_japanese_to_who_asks_for_it(
    twice: tuple[Path, list[Any]],
) -> None:
    _, (_, walk) = twice
    assert walk.returncode == 0, walk.stderr
    assert "Traceback" not in walk.stderr
    assert "登録したモデル: tracking-quickstart、バージョン 2、エイリアス 'champion'" in walk.stdout
    assert "1963-08-31                   0          1       0.95          1      0" in walk.stdout
    assert "20 点のうち 1 点が異常です: 1963-08-31。" in walk.stdout
    assert "起動するコマンド: " in walk.stdout


def test_the_readme_shows_what_it_prints(twice: tuple[Path, list[Any]], real: Any) -> None:
    _, (first, _) = twice
    printed = first.stdout + real.stdout
    readme = README.read_text()
    shown = readme.split("```\n", 2)[2].split("```")[0].splitlines()
    assert len(shown) > 5
    assert not [line for line in shown if line != "..." and line not in printed]


def test_it_keeps_to_its_folder(twice: tuple[Path, list[Any]]) -> None:
    folder, _ = twice
    assert {path.name for path in folder.iterdir()} == {"mlflow.db", "mlruns"}


def test_the_run_has_params_tag_figures_data_table_and_pictures(client: MlflowClient) -> None:
    experiment = client.get_experiment_by_name("MLflow Quickstart 2")
    assert experiment is not None
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 2
    for run in runs:
        assert run.info.status == "FINISHED"
        assert run.data.params == {
            "granularity": "monthly",
            "maxAnomalyRatio": "0.25",
            "sensitivity": "95",
            "imputeMode": "auto",
        }
        assert run.data.tags["Training Info"] == "Univariate Anomaly Detector"
        logged = {file.path: file.file_size for file in client.list_artifacts(run.info.run_id)}
        assert logged["result.json"]
        assert logged["result.png"]
        assert logged["result.html"]
        figures = run.data.metrics
        assert (figures["points"], figures["anomalies"], figures["period"]) == (20, 1, 0)
        assert figures["seconds"] > 0
        assert "1 of 20 points are anomalies" in run.data.tags["mlflow.note.content"]
        [given] = run.inputs.dataset_inputs
        assert given.dataset.digest


def test_the_registered_model_gives_the_documented_figures(client: MlflowClient) -> None:
    champion = client.get_model_version_by_alias("tracking-quickstart", "champion")
    assert int(champion.version) == 2
    model = mlflow.pyfunc.load_model("models:/tracking-quickstart@champion")
    months = pd.date_range("1962-01-31", periods=20, freq="ME")
    answers = model.predict(pd.DataFrame({"timestamp": months, "value": [1.0] * 19 + [0.0]}))
    assert [answer["timestamp"] for answer in answers] == list(months)
    results = [answer["result"] for answer in answers]
    assert [result["is_anomaly"] for result in results] == [False] * 19 + [True]
    assert [result["is_negative_anomaly"] for result in results] == [False] * 19 + [True]
    assert not any(result["is_positive_anomaly"] for result in results)
    assert results[-1]["expected_value"] == pytest.approx(1.0, abs=1e-9)
    assert results[-1]["lower_margin"] == pytest.approx(0.05, abs=1e-9)
    assert {result["period"] for result in results} == {0}
    assert all({"upper_margin", "severity"} <= result.keys() for result in results)


def test_the_logged_model_pins_its_requirements_and_carries_its_params_and_code(
    client: MlflowClient,
) -> None:
    info = mlflow.models.get_model_info("models:/tracking-quickstart@champion")
    assert info.signature is not None
    defaults = {param.name: param.default for param in info.signature.params}
    assert defaults == {
        "granularity": "monthly",
        "maxAnomalyRatio": 0.25,
        "sensitivity": 95,
        "imputeMode": "auto",
    }
    folder = Path(mlflow.artifacts.download_artifacts("models:/tracking-quickstart@champion"))
    requirements = (folder / "requirements.txt").read_text().split()
    assert "time-series-anomaly-detector==0.4.0" in requirements
    assert all("==" in requirement and "+" not in requirement for requirement in requirements)
    assert (folder / "input_example.json").exists()
    # With all of its code: test_models.py loads such a model where the package is not.
    code = {str(path.relative_to(APP)) for path in APP.glob("detector/**/*.py")}
    assert code == {str(path.relative_to(folder / "code")) for path in folder.glob("code/**/*.py")}


def test_a_series_of_ones_own_is_scored_and_shown_where_characters_are_lacking(
    tmp_path: Path,
) -> None:
    days = pd.date_range("2026-01-01", periods=60, freq="D")
    values = [100.0 + 20 * (day.dayofweek >= 5) + day.day % 3 for day in days]
    values[40] = 400.0
    series = tmp_path / "größe.csv"
    frame = pd.DataFrame({"Day": days, "Sales": values})
    frame.to_csv(series, index=False, sep=";", decimal=",", date_format="%d.%m.%Y")
    walk = walk_through(tmp_path, series.name, PYTHONIOENCODING="ascii")
    assert walk.returncode == 0, walk.stderr
    assert "\ngr\\xf6\\xdfe.csv:\n" in walk.stdout
    understood = "60 daily points from 'Day' and 'Sales', day first, decimal comma"
    assert walk.stdout.splitlines()[0] == understood
    assert "'granularity': 'daily'" in walk.stdout
    assert "2026-02-10" in walk.stdout.split("<- anomaly, high")[0].splitlines()[-1]


def test_the_real_series_shows_the_great_el_ninos(real: Any) -> None:
    assert real.returncode == 0, real.stderr
    assert "longest stretch is 8 points, from 1997-06-01 to 1998-01-01" in real.stdout


def test_a_file_that_cannot_be_read_is_refused_in_one_line_of_ones_language(
    tmp_path: Path,
) -> None:
    walk = walk_through(tmp_path, "nowhere.csv", LANG="ja_JP")
    assert walk.returncode == 2
    assert walk.stderr.startswith("検出できませんでした。BadArgument: 'nowhere.csv' cannot be read")
    assert "No such file" in walk.stderr
    assert len(walk.stderr.splitlines()) == 1


def test_a_bad_series_is_refused_in_one_line(tmp_path: Path) -> None:
    series = tmp_path / "bad.csv"
    series.write_text("timestamp,value\n2026-01-01,1\n2026-02-01,2\n")
    walk = walk_through(tmp_path, str(series))
    assert walk.returncode == 2
    assert "12" in walk.stderr
    assert len(walk.stderr.splitlines()) == 1


def test_a_server_that_does_not_answer_gets_one_sentence(tmp_path: Path) -> None:
    walk = walk_through(tmp_path, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert walk.returncode == 1
    assert walk.stderr.startswith("No MLflow tracking server answers at http://127.0.0.1:9")
    assert "make up" in walk.stderr
    assert len(walk.stderr.splitlines()) == 1


def test_a_file_that_is_no_database_is_named_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database\n" * 100)
    walk = walk_through(tmp_path)
    assert walk.returncode == 1
    assert f"sqlite:///{tmp_path}/mlflow.db cannot be opened" in walk.stderr
    assert "make up" not in walk.stderr
    assert "Traceback" not in walk.stderr
