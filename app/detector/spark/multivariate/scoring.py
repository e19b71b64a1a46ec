"""What a worker does with the rows of a part: it scores them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from detector.arrays import Flags, Floats
from detector.errors import DetectionError
from detector.multivariate.alignment import Table, filled
from detector.multivariate.model import MultivariateModel
from detector.multivariate.wire import anomaly_state_to_wire
from detector.spark.multivariate.parts import OWN, PART, TIME, Part, Plan
from detector.spark.multivariate.rows import Columns, Nanoseconds, as_times, values_of

if TYPE_CHECKING:
    from pyspark.core.broadcast import Broadcast

__all__ = ["ERRORS", "KINDS", "VALUE", "score"]

_ERROR = pa.struct([("code", pa.string()), ("message", pa.string())])
_CORRELATIONS = pa.struct([("changedVariables", pa.list_(pa.string()))])
_CONTRIBUTOR = pa.struct(
    [
        ("variable", pa.string()),
        ("contributionScore", pa.float64()),
        ("correlationChanges", _CORRELATIONS),
    ]
)
# What is found of one row, as the service told it.
VALUE = pa.struct(
    [
        ("interpretation", pa.list_(_CONTRIBUTOR)),
        ("isAnomaly", pa.bool_()),
        ("severity", pa.float64()),
        ("score", pa.float64()),
    ]
)
ERRORS = pa.list_(_ERROR)
KINDS = (VALUE, ERRORS, pa.bool_())


def score(
    batches: Iterator[pa.RecordBatch],
    *,
    columns: Columns,
    plan: Plan,
    model: Broadcast[MultivariateModel],
    top_contributors: int,
    names: Sequence[str],
) -> Iterator[pa.RecordBatch]:
    """Score the rows of a part.

    Parameters
    ----------
    batches : iterator of RecordBatch
        Of one part, as `parts.route` sends them, in order of time.
    columns : Columns
    plan : Plan
    model : broadcast of MultivariateModel
    top_contributors : int
    names : sequence of str
        Of what is found: values, errors, whether it is an anomaly.

    Yields
    ------
    RecordBatch
        The part's own rows, with what was found (`VALUE`), errors (`ERRORS`) and whether it is an
        anomaly; null where the row is not scored.
    """
    held = []
    part: Part | None = None
    for batch in batches:
        part = plan.parts[batch.column(PART)[0].as_py()]
        if part is not None:
            held.append(batch)
        else:
            count = batch.num_rows
            yield with_found(
                batch, dict(zip(names, [pa.nulls(count, kind) for kind in KINDS], strict=True))
            )
    if part is None:
        return
    rows = pa.Table.from_batches(held).combine_chunks().to_batches()[0]
    own = rows.column(OWN).to_numpy(zero_copy_only=False)
    table, scored = _table(rows, own, columns, part, model.value)
    single_thread()
    states = model.value.detect_table(table, top_contributors=top_contributors)
    wire = [anomaly_state_to_wire(state) for state in states]
    # Where each of the part's own rows is among those scored; None where it is not.
    places = np.where(scored, np.cumsum(scored) - 1, -1)[own]
    taken = pa.array(places, mask=places < 0)
    found = [
        pa.array([each["value"] for each in wire], VALUE),
        pa.array([each["errors"] for each in wire], ERRORS),
        pa.array([state.is_anomaly for state in states], pa.bool_()),
    ]
    yield with_found(
        rows.filter(pa.array(own)),
        dict(zip(names, [each.take(taken) for each in found], strict=True)),
    )


def single_thread() -> None:
    """Have torch use the one core that a worker has."""
    import torch

    if torch.get_num_threads() > 1:
        torch.set_num_threads(1)


def _table(
    rows: pa.RecordBatch, own: Flags, columns: Columns, part: Part, model: MultivariateModel
) -> tuple[Table, Flags]:
    """Return the rows of a part side by side without gaps, and which of all rows it scores."""
    times: Nanoseconds = rows.column(TIME).to_numpy()
    values, _ = values_of(rows, columns)
    policy = model.options.align
    is_beside = np.isin(times, list(part.beside))
    inside = ~is_beside
    if policy.mode == "Inner":
        inside &= ~np.isnan(values).any(axis=1)
    if int(inside.sum()) != part.before + part.rows or not np.array_equal(own[inside], _own(part)):
        raise DetectionError(
            "UnexpectedError",
            "The rows of the DataFrame are not those that were counted before: they change each "
            "time they are read. Persist the DataFrame, or write it, and detect in that.",
        )
    places = np.empty(len(times), dtype=np.int64)
    places[inside] = np.arange(part.place, part.place + int(inside.sum()))
    places[is_beside] = [part.beside[time] for time in times[is_beside].tolist()]
    kept = inside | is_beside
    whole: Floats = np.empty((int(inside.sum()), len(columns.variables)))
    for place in range(len(columns.variables)):
        column = filled(values[kept, place], policy, places[kept])
        whole[:, place] = column[inside[kept]]
    return Table(as_times(times[inside]), columns.variables, whole, (), part.before), inside & own


def _own(part: Part) -> Flags:
    return np.arange(part.before + part.rows) >= part.before


def with_found(batch: pa.RecordBatch, found: Mapping[str, pa.Array]) -> pa.RecordBatch:
    """Return the columns of the table, and what was found in its rows."""
    kept = [name for name in batch.schema.names if name not in (PART, TIME, OWN)]
    return pa.RecordBatch.from_pydict({name: batch.column(name) for name in kept} | dict(found))
