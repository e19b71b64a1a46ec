"""The walk-through for many series: detect in all of them on Spark, and look at the worst.

    python app/fleet.py                               10,000 series that are made here
    python app/fleet.py FOLDER --by COLUMN            your own: Parquet or CSV, a row for each point
    python app/fleet.py s3://BUCKET/PREFIX --by COLUMN
    python app/fleet.py sql:TABLE --by COLUMN         of the database that DATABASE_URL names

It runs on all processors of this machine, and in the stack (`make up-spark`) on its cluster. The
answers are written as Parquet; one run in MLflow has what was found, and pictures of the worst ten.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any

from detector.tracking import environment

# Before MLflow is imported; its own lines would hide ours.
environment.quiet()

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa

import walkthrough
from detector import DetectionError, plot
from detector.tracking import server
from detector.tracking.experiments import ensure_experiment

try:
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException
    from pyspark.sql import DataFrame, Row, SparkSession
    from pyspark.sql import functions as F  # noqa: N812 - as everyone calls it
except ImportError:
    sys.exit("PySpark is not installed: make fleet, or pip install -r requirements-spark.txt.")

from detector.spark import detect, session, sources
from detector.spark.progress import progress
from detector.spark.session import ClusterRefusedError, JavaMissingError
from detector.spark.sources import store
from words import _

EXPERIMENT = "Many series"
WORST = 10
# Of the series that are made here.
KEY, DAYS, FAULT_EVERY, SHORT_EVERY = "store", 180, 200, 1000


@dataclass(frozen=True)
class Given:
    """The series, what they are, as logged and as shown, and how they are told apart."""

    what: str
    shown: str
    table: DataFrame
    by: list[str]
    timestamp: str
    value: str


def sales(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Make the daily sales of each store whose number is given.

    They have a weekly season and noise of their own. One store in 200 has a fault: a spike, a week
    of nothing, or a lasting loss; of one in 1,000 there are 9 days only, too few to detect in.
    """
    days = pd.date_range("2026-01-01", periods=DAYS, freq="D").to_numpy("datetime64[us]")
    for batch in batches:
        names, values = [], []
        for number in batch.column(0).to_pylist():
            random = np.random.default_rng(number)
            level = random.uniform(50, 500)
            week = 1 + 0.4 * np.sin((np.arange(DAYS) + random.integers(7)) * 2 * np.pi / 7)
            sold = level * week * random.normal(1, 0.04, DAYS)
            if number % FAULT_EVERY == 0:
                place = int(random.integers(60, DAYS - 10))
                kind = number // FAULT_EVERY % 3
                sold[place : place + (1, 7, DAYS)[kind]] *= (3.0, 0.0, 0.5)[kind]
            names.append(f"store-{number:06}")
            values.append(sold[:9] if number % SHORT_EVERY == SHORT_EVERY - 1 else sold)
        lengths = [len(sold) for sold in values]
        yield pa.record_batch(
            {
                KEY: pa.array(np.repeat(np.array(names, dtype=object), lengths), pa.string()),
                "timestamp": pa.array(
                    np.concatenate([days[:length] for length in lengths]),
                    pa.timestamp("us", "UTC"),
                ),
                "value": pa.array(np.concatenate(values)),
            }
        )


def given(spark: SparkSession, options: argparse.Namespace) -> Given:
    """Return the series that are asked for, which Spark reads when it detects."""
    names = (options.timestamp, options.value)
    if options.source is None:
        numbers = spark.range(options.series).repartition(4 * spark.sparkContext.defaultParallelism)
        made = numbers.mapInArrow(sales, f"{KEY} string, timestamp timestamp, value double")
        what = "{count:,} stores of {days} days, made here"
        # The run, which others look at too, stays in English.
        logged, shown = (each.format(count=options.series, days=DAYS) for each in (what, _(what)))
        return Given(logged, shown, made, [KEY], *names)
    table = read(spark, options.source)
    return Given(options.source, options.source, table, options.by, *names)


def read(spark: SparkSession, source: str) -> DataFrame:
    """Read a folder or a file, a prefix of the S3 store, or a table of a database."""
    if source.startswith("s3://"):
        return spark.read.format("s3").load(source)
    if source.startswith("sql:"):
        return spark.read.format("sql").option("table", source.removeprefix("sql:")).load()
    if not is_local(spark):
        raise DetectionError(
            "BadArgument",
            f"The workers of the cluster do not see {source!r}: put it into the store, and name it "
            "as s3://BUCKET/PREFIX.",
        )
    check_source(source)
    if endings(source) == {".parquet"}:
        return spark.read.parquet(source)
    return spark.read.csv(source, header=True, inferSchema=True)


def endings(source: str) -> set[str]:
    """Return what the names of the files of a local source end in."""
    path = Path(source)
    files = path.rglob("*") if path.is_dir() else [path]
    return {file.suffix for file in files if not file.name.startswith(("_", "."))} - {""}


