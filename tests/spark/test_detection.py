"""Detection on Spark: the answers of the plain loop, whatever way the rows come."""

from __future__ import annotations

import dataclasses
import datetime
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import pandas as pd
import pytest
import recordings
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from detector import DetectionError, detect_change_points, detect_entire, detect_latest

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAYS = pd.date_range("2024-01-01", periods=400, freq="D")
FACES: dict[str, Callable[..., Any]] = {
    "entire": detect_entire,
    "latest": detect_latest,
    "change_points": detect_change_points,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "entire": {"sensitivity": 85, "impute_mode": "linear"},
    "latest": {"sensitivity": 85},
    "change_points": {"stable_trend_window": 5},
}


def series(seed: int, count: int) -> pd.DataFrame:
    """Return days of a weekly season with a spike, a step, and gaps."""
    random = np.random.default_rng(seed)
    values = 10 + 3 * np.sin(np.arange(count) * 2 * np.pi / 7) + random.normal(0, 0.4, count)
    values[random.integers(count)] += 12
    values[count // 2 :] += seed % 3
    table = pd.DataFrame({"timestamp": DAYS[:count], "value": values})
    gaps = random.integers(1, count - 1, seed % 4)
    return table.drop(index=np.unique(gaps))


def table(lengths: dict[str, int]) -> pd.DataFrame:
    parts = [
        series(number, count).assign(key=key) for number, (key, count) in enumerate(lengths.items())
    ]
    return pd.concat(parts, ignore_index=True)


def rows(found: DataFrame, *by: str) -> pd.DataFrame:
    return found.toPandas().sort_values([*by, "timestamp"]).reset_index(drop=True)


def assert_is_loop(answers: pd.DataFrame, given: pd.DataFrame, mode: str, **options: Any) -> None:
    """Compare with the plain loop over the series, to the last bit."""
    assert set(answers["key"]) == set(given["key"])
    for key, part in given.groupby("key"):
        mine = answers[answers["key"] == key].reset_index(drop=True)
        points = part.sort_values("timestamp")[["timestamp", "value"]]
        error: str | None = None
        try:
            columns = FACES[mode](points, **options).columns()
        except DetectionError as raised:
            error, columns = str(raised), {}
        if error is not None:
            assert set(mine["error"]) == {error}
            assert mine["period"].isna().all()
        else:
            assert mine["error"].isna().all(), mine["error"].iloc[0]
        for name, values in columns.items():
            expected = np.atleast_1d(values)
            got = mine[name].to_numpy().astype(expected.dtype)
            assert got.tobytes() == expected.tobytes(), (key, name)


LENGTHS = {"plain": 60, "long": 400, "short": 11, "shortest": 12, "odd": 133, "noughts": 90}


@pytest.fixture(scope="module")
def given() -> pd.DataFrame:
    frame = table(LENGTHS)
    frame.loc[frame["key"] == "noughts", "value"] = 0.0
    missing = frame.index[frame["key"] == "odd"][5]
    frame.loc[missing, "value"] = np.nan
    return frame.sample(frac=1, random_state=1).reset_index(drop=True)


@pytest.mark.parametrize("mode", FACES)
def test_the_answers_are_those_of_the_loop(
    spark: SparkSession, given: pd.DataFrame, mode: str
) -> None:
    from detector.spark import detect

    options = OPTIONS[mode]
    df = spark.createDataFrame(given).repartition(3)
    found = detect(df, by="key", granularity="daily", mode=mode, **options)
    assert found.columns[:3] == df.columns
    answers = rows(found, "key")
    assert set(answers["detected_by"]) == {"time-series-anomaly-detector 0.4.0"}
    assert len(answers) == (len(LENGTHS) if mode == "latest" else len(given))
    assert_is_loop(answers, given, mode, granularity="daily", **options)


def test_series_that_lie_across_pieces_and_batches(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    from detector.spark import batches
    from detector.spark.batches import Work

    lengths = {f"{number:03}": 12 + number * 7 % 300 for number in range(60)}
    given = table(lengths)
    work = Work(
        mode="entire",
        keys=["key"],
        timestamp="timestamp",
        value="value",
        kept=["key", "timestamp", "value"],
        options={"granularity": "daily"},
    )
    whole = _in_pieces(given, work, 10_000)
    assert_is_loop(whole, given, "entire", granularity="daily")
    monkeypatch.setattr(batches, "_PIECE", 500)
    for size in (1, 7, 499, 500, 501):
        pd.testing.assert_frame_equal(_in_pieces(given, work, size), whole)


def _in_pieces(frame: pd.DataFrame, work: Any, size: int) -> pd.DataFrame:
    import pyarrow as pa

    from detector.spark import batches

    given = pa.Table.from_pandas(frame, preserve_index=False).to_batches(size)
    return pa.Table.from_batches(list(batches.detect(iter(given), work))).to_pandas()


# With 20,950 points it ends where a piece does.
@pytest.mark.parametrize("count", [8641, 20_000, 20_001, 20_950, 45_000])
@pytest.mark.parametrize("mode", FACES)
@pytest.mark.parametrize("only_anomalies", [False, True])
def test_a_series_that_is_too_long_is_not_held(
    mode: str, count: int, *, only_anomalies: bool
) -> None:
    pytest.importorskip("pyspark")
    from detector.spark.batches import Work

    minutes = pd.date_range("2024-01-01", periods=count, freq="min")
    long = pd.DataFrame({"key": "long", "timestamp": minutes, "value": 1.0})
    before, after = (long.head(50).assign(key=key) for key in ("a", "z"))
    work = Work(
        mode=mode,
        keys=["key"],
        timestamp="timestamp",
        value="value",
        kept=["key", "timestamp"],
        options={"granularity": "minutely"},
        only_anomalies=only_anomalies,
    )
    answers = _in_pieces(pd.concat([before, long, after]), work, 3000)
    errors = answers[answers["key"] == "long"]["error"]
    assert errors.str.startswith(
        "InvalidSeries: The 'series' field cannot have more than 8640 points. It has "
    ).all()
    assert answers[answers["key"] != "long"]["error"].isna().all()
    if only_anomalies or mode == "latest":
        assert len(errors) == 1
    else:
        assert answers["timestamp"].tolist() == [*minutes[:50], *minutes, *minutes[:50]]
    if mode == "latest" and not only_anomalies:
        assert answers["timestamp"].tolist() == [minutes[49], minutes[-1], minutes[49]]


def test_options_may_be_columns(spark: SparkSession) -> None:
    from pyspark.sql import functions as F  # noqa: N812

    from detector.spark import detect

    given = table({"a": 80, "b": 80, "c": 80, "two": 80, "wrong": 80})
    sensitivities = {"a": 99.0, "b": 60.0, "c": np.nan, "wrong": 101.0, "two": 99.0}
    given["sens"] = given["key"].map(sensitivities)
    given.loc[given.index[given["key"] == "two"][3], "sens"] = 98.0
    df = spark.createDataFrame(given).withColumn("sens", F.nanvl("sens", F.lit(None)))
    found = detect(
        df,
        by="key",
        granularity=F.when(df.key == "b", "none").otherwise("daily"),
        sensitivity=df.sens,
        period=7,
    )
    answers = rows(found, "key")
    for key, options in {
        "a": {"sensitivity": 99, "granularity": "daily"},
        "b": {"sensitivity": 60, "granularity": "none"},
        "c": {"granularity": "daily"},
        "wrong": {"sensitivity": 101.0},
    }.items():
        mine = answers["key"] == key
        assert_is_loop(answers[mine], given[given["key"] == key], "entire", period=7, **options)
    two = answers[answers["key"] == "two"]["error"]
    assert two.str.contains("'sensitivity' must hold one value in each series").all()


def test_a_fault_of_ours_costs_its_series_only(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyspark")
    from detector.spark.batches import Work
    from detector.univariate import many

    entire = many.MODES["entire"]

    def detect(series: Any) -> Any:
        if len(series.values) == 50:
            raise ZeroDivisionError("by nought")
        return entire.detect(series)

    monkeypatch.setitem(many.MODES, "entire", dataclasses.replace(entire, detect=detect))
    work = Work(
        mode="entire",
        keys=["key"],
        timestamp="timestamp",
        value="value",
        kept=["key"],
        options={"granularity": "daily"},
    )
    frame = pd.concat([series(0, count).assign(key=f"{count}") for count in (40, 50, 60)])
    answers = _in_pieces(frame, work, 7)
    errors = answers.groupby("key")["error"].first()
    assert errors.to_dict() == {
        "40": None,
        "50": "InternalError: ZeroDivisionError: by nought",
        "60": None,
    }


def test_a_granularity_that_is_null_is_none(spark: SparkSession) -> None:
    from pyspark.sql import functions as F  # noqa: N812

    from detector.spark import detect

    given = table({"a": 60, "b": 60})
    df = spark.createDataFrame(given)
    unit = F.when(df.key == "a", "daily")
    answers = rows(detect(df, by="key", granularity=unit, mode="change_points"), "key")
    for key, granularity in {"a": "daily", "b": "none"}.items():
        mine = answers["key"] == key
        part = given[given["key"] == key]
        assert_is_loop(answers[mine], part, "change_points", granularity=granularity)


def test_only_anomalies(spark: SparkSession, given: pd.DataFrame) -> None:
    from detector.spark import detect

    df = spark.createDataFrame(given)
    every = rows(detect(df, by="key", granularity="daily"), "key")
    few = rows(detect(df, by="key", granularity="daily", only_anomalies=True), "key")
    failed = every[every["error"].notna()].drop_duplicates("key")
    wanted = pd.concat([every[every["is_anomaly"] == True], failed])  # noqa: E712
    wanted = wanted.sort_values(["key", "timestamp"]).reset_index(drop=True)
    assert 2 < len(few) < len(every)
    # With its gaps the shortest has too few.
    assert set(failed["key"]) == {"short", "odd", "shortest"}
    pd.testing.assert_frame_equal(few, wanted, check_dtype=False)


def test_keys_of_every_kind_tell_series_apart(spark: SparkSession) -> None:
    from detector.spark import detect

    keys: list[Any] = [
        ("x", None, 0.0),
        ("x", 1, -0.0),
        ("x", 1, float("nan")),
        (None, 1, 0.0),
        ("y", None, None),
    ]
    values = (1.0, 2.0, 1.0)
    records = [
        (*key, datetime.date(2024, 1, 1) + datetime.timedelta(days=day), Decimal(values[day % 3]))
        for key in keys
        for day in range(15)
    ]
    schema = "name string, number int, part double, at date, value decimal(10, 2)"
    df = spark.createDataFrame(records, schema)
    found = detect(
        df, by=["name", "number", "part"], timestamp="at", granularity="daily", period=3
    ).toPandas()
    assert found["error"].isna().all()
    assert len(found) == len(records)
    assert set(found["period"]) == {3}


def test_the_two_noughts_are_one_key(spark: SparkSession) -> None:
    from detector.spark import detect

    days = [datetime.datetime(2024, 1, 1) + datetime.timedelta(days=day) for day in range(24)]
    records = [
        (-0.0 if place % 2 else 0.0, day, float(place % 3)) for place, day in enumerate(days)
    ]
    df = spark.createDataFrame(records, "key double, timestamp timestamp, value double")
    found = detect(df, by="key", granularity="daily", period=3).toPandas()
    assert found["error"].isna().all()
    assert len(found) == 24


def test_decimals_that_are_one_double_are_two_keys(spark: SparkSession) -> None:
    from detector.spark import detect

    days = [datetime.datetime(2024, 1, 1) + datetime.timedelta(days=day) for day in range(24)]
    names = [Decimal("12345678901234567890.1"), Decimal("12345678901234567890.2")]
    records = [(name, day, float(at % 3)) for name in names for at, day in enumerate(days)]
    df = spark.createDataFrame(records, "key decimal(22, 1), timestamp timestamp, value double")
    found = detect(df, by="key", granularity="daily", period=3, partitions=1).toPandas()
    assert found["error"].isna().all()
    assert found.groupby("key").size().tolist() == [24, 24]


def test_timestamps_as_strings_are_sorted_as_moments(spark: SparkSession) -> None:
    from detector.spark import detect

    # Hour by hour: as texts they would be in another order.
    given = series(0, 60).assign(timestamp=pd.date_range("2024-01-01", periods=60, freq="h"))
    moments = given["timestamp"].dt.tz_localize("UTC")
    zones = [moment.tz_convert(f"Etc/GMT{place % 3 - 1:+}") for place, moment in enumerate(moments)]
    written = given.assign(timestamp=[zone.isoformat() for zone in zones], key="a")
    df = spark.createDataFrame(written.sample(frac=1, random_state=2))
    answers = detect(df, by="key", granularity="hourly").toPandas()
    at = pd.to_datetime(answers["timestamp"], utc=True)
    answers = answers.assign(timestamp=at).sort_values("timestamp")
    assert answers["error"].isna().all()
    assert_is_loop(answers, given.assign(key="a"), "entire", granularity="hourly")


def test_days_are_counted_on_the_clock_of_the_session(spark: SparkSession) -> None:
    from detector.spark import detect

    # Ends of months there, and not in UTC.
    months = pd.date_range("2023-01-31", periods=20, freq="ME", tz="Europe/Berlin")
    given = pd.DataFrame({"key": "a", "timestamp": months, "value": [1.0] * 19 + [0.0]})
    df = spark.createDataFrame(given)
    spark.conf.set("spark.sql.session.timeZone", "Europe/Berlin")
    try:
        answers = detect(df, by="key", granularity="monthly", mode="latest").toPandas()
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")
    assert answers["error"].isna().all()
    assert answers["is_anomaly"].tolist() == [True]


def test_the_series_of_the_service_s_own_tests(spark: SparkSession) -> None:
    from detector.spark import detect

    cases = {
        case.name: case
        for case in recordings.kernel_cases()
        if case.mode == "entire" and {"timestamp", "value"} <= case.points[0].keys()
    }
    assert len(cases) > 20
    parts = [
        case.frame[["timestamp", "value"]].assign(
            key=name, unit=case.params["granularity"], step=case.params.get("customInterval", 1)
        )
        for name, case in cases.items()
    ]
    given = pd.concat(parts, ignore_index=True)
    df = spark.createDataFrame(given)
    answers = rows(detect(df, by="key", granularity=df.unit, interval=df.step), "key")
    assert answers["error"].isna().mean() > 0.5
    for key, part in given.groupby("key"):
        options = {"granularity": part["unit"].iloc[0], "interval": int(part["step"].iloc[0])}
        assert_is_loop(answers[answers["key"] == key], part, "entire", **options)


VALUES = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 1e100, 1.1e100, -1e300, 5e-324, np.nan, np.inf, -np.inf]),
    st.floats(-10, 10),
)
# Microseconds around steps of a day: sorted or doubled, in and out of what dates can be.
TIMES = st.one_of(
    st.integers(0, 40).map(lambda day: day * 86_400_000_000),
    st.integers(-(2**60), 2**60),
    st.none(),
)
BAD = st.lists(st.tuples(TIMES, VALUES), min_size=1, max_size=30)
ANY_OPTION = st.one_of(
    st.none(), st.integers(-3, 200), st.floats(), st.sampled_from(["", "daily", "auto", "V2", "x"])
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@hypothesis.given(st.lists(BAD, min_size=40, max_size=40), st.sampled_from(list(FACES)), st.data())
def test_no_series_fails_a_partition(
    all_points: list[list[tuple[int | None, float]]], mode: str, data: st.DataObject
) -> None:
    """1,000 kinds of bad series, forty at a time, each with options of its own."""
    pytest.importorskip("pyspark")
    import pyarrow as pa

    from detector.spark import batches
    from detector.spark.batches import Work

    option = data.draw(st.sampled_from(["granularity", "period", "interval", "threshold"]))
    kind = data.draw(st.sampled_from([pa.string(), pa.float64()]))
    rows_ = [
        (key, time, value, data.draw(ANY_OPTION) if place == 0 else None)
        for key, points in enumerate(all_points)
        for place, (time, value) in enumerate(sorted(points, key=lambda each: each[0] or 0))
    ]
    given = pa.table(
        {
            "key": pa.array([row[0] for row in rows_]),
            "timestamp": pa.array([row[1] for row in rows_], pa.timestamp("us")),
            "value": pa.array([row[2] for row in rows_], pa.float64()),
            "option": pa.array(
                [str(row[3]) if kind == pa.string() else float(len(str(row[3]))) for row in rows_],
                kind,
            ),
        }
    )
    work = Work(
        mode=mode,
        keys=["key"],
        timestamp="timestamp",
        value="value",
        kept=["key"],
        options={"granularity": "daily"},
        option_columns={option: "option"},
    )
    answers = pa.Table.from_batches(list(batches.detect(iter(given.to_batches(13)), work)))
    frame = answers.to_pandas()
    assert set(frame["key"]) == set(range(len(all_points)))
    errors = frame["error"].dropna()
    assert not errors.str.startswith("InternalError").any(), errors.iloc[0]
    assert frame["period"].isna().equals(frame["error"].notna())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"by": "no"}, "'by' names the column 'no', and the DataFrame has the columns 'key'"),
        ({"by": []}, "'by' must name the columns"),
        (
            {"by": "list"},
            "'by' names the column 'list' of type array<int>, and it must hold strings",
        ),
        (
            {"value": "key"},
            "'value' names the column 'key' of type string, and it must hold numbers",
        ),
        ({"timestamp": "value"}, "'timestamp' names the column 'value' of type double"),
        (
            {"sensitivty": 3},
            "There is no option 'sensitivty': the options of the mode 'entire' are",
        ),
        (
            {"sensitivity": 103},
            "'sensitivity' field must be an integer between 0 and 99. It is 103",
        ),
        ({"partitions": 0}, "'partitions' must be at least 1, not 0"),
        ({"mode": "last"}, "The 'mode' must be one of entire, latest, change_points, not 'last'"),
        ({"granularity": "day"}, "'granularity' field can only be one of the following"),
    ],
)
def test_what_is_wrong_for_all_is_said_at_once(
    spark: SparkSession, change: dict[str, Any], says: str
) -> None:
    from detector.spark import detect

    df = spark.createDataFrame([], "key string, timestamp timestamp, value double, list array<int>")
    with pytest.raises(DetectionError, match=says[:10]) as refused:
        detect(df, **{"by": "key", "granularity": "daily", **change})
    assert says in str(refused.value)


