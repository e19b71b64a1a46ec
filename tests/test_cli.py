"""The command line, and the files it reads."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from detector import files
from detector.cli import main
from detector.series.options import BOUNDARY_VERSIONS, GRANULARITIES, IMPUTE_MODES

ROOT = Path(__file__).parents[1]


@pytest.fixture
def csv(weekly_season: pd.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "series.csv"
    weekly_season.to_csv(path, index=False)
    return path


def test_anomalies_are_found_in_a_csv_file(csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(csv), "--granularity", "daily", "--format", "csv"]) == 0
    result = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert len(result) == 60
    assert result["is_anomaly"][40]


def test_table_ends_with_a_summary(csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(csv), "--granularity", "daily", "--sensitivity", "60"]) == 0
    last_line = capsys.readouterr().out.splitlines()[-1]
    assert last_line == "1 of 60 points are anomalies; the period is 7."


def test_change_points_are_listed_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, picture = tmp_path / "series.csv", tmp_path / "out.png"
    days = pd.date_range("2024-01-01", periods=60, freq="D")
    pd.DataFrame({"timestamp": days, "value": [0.0] * 30 + [9.0] * 30}).to_csv(path, index=False)
    arguments = ["changepoint", str(path), "--granularity", "daily", "--period", "0"]
    assert main([*arguments, "--plot", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    last_line = capsys.readouterr().out.splitlines()[-1]
    assert last_line == "1 of 60 points are change points; there is no season."
    assert main([*arguments, "--format", "csv", "--stable-trend-window", "6"]) == 0
    result = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert result["is_change_point"].idxmax() == 30
    assert main([*arguments, "--threshold", "1"]) == 2
    assert "'threshold'" in capsys.readouterr().err


def test_latest_returns_one_point(csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--granularity", "daily", "--mode", "latest", "--format", "json"]
    assert main(["detect", str(csv), *arguments]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["suggested_window"] == 29
    assert result["timestamp"].startswith("2024-02-29")


@pytest.mark.parametrize("mode", ["entire", "latest"])
def test_plot_is_written(csv: Path, tmp_path: Path, mode: str) -> None:
    picture = tmp_path / "out.png"
    arguments = ["--granularity", "daily", "--mode", mode, "--plot", str(picture)]
    assert main(["detect", str(csv), *arguments]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments", [["detect"], ["detect", "--mode", "latest"], ["changepoint"]], ids=" ".join
)
def test_page_is_written_beside_the_answer(
    csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    page = tmp_path / "out.html"
    assert main([*arguments, str(csv), "--html", str(page)]) == 0
    assert "points are" in capsys.readouterr().out
    written = page.read_text()
    assert written.startswith("<!doctype html>")
    assert "60 daily points from 'timestamp' and 'value'" in written


@pytest.mark.parametrize("many", [["--by", "timestamp"], ["--each"]], ids=["by", "each"])
def test_page_of_many_series_is_refused(
    csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], many: list[str]
) -> None:
    path, page = tmp_path / "many.csv", tmp_path / "out.html"
    table = pd.read_csv(csv)
    table.assign(other=table["value"]).to_csv(path, index=False)
    column = ["--value", "value"] if many[0] == "--by" else []
    assert main(["detect", str(path), *many, *column, "--html", str(page)]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"BadArgument: --html shows one series, and {many[0]} takes many."
    assert not page.exists()


def test_page_that_cannot_be_written_is_one_clear_line(
    csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", str(csv), "--html", "/no/such/folder/out.html"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == (
        "BadArgument: The page '/no/such/folder/out.html' cannot be written: No such file or "
        "directory."
    )


def test_tune_of_several_columns_asks_for_one(
    csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "many.csv"
    table = pd.read_csv(csv)
    table.assign(other=table["value"]).to_csv(path, index=False)
    assert main(["tune", str(path), "--value", "value", "--value", "other"]) == 2
    said = capsys.readouterr().err
    assert said == "BadArgument: tune takes one series: name it with --value.\n"
    assert main(["tune", str(path), "--value", "other"]) == 0
    assert capsys.readouterr().err == "60 daily points from 'timestamp' and 'other'\n"


def test_plot_that_cannot_be_written_is_one_clear_line(
    csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", str(csv), "--plot", "/no/such/folder/out.png"]) == 2
    assert "'/no/such/folder/out.png' cannot be written" in capsys.readouterr().err


def test_tune_shows_where_the_count_of_flags_changes_and_suggests_one(
    csv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "out.png"
    arguments = ["tune", str(csv), "--granularity", "daily", "--boundary-version", "V2"]
    assert main([*arguments, "--share", "0.02", "--plot", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    head, *rows, said = capsys.readouterr().out.splitlines()
    assert head.split() == ["sensitivity", "anomalies", "share"]
    assert 1 < len(rows) < 20
    (suggested,) = (row for row in rows if row.endswith("<- suggested"))
    sensitivity = suggested.split()[0]
    assert said == f"Sensitivity {sensitivity} flags 1 of the 60 points (1.67%), nearest to 2%."
    detect = ["detect", *arguments[1:], "--sensitivity", sensitivity]
    assert main(detect) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("1 of 60 points are anomalies")


def test_tune_writes_every_sensitivity_for_programs(
    csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", str(csv), "--granularity", "daily", "--format", "csv"]) == 0
    table = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert main(["tune", str(csv), "--granularity", "daily", "--format", "json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert table["sensitivity"].tolist() == written["sensitivities"] == list(range(100))
    assert table["anomalies"].tolist() == written["anomalies"]
    assert (written["points"], written["anomaly_share"]) == (60, 0.01)
    assert 0 <= written["sensitivity"] <= 99


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0, 2.0, 3.0, 4.0] * 5, "No sensitivity flags any of the 20 points"),
        ([1.0, 2.0, 3.0, 4.0] * 9 + [90.0], "Every sensitivity flags 1 of the 37 points"),
    ],
    ids=["never", "always"],
)
def test_tune_says_where_there_is_nothing_to_choose_by(
    values: list[float], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "series.csv"
    pd.DataFrame({"value": values}).to_csv(path, index=False)
    assert main(["tune", str(path), "--period", "4"]) == 0
    written = capsys.readouterr().out
    assert written.splitlines()[-1].startswith(said)
    assert "<- suggested" not in written


def test_share_that_is_none_is_one_clear_line(
    csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", str(csv), "--share", "3"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'anomalyShare' field must be" in line
    assert line.endswith("It is 3.0.")


def test_help_lists_what_a_person_runs_and_no_plumbing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = ""
    for arguments in ([], ["worker"]):
        with pytest.raises(SystemExit):
            main([*arguments, "--help"])
        shown += capsys.readouterr().out
    assert re.findall(r"^    (\w+)\s", shown, re.MULTILINE) == [
        "detect",
        "changepoint",
        "tune",
        "serve",
        "worker",
    ]
    assert "stdin" not in shown


def test_help_names_every_choice_of_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["detect", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for choices in (GRANULARITIES, IMPUTE_MODES, BOUNDARY_VERSIONS):
        assert ", ".join(choices) in shown


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet", ".txt"])
def test_files_of_all_kinds_are_read(
    weekly_season: pd.DataFrame, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"series{suffix}"
    if suffix == ".parquet":
        weekly_season.to_parquet(path)
    elif suffix == ".json":
        weekly_season.to_json(path, orient="records", date_format="iso")
    else:
        weekly_season.to_csv(path, index=False)
    read = files.read(path).series()
    assert read["timestamp"].dt.tz_localize(None).tolist() == weekly_season["timestamp"].tolist()
    assert read["value"].tolist() == pytest.approx(weekly_season["value"].tolist())


def test_json_request_brings_its_options(
    weekly_season: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    series = [
        {"timestamp": day.isoformat(), "value": value}
        for day, value in zip(weekly_season["timestamp"], weekly_season["value"], strict=True)
    ]
    path = tmp_path / "request.json"
    path.write_text(json.dumps({"series": series, "granularity": "daily", "period": 0}))
    assert main(["detect", str(path), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["period"] == 0


@pytest.mark.parametrize("form", ["csv", "json"])
def test_standard_input_is_read(
    weekly_season: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    form: str,
) -> None:
    if form == "csv":
        text = weekly_season.to_csv(index=False)
    else:
        text = weekly_season.to_json(orient="records", date_format="iso")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
    assert main(["detect", "-", "--granularity", "daily", "--format", "csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 61


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.csv", None, "No such file"),
        ("broken.json", "{", "'broken.json' is no JSON, line 1"),
        ("number.json", "7", "'number.json' holds 7, and must be a list of points"),
        ("options.json", '{"granularity": "daily"}', "RequiredSeries"),
        ("broken.parquet", "text", "'broken.parquet' cannot be read as Parquet"),
        ("empty.csv", "", "'empty.csv' is empty"),
        ("column.csv", "timestamp\n" + "2024-01-01\n" * 20, "has no column of numbers"),
    ],
)
def test_wrong_file_is_one_clear_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str | None,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_text(content)
    assert main(["detect", name]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert says in written.err
    assert len(written.err.splitlines()) == 1


def test_what_was_understood_is_said_on_standard_error(
    tmp_path: Path, weekly_season: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "series.csv"
    weekly_season.to_csv(path, index=False, sep=";", decimal=",", date_format="%d.%m.%Y")
    assert main(["detect", str(path), "--sensitivity", "60"]) == 0
    written = capsys.readouterr()
    assert written.err == (
        "60 daily points from 'timestamp' and 'value', day first, decimal comma\n"
    )
    assert written.out.splitlines()[-1] == "1 of 60 points are anomalies; the period is 7."


def test_an_option_counts_more_than_what_was_found(
    csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", str(csv), "--granularity", "hourly", "--custom-interval", "24"]) == 0
    assert main(["detect", str(csv), "--granularity", "weekly"]) == 2
    assert "weekly granularity" in capsys.readouterr().err


@pytest.fixture
def shop(weekly_season: pd.DataFrame, tmp_path: Path) -> Path:
    """Return a file with two columns of numbers, and one of text."""
    path = tmp_path / "shop.csv"
    frame = weekly_season.rename(columns={"timestamp": "Date", "value": "Sales"})
    frame.assign(Costs=frame["Sales"] * 2, Shop="north").to_csv(path, index=False)
    return path


def test_one_of_several_columns_is_chosen(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(shop)]) == 2
    assert "several columns of numbers: 'Sales', 'Costs'" in capsys.readouterr().err
    assert main(["detect", str(shop), "--timestamp", "date", "--value", "Costs"]) == 0
    assert "from 'Date' and 'Costs'" in capsys.readouterr().err


def test_each_column_is_taken_in_turn(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["detect", str(shop), "--each"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.endswith(":")] == ["Sales:", "Costs:"]
    assert main(["detect", str(shop), "--each", "--format", "csv"]) == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert found["series"].value_counts().to_dict() == {"Sales": 60, "Costs": 60}
    assert main(["detect", str(shop), "--value", "Costs", "--format", "csv"]) == 0
    alone = pd.read_csv(io.StringIO(capsys.readouterr().out))
    rows = found[found["series"] == "Costs"].drop(columns="series").reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, alone)
    assert main(["detect", str(shop), "--each", "--plot", "out.png"]) == 2
    assert "--plot draws one series, and --each takes many." in capsys.readouterr().err


def test_one_column_that_fails_stops_no_other(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv(shop)
    frame.loc[5:, "Costs"] = None
    frame.to_csv(shop, index=False)
    assert main(["changepoint", str(shop), "--each", "--format", "json"]) == 0
    written = capsys.readouterr()
    assert {record["series"] for record in json.loads(written.out)} == {"Sales"}
    assert "Costs: InvalidSeries: The 'series' field must have at least 12" in written.err


def test_day_and_month_are_told_apart_by_an_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "first.csv"
    rows = [f"{day:02}/01/2024,{day % 3}" for day in range(1, 13)]
    path.write_text("\n".join(["date,value", *rows]))
    assert main(["detect", str(path)]) == 2
    assert "02/01/2024 is 1 February 2024 or 2 January 2024" in capsys.readouterr().err
    for option, granularity in (("--day-first", "daily"), ("--month-first", "monthly")):
        assert main(["detect", str(path), option]) == 0
        assert f"12 {granularity} points" in capsys.readouterr().err


def test_program_ends_with_2_and_no_traceback(csv: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "detector", "detect", str(csv), "--granularity", "hour"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "app")},
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("InvalidGranularity: The 'granularity' field can only be")
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture
def fleet(weekly_season: pd.DataFrame, tmp_path: Path) -> Path:
    """Return a file of three series, the last of which is too short."""
    path = tmp_path / "fleet.csv"
    frames = [weekly_season.assign(pump="a"), weekly_season.assign(pump="b"), weekly_season[:5]]
    pd.concat(frames).fillna({"pump": "c"}).to_csv(path, index=False)
    return path


def test_many_series_are_told_apart_by_a_column(
    fleet: Path, csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--granularity", "daily", "--format", "csv"]
    assert main(["detect", str(csv), *arguments]) == 0
    alone = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert main(["detect", str(fleet), *arguments, "--by", "pump"]) == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out))
    for pump in "ab":
        rows = found[found["pump"] == pump].reset_index(drop=True)
        pd.testing.assert_frame_equal(rows[alone.columns], alone, check_exact=True)
    errors = found[found["pump"] == "c"]["error"].unique().tolist()
    assert errors == ["InvalidSeries: The 'series' field must have at least 12 points. It has 5."]


def test_the_table_of_many_series_has_a_row_for_each(
    fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", str(fleet), "--granularity", "daily", "--by", "pump"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["pump", "points", "anomalies", "period", "error"]
    assert lines[1].split()[:4] == ["a", "60", "2", "7"]
    assert "at least 12 points" in lines[3]
    assert main(["changepoint", str(fleet), "--granularity", "daily", "--by", "pump"]) == 0
    assert "change_points" in capsys.readouterr().out.splitlines()[0]


def test_json_of_many_series_has_no_number_for_what_has_an_error(
    fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--granularity", "daily", "--mode", "latest", "--format", "json", "--by", "pump"]
    assert main(["detect", str(fleet), *arguments]) == 0
    records = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert [record["pump"] for record in records] == ["a", "b", "c"]
    assert records[0]["error"] is None
    assert records[2]["expected_value"] is None


def test_many_series_that_all_fail_are_a_failure(
    csv: Path, fleet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", str(fleet), "--by", "pump", "--period", "50"]) == 2
    assert capsys.readouterr().out.count("InvalidModelArgument") == 2
    assert main(["detect", str(csv), "--by", "pump"]) == 2
    assert "has no column 'pump': it has 'timestamp', 'value'." in capsys.readouterr().err
    assert main(["detect", str(fleet), "--by", "pump", "--plot", "out.png"]) == 2
    assert "--plot draws one series, and --by takes many." in capsys.readouterr().err
    frame = pd.read_csv(fleet)
    frame.assign(more=frame["value"]).to_csv(fleet, index=False)
    assert main(["detect", str(fleet), "--by", "pump", "--each"]) == 2
    assert "--by takes one column of values" in capsys.readouterr().err
