"""The command line, ``python -m detector``: detect in a file, serve, and work for the service."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from detector import files, tables
from detector.errors import DetectionError
from detector.series.options import (
    BOUNDARY_VERSIONS,
    GRANULARITIES,
    IMPUTE_MODES,
    ChangePointOptions,
    Options,
    given_options,
)
from detector.series.series import ChangePointSeries, Series
from detector.tracking import environment
from detector.univariate import detection, many
from detector.univariate.changepoint import ChangePoints, change_points
from detector.univariate.detection import Detection, LatestDetection
from detector.univariate.tuning import DEFAULT_SHARE, SensitivityCurve, read_share, tune

_REFUSED = 2

_Found = Detection | LatestDetection | ChangePoints
# The name of each option on the command line, on the wire, its type and its help.
_Options = tuple[tuple[str, str, type, str], ...]
_GRID: _Options = (
    ("--granularity", "granularity", str, f"time unit between points: {', '.join(GRANULARITIES)}"),
    ("--custom-interval", "customInterval", int, "how many of these units lie between points"),
    ("--period", "period", int, "points in one season, 0 for none; found out by default"),
)
_DETECT: _Options = (
    *_GRID,
    ("--max-anomaly-ratio", "maxAnomalyRatio", float, "at most this part is anomalous, below 0.5"),
    ("--sensitivity", "sensitivity", int, "0 to 99; the higher, the narrower the margins"),
    ("--impute-mode", "imputeMode", str, f"how gaps are filled: {', '.join(IMPUTE_MODES)}"),
    ("--impute-fixed-value", "imputeFixedValue", float, "the value for the impute mode 'fixed'"),
    ("--boundary-version", "boundaryVersion", str, f"margins: {', '.join(BOUNDARY_VERSIONS)}"),
)
_TUNE: _Options = (
    (
        "--share",
        "anomalyShare",
        float,
        f"which part of the points you hold for anomalies, above 0 to 0.49 ({DEFAULT_SHARE})",
    ),
    *(each for each in _DETECT if each[1] != "sensitivity"),
)
_CHANGE_POINT: _Options = (
    *_GRID,
    ("--stable-trend-window", "stableTrendWindow", int, "how many points a trend lasts at least"),
    ("--threshold", "threshold", float, "0.01 to 0.99; the lower, the fewer change points"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 for bad input or settings."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    wrong = [each.partition("=")[0] for each in rest if each.startswith("-")]
    if options.command is _serve and not wrong:
        # After an option. One may be a key, which argparse would show.
        options.arguments += rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(wrong or rest)}")
    command: Callable[[argparse.Namespace], int] = options.command
    return command(options)


def _detect_in_file(options: argparse.Namespace) -> int:
    try:
        reading = _read(options)
        request = reading.request(_given(options))
        # Wrong options first: they need nobody who understood the file.
        (ChangePointOptions if _mode(options) == "change_points" else Options).from_request(request)
        sys.stderr.write(f"{reading.description}\n")
        if options.by and len(reading.values) > 1:
            raise DetectionError(
                "BadArgument", "--by takes one column of values: choose it by --value COLUMN."
            )
        if options.by:
            return _detect_in_each(reading.series(), request, options)
        if len(reading.values) > 1:
            return _detect_in_turn(reading, request, options)
        found: _Found = options.run(reading.series(), request, options)
        _draw(found, options)
        if options.html:
            _write_page(found, reading, options)
        sys.stdout.write(tables.FORMATS[options.format](found.to_frame()))
    except DetectionError as error:
        _complain(error)
        return _REFUSED
    return 0


def _tune_in_file(options: argparse.Namespace) -> int:
    try:
        reading = _read(options)
        if len(reading.values) > 1:
            raise DetectionError("BadArgument", "tune takes one series: name it with --value.")
        request = reading.request(_given(options))
        share = given_options(request).get("anomalyShare", DEFAULT_SHARE)
        # Wrong options first, as in a detection.
        Options.from_request(request)
        read_share("anomalyShare", share)
        sys.stderr.write(f"{reading.description}\n")
        curve = tune(Series.from_frame(reading.series(), request), share)
        _draw(curve, options)
        sys.stdout.write(_curve(curve, options.format))
    except DetectionError as error:
        _complain(error)
        return _REFUSED
    return 0


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the command line that were given, by their names on the wire."""
    given = {name: getattr(options, name) for _, name, _, _ in options.names}
    return {name: value for name, value in given.items() if value is not None}


def _read(options: argparse.Namespace) -> files.Reading:
    return files.read(
        options.file,
        timestamp=options.timestamp,
        values=files.EVERY if options.each else options.value,
        by=options.by or (),
        day_first=options.day_first,
        sheet=options.sheet,
    )


