"""The walk-through for many variables: train on them together, register the model, detect with it.

    python app/multivariate.py                       five variables of a pump, two planted faults
    python app/multivariate.py FILE                  your own: dates and a column for each variable
    python app/multivariate.py FILE --detect-from 2026-01-03

With MLFLOW_TRACKING_URI set it works on that server (the workspace sets the stack's); without, in
the current folder.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.tracking import environment

# Before MLflow is imported; its own lines would hide ours.
environment.quiet()
# All that is imported stays: to look through it for garbage takes a sixth of a run.
gc.set_threshold(10_000)

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from tqdm import tqdm  # type: ignore[import-untyped]

import walkthrough
from detector import DetectionError, files, plot
from detector.multivariate.alignment import align
from detector.multivariate.model import Epoch, TrainingOptions
from detector.multivariate.requests import TrainingRequest
from detector.tracking import registry, reporting, runs, server, training
from words import _, ljust, rjust

REGISTERED_MODEL = "multivariate-quickstart"
ALIAS = "champion"


@dataclass(frozen=True)
class Fault:
    """Where one variable of the sample leaves the others, and how."""

    variable: str
    start: pd.Timestamp
    end: pd.Timestamp
    what: str


def pump() -> tuple[pd.DataFrame, list[Fault]]:
    """Return 3000 minutes of a pump, and its two faults, both in the last 750.

    All five variables follow one demand, which comes and goes every hour and a little more every
    other time: the flow and the power at once, the pressure the other way round, the temperature
    ten and the vibration five minutes late. Each carries some noise.

    The pressure then follows the demand of 20 minutes ago for 40 minutes; later the temperature
    falls where it should rise for 40 minutes. Neither leaves its usual range.
    """
    draw = np.random.default_rng(2026)
    minutes = np.arange(3000)

    def demand(late: int = 0) -> Any:
        angle = 2 * np.pi * (minutes - late) / 60
        return np.sin(angle) + 0.4 * np.sin(angle / 2)

    pressure, temperature = -demand(), demand(10)
    slow, turned = slice(2430, 2470), slice(2720, 2760)
    pressure[slow] = -demand(20)[slow]
    temperature[turned] = -demand(10)[turned]
    shapes = {
        "flow": (120, 20, demand()),
        "power": (7.5, 1.2, demand()),
        "pressure": (4.2, 0.4, pressure),
        "temperature": (55, 3, temperature),
        "vibration": (2.2, 0.3, demand(5)),
    }
    times = pd.date_range("2026-01-01", periods=len(minutes), freq="min")
    values = {
        name: middle + swing * (shape + draw.normal(scale=0.08, size=len(minutes)))
        for name, (middle, swing, shape) in shapes.items()
    }
    faults = [
        Fault("pressure", times[slow.start], times[slow.stop - 1], "20 minutes late"),
        Fault("temperature", times[turned.start], times[turned.stop - 1], "turned round"),
    ]
    return pd.DataFrame(values, index=times), faults


def read(path: str) -> pd.DataFrame:
    """Read a table of a column of dates and one for each variable, sorted by time."""
    reading = files.read(path, values=files.EVERY)
    if reading.times is None:
        names = ", ".join(repr(column["name"]) for column in reading.columns)
        raise DetectionError(
            "FileColumnsNotExist",
            f"'{path}' has the columns {names}, and lacks 'timestamp' or another one of dates.",
        )
    print(reading.description)
    times = reading.times if reading.times.tz is None else reading.times.tz_convert(None)
    return pd.DataFrame(reading.values, index=times)


def walk_through(
    frame: pd.DataFrame,
    source: str,
    title: str,
    options: TrainingOptions,
    detect_from: pd.Timestamp,
    faults: list[Fault],
) -> pd.DataFrame:
    """Do every step, saying so; return what was found, one row for each timestamp."""
    start = int(frame.index.searchsorted(detect_from))
    # The model looks back on the rows before the first one.
    before, later = frame.iloc[:start], frame.iloc[max(0, start - options.sliding_window + 1) :]
    # Bad input is refused before anything is logged.
    trained_on = align(before, sliding_window=options.sliding_window, policy=options.align)
    align(later, start=detect_from, sliding_window=options.sliding_window, policy=options.align)
    print(_("Tracking server: {uri}").format(uri=server.connect()))
    request = TrainingRequest(
        source=source,
        start=before.index[0],
        end=before.index[-1],
        display_name=Path(title).stem[:24],
        sliding_window=options.sliding_window,
        align=options.align,
    )
    model_id = runs.create_model(request, queued=False).model_id
    run = MlflowClient().get_run(runs.run_id(model_id))
    said = _("Run {run} in experiment '{experiment}'")
    print(said.format(run=run.info.run_name, experiment=runs.MODELS))
    shown = ", ".join(trained_on.variables[:8]) + (" ..." if len(trained_on.variables) > 8 else "")
    said = _("Training on {rows} rows of {variables}")
    print(said.format(rows=len(trained_on.values), variables=shown))
    train_logged(model_id, before, options)
    version = registry.aliased_version(REGISTERED_MODEL, ALIAS)
    said = _("Registered: {name}, version {version}, alias '{alias}'")
    print(said.format(name=REGISTERED_MODEL, version=version, alias=ALIAS))

    loaded = registry.load(REGISTERED_MODEL, ALIAS)
    uri = f"models:/{REGISTERED_MODEL}@{ALIAS}"
    print(_("Loaded back from the registry: {uri}").format(uri=uri))

    rows = later.reset_index(names="timestamp")
    started = time.perf_counter()
    answers: Any = loaded.predict(rows, params={"startTime": detect_from.isoformat()})
    seconds = time.perf_counter() - started
    result = as_table(answers)
    known = [(fault.variable, fault.start, fault.end) for fault in faults]
    picture = plot.multivariate(frame, result, title=title, faults=known)
    with mlflow.start_run(run_id=run.info.run_id):
        reporting.log_multivariate(
            frame, result, title=title, source=source, seconds=seconds, picture=picture
        )

    print(f"\n{readable(result)}\n")
    print(summary(result))
    print(_("Over HTTP this is the model {model}.").format(model=model_id))
    address = walkthrough.address(run)
    print(_("Table, picture and model of this run: {address}").format(address=address))
    return result


def train_logged(model_id: str, frame: pd.DataFrame, options: TrainingOptions) -> None:
    """Train, log and register the model of a run, with a bar that shows how far it is."""
    epochs: list[Epoch] = []
    # No bar where nobody looks: None is tqdm's word for "on a terminal only".
    with tqdm(total=options.epochs, unit="epoch", leave=False, disable=None) as bar:

        def advance(epoch: Epoch) -> None:
            epochs.append(epoch)
            bar.set_postfix(
                loss=f"{epoch.train_loss:.3f}", validation=f"{epoch.validation_loss:.3f}"
            )
            bar.update()

        training.train_model(
            model_id,
            lambda: frame,
            options,
            on_epoch=advance,
            registered_as=REGISTERED_MODEL,
            alias=ALIAS,
        )
    best = min(epochs, key=lambda epoch: epoch.validation_loss)
    seconds = sum(epoch.seconds for epoch in epochs)
    print(
        _(
            "{epochs} epochs in {seconds:.1f} s; kept: epoch {best}, validation loss {loss:.3f}"
        ).format(epochs=len(epochs), seconds=seconds, best=best.number, loss=best.validation_loss)
    )


def as_table(answers: list[dict[str, Any]]) -> pd.DataFrame:
    """Return the answers as one row for each timestamp."""
    rows = []
    for answer in answers:
        result = answer["result"]
        contributors = {
            one["variable"]: one["contribution_score"] for one in result["interpretation"]
        }
        rows.append(
            {
                "timestamp": answer["timestamp"],
                "is_anomaly": result["is_anomaly"],
                "severity": result["severity"],
                "score": result["score"],
                "top": next(iter(contributors), None),
                "contributors": contributors,
            }
        )
    return pd.DataFrame(rows)


def readable(result: pd.DataFrame, most: int = 12) -> str:
    """Return one line for each of the severest anomalies, in order of time."""
    worst = result[result["is_anomaly"]].nlargest(most, "severity").sort_values("timestamp")
    lines = [f"{ljust(_('timestamp'), 19)} {rjust(_('severity'), 8)}  {_('contributors')}"]
    for row in worst.to_dict("records"):
        parts = [f"{name} {part:.0%}" for name, part in list(row["contributors"].items())[:3]]
        lines.append(f"{row['timestamp']!s:<19} {row['severity']:>8.2f}  {', '.join(parts)}")
    return "\n".join(lines)


def summary(result: pd.DataFrame) -> str:
    """Say in one line what was found."""
    anomalies = result[result["is_anomaly"]]
    if anomalies.empty:
        return _("None of {rows} rows is an anomaly.").format(rows=len(result))
    worst = anomalies.loc[anomalies["severity"].idxmax()]
    return _(
        "{anomalies} of {rows} rows are anomalies; the severest is {date}, where {variable} "
        "contributes most."
    ).format(
        anomalies=len(anomalies), rows=len(result), date=worst["timestamp"], variable=worst["top"]
    )


def missed(result: pd.DataFrame, faults: list[Fault]) -> list[Fault]:
    """Return the faults in which no row is flagged with the faulty variable on top."""
    blamed = result[result["is_anomaly"]].set_index("timestamp")["top"]
    return [
        fault for fault in faults if fault.variable not in set(blamed.loc[fault.start : fault.end])
    ]


def moment(text: str) -> pd.Timestamp:
    """Read a date of the command line, UTC where it names no zone."""
    return pd.to_datetime(text, utc=True).tz_localize(None)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "file",
        nargs="?",
        help="CSV, Excel, JSON or Parquet with a column of dates and one per variable",
    )
    parser.add_argument(
        "--detect-from",
        type=moment,
        help="train on what comes before (default: the first three quarters)",
    )
    parser.add_argument(
        "--window",
        type=int,
        default=200,
        help="rows that the score of one row rests on, 28 to 2880 (default: 200)",
    )
    parser.add_argument("--epochs", type=int, help="default: 100, and 50 for the sample")
    parser.add_argument("--seed", type=int, default=42, help="default: 42")
    chosen = parser.parse_args()
    usual = 100 if chosen.file else 50
    epochs = usual if chosen.epochs is None else chosen.epochs
    options = TrainingOptions(sliding_window=chosen.window, epochs=epochs, seed=chosen.seed)
    frame, faults = (read(chosen.file), []) if chosen.file else pump()
    # Absolute, because clients make an URI of it; the pump is made by this very program.
    source = Path(chosen.file or __file__).resolve().as_uri()
    title = chosen.file or "A pump, 750 minutes"
    detect_from = chosen.detect_from or frame.index[len(frame) * 3 // 4]
    result = walk_through(frame, source, title, options, detect_from, faults)
    for fault in missed(result, faults):
        said = _("The {variable} was {what}, and was not flagged.")
        print(said.format(variable=fault.variable, what=_(fault.what)), file=sys.stderr)
    return 1 if missed(result, faults) else 0


if __name__ == "__main__":
    sys.exit(walkthrough.run(main))
