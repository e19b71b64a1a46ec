"""What a Python worker of Spark does: detection in the series of its partition.

The rows of a partition come sorted by series and time, in Arrow's batches that end anywhere. Whole
series are taken together and answered in large pieces: what one piece costs beside the detection is
then of no weight. Whatever is wrong with a series becomes its error; nothing fails a partition.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from detector.arrays import Flags, Ints
from detector.detect import options_of
from detector.errors import DetectionError, shown
from detector.series.options import ChangePointOptions, Options
from detector.series.values import MOST_POINTS
from detector.univariate import many

__all__ = ["DETECTED_BY", "Work", "detect", "result_fields"]

DETECTED_BY = "detected_by"
# So many rows are answered at a time.
_PIECE = 20_000
_ARROW = {"bool": pa.bool_(), "float": pa.float64(), "int": pa.int32()}
# Of columns, which have an option for each series, as many kinds are kept as are usual.
_KINDS_OF_OPTIONS = 1024


@dataclass(frozen=True)
class Work:
    """What is to be done with every series; it travels from the driver to the workers.

    Attributes
    ----------
    mode : str
        One of `many.MODES`.
    keys : sequence of str
        The columns that tell the series apart.
    timestamp, value : str
        The columns that are read; values are numbers already.
    kept : sequence of str
        The columns that are returned.
    options : mapping
        As `detect_entire` and `detect_change_points` call them.
    option_columns : mapping
        The columns of options, by the names of the options.
    only_anomalies : bool
        Whether only points that are flagged, and errors, are returned.
    detected_by : str
        What every row says of who answered.
    """

    mode: str
    keys: Sequence[str]
    timestamp: str
    value: str
    kept: Sequence[str]
    options: Mapping[str, Any]
    option_columns: Mapping[str, str] = field(default_factory=dict)
    only_anomalies: bool = False
    detected_by: str = ""

    @property
    def kind(self) -> many.Mode:
        return many.MODES[self.mode]

    @property
    def flag(self) -> str:
        """The result that says whether a point is one of those looked for."""
        return "is_change_point" if self.mode == "change_points" else "is_anomaly"


def result_fields(mode: str) -> list[pa.Field]:
    """Return the columns that are added to those of the input."""
    nothing = many.MODES[mode].nothing
    found = [pa.field(name, _ARROW[type(value).__name__]) for name, value in nothing.items()]
    return [*found, pa.field(many.ERROR, pa.string()), pa.field(DETECTED_BY, pa.string())]


def detect(batches: Iterator[pa.RecordBatch], work: Work) -> Iterator[pa.RecordBatch]:
    """Detect in every series of a partition, whose rows are sorted by series and time."""
    for piece in _pieces(batches, work):
        yield from piece.answers().to_batches()


def _pieces(batches: Iterator[pa.RecordBatch], work: Work) -> Iterator["_Piece"]:
    """Put batches together so that each piece holds whole series.

    Of a series with too many points no more are held than tell that it has.
    """
    held: list[pa.RecordBatch] = []
    count, goes_on = 0, False
    for batch in batches:
        held.append(batch)
        count += batch.num_rows
        if count < _PIECE:
            continue
        table = pa.Table.from_batches(held)
        last = _edges(table, work.keys)[-2]
        breaks_off = count - last > MOST_POINTS
        if breaks_off:
            # Its last row stays, so that the next piece starts with the same series.
            last = count - 1
        yield _Piece(table.slice(0, last), work, goes_on=goes_on, breaks_off=breaks_off)
        goes_on = breaks_off
        # A copy, so that the rows before it can go.
        rest = table.slice(last).combine_chunks()
        held, count = rest.to_batches(), len(rest)
    if count:
        yield _Piece(pa.Table.from_batches(held), work, goes_on=goes_on)


class _Piece:
    """Rows of whole series, and their answers.

    Parameters
    ----------
    table : Table
    work : Work
    goes_on : bool
        Whether the first series had too many points already in the piece before.
    breaks_off : bool
        Whether the last series goes on in the next piece; it has too many points already.
    """

    def __init__(
        self, table: pa.Table, work: Work, *, goes_on: bool, breaks_off: bool = False
    ) -> None:
        self.table = table
        self.work = work
        self.edges = _edges(table, work.keys)
        self.goes_on = goes_on
        self.breaks_off = breaks_off

    def answers(self) -> pa.Table:
        """Return the rows that are asked for, with the columns of the results."""
        work, edges = self.work, np.array(self.edges)
        found, errors = self._detect()
        lengths = np.diff(edges)
        rows: Ints = np.arange(edges[-1])
        if work.kind.last_only:
            rows, lengths = edges[1:] - 1, np.ones_like(lengths)
        failed = np.array([error is not None for error in errors])
        nothing = np.repeat(failed, lengths)
        names = work.kind.nothing
        columns = {
            field.name: pa.array(
                many.put_together(found, field.name, lengths), field.type, mask=nothing
            )
            for field in result_fields(work.mode)
            if field.name in names
        }
        series = np.repeat(np.arange(len(errors)), lengths)
        columns[many.ERROR] = pa.array(errors, pa.string()).take(series)
        keep = self._kept(columns[work.flag], failed, lengths)
        table = self.table.select(list(work.kept)).take(rows[keep])
        for name, column in columns.items():
            table = table.append_column(name, column.filter(keep))
        by = pa.repeat(pa.scalar(work.detected_by, pa.string()), len(table))
        return table.append_column(DETECTED_BY, by)

    def _kept(self, flags: pa.Array, failed: Flags, lengths: Ints) -> Flags:
        """Return which rows are asked for."""
        keep: Flags = np.ones(len(flags), dtype=bool)
        if self.work.only_anomalies:
            keep = pc.fill_null(flags, False).to_numpy(zero_copy_only=False).copy()
            # Of a series that failed the first row says so.
            starts = np.cumsum(lengths) - lengths
            keep[starts[failed]] = True
            if self.goes_on and not self.work.kind.last_only:
                keep[0] = False
        if self.breaks_off and self.work.kind.last_only:
            # Its last point is still to come.
            keep[-1] = False
        return keep

    def _detect(self) -> tuple[list[dict[str, Any]], list[str | None]]:
        series = self._series()
        found, errors = [], []
        last = len(series) - 1
        for place in range(len(series)):
            too_long = (place == 0 and self.goes_on) or (place == last and self.breaks_off)
            columns, error = self._detect_one(series, place, too_long=too_long)
            found.append(columns)
            errors.append(error)
        return found, errors

    def _detect_one(
        self, series: many.ManySeries, place: int, *, too_long: bool
    ) -> tuple[dict[str, Any], str | None]:
        try:
            if too_long:
                raise DetectionError(
                    "InvalidSeries",
                    f"The 'series' field cannot have more than {MOST_POINTS} points. It has more.",
                )
            return series.detect(place, self._options(place))
        except DetectionError as error:
            return series.kind.nothing, str(error)
        # One series that meets a fault of ours must not cost the others their answers.
        except Exception as error:  # noqa: BLE001
            return series.kind.nothing, f"InternalError: {type(error).__name__}: {error}"

    def _series(self) -> many.ManySeries:
        work = self.work
        values = self.table[work.value].to_numpy()
        timestamps = _timestamps(self.table[work.timestamp])
        timed = "granularity" in work.option_columns or work.options.get("granularity") != "none"
        return many.ManySeries.read(work.kind, self.edges, values, timestamps, timed=timed)

    def _options(self, place: int) -> Options | ChangePointOptions:
        work = self.work
        start, end = self.edges[place], self.edges[place + 1]
        own = {}
        for name, column in work.option_columns.items():
            values = self.table[column].slice(start, end - start).unique().to_pylist()
            if len(values) > 1:
                raise DetectionError(
                    "BadArgument",
                    f"The column of '{name}' must hold one value in each series, and holds "
                    f"{shown(values[0])} and {shown(values[1])}.",
                )
            if values[0] is not None:
                own[name] = values[0]
        return _options_of(work.mode, tuple({**work.options, **own}.items()))


@lru_cache(_KINDS_OF_OPTIONS)
def _options_of(mode: str, options: tuple[tuple[str, Any], ...]) -> Options | ChangePointOptions:
    return options_of(mode, dict(options))


def _timestamps(column: pa.ChunkedArray) -> Any:
    """Return dates as pandas has them, on the clock of their zone; else what there is."""
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    if not pa.types.is_timestamp(column.type):
        return column.to_numpy() if pa.types.is_floating(column.type) else _objects(column)
    index = pd.DatetimeIndex(column.to_numpy())
    if column.type.tz in (None, "UTC"):
        return index
    return index.tz_localize("UTC").tz_convert(column.type.tz)


def _objects(column: pa.ChunkedArray) -> Any:
    objects = np.empty(len(column), dtype=object)
    objects[:] = column.to_pylist()
    return objects


def _edges(table: pa.Table, keys: Sequence[str]) -> list[int]:
    """Return where each series starts, and the end of the last one."""
    changes = np.zeros(len(table) - 1, dtype=bool)
    for name in keys:
        column = table[name].combine_chunks()
        if pa.types.is_floating(column.type):
            # The two noughts are one.
            column = pc.add(column, pa.scalar(0.0, column.type))
        # Nulls are one series, and so is what is no number.
        column = pc.dictionary_encode(column, null_encoding="encode")
        changes |= np.diff(column.indices.to_numpy()) != 0
    return [0, *(np.flatnonzero(changes) + 1).tolist(), len(table)]