def _mode(options: argparse.Namespace) -> str:
    return str(getattr(options, "mode", "change_points"))


def _refuse_pictures(options: argparse.Namespace, many: str) -> None:
    for does, given in (("--plot draws", options.plot), ("--html shows", options.html)):
        if given:
            raise DetectionError("BadArgument", f"{does} one series, and {many} takes many.")


def _complain(error: DetectionError, of: str = "") -> None:
    sys.stderr.write(of + " ".join(f"{error}".split()) + "\n")


def _detect_in_turn(
    reading: files.Reading, request: dict[str, Any], options: argparse.Namespace
) -> int:
    """Detect in every column of values; return 0 unless none could be answered."""
    _refuse_pictures(options, "--each")
    found: dict[str, pd.DataFrame] = {}
    for name in reading.values:
        try:
            found[name] = options.run(reading.series(name), request, options).to_frame()
        except DetectionError as error:
            _complain(error, f"{name}: ")
    if options.format == "table":
        for name, each in found.items():
            sys.stdout.write(f"{name}:\n{tables.table(each)}\n")
    elif found:
        for name, each in found.items():
            each.insert(0, "series", name)
        sys.stdout.write(
            tables.FORMATS[options.format](pd.concat(found.values(), ignore_index=True))
        )
    return 0 if found else _REFUSED


def _detect_in_each(
    frame: pd.DataFrame, request: dict[str, Any], options: argparse.Namespace
) -> int:
    """Detect in every series of a file; return 0 unless none could be answered."""
    _refuse_pictures(options, "--by")
    mode = _mode(options)
    read = ChangePointOptions if mode == "change_points" else Options
    found = many.detect_each(
        frame,
        read.from_request(request),
        by=options.by,
        mode=mode,
        timestamp="timestamp",
        value="value",
        threads=None,
        progress=sys.stderr.isatty(),
    )
    if options.format == "table":
        found = tables.summary(found, options.by)
        sys.stdout.write(f"{found.to_string(index=False, na_rep='')}\n")
    else:
        sys.stdout.write(tables.FORMATS[options.format](found))
    return _REFUSED if found["error"].notna().all() else 0


def _serve(options: argparse.Namespace) -> int:
    environment.quiet()
    # Only who serves needs the web framework.
    from detector.api.server import serve

    names = ("host", "port", "workers", "tls")
    given = {name: getattr(options, name) for name in names}
    try:
        serve(
            {name: value for name, value in given.items() if value is not None}, options.arguments
        )
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return _REFUSED
    return 0


def _work(options: argparse.Namespace) -> int:
    environment.quiet()
    from detector.jobs.processes import run_worker

    run_worker(until_stdin_closes=options.until_stdin_closes)
    return 0


def _train(options: argparse.Namespace) -> int:
    environment.quiet()
    from detector.jobs.processes import train_in_this_process

    return train_in_this_process(options.model_id)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m detector", description="Find anomalies as Azure AI Anomaly Detector did."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_commands_for_files(commands)
    serve = commands.add_parser("serve", help="answer over HTTP as the service did")
    serve.add_argument("--host", help="the address to listen on (DETECTOR_HOST, 127.0.0.1)")
    serve.add_argument("--port", type=int, help="the port to listen on (PORT, 8080)")
    serve.add_argument("--workers", type=int, help="worker processes (DETECTOR_WORKERS, 1)")
    serve.add_argument(
        "--tls",
        choices=("self",),
        help="answer over TLS with a certificate of a local authority that is made once "
        "(DETECTOR_TLS); DETECTOR_TLS_CERTIFICATE and DETECTOR_TLS_KEY name one of your own",
    )
    serve.add_argument(
        "arguments",
        nargs="*",
        metavar="NAME=VALUE",
        help="what the service's own container was started with: ApiKey=KEY is a key that clients "
        "may send, Eula=accept lets requests be without one where there are none, the others are "
        "no longer needed",
    )
    serve.set_defaults(command=_serve)
    worker = commands.add_parser("worker", help="run trainings and batch detections")
    # For the server that starts a worker of its own: it stops when the server is gone.
    worker.add_argument("--until-stdin-closes", action="store_true", help=argparse.SUPPRESS)
    worker.set_defaults(command=_work)
    # For the worker, which trains in processes of their own: without a help it is not listed.
    train = commands.add_parser("train")
    train.add_argument("model_id", metavar="MODEL_ID")
    train.set_defaults(command=_train)
    return parser