def check_source(source: str) -> None:
    """Refuse a local source that is not there, or not of one kind that Spark reads."""
    found = endings(source)
    if not Path(source).exists() or not found <= {".parquet", ".csv"} or len(found) != 1:
        has = f"has {', '.join(sorted(found)) or 'none'}"
        raise DetectionError(
            "BadArgument",
            f"{source!r} must be a Parquet or CSV file, or a folder of either, and "
            f"{has if Path(source).exists() else 'is not there'}.",
        )


def check_places(options: argparse.Namespace) -> None:
    """Refuse before Spark starts what it could not read, or must not write, on this machine."""
    if "SPARK_CONF_DIR" in os.environ:
        return
    if options.source and not options.source.startswith(("s3://", "sql:")):
        check_source(options.source)
    out = options.out or "fleet"
    if not out.startswith("s3://") and Path(out).is_dir() and endings(out) - {".parquet"}:
        raise taken(out)


def is_local(spark: SparkSession) -> bool:
    return str(spark.sparkContext.master).startswith("local")


def walk_through(spark: SparkSession, options: argparse.Namespace) -> int:
    """Do every step, saying so; return how many series were answered."""
    sources.register(spark)
    series = given(spark, options)
    params = {"granularity": options.granularity, "sensitivity": options.sensitivity}
    params = {name: value for name, value in params.items() if value is not None}
    found = detect(
        series.table,
        by=series.by,
        timestamp=series.timestamp,
        value=series.value,
        model=options.model,
        **params,
    )
    master, cores = spark.sparkContext.master, spark.sparkContext.defaultParallelism
    print(_("Spark: {master}, {count} processors").format(master=master, count=cores))
    print(_("Tracking server: {uri}").format(uri=server.connect()))
    out = options.out or ("fleet" if is_local(spark) else "s3://datasets/fleet")
    check_out(spark, out)
    print(_("Series: {what}").format(what=series.shown), flush=True)
    started = time.perf_counter()
    with progress(spark, _("Detecting")):
        write(found, out)
    seconds = time.perf_counter() - started
    answers = read(spark, out)
    with progress(spark, _("Looking for the worst")):
        summary = summarize(answers, series.by).cache()
        totals = total(summary)
    totals |= {"seconds": seconds, "series_per_second": totals["series"] / seconds}
    show_totals(totals)
    show_errors(summary)
    worst = summary.filter("anomalies > 0").orderBy(F.desc("severity")).limit(WORST).collect()
    table = pd.DataFrame([row.asDict() for row in worst], columns=summary.columns)
    worst_first = table[[*series.by, "points", "anomalies", "severity"]]
    print(f"\n{_('The worst:')}\n{readable(worst_first, series.by)}\n")
    with mlflow.start_run(experiment_id=ensure_experiment(EXPERIMENT)) as run:
        place = f"{master}, {cores} processors"
        mlflow.log_params({**params, "series": series.what, "spark": place, "answers": out})
        mlflow.log_metrics(totals)
        for by in summary.select("detected_by").take(1):
            mlflow.set_tag("detected_by", by[0])
        mlflow.log_table(worst_first.astype(str), "worst.json")
        with progress(spark, _("Drawing")):
            draw(answers, worst, series)
    print(_("The answers, as Parquet: {place}").format(place=out))
    address = walkthrough.address(run)
    print(_("Table and pictures of this run: {address}").format(address=address))
    return int(totals["series"] - totals["errors"])


def check_out(spark: SparkSession, out: str) -> None:
    """Refuse to write where other things lie than answers of before: they would be deleted."""
    if out.startswith("s3://"):
        place = store.Place.parse_folder({"path": out})
        with store.client() as asked, store.explained(out):
            is_free = not store.objects(asked, place)
    else:
        is_free = not Path(out).exists() or (Path(out).is_dir() and not any(Path(out).iterdir()))
    if is_free:
        return
    with contextlib.suppress(DetectionError, PySparkException):
        if "detected_by" in read(spark, out).columns:
            return
    raise taken(out)


def taken(out: str) -> DetectionError:
    return DetectionError(
        "BadArgument",
        f"--out names {out!r}, where other things lie than answers of before: name a new folder.",
    )


def write(found: DataFrame, out: str) -> None:
    if out.startswith("s3://"):
        found.write.format("s3").mode("overwrite").save(out)
    else:
        found.write.mode("overwrite").parquet(out)


def summarize(answers: DataFrame, by: list[str]) -> DataFrame:
    """Return one row for each series; the severity is that of all its anomalies together."""
    return answers.groupBy(*by).agg(
        F.count("*").alias("points"),
        F.count_if("is_anomaly").alias("anomalies"),
        F.sum(F.when(F.col("is_anomaly"), F.col("severity"))).alias("severity"),
        F.first("error").alias("error"),
        F.first("detected_by").alias("detected_by"),
    )


