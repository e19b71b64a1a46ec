"""Parquet files."""

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from detector.files.content import Bounds, Content
from detector.files.table import Table

__all__ = ["is_parquet", "read_parquet"]

_SIGNATURE = b"PAR1"
_ROWS_AT_ONCE = 65_536
# As pandas calls the index that has no name.
_UNNAMED = "__index_level_"


def is_parquet(content: Content) -> bool:
    """Say whether a file is one of Parquet, or is called so."""
    return content.data.startswith(_SIGNATURE) or content.suffix == ".parquet"


def read_parquet(content: Content, bounds: Bounds) -> Table:
    """Read the columns of a Parquet file, the index of pandas too.

    Raises
    ------
    FileError
        If it cannot be read, or holds more than the bounds allow.
    """
    try:
        table = _read(content, bounds)
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        if isinstance(error, type(content.problem(""))):
            raise
        why = " ".join(str(error).split())[:80].rstrip(".")
        raise content.problem(f"cannot be read as Parquet ({why}): write it again.") from error
    if not table.num_rows or not table.num_columns:
        raise content.problem("has no rows.")
    names = [
        name if not name.startswith(_UNNAMED) else f"index {at}" if at else "index"
        for at, name in enumerate(table.column_names)
    ]
    return Table(
        content, names, [_cells(column) for column in table.columns], lambda row: f"row {row}"
    )


def _read(content: Content, bounds: Bounds) -> pa.Table:
    file = pq.ParquetFile(pa.BufferReader(content.data))
    schema = file.schema_arrow
    wanted = [field.name for field in schema if not pa.types.is_nested(field.type)]
    words = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_binary(f.type)]
    # A word that all rows share is held once.
    file = pq.ParquetFile(pa.BufferReader(content.data), read_dictionary=words)
    batches, cells, letters = [], 0, 0
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=wanted):
        cells += batch.num_rows * batch.num_columns
        if cells > bounds.cells:
            raise content.problem(
                f"holds more than {bounds.cells} cells, the most that are read: cut out the time "
                "or the columns that matter."
            )
        letters += sum(map(_letters, batch.columns))
        if letters > bounds.texts:
            raise content.problem(
                "has more text in its cells than is read: cut out the time or the columns that "
                "matter."
            )
        batches.append(batch)
    return pa.Table.from_batches(batches) if batches else schema.empty_table()


def _letters(column: pa.Array) -> int:
    """Return how long the texts of a column are, counted for each row that has them."""
    if not pa.types.is_dictionary(column.type):
        return 0
    lengths = pc.take(pc.binary_length(column.dictionary), column.indices)
    return int(pc.sum(pc.cast(lengths, pa.int64())).as_py() or 0)


def _cells(column: pa.ChunkedArray) -> Any:
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return pd.DatetimeIndex(column.to_pandas())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        cells: Any = column.to_pandas().to_numpy()
        return cells if cells.dtype.kind in "iuf" else list(cells)
    if pa.types.is_decimal(kind):
        return [None if cell is None else float(cell) for cell in column.to_pylist()]
    found = column.to_pandas()
    if pa.types.is_dictionary(kind):
        found = found.astype(object)
    return [None if cell is None or cell is pd.NaT else cell for cell in found]