def _add_commands_for_files(commands: Any) -> None:
    detect = commands.add_parser("detect", help="detect the anomalies of one series")
    _add_arguments(detect, _DETECT)
    detect.add_argument(
        "--mode",
        choices=("entire", "latest"),
        default="entire",
        help="score every point by all others, or the last one by those before it",
    )
    detect.set_defaults(run=_detect)
    changepoint = commands.add_parser("changepoint", help="find where the trend of a series breaks")
    _add_arguments(changepoint, _CHANGE_POINT)
    changepoint.set_defaults(run=_find_change_points)
    for each in (detect, changepoint):
        each.add_argument(
            "--by",
            metavar="COLUMN",
            action="append",
            help="the file has many series, told apart by this column (more than once: by several "
            "columns); the table then has a row for each series, csv and json for each point",
        )
        each.add_argument(
            "--html",
            metavar="FILE.html",
            help="also write a page to look at the result in a browser",
        )
        each.set_defaults(command=_detect_in_file)
    tuning = commands.add_parser("tune", help="count how many points each sensitivity flags")
    _add_arguments(tuning, _TUNE)
    tuning.set_defaults(command=_tune_in_file, each=False, by=None)


def _add_arguments(command: argparse.ArgumentParser, names: _Options) -> None:
    command.set_defaults(names=names)
    command.add_argument(
        "file",
        metavar="FILE",
        help="CSV, Excel, JSON (records or a whole request) or Parquet, packed or not; - for "
        "standard input",
    )
    command.add_argument("--timestamp", metavar="COLUMN", help="the dates; found by default")
    values = command.add_mutually_exclusive_group()
    values.add_argument(
        "--value",
        metavar="COLUMN",
        action="append",
        help="the values; the only column of numbers by default"
        + ("" if names is _TUNE else " (more than once: each in turn)"),
    )
    if names is not _TUNE:
        values.add_argument("--each", action="store_true", help="every column of numbers in turn")
    command.add_argument("--sheet", help="of a workbook; the one that holds a series by default")
    order = command.add_mutually_exclusive_group()
    order.add_argument(
        "--day-first",
        action="store_true",
        default=None,
        help="03/04/2021 is in April, where the file does not say",
    )
    order.add_argument(
        "--month-first",
        dest="day_first",
        action="store_false",
        default=None,
        help="03/04/2021 is in March",
    )
    for flag, name, kind, text in names:
        command.add_argument(flag, dest=name, type=kind, help=text)
    command.add_argument("--format", choices=sorted(tables.FORMATS), default="table")
    command.add_argument("--plot", metavar="FILE.png", help="also draw the result")


def _detect(
    frame: pd.DataFrame, request: dict[str, Any], options: argparse.Namespace
) -> Detection | LatestDetection:
    series = Series.from_frame(frame, request)
    return detection.entire(series) if options.mode == "entire" else detection.latest(series)


def _find_change_points(
    frame: pd.DataFrame, request: dict[str, Any], _: argparse.Namespace
) -> ChangePoints:
    return change_points(ChangePointSeries.from_frame(frame, request))


def _draw(found: _Found | SensitivityCurve, options: argparse.Namespace) -> None:
    if not options.plot:
        return
    picture = found.plot(title=options.file)
    try:
        picture.savefig(options.plot)
    except (OSError, ValueError) as error:
        raise DetectionError(
            "BadArgument", f"The picture '{options.plot}' cannot be written: {error}."
        ) from error


def _write_page(found: _Found, reading: files.Reading, options: argparse.Namespace) -> None:
    # Only who wants the page needs the packages that it is made of.
    from detector import report

    (column,) = reading.values
    name = Path(options.file).stem if column == "value" and options.file != "-" else column
    written = report.page(found, name=name, understood=reading.description)
    try:
        # Line endings of the system would change what the page's policy allows.
        Path(options.html).write_bytes(written.encode())
    except OSError as error:
        raise DetectionError(
            "BadArgument",
            f"The page '{options.html}' cannot be written: {error.strerror or error}.",
        ) from error


def _curve(curve: SensitivityCurve, form: str) -> str:
    if form == "csv":
        return tables.csv(curve.to_frame())
    if form == "json":
        written = {
            "points": curve.points,
            "sensitivities": curve.sensitivities.tolist(),
            "anomalies": curve.anomalies.tolist(),
            "anomaly_share": curve.anomaly_share,
            "sensitivity": curve.sensitivity,
        }
        return json.dumps(written) + "\n"
    return tables.sensitivities(
        curve.to_frame(),
        points=curve.points,
        suggested=curve.sensitivity,
        anomaly_share=curve.anomaly_share,
    )