def test_names_that_clash_are_refused(spark: SparkSession) -> None:
    from detector.spark import detect

    df = spark.createDataFrame([], "key string, timestamp timestamp, value double, severity int")
    with pytest.raises(DetectionError, match="a column 'severity', which has another meaning"):
        detect(df, by="key")
    twice = spark.createDataFrame([], "key string, timestamp timestamp, value double")
    with pytest.raises(DetectionError, match="several columns 'value'"):
        detect(twice.select("*", "value"), by="key")


def test_no_rows(spark: SparkSession) -> None:
    from detector.spark import detect

    df = spark.createDataFrame([], "key string, timestamp timestamp, value double")
    assert detect(df, by="key", granularity="daily").count() == 0


def test_the_documentation_shows_what_is_printed(
    spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "spark.md").read_text()
    section = page.split("\n## Detect\n")[1]
    program = section.split("```python\n")[1].split("```")[0]
    shown = section.split("```\n+")[1].split("```")[0]
    exec(program, {})  # noqa: S102 - the documentation's own
    assert capsys.readouterr().out.strip() == f"+{shown}".strip()


def test_the_package_may_come_as_a_zip(tmp_path: Path) -> None:
    """As clusters take it; a session of its own, whose workers have nothing else."""
    if shutil.which("java") is None:
        pytest.skip("there is no Java (Debian: openjdk-17-jre-headless)")
    app = Path(__file__).parents[2] / "app"
    shutil.make_archive(str(tmp_path / "detector"), "zip", app, "detector")
    program = (
        "import datetime\n"
        "from pyspark.sql import SparkSession\n"
        "spark = SparkSession.builder.master('local[1]')"
        ".config('spark.ui.enabled', 'false').getOrCreate()\n"
        "spark.sparkContext.addPyFile('detector.zip')\n"
        "from detector.spark import detect\n"
        "days = [datetime.date(2026, 1, 1) + datetime.timedelta(day) for day in range(16)]\n"
        "rows = [('a', day, float(place % 3)) for place, day in enumerate(days[:15])]\n"
        "rows += [('a', days[15], 9.0)]\n"
        "df = spark.createDataFrame(rows, 'key string, at date, value double')\n"
        "found = detect(df, by='key', timestamp='at', granularity='daily', period=3)\n"
        "print(found.where('is_anomaly').select('value').collect())\n"
    )
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=kept | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.strip() == "[Row(value=9.0)]", done.stderr
