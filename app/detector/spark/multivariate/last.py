"""What a worker does where each row is asked about by itself, as the last one of those before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql.pandas.types import to_arrow_type

from detector.arrays import Flags
from detector.multivariate.alignment import Table, VariableState, align, no_number, twice
from detector.multivariate.model import AnomalyState, MultivariateModel
from detector.multivariate.wire import NAMES, detection_result_to_wire
from detector.spark.answers import ERROR, Refusal, refusals
from detector.spark.multivariate.parts import OWN, PART, TIME, Plan
from detector.spark.multivariate.rows import (
    Columns,
    Nanoseconds,
    as_times,
    no_time,
    values_of,
)
from detector.spark.multivariate.scoring import ERRORS, VALUE, single_thread, with_found

if TYPE_CHECKING:
    from pyspark.core.broadcast import Broadcast

__all__ = ["KINDS", "answer"]

_STATE = pa.struct(
    [
        ("variable", pa.string()),
        ("filledNARatio", pa.float64()),
        ("effectiveCount", pa.int32()),
        ("firstTimestamp", pa.string()),
        ("lastTimestamp", pa.string()),
    ]
)
_RESULT = pa.struct([("timestamp", pa.string()), ("value", VALUE), ("errors", ERRORS)])
# What is found for the last row of a window, as the service told it.
_ANSWER = pa.struct([("variableStates", pa.list_(_STATE)), ("results", pa.list_(_RESULT))])

KINDS = (to_arrow_type(ERROR), _ANSWER, pa.bool_(), pa.string())
_Answer = tuple[Sequence[VariableState], list[AnomalyState]] | Refusal


def answer(
    batches: Iterator[pa.RecordBatch],
    *,
    columns: Columns,
    plan: Plan,
    model: Broadcast[MultivariateModel],
    batch_size: int,
    top_contributors: int,
    names: Sequence[str],
) -> Iterator[pa.RecordBatch]:
    """Answer each row of a part as the last one of a window.

    Parameters
    ----------
    batches : iterator of RecordBatch
        Of one part, as `parts.route` sends them, in order of time.
    columns : Columns
    plan : Plan
    model : broadcast of MultivariateModel
    batch_size : int
        How many rows before it go with a row.
    top_contributors : int
    names : sequence of str
        Of refusals, answers, whether the row is an anomaly, and its timestamp.

    Yields
    ------
    RecordBatch
        The part's own rows with their answers, or why there is none.
    """
    held = []
    for batch in batches:
        if plan.parts[batch.column(PART)[0].as_py()] is None:
            texts = batch.column(columns.timestamp).to_pylist()
            refused: list[_Answer] = [Refusal.of(no_time(columns, text)) for text in texts]
            yield with_found(batch, dict(zip(names, _columns(refused), strict=True)))
        else:
            held.append(batch)
    if not held:
        return
    rows = pa.Table.from_batches(held).combine_chunks().to_batches()[0]
    single_thread()
    windows = _Windows(rows, columns, model.value, batch_size, top_contributors)
    own = rows.column(OWN)
    answers = windows.answers(np.flatnonzero(own.to_numpy(zero_copy_only=False)))
    yield with_found(rows.filter(own), dict(zip(names, _columns(answers), strict=True)))


class _Windows:
    """The rows of a part, and for each the window that ends with it."""

    def __init__(
        self,
        rows: pa.RecordBatch,
        columns: Columns,
        model: MultivariateModel,
        batch_size: int,
        top_contributors: int,
    ) -> None:
        self._rows, self._columns, self._model = rows, columns, model
        self._before, self._top = batch_size, top_contributors
        self._times: Nanoseconds = rows.column(TIME).to_numpy()
        self._values, self._wrong = values_of(rows, columns)
        self._again: Flags = np.diff(self._times, prepend=self._times[0] - 1) == 0

    def answers(self, wanted: Any) -> list[_Answer]:
        """Return the answers to the rows at these places, ascending."""
        window = self._model.options.sliding_window
        ends = wanted + 1
        firsts = np.maximum(ends - self._before - 1, 0)
        gaps = np.isnan(self._values).any(axis=1)
        whole = ends - firsts >= window
        # A window without gaps needs no filling, and all of them are scored at once.
        whole &= _count(gaps, np.maximum(ends - window, 0), ends) == 0
        whole &= _count(self._wrong.any(axis=1), firsts, ends) == 0
        # That a time is there again matters if the time before it is in the window too.
        whole &= _count(self._again, np.minimum(firsts + 1, ends), ends) == 0
        scored = self._scored(wanted[whole])
        return [
            scored[end - 1] if end - 1 in scored else self._alone(first, end)
            for first, end in zip(firsts.tolist(), ends.tolist(), strict=True)
        ]

    def _scored(self, wanted: Any) -> dict[int, _Answer]:
        if not len(wanted):
            return {}
        window, first = self._model.options.sliding_window, int(wanted[0])
        begin = first - window + 1
        times = as_times(self._times[begin:])
        table = Table(
            times, self._columns.variables, np.nan_to_num(self._values[begin:]), (), window - 1
        )
        states = self._model.detect_table(table, top_contributors=self._top)
        stamps = pd.DatetimeIndex(times)
        return {
            row: (
                [
                    VariableState(name, 0.0, window, stamps[row - first], stamps[row - begin])
                    for name in self._columns.variables
                ],
                [states[row - first]],
            )
            for row in wanted.tolist()
        }

    def _alone(self, first: int, end: int) -> _Answer:
        try:
            self._check(first, end)
            frame = pd.DataFrame(
                self._values[first:end],
                index=pd.DatetimeIndex(as_times(self._times[first:end])),
                columns=list(self._columns.variables),
            )
            policy, window = self._model.options.align, self._model.options.sliding_window
            if policy.mode == "Inner":
                frame = frame.dropna()
            frame = frame.tail(window)
            table = align(
                frame,
                start=frame.index[-1] if len(frame) else None,
                sliding_window=window,
                policy=policy,
                names=NAMES,
            )
            return table.states, self._model.detect_table(table, top_contributors=self._top)
        except Exception as error:  # noqa: BLE001 - one window must not fail the job of all others
            return Refusal.of(error)

    def _check(self, first: int, end: int) -> None:
        again = np.flatnonzero(self._again[first + 1 : end])
        if len(again):
            raise twice(pd.Timestamp(int(self._times[first + 1 + again[0]])))
        wrong = np.argwhere(self._wrong[first:end])
        if len(wrong):
            row, place = first + int(wrong[0][0]), int(wrong[0][1])
            name = self._columns.variables[place]
            value = self._rows.column(name)[row].as_py()
            raise no_number(name, value, as_times(self._times)[row])


def _count(flags: Flags, firsts: Any, ends: Any) -> Any:
    """Return how many flags are set from each first place up to each end."""
    sums = np.concatenate([[0], np.cumsum(flags)])
    return sums[ends] - sums[firsts]


def _columns(answers: Sequence[_Answer]) -> list[pa.Array]:
    refused = refusals([each if isinstance(each, Refusal) else None for each in answers])
    wire = [
        None if isinstance(each, Refusal) else detection_result_to_wire(*each) for each in answers
    ]
    results = [each["results"][0] if each else None for each in wire]
    return [
        refused,
        pa.array(wire, _ANSWER),
        pa.array([each and each["value"]["isAnomaly"] for each in results], pa.bool_()),
        pa.array([each and each["timestamp"] for each in results], pa.string()),
    ]