def total(summary: DataFrame) -> dict[str, Any]:
    [row] = summary.agg(
        F.count("*").alias("series"),
        F.sum("points").alias("points"),
        F.sum("anomalies").alias("anomalies"),
        F.count("error").alias("errors"),
    ).collect()
    return {name: value or 0 for name, value in row.asDict().items()}


def show_totals(totals: dict[str, Any]) -> None:
    said = _(
        "{series:,} series of {points:,} points in {seconds:.1f} s: {rate:,.0f} series a second."
    )
    rate = totals["series_per_second"]
    print(said.format(**totals, rate=rate))
    print(_("{anomalies:,} anomalies; {errors:,} series have an error.").format(**totals))


def readable(worst: pd.DataFrame, by: list[str]) -> str:
    """Return one line for each series, with columns as wide as a terminal shows them."""
    if worst.empty:
        return _("none has an anomaly")
    shown = worst.set_axis([*by, _("points"), _("anomalies"), _("severity")], axis="columns")
    with pd.option_context("display.unicode.east_asian_width", True):
        return shown.to_string()


def show_errors(summary: DataFrame) -> None:
    """Print the most usual errors, and how many series have each."""
    usual = summary.filter("error is not null").groupBy("error").count().orderBy(F.desc("count"))
    for error, count in usual.limit(3).collect():
        print(f"  {count:,}: {error}")


def draw(answers: DataFrame, worst: list[Row], series: Given) -> None:
    """Log a picture of each of the worst series to the run."""
    drawn = ("expected_value", "upper_margin", "lower_margin", "is_anomaly")
    points = answers.select(
        *series.by,
        F.col(series.timestamp).alias("timestamp"),
        F.col(series.value).alias("value"),
        *drawn,
    )
    for place, row in enumerate(worst, 1):
        # A key may be null, which equals nothing.
        mine = reduce(and_, [points[name].eqNullSafe(row[name]) for name in series.by])
        result = points.where(mine).select("timestamp", "value", *drawn).toPandas()
        result = result.assign(timestamp=pd.to_datetime(result["timestamp"]))
        title = " ".join(str(row[name]) for name in series.by)
        picture = plot.univariate(result.sort_values("timestamp"), title=title)
        name = re.sub("[^-.0-9A-Za-z]", "_", title)
        mlflow.log_figure(picture, f"worst/{place:02} {name}.png")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", nargs="?", help="a file or folder, s3://BUCKET/PREFIX, sql:TABLE")
    parser.add_argument(
        "--by", action="append", metavar="COLUMN", help="tells the series apart; may be repeated"
    )
    parser.add_argument("--timestamp", default="timestamp", help="its column (default: timestamp)")
    parser.add_argument("--value", default="value", help="its column (default: value)")
    parser.add_argument("--granularity", help="of the timestamps (default: daily, or the model's)")
    parser.add_argument("--sensitivity", type=int, help="0 to 99 (default: 95, or the model's)")
    parser.add_argument("--model", help="models:/NAME@ALIAS, whose options are the defaults")
    parser.add_argument(
        "--series", type=int, default=10_000, help="how many are made without a source (10000)"
    )
    parser.add_argument("--out", help="a folder or s3://BUCKET/PREFIX (default: fleet)")
    options = parser.parse_args()
    if options.model is None:
        options.granularity = options.granularity or "daily"
        options.sensitivity = 95 if options.sensitivity is None else options.sensitivity
    if options.series < 1:
        raise DetectionError("BadArgument", "--series must be at least 1.")
    if options.source and not options.by:
        raise DetectionError("BadArgument", "--by must name the column by which the series differ.")
    check_places(options)
    try:
        spark = session("fleet")
    except (JavaMissingError, ClusterRefusedError) as error:
        print(error, file=sys.stderr)
        return 1
    try:
        return 0 if walk_through(spark, options) else 2
    except (PySparkException, Py4JJavaError) as error:
        print(explain(error), file=sys.stderr)
        return 1
    finally:
        spark.stop()


def explain(error: Exception) -> str:
    """Return in one sentence why Spark could not do it, which says so in a page."""
    text = str(error) or repr(error)
    # What a source of ours said, or else the deepest cause that Java has: a line of its own, too,
    # where it is the only one.
    if ours := re.findall("DetectionError: (.*)", text):
        return _("The detection failed. {error}").format(error=ours[-1])
    causes = re.findall("(?:Caused by|^): (.*)", text, re.MULTILINE) or text.splitlines()[:1]
    return _("Spark could not finish: {error}").format(error=causes[-1])


if __name__ == "__main__":
    sys.exit(walkthrough.run(main))
