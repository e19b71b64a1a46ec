"""Rows that follow on each other in parts, each with the rows before it that its scores rest on."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from detector.arrays import Flags
from detector.errors import DetectionError
from detector.multivariate.alignment import AlignPolicy, Moment, chosen, twice
from detector.multivariate.wire import NAMES
from detector.spark.multivariate.rows import (
    NO_TIME,
    Columns,
    Nanoseconds,
    as_times,
    times_of,
)

__all__ = ["ROUTED", "Part", "Plan", "Rows", "Span", "plan", "route", "span_of"]

# Columns beside those of the table, on the way from where a row is to where it is scored.
PART, TIME, OWN = "__detector_part", "__detector_time", "__detector_own"
ROUTED = f"{PART} int, {TIME} bigint, {OWN} boolean"
# A part holds so many rows and values at most, which a worker has in memory; and so many times the
# rows it looks back on at least, as these are scored once more.
_MOST_ROWS, _MOST_VALUES, _LEAST_TIMES = 20_000, 1_000_000, 4
# Those that only pass through are not kept in memory.
_MOST_PASSING = 1_000_000
_FILLED_BY_NEIGHBOURS = ("Linear", "Previous", "Subsequent")
_Index = npt.NDArray[np.int64]


class Surveyed(Protocol):
    """What the driver got of one batch, as `rows.survey` yields it."""

    times: bytes
    gaps: bytes
    missing: bytes
    errors: Sequence[Any]


@dataclass(frozen=True)
class Rows:
    """All rows as the driver knows them.

    Attributes
    ----------
    times : ndarray of int64, shape (n,)
        Ascending.
    gaps : ndarray of int64, shape (g,)
        The rows without a value of some variable, ascending.
    missing : ndarray of bool, shape (g, d)
        Which variables these lack.
    errors : list of (int, DetectionError)
        What is wrong, and when.
    """

    times: Nanoseconds
    gaps: _Index
    missing: Flags
    errors: list[tuple[int, DetectionError]]

    @classmethod
    def of(cls, surveyed: Iterable[Surveyed], columns: Columns) -> Rows:
        """Return the rows of all batches."""
        count = len(columns.variables)
        times, gaps, missing = [np.empty(0, np.int64)], [np.empty(0, np.int64)], []
        errors: list[tuple[int, DetectionError]] = []
        before = 0
        for batch in surveyed:
            times.append(np.frombuffer(batch.times, np.int64))
            gaps.append(np.frombuffer(batch.gaps, np.int64) + before)
            packed = np.frombuffer(batch.missing, np.uint8).reshape(-1, -(-count // 8))
            missing.append(np.unpackbits(packed, axis=1, count=count).astype(bool))
            errors += [
                (each.time, DetectionError(each.code, each.message)) for each in batch.errors
            ]
            before += len(times[-1])
        every = np.concatenate(times)
        order = np.argsort(every, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        at = place[np.concatenate(gaps)]
        lacking = np.concatenate(missing) if missing else np.empty((0, count), dtype=bool)
        by_place = np.argsort(at)
        return cls(every[order], at[by_place], lacking[by_place], errors)


@dataclass(frozen=True)
class Span:
    """The rows that matter: those to score, and before them those that are looked back on.

    Attributes
    ----------
    rows : ndarray of int64, shape (m,)
        Where they are among all.
    lead : int
        How many of them are only looked back on.
    """

    rows: _Index
    lead: int


def span_of(
    rows: Rows, *, start: Moment, end: Moment, sliding_window: int, policy: AlignPolicy
) -> Span:
    """Return the rows from start to end with those looked back on.

    Raises
    ------
    DetectionError
        As `detector.multivariate.alignment.align`, for these rows.
    """
    timeless = [error for time, error in rows.errors if time == NO_TIME]
    if timeless:
        raise timeless[0]
    every = np.arange(len(rows.times))
    if policy.mode == "Inner":
        every = np.delete(every, rows.gaps)
    found, lead = chosen(
        as_times(rows.times),
        every,
        start=start,
        end=end,
        sliding_window=sliding_window,
        names=NAMES,
    )
    first, last = rows.times[found[0]], rows.times[found[-1]]
    within = rows.times[
        rows.times.searchsorted(first) : rows.times.searchsorted(last, side="right")
    ]
    again = np.flatnonzero(np.diff(within) == 0)
    if len(again):
        raise twice(pd.Timestamp(int(within[again[0]])))
    for time, error in sorted(rows.errors, key=lambda each: each[0]):
        if first <= time <= last:
            raise error
    return Span(found, lead)


@dataclass(frozen=True)
class Part:
    """Rows that are scored in one go.

    Attributes
    ----------
    begin, lead : int
        When the first row is, and the first of those that are looked back on.
    place : int
        Of the latter, among the rows that matter.
    before : int
        How many are looked back on.
    rows : int
        How many are scored.
    beside : dict of int to int
        Times and places of rows elsewhere between whose values gaps of this part are filled.
    """

    begin: int
    lead: int
    place: int
    before: int
    rows: int
    beside: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Which rows go where.

    Attributes
    ----------
    begins : ndarray of int64, shape (p,)
        When each part begins; they are in order, and the first begins with the first row.
    parts : tuple of Part or None
        None for rows that are not scored.
    """

    begins: Nanoseconds
    parts: tuple[Part | None, ...]


