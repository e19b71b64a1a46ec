"""The command line: ``python -m detector detect FILE`` and ``python -m detector serve``."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from detector import plot, reading
from detector.errors import DetectionError
from detector.series import BOUNDARY_VERSIONS, GRANULARITIES, IMPUTE_MODES, Series
from detector.univariate import detect_entire, detect_latest

_REFUSED = 2

# The name of each option on the command line, on the wire, its type and its help.
_OPTIONS: tuple[tuple[str, str, type, str], ...] = (
    ("--granularity", "granularity", str, f"time unit between points: {', '.join(GRANULARITIES)}"),
    ("--custom-interval", "customInterval", int, "how many of these units lie between points"),
    ("--period", "period", int, "points in one season, 0 for none; found out by default"),
    ("--max-anomaly-ratio", "maxAnomalyRatio", float, "at most this part is anomalous, below 0.5"),
    ("--sensitivity", "sensitivity", int, "0 to 99; the higher, the narrower the margins"),
    ("--impute-mode", "imputeMode", str, f"how gaps are filled: {', '.join(IMPUTE_MODES[:6])}"),
    ("--impute-fixed-value", "imputeFixedValue", float, "the value for the impute mode 'fixed'"),
    ("--boundary-version", "boundaryVersion", str, f"margins: {', '.join(BOUNDARY_VERSIONS)}"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 for what cannot be judged or served."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    return run(options)


def _detect(options: argparse.Namespace) -> int:
    try:
        frame, request = reading.read_request(options.file)
        given = {name: getattr(options, name) for _, name, _, _ in _OPTIONS}
        request |= {name: value for name, value in given.items() if value is not None}
        series = Series.from_frame(frame, request)
        judged = _judge_entire(series) if options.mode == "entire" else _judge_latest(series)
        if options.plot:
            _save_plot(series, judged, options)
        sys.stdout.write(_FORMATS[options.format](judged))
    except DetectionError as error:
        sys.stderr.write(" ".join(f"{error}".split()) + "\n")
        return _REFUSED
    return 0


def _serve(options: argparse.Namespace) -> int:
    # Only who serves needs the web framework.
    from detector.api.server import serve

    given = {"host": options.host, "port": options.port, "workers": options.workers}
    try:
        serve({name: value for name, value in given.items() if value is not None})
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return _REFUSED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m detector", description="Find anomalies as Azure AI Anomaly Detector did."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    detect = commands.add_parser("detect", help="judge the points of one series")
    detect.add_argument(
        "file",
        metavar="FILE",
        help="CSV, JSON (records or a whole request) or Parquet with the columns timestamp and "
        "value; - for CSV or JSON on standard input",
    )
    for flag, name, kind, text in _OPTIONS:
        detect.add_argument(flag, dest=name, type=kind, help=text)
    detect.add_argument(
        "--mode",
        choices=("entire", "latest"),
        default="entire",
        help="judge every point by all others, or the last one by those before it",
    )
    detect.add_argument("--format", choices=sorted(_FORMATS), default="table")
    detect.add_argument("--plot", metavar="FILE.png", help="also draw the judged series")
    detect.set_defaults(run=_detect)
    serve = commands.add_parser("serve", help="answer over HTTP as the service did")
    serve.add_argument("--host", help="the address to listen on (DETECTOR_HOST, 127.0.0.1)")
    serve.add_argument("--port", type=int, help="the port to listen on (PORT, 8080)")
    serve.add_argument("--workers", type=int, help="worker processes (DETECTOR_WORKERS, 1)")
    serve.set_defaults(run=_serve)
    return parser


def _judge_entire(series: Series) -> pd.DataFrame:
    found = detect_entire(series)
    return pd.DataFrame(
        {
            "timestamp": series.timestamps,
            "value": series.values,
            "expected_value": found.expected,
            "upper_margin": found.upper_margin,
            "lower_margin": found.lower_margin,
            "is_anomaly": found.is_anomaly,
            "is_positive_anomaly": found.is_positive,
            "is_negative_anomaly": found.is_negative,
            "severity": found.severity,
            "period": found.period,
        }
    )


def _judge_latest(series: Series) -> pd.DataFrame:
    found = detect_latest(series)
    return pd.DataFrame(
        {
            "timestamp": [series.timestamps[-1]],
            "value": series.values[-1],
            "expected_value": found.expected,
            "upper_margin": found.upper_margin,
            "lower_margin": found.lower_margin,
            "is_anomaly": found.is_anomaly,
            "is_positive_anomaly": found.is_positive,
            "is_negative_anomaly": found.is_negative,
            "severity": found.severity,
            "period": found.period,
            "suggested_window": found.suggested_window,
        }
    )


def _save_plot(series: Series, judged: pd.DataFrame, options: argparse.Namespace) -> None:
    # The last point alone is no picture: it is drawn at the end of its series.
    every = _judge_entire(series) if options.mode == "latest" else judged
    if options.mode == "latest":
        every["is_anomaly"] = False
        every.loc[every.index[-1], list(judged.columns[2:6])] = judged.iloc[0, 2:6].to_numpy()
    if series.options.granularity != "none":
        every = every.assign(timestamp=pd.to_datetime(every["timestamp"], format="ISO8601"))
    try:
        plot.figure(every, title=f"{options.file}").savefig(options.plot)
    except (OSError, ValueError) as error:
        raise DetectionError(
            "BadArgument", f"The picture '{options.plot}' cannot be written: {error}."
        ) from error


def _table(judged: pd.DataFrame) -> str:
    lines = [judged.to_string(index=False, float_format=lambda number: f"{number:.6g}")]
    count = int(judged["is_anomaly"].sum())
    period = judged["period"].iloc[0]
    season = f"the period is {period}" if period else "there is no season"
    lines.append(f"{count} of {len(judged)} points judged are anomalies; {season}.")
    return "\n".join(lines) + "\n"


def _csv(judged: pd.DataFrame) -> str:
    text: Any = judged.to_csv(index=False)
    return str(text)


def _json(judged: pd.DataFrame) -> str:
    records = judged.assign(timestamp=judged["timestamp"].astype(str)).to_dict(orient="records")
    return json.dumps(records, indent=2) + "\n"


_FORMATS = {"table": _table, "csv": _csv, "json": _json}
