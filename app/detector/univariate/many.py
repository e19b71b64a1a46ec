"""Detection in each of many series that stand one behind the other, or that one table holds."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm  # type: ignore[import-untyped]

from detector.arrays import Floats, Ints
from detector.errors import DetectionError
from detector.series.options import ChangePointOptions, Options
from detector.series.series import ChangePointSeries, Series
from detector.series.timestamps import Times, read_timestamps
from detector.series.values import check_length, read_values
from detector.univariate import changepoint, detection

__all__ = ["ERROR", "MODES", "ManySeries", "Mode", "detect_each", "put_together"]

ERROR = "error"
# So many points, or one series, are a thread's at a time.
_AT_ONCE = 10_000
# Progress is shown of what takes longer, in seconds.
_PATIENCE = 1.0

_Columns = dict[str, Any]


@dataclass(frozen=True)
class Mode:
    """One way to detect.

    Attributes
    ----------
    series : type of Series
        What it takes.
    detect : callable
        Returns what was found; its ``columns()`` are arrays or numbers by name.
    nothing : dict
        What these columns hold where a series has an error.
    last_only : bool
        Whether only the last point of a series is answered.
    """

    series: type[Series]
    detect: Callable[[Any], Any]
    nothing: _Columns
    last_only: bool = False


_FLAGS = {"is_anomaly": False, "is_positive_anomaly": False, "is_negative_anomaly": False}
_MARGINS = dict.fromkeys(("expected_value", "upper_margin", "lower_margin"), np.nan)
_ENTIRE = {**_MARGINS, **_FLAGS, "severity": np.nan, "period": 0}
MODES = {
    "entire": Mode(Series, detection.entire, _ENTIRE),
    "latest": Mode(Series, detection.latest, _ENTIRE | {"suggested_window": 0}, last_only=True),
    "change_points": Mode(
        ChangePointSeries,
        changepoint.change_points,
        {"is_change_point": False, "confidence_score": np.nan, "period": 0},
    ),
}


def detect_each(
    frame: pd.DataFrame,
    options: Options | ChangePointOptions,
    *,
    by: Sequence[str],
    mode: str,
    timestamp: str,
    value: str,
    threads: int | None,
    progress: bool,
) -> pd.DataFrame:
    """Detect in every series of a table; `detector.detect_many` says what is what."""
    kind = MODES[mode]
    given = _Given.of(frame, options, kind, by, timestamp, value)
    if threads is None:
        # Who detects in one series need not wait for its import.
        import joblib

        threads = int(joblib.cpu_count())
    parts: list[list[tuple[_Columns, str | None]]] = [[] for _ in given.chunks]
    with tqdm(
        total=len(given.series), unit=" series", disable=not progress, delay=_PATIENCE, leave=True
    ) as bar:
        for chunk, found in _in_threads(given.detect, given.chunks, threads):
            parts[chunk] = found
            bar.update(len(found))
    answers = [answer for part in parts for answer in part]
    return given.table([columns for columns, _ in answers], [error for _, error in answers])


def _in_threads(
    work: Callable[[range], Any], chunks: list[range], threads: int
) -> Iterator[tuple[int, Any]]:
    """Yield the number of each chunk with its result, as they are done."""
    if threads == 1 or len(chunks) == 1:
        yield from enumerate(map(work, chunks))
        return
    pool = ThreadPoolExecutor(threads, "detect_many")
    rest = iter(enumerate(chunks))
    running: dict[Future[Any], int] = {}
    try:
        while True:
            # A thread that has done its work finds the next one waiting.
            for place, chunk in islice(rest, 2 * threads - len(running)):
                running[pool.submit(work, chunk)] = place
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    finally:
        # When one fails, or who waits is interrupted, the others are not begun.
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class ManySeries:
    """Series that stand one behind the other.

    Attributes
    ----------
    kind : Mode
    edges : list of int
        Where each series starts, and where the last one ends.
    given_values, given_timestamps
        As they were given; no timestamps where there are none.
    values : ndarray of float64, or None
        None where not all could be read: what cannot be is a fault of one series, which gets it.
    times : Times or None
        None where they do not count, or not all could be read.
    """

    kind: Mode
    edges: Sequence[int]
    given_values: Any
    given_timestamps: Any
    values: Floats | None
    times: Times | None

    @classmethod
    def read(
        cls, kind: Mode, edges: Sequence[int], values: Any, timestamps: Any, *, timed: bool
    ) -> "ManySeries":
        """Read values and timestamps, all at once where that can be done.

        Parameters
        ----------
        kind, edges
            As of the class.
        values, timestamps : array-like, shape (n,)
            As `Series.from_arrays` takes them for one series; the timestamps may be None.
        timed : bool
            Whether the timestamps count: whether any series has a granularity.
        """
        read = times = None
        with contextlib.suppress(DetectionError):
            times = read_timestamps(timestamps) if timed else None
            read = read_values(values)
        return cls(kind, edges, values, timestamps, read, times)

    def __len__(self) -> int:
        return len(self.edges) - 1

    def detect(
        self, place: int, options: Options | ChangePointOptions
    ) -> tuple[_Columns, str | None]:
        """Return what was found in a series, and the error where there is one."""
        try:
            return self.kind.detect(self._series(place, options)).columns(), None
        except DetectionError as error:
            return self.kind.nothing, str(error)

    def _series(self, place: int, options: Any) -> Series:
        rows = slice(self.edges[place], self.edges[place + 1])
        has_timestamps = self.given_timestamps is not None
        if self.values is None:
            timestamps = self.given_timestamps[rows] if has_timestamps else None
            return self.kind.series.from_arrays(self.given_values[rows], timestamps, options)
        check_length(rows.stop - rows.start)
        times = None
        if self.times is not None and options.granularity != "none":
            times = Times(self.times.elapsed[rows], self.times.clock[rows])
        shown: Any = range(rows.stop - rows.start)
        if has_timestamps:
            shown = self.given_timestamps[rows]
            shown = getattr(shown, "array", shown)
        return self.kind.series.from_read(self.values[rows], times, shown, options)


@dataclass(frozen=True)
class _Given:
    """The series of a table, put together."""

    table_: pd.DataFrame  # the keys, timestamps and values, one series behind the other
    series: ManySeries
    options: Options | ChangePointOptions

    @classmethod
    def of(
        cls,
        frame: pd.DataFrame,
        options: Options | ChangePointOptions,
        kind: Mode,
        by: Sequence[str],
        timestamp: str,
        value: str,
    ) -> "_Given":
        timed = options.granularity != "none"
        _check_columns(frame, kind, by, timestamp, value, timed)
        order, edges = _groups(frame, by)
        names = [*by, *([timestamp] if timestamp in frame else []), value]
        table = frame[names].rename(columns={timestamp: "timestamp", value: "value"})
        table = table.take(order).reset_index(drop=True)
        timestamps = table.get("timestamp")
        series = ManySeries.read(kind, edges, table["value"], timestamps, timed=timed)
        return cls(table, series, options)

    @property
    def chunks(self) -> list[range]:
        """Neighbouring series, so many together that a thread has some work."""
        starts, edges, count = [0], self.series.edges, len(self.series)
        for place in range(1, count):
            if edges[place] - edges[starts[-1]] >= _AT_ONCE:
                starts.append(place)
        return [range(*each) for each in zip(starts, [*starts[1:], count], strict=True)]

    def detect(self, places: range) -> list[tuple[_Columns, str | None]]:
        """Return what was found in some of the series, or the error."""
        answers: list[tuple[_Columns, str | None]] = []
        for place in places:
            try:
                answers.append(self.series.detect(place, self.options))
            except Exception as error:
                error.add_note(f"In series {place + 1} of {len(self.series)}.")
                raise
        return answers

    def table(self, found: list[_Columns], errors: list[str | None]) -> pd.DataFrame:
        """Return the table of the answers."""
        kind, edges = self.series.kind, np.array(self.series.edges)
        rows: Ints = edges[1:] - 1 if kind.last_only else np.arange(edges[-1])
        lengths = np.ones(len(found), dtype=np.int64) if kind.last_only else np.diff(edges)
        table = self.table_.take(rows).reset_index(drop=True)
        for name in kind.nothing:
            table[name] = put_together(found, name, lengths)
        table[ERROR] = np.repeat(np.array(errors, dtype=object), lengths)
        return table


def put_together(found: Sequence[_Columns], name: str, lengths: Ints) -> Any:
    """Return one column of all series, one behind the other."""
    return np.concatenate(
        [
            np.broadcast_to(columns[name], length)
            for columns, length in zip(found, lengths.tolist(), strict=True)
        ]
    )


def _check_columns(
    frame: Any, kind: Mode, by: Sequence[str], timestamp: str, value: str, timed: bool
) -> None:
    if not isinstance(frame, pd.DataFrame) or frame.empty:
        raise DetectionError(
            "BadArgument",
            "The data must be a DataFrame with one row for each point, and have at least one row.",
        )
    names = list(frame.columns)
    for name in [*by, value, *([timestamp] if timed else [])]:
        if names.count(name) != 1:
            raise DetectionError(
                "BadArgument",
                f"The table must have one column '{name}', and has the columns "
                f"{', '.join(map(repr, names))}.",
            )
    taken = {"timestamp", "value", ERROR, *kind.nothing, timestamp, value}
    for name in by:
        if name in taken or list(by).count(name) > 1:
            raise DetectionError(
                "BadArgument",
                f"'by' names the column '{name}', which has another meaning in the result: give "
                "it another name.",
            )


def _groups(frame: pd.DataFrame, by: Sequence[str]) -> tuple[Ints, list[int]]:
    """Return the order that puts the rows of each series together, and where each one starts.

    The series come in the order in which they appear, and their rows as they are.
    """
    code = np.zeros(len(frame), dtype=np.int64)
    for name in by:
        each, kinds = pd.factorize(frame[name], use_na_sentinel=False)
        code, _ = pd.factorize(code * len(kinds) + each)
    order = np.argsort(code, kind="stable")
    starts = np.flatnonzero(np.diff(code[order], prepend=-1))
    return order, [*starts.tolist(), len(frame)]