def plan(rows: Rows, span: Span, *, look_back: int, policy: AlignPolicy | None, cores: int) -> Plan:
    """Return how rows are scored in parts.

    Parameters
    ----------
    rows : Rows
    span : Span
        Those that matter.
    look_back : int
        How many rows before it the score of a row rests on.
    policy : AlignPolicy, optional
        Where gaps are filled across parts.
    cores : int
        How many workers there are.
    """
    if not len(span.rows):
        return Plan(np.array([NO_TIME]), (None,))
    times = rows.times[span.rows]
    scored = len(times) - span.lead
    most = max(1, scored // (_LEAST_TIMES * max(look_back, 1)))
    size = min(_MOST_ROWS, _MOST_VALUES // rows.missing.shape[1])
    count = min(most, max(2 * cores, -(-scored // size)))
    edges = np.linspace(span.lead, len(times), count + 1).astype(int).tolist()
    # Rows of one time stay together.
    edges = sorted({span.lead, *(int(times.searchsorted(times[e])) for e in edges[1:-1])})
    edges.append(len(times))
    gaps, missing = rows.gaps[:0], rows.missing[:0]
    if policy is not None and policy.mode == "Outer" and policy.fill in _FILLED_BY_NEIGHBOURS:
        here = np.isin(rows.gaps, span.rows)
        gaps, missing = span.rows.searchsorted(rows.gaps[here]), rows.missing[here]
    parts = []
    for first, stop in itertools.pairwise(edges):
        lead = int(times.searchsorted(times[max(0, first - look_back)]))
        beside = _beside(gaps, missing, times, lead, stop)
        parts.append(
            Part(int(times[first]), int(times[lead]), lead, first - lead, stop - first, beside)
        )
    ahead = _passing(rows.times[: span.rows[span.lead]])
    behind = _passing(rows.times[span.rows[-1] + 1 :])
    begins = [*ahead, *(part.begin for part in parts), *behind]
    return Plan(
        np.array([NO_TIME, *begins[1:]]),
        (*(None for _ in ahead), *parts, *(None for _ in behind)),
    )


def _passing(times: Nanoseconds) -> list[int]:
    """Return when parts of rows that are not scored begin."""
    begins: list[int] = np.unique(times[::_MOST_PASSING]).tolist()
    return begins


def _beside(
    gaps: _Index, missing: Flags, times: Nanoseconds, lead: int, stop: int
) -> dict[int, int]:
    """Return the rows next to a part that have values of those variables its edges lack."""
    beside = {}
    for place, is_first in ((lead, True), (stop - 1, False)):
        gap = int(gaps.searchsorted(place))
        if gap == len(gaps) or gaps[gap] != place:
            continue
        for variable in np.flatnonzero(missing[gap]):
            lacking = gaps[missing[:, variable]]
            # Rows that follow on each other without a gap between them have the same number.
            runs = lacking - np.arange(len(lacking))
            run = runs[lacking.searchsorted(place)]
            if is_first:
                near = int(lacking[runs.searchsorted(run)]) - 1
            else:
                near = int(lacking[runs.searchsorted(run, side="right") - 1]) + 1
            if 0 <= near < len(times):
                beside[int(times[near])] = near
    return beside


def route(
    batches: Iterator[pa.RecordBatch], columns: Columns, plan: Plan
) -> Iterator[pa.RecordBatch]:
    """Send each row to its part, and to the parts that look back on it or fill gaps by it.

    Yields
    ------
    RecordBatch
        All columns, and those of `ROUTED`.
    """
    for batch in batches:
        times = times_of(batch, columns)
        own = plan.begins.searchsorted(times, side="right") - 1
        yield _routed(batch, times, np.arange(len(times)), own, is_own=True)
        order = np.argsort(times, kind="stable")
        ordered = times[order]
        rows, parts = [], []
        for number, part in enumerate(plan.parts):
            if part is None:
                continue
            first, stop = ordered.searchsorted([part.lead, part.begin])
            beside = np.flatnonzero(np.isin(ordered, list(part.beside)))
            for found in (order[first:stop], order[beside]):
                rows.append(found)
                parts.append(np.full(len(found), number))
        copies = np.concatenate(rows)
        if len(copies):
            yield _routed(batch, times, copies, np.concatenate(parts), is_own=False)


def _routed(
    batch: pa.RecordBatch, times: Nanoseconds, rows: _Index, parts: _Index, *, is_own: bool
) -> pa.RecordBatch:
    taken = batch if is_own else batch.take(pa.array(rows))
    beside = {
        PART: pa.array(parts.astype(np.int32)),
        TIME: pa.array(times[rows]),
        OWN: pa.array(np.full(len(rows), is_own)),
    }
    return pa.RecordBatch.from_arrays(
        [*taken.columns, *beside.values()], names=[*taken.schema.names, *beside]
    )
