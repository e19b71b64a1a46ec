"""The walk-through: log a detector to MLflow, register it, load it back, detect with it.

    python app/test.py                      20 months, all 1 but the last, which is 0
    python app/test.py FILE                 your own series: CSV, Excel, JSON or Parquet
    python app/test.py --sample elnino      a real one: the sea off Peru from 1950 to 2010

With MLFLOW_TRACKING_URI set it works on that server (the workspace sets the stack's); without, in
the current folder.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from typing import Any

from detector.tracking import environment

# Before MLflow is imported; its own lines would hide ours.
environment.quiet()
# All that is imported stays: to look through it for garbage takes a sixth of a run.
gc.set_threshold(10_000)

import mlflow
import pandas as pd

import walkthrough
from detector import EntireAnomalyDetector, files, plot
from detector.series.series import Series
from detector.tracking import registry, reporting, server
from detector.tracking.experiments import ensure_experiment
from words import _, ljust, rjust

EXPERIMENT = "MLflow Quickstart 2"
REGISTERED_MODEL = "tracking-quickstart"
ALIAS = "champion"


def quickstart() -> pd.DataFrame:
    """Return 20 month ends from 1962-01-31, all 1 but the last, which is 0."""
    months = pd.date_range("1962-01-31", periods=20, freq="ME")
    return pd.DataFrame({"timestamp": months, "value": [1.0] * 19 + [0.0]})


def elnino() -> pd.DataFrame:
    """Return 61 years of monthly sea surface temperature off Peru (ships with statsmodels)."""
    from statsmodels.datasets import elnino as dataset

    years = dataset.load_pandas().data
    return pd.DataFrame(
        {
            "timestamp": pd.date_range(
                f"{years['YEAR'].iloc[0]:.0f}-01-01", periods=12 * len(years), freq="MS"
            ),
            "value": years.drop(columns="YEAR").to_numpy().ravel(),
        }
    )


SAMPLES = {"elnino": (elnino, "Sea surface temperature off Peru, °C")}


def walk_through(
    series: pd.DataFrame, title: str, params: dict[str, Any], source: str | None = None
) -> pd.DataFrame:
    """Do every step on one series, saying so; return the points and their results."""
    # Bad input is refused before anything is logged.
    series = series.assign(value=Series.from_frame(series, params).values)
    print(_("Tracking server: {uri}").format(uri=server.connect()))
    with mlflow.start_run(experiment_id=ensure_experiment(EXPERIMENT)) as run:
        mlflow.log_params(params)
        mlflow.set_tag("Training Info", "Univariate Anomaly Detector")
        said = _("Run {run} in experiment '{experiment}': {params}")
        print(said.format(run=run.info.run_name, experiment=EXPERIMENT, params=params))

        version = registry.log(
            EntireAnomalyDetector(),
            name="uvad_artifacts",
            registered_as=REGISTERED_MODEL,
            alias=ALIAS,
            example=quickstart(),
            params=params,
        )
        print(_("Logged model: {uri}").format(uri=version.model_uri))
        said = _("Registered: {name}, version {version}, alias '{alias}'")
        print(said.format(name=version.name, version=version.version, alias=version.alias))

        model = registry.load(REGISTERED_MODEL, ALIAS)
        print(_("Loaded back from the registry: {uri}").format(uri=version.alias_uri))

        started = time.perf_counter()
        answers: Any = model.predict(series, params=params)
        seconds = time.perf_counter() - started
        result = table(series, answers)
        picture = plot.univariate(result, title=title)
        reporting.log_univariate(
            result, title=title, source=source, seconds=seconds, picture=picture
        )

    print(f"\n{_(title)}:\n{readable(result)}\n")
    print(summary(result))
    address = walkthrough.address(run)
    print(_("Table, picture and model of this run: {address}").format(address=address))
    return result


def table(series: pd.DataFrame, answers: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the answers as one row per point, beside the values."""
    results = pd.DataFrame([answer["result"] for answer in answers], index=series.index)
    return pd.concat([series, results], axis=1)


def readable(result: pd.DataFrame, most: int = 40) -> str:
    """Return one line per point; of a long series, one per anomaly."""
    if len(result) > most:
        result = result[result["is_anomaly"]]
    numbers = (_("value"), _("expected"), _("lower"), _("upper"))
    columns = [ljust(_("timestamp"), 19), *(rjust(name, 10) for name in numbers)]
    lines = [" ".join([*columns, rjust(_("period"), 6)])]
    for point in result.to_dict("records"):
        expected = point["expected_value"]
        verdict = ""
        if point["is_anomaly"]:
            low = point["is_negative_anomaly"]
            verdict = "  <- " + (_("anomaly, low") if low else _("anomaly, high"))
        lines.append(
            f"{date(point['timestamp']):<19} {point['value']:>10.4g} {expected:>10.4g} "
            f"{expected - point['lower_margin']:>10.4g} "
            f"{expected + point['upper_margin']:>10.4g} {point['period']:>6}{verdict}"
        )
    return "\n".join(lines)


def summary(result: pd.DataFrame) -> str:
    """Say in one line what was found."""
    anomalies = result[result["is_anomaly"]]
    if anomalies.empty:
        return _("None of {points} points is an anomaly.").format(points=len(result))
    if len(anomalies) == 1:
        found = date(anomalies["timestamp"].iloc[0])
        return _("1 of {points} points is an anomaly: {date}.").format(
            points=len(result), date=found
        )
    # Neighbouring anomalies have the same number of calm points before them.
    calm_before = (~result["is_anomaly"]).cumsum()[result["is_anomaly"]]
    longest = anomalies[calm_before == calm_before.value_counts().idxmax()]["timestamp"]
    return _(
        "{anomalies} of {points} points are anomalies; the longest stretch is {longest} points, "
        "from {start} to {end}."
    ).format(
        anomalies=len(anomalies),
        points=len(result),
        longest=len(longest),
        start=date(longest.iloc[0]),
        end=date(longest.iloc[-1]),
    )


def date(timestamp: pd.Timestamp) -> str:
    return str(timestamp).removesuffix(" 00:00:00")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "file", nargs="?", help="CSV, Excel, JSON or Parquet with a column of dates and of values"
    )
    parser.add_argument(
        "--sample", choices=SAMPLES, help="a real series that ships with statsmodels"
    )
    parser.add_argument(
        "--granularity", help="of the timestamps (default: found; monthly for the samples)"
    )
    parser.add_argument(
        "--sensitivity", type=int, default=95, help="0 to 99; lower finds less (default: 95)"
    )
    parser.add_argument(
        "--max-anomaly-ratio", type=float, default=0.25, help="below 0.5 (default: 0.25)"
    )
    parser.add_argument("--impute-mode", default="auto", help="how gaps are filled (default: auto)")
    options = parser.parse_args()
    params = {
        "granularity": options.granularity or "monthly",
        "maxAnomalyRatio": options.max_anomaly_ratio,
        "sensitivity": options.sensitivity,
        "imputeMode": options.impute_mode,
    }
    if options.file:
        reading = files.read(options.file)
        print(reading.description)
        params |= reading.grid(options.granularity)
        walk_through(reading.series(), options.file, params, options.file)
    elif options.sample:
        load, title = SAMPLES[options.sample]
        walk_through(load(), title, params)
    elif not walk_through(quickstart(), "20 months, all 1 but the last", params)["is_anomaly"].iloc[
        -1
    ]:
        print(_("The last point is 0 among ones and was not flagged."), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(walkthrough.run(main))
