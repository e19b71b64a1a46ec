"""A CSV file becomes a table, block by block, so that no file takes more memory than allowed."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from detector.arrays import LARGEST_VALUE, Flags, Floats, Ints
from detector.datasource.stream import LONGEST_LINE, Budget, Counted, shorten
from detector.errors import DetectionError
from detector.multivariate.alignment import MOST_ROWS, MOST_VARIABLES

__all__ = ["TIMESTAMP", "Rows", "Window", "collect", "frame", "header", "too_many_rows"]

TIMESTAMP = "timestamp"
_MISSING = ["", "NaN", "nan", "NA", "N/A", "null", "NULL", "None"]
# Rows before the start are kept until enough of them are complete, but no more than these.
_MOST_BEFORE = 100_000
_PRUNED_TOGETHER = 16_384
_BAD_ROW = re.compile(r"CSV parse error: Row #(\d+): Expected (\d+) columns, got (\d+)")
_BAD_VALUE = re.compile(
    r"In CSV column #(\d+): Row #(\d+): .*?(?:invalid value '(.*)')?", re.DOTALL
)


@dataclass(frozen=True)
class Window:
    """Which rows are wanted: nanoseconds UTC, and rows before the start."""

    start: int
    end: int
    look_back: int


def header(stream: Counted) -> list[str]:
    """Take the first line of a CSV file.

    Returns
    -------
    list of str
        The names of its columns, ``timestamp`` among them; none empty, none twice.
    """
    line = stream.first_line()
    if line.startswith(b"\x1f\x8b"):
        raise _unreadable(stream.name, "it is compressed with gzip")
    if line.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in line:
        raise _unreadable(stream.name, "it is UTF-16 or no text at all")
    variables = line.count(b",")
    if variables > MOST_VARIABLES:
        raise DetectionError(
            "DataExceedsLimit",
            f"The file '{stream.name}' has {variables} columns beside '{TIMESTAMP}', and at most "
            f"{MOST_VARIABLES} variables can be scored together.",
        )
    if len(line) > LONGEST_LINE:
        raise _unreadable(stream.name, f"its first line is longer than {LONGEST_LINE} bytes")
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _unreadable(
            stream.name, f"byte {error.start + 1} of its first line is not UTF-8"
        ) from error
    try:
        names = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise _unreadable(stream.name, f"its first line is no CSV ({error})") from error
    _check_names(names, stream.name)
    return names


def _unreadable(name: str, reason: str) -> DetectionError:
    return DetectionError(
        "ReadingFileError",
        f"The file '{name}' cannot be read: {reason}. It must be a CSV file in UTF-8 whose first "
        f"line names its columns, '{TIMESTAMP}' among them.",
    )


def _check_names(names: Sequence[str], file: str) -> None:
    shown = ", ".join(repr(shorten(name)) for name in names[:10])
    if TIMESTAMP not in names:
        raise DetectionError(
            "FileColumnsNotExist",
            f"Column '{TIMESTAMP}' in file '{file}' does not exist. Its first line names "
            f"{shown or 'no column'}; names are case-sensitive, and separated by commas.",
        )
    wrong = [place for place, name in enumerate(names, 1) if not name.strip()]
    if wrong:
        raise DetectionError(
            "FileColumnsNotExist",
            f"Column {wrong[0]} in file '{file}' has no name. Where pandas wrote the file, its "
            "index is such a column: to_csv(index=False) leaves it out.",
        )
    unprintable = [name for name in names if not name.isprintable()]
    if unprintable:
        raise _unreadable(file, f"the column '{shorten(unprintable[0])}' has a name of no text")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DetectionError(
            "DuplicatedVariables",
            f"The file '{file}' has {names.count(twice[0])} columns '{shorten(twice[0])}'. Every "
            "variable must be there once.",
        )
    if len(names) == 1:
        raise DetectionError(
            "NoVariablesFound",
            f"The file '{file}' has no column beside '{TIMESTAMP}'. Each variable is a column.",
        )


def collect(
    stream: Counted, names: Sequence[str], window: Window, budget: Budget, *, alone: bool
) -> tuple[Ints, Floats]:
    """Read the rows below the header that lie in a window.

    Parameters
    ----------
    names : sequence of str
        The columns of the file.
    alone : bool
        Whether this file has every variable, so that it is known which rows are complete.

    Returns
    -------
    array of int64, (n,)
        Nanoseconds UTC, rising.
    array of float64, (d, n)
        The variables, by name; NaN where missing.
    """
    rows = Rows(len(names) - 1, window, budget, stream.name, alone=alone)
    rows.read(stream, names)
    return rows.finish()


def frame(times: Ints, values: Floats, variables: Sequence[str]) -> pd.DataFrame:
    """Return a table of variables that are sorted by name."""
    index = pd.DatetimeIndex(times.view("datetime64[ns]"), name=TIMESTAMP)
    return pd.DataFrame(values.T, index=index, columns=list(variables), copy=False)


def too_many_rows(name: str) -> DetectionError:
    """Return the refusal of more rows than can be scored."""
    return DetectionError(
        "TooManyData",
        f"'{name}' holds more than {MOST_ROWS} rows from 'startTime' to 'endTime'. Bring them "
        "closer together.",
    )


def _blocks(stream: Counted, names: Sequence[str]) -> Iterator[tuple[Ints, Floats]]:
    if not stream.peek():
        return
    variables = sorted(name for name in names if name != TIMESTAMP)
    types = {name: pa.float64() for name in variables} | {TIMESTAMP: pa.string()}
    row = 2  # The header is the first, as an editor counts.
    try:
        reader = pyarrow.csv.open_csv(
            pa.PythonFile(stream, "r"),
            # Threads read ahead, and do not know the number of a row.
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False, block_size=LONGEST_LINE, column_names=list(names)
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=types, null_values=_MISSING, strings_can_be_null=True
            ),
        )
        for batch in reader:
            columns = [batch.column(name).to_numpy(zero_copy_only=False) for name in variables]
            times = _times(batch.column(TIMESTAMP), stream.name, row)
            values = np.stack(columns)
            _check_size(values, variables, stream.name, row)
            yield times, values
            row += batch.num_rows
    except pa.ArrowInvalid as error:
        raise _explain(str(error), names, stream.name) from error


def _times(texts: pa.Array, file: str, first_row: int) -> Ints:
    # pandas would take words such as "now" as well.
    is_date = pa.compute.match_substring_regex(texts, r"^\s*\d{4}").fill_null(False)
    objects = texts.to_numpy(zero_copy_only=False)
    dates = pd.to_datetime(objects, format="ISO8601", utc=True, errors="coerce")
    wrong = np.flatnonzero(dates.isna() | ~is_date.to_numpy(zero_copy_only=False))
    if len(wrong):
        text = objects[wrong[0]]
        raise DetectionError(
            "InvalidTimestampFormat",
            f"Invalid timestamp format. Row {first_row + wrong[0]} of '{file}' has "
            + (f"the timestamp '{shorten(text)}'" if text else "no timestamp")
            + "; it must be a date of ISO 8601, such as 2021-01-01T00:00:00Z.",
        )
    nanoseconds: Ints = dates.as_unit("ns").asi8
    return nanoseconds


def _check_size(values: Floats, variables: Sequence[str], file: str, first_row: int) -> None:
    # A missing value is no number, and compares false.
    too_large = np.abs(values) > LARGEST_VALUE
    if too_large.any():
        column, row = np.argwhere(too_large)[0]
        raise DetectionError(
            "VariableParseError",
            f"Row {first_row + row} of column '{shorten(variables[column])}' in '{file}' has the "
            f"value {values[column, row]:g}; it must lie within {LARGEST_VALUE:g} of zero.",
        )


def _explain(message: str, names: Sequence[str], file: str) -> DetectionError:
    """Say in our words what pyarrow says of a file."""
    found = _BAD_ROW.match(message)
    if found:
        return DetectionError(
            "ReadingFileError",
            f"Row {int(found[1]) + 1} of '{file}' has {found[3]} columns, and the first row names "
            f"{found[2]}.",
        )
    found = _BAD_VALUE.fullmatch(message)
    if not found:
        # Not shown: pyarrow's message may quote megabytes.
        return _unreadable(
            file, f"a line is longer than {LONGEST_LINE} bytes, or a quotation mark does not close"
        )
    column, row, text = names[int(found[1])], int(found[2]) + 1, found[3]
    if text is None:
        return _unreadable(file, f"row {row} is not UTF-8")
    return DetectionError(
        "VariableParseError",
        f"Row {row} of column '{shorten(column)}' in '{file}' has '{shorten(text)}', which is no "
        "number; where a value is missing, leave it empty.",
    )


class Rows:
    """The rows of a table, in one file or in parts, that lie in a window.

    Of the rows before the start, those from the last ``look_back`` complete ones on are kept, so
    that there are enough of them also where only complete rows count.
    """

    def __init__(
        self, variables: int, window: Window, budget: Budget, name: str, *, alone: bool
    ) -> None:
        self._variables = variables
        self._window = window
        self._budget = budget
        self._name = name
        self._alone = alone
        self._parts: list[tuple[Ints, Floats]] = []
        self._before: list[tuple[Ints, Floats]] = []
        self._count = 0
        self._kept_before = self._new_before = 0

    def read(self, stream: Counted, names: Sequence[str]) -> None:
        """Take the rows below the header of a file that are wanted."""
        for times, values in _blocks(stream, names):
            self.add(times, values)

    def add(self, times: Ints, values: Floats) -> None:
        """Take those rows of a block that are wanted."""
        if times.max(initial=0) > self._window.end:
            times, values = _take(times, values, times <= self._window.end)
        is_before = times < self._window.start
        if is_before.any():
            before = _take(times, values, is_before)
            times, values = _take(times, values, ~is_before)
            self._before.append(before)
            self._new_before += len(before[0])
            if self._new_before > _PRUNED_TOGETHER + self._window.look_back:
                self._prune()
        self._parts.append((times, values))
        self._count += len(times)
        if self._count > MOST_ROWS:
            raise too_many_rows(self._name)
        self._budget.hold_cells(len(times) * self._variables, self._name)

    def finish(self) -> tuple[Ints, Floats]:
        """Return the rows in rising order; of rows of the same time, the last that was read."""
        self._prune()
        parts = self._before + self._parts
        self._before, self._parts = [], []
        return _in_order(*_join(parts, self._variables))

    def _prune(self) -> None:
        times, values = _in_order(*_join(self._before, self._variables))
        wanted, first = self._window.look_back, 0
        if not wanted:
            first = len(times)
        elif self._alone:
            complete = np.flatnonzero(~np.isnan(values).any(axis=0))
            first = complete[-wanted] if len(complete) >= wanted else 0
        first = max(first, len(times) - max(_MOST_BEFORE, wanted))
        self._before = [(times[first:].copy(), values[:, first:].copy())]
        kept = len(times) - first
        self._budget.hold_cells((kept - self._kept_before) * self._variables, self._name)
        self._kept_before, self._new_before = kept, 0


def _take(times: Ints, values: Floats, which: Flags) -> tuple[Ints, Floats]:
    return times[which], values[:, which]


def _join(parts: list[tuple[Ints, Floats]], variables: int) -> tuple[Ints, Floats]:
    """Put parts together, letting go of each as it is copied."""
    count = sum(len(times) for times, _ in parts)
    times, values = np.empty(count, np.int64), np.empty((variables, count))
    parts.reverse()
    place = 0
    while parts:
        part_times, part_values = parts.pop()
        after = place + len(part_times)
        times[place:after], values[:, place:after] = part_times, part_values
        place = after
    return times, values


def _in_order(times: Ints, values: Floats) -> tuple[Ints, Floats]:
    if (np.diff(times) > 0).all():
        return times, values
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[:, order]
    return _take(times, values, np.append(np.diff(times) > 0, True))
