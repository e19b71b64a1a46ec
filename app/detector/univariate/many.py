"""Detection in each of many series that one table holds."""

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

__all__ = ["ERROR", "MODES", "detect_each"]

ERROR = "error"
# So many points, or one series, are a thread's at a time.
_AT_ONCE = 10_000
# Progress is shown of what takes longer, in seconds.
_PATIENCE = 1.0

_Columns = dict[str, Any]


@dataclass(frozen=True)
class _Mode:
    series: type[Series]
    detect: Callable[[Any], Any]
    # What the columns of a series hold that has an error.
    nothing: _Columns
    # Whether only the last point of a series is answered.
    last_only: bool = False


_FLAGS = {"is_anomaly": False, "is_positive_anomaly": False, "is_negative_anomaly": False}
_MARGINS = dict.fromkeys(("expected_value", "upper_margin", "lower_margin"), np.nan)
_ENTIRE = {**_MARGINS, **_FLAGS, "severity": np.nan, "period": 0}
MODES = {
    "entire": _Mode(Series, detection.entire, _ENTIRE),
    "latest": _Mode(Series, detection.latest, _ENTIRE | {"suggested_window": 0}, last_only=True),
    "change_points": _Mode(
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
        total=given.count, unit=" series", disable=not progress, delay=_PATIENCE, leave=True
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
class _Given:
    """The series of a table, one behind the other."""

    table_: pd.DataFrame  # the keys, timestamps and values, put together by series
    edges: list[int]  # where each series starts, and the end
    options: Options | ChangePointOptions
    kind: _Mode
    values: Floats | None  # None where not all could be read
    times: Times | None  # None where they do not count

    @classmethod
    def of(
        cls,
        frame: pd.DataFrame,
        options: Options | ChangePointOptions,
        kind: _Mode,
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
        values: Floats | None = None
        times = None
        # What cannot be read is a fault of one series, which will get it.
        with contextlib.suppress(DetectionError):
            times = read_timestamps(table["timestamp"]) if timed else None
            values = read_values(table["value"])
        return cls(table, edges, options, kind, values, times)

    @property
    def count(self) -> int:
        """How many series there are."""
        return len(self.edges) - 1

    @property
    def chunks(self) -> list[range]:
        """Neighbouring series, so many together that a thread has some work."""
        starts = [0]
        for place in range(1, self.count):
            if self.edges[place] - self.edges[starts[-1]] >= _AT_ONCE:
                starts.append(place)
        return [range(*each) for each in zip(starts, [*starts[1:], self.count], strict=True)]

    def detect(self, places: range) -> list[tuple[_Columns, str | None]]:
        """Return what was found in some of the series, or the error."""
        answers: list[tuple[_Columns, str | None]] = []
        for place in places:
            try:
                answers.append((self.kind.detect(self._series(place)).columns(), None))
            except DetectionError as error:
                answers.append((self.kind.nothing, str(error)))
            except Exception as error:
                error.add_note(f"In series {place + 1} of {self.count}.")
                raise
        return answers

    def _series(self, place: int) -> Series:
        rows = slice(self.edges[place], self.edges[place + 1])
        has_timestamps = "timestamp" in self.table_
        if self.values is None:
            timestamps = self.table_["timestamp"][rows] if has_timestamps else None
            return self.kind.series.from_arrays(
                self.table_["value"][rows], timestamps, self.options
            )
        check_length(rows.stop - rows.start)
        times = None
        if self.times is not None:
            times = Times(self.times.elapsed[rows], self.times.clock[rows])
        shown: Any = range(rows.stop - rows.start)
        if has_timestamps:
            shown = self.table_["timestamp"].array[rows]
        return self.kind.series.from_read(self.values[rows], times, shown, self.options)

    def table(self, found: list[_Columns], errors: list[str | None]) -> pd.DataFrame:
        """Return the table of the answers."""
        edges = np.array(self.edges)
        rows: Ints = edges[1:] - 1 if self.kind.last_only else np.arange(edges[-1])
        lengths = np.ones(self.count, dtype=np.int64) if self.kind.last_only else np.diff(edges)
        table = self.table_.take(rows).reset_index(drop=True)
        for name in self.kind.nothing:
            table[name] = np.concatenate(
                [
                    np.broadcast_to(columns[name], length)
                    for columns, length in zip(found, lengths.tolist(), strict=True)
                ]
            )
        table[ERROR] = np.repeat(np.array(errors, dtype=object), lengths)
        return table


def _check_columns(
    frame: Any, kind: _Mode, by: Sequence[str], timestamp: str, value: str, timed: bool
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
