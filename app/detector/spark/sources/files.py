"""What is in a file of the store: its columns, and its rows in batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
from pyarrow.fs import S3FileSystem

from detector.errors import DetectionError, listed
from detector.spark.sources.store import Place, Stored, explained
from detector.spark.sources.types import fit

__all__ = ["Piece", "batches", "columns", "kind", "pieces"]

_BLOCK = 1024 * 1024
_BATCH = 16_384
_KINDS = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json"}
_COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
# What R, pandas and databases write for no value; in quotes it is a text.
_NULLS = ["", "NULL", "null"]


class Piece(NamedTuple):
    """What a task reads of a file: some row groups of Parquet, or all (None)."""

    key: str
    size: int
    groups: tuple[int, ...] | None = None


def kind(key: str) -> tuple[str, str | None]:
    """Return what the ending of a name says of a file, and how it is compressed.

    Raises
    ------
    DetectionError
        ``BadArgument``, for another ending.
    """
    stem, dot, last = key.lower().rpartition(".")
    compression = _COMPRESSED.get(dot + last)
    stem = stem if compression else key.lower()
    for ending, found in _KINDS.items():
        if stem.endswith(ending) and not (found == "parquet" and compression):
            return found, compression
    raise DetectionError(
        "BadArgument",
        f"The name of '{key}' must end in {', '.join(_KINDS)}; all but the first also followed by "
        f"{', '.join(_COMPRESSED)}.",
    )


def columns(system: S3FileSystem, place: Place, file: Stored) -> pa.Schema | None:
    """Return the columns of a file and their types; None where it has no byte and so no rows.

    A type of CSV or JSON is that of the first MiB.
    """
    address, path = place.address(file.key), f"{place.bucket}/{file.key}"
    found, compression = kind(file.key)
    if not file.size and found != "parquet":
        return None
    with explained(address):
        if found == "parquet":
            schema = pq.read_schema(system.open_input_file(path))
        else:
            with system.open_input_stream(path, compression=compression) as stream:
                schema = _lines(found, stream, None).schema
    twice = [name for name, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise DetectionError("BadArgument", f"'{address}' has two columns {listed(twice)}.")
    return schema


def pieces(system: S3FileSystem, place: Place, file: Stored, most: int) -> list[Piece]:
    """Return a file in pieces of about so many bytes."""
    if kind(file.key)[0] != "parquet" or file.size <= most:
        return [Piece(file.key, file.size)]
    with explained(place.address(file.key)):
        footer = pq.read_metadata(system.open_input_file(f"{place.bucket}/{file.key}"))
    share = file.size // max(footer.num_row_groups, 1)
    together = max(most // max(share, 1), 1)
    groups = range(footer.num_row_groups)
    return [
        Piece(file.key, share * len(part), tuple(part))
        for part in (groups[at : at + together] for at in range(0, len(groups), together))
    ]


def batches(
    system: S3FileSystem, place: Place, piece: Piece, schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Return the rows in the columns of the schema, a batch at a time."""
    (found, compression), address = kind(piece.key), place.address(piece.key)
    if not piece.size and found != "parquet":
        return
    path = f"{place.bucket}/{piece.key}"
    with explained(address):
        if found == "parquet":
            with system.open_input_file(path) as file:
                yield from _fitting(_rows(file, piece, schema, address), schema, address)
        else:
            with system.open_input_stream(path, compression=compression) as stream:
                yield from _fitting(_lines(found, stream, schema), schema, address)


def _rows(file: Any, piece: Piece, schema: pa.Schema, address: str) -> Iterator[pa.RecordBatch]:
    # Of a row group it holds what was read ahead, and not all its bytes.
    opened = pq.ParquetFile(file, pre_buffer=False, buffer_size=_BLOCK)
    _refuse_missing(schema, opened.schema_arrow.names, address)
    groups = range(opened.num_row_groups) if piece.groups is None else piece.groups
    for group in groups:
        yield from opened.iter_batches(
            _BATCH, row_groups=[group], columns=schema.names, use_threads=False
        )


def _lines(found: str, stream: Any, schema: pa.Schema | None) -> Any:
    """Return a reader of lines, each type given or found in the first block."""
    # Times are read as texts: more are understood, and they need no zone.
    types = {
        field.name: pa.string() if pa.types.is_timestamp(field.type) else field.type
        for field in schema or ()
    }
    if found == "csv":
        return pa.csv.open_csv(
            stream,
            read_options=pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK),
            convert_options=pa.csv.ConvertOptions(
                column_types=types,
                include_columns=list(types),
                null_values=_NULLS,
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    return pa.json.open_json(
        stream,
        read_options=pa.json.ReadOptions(use_threads=False, block_size=_BLOCK),
        parse_options=pa.json.ParseOptions(
            explicit_schema=pa.schema(list(types.items())) if types else None,
            unexpected_field_behavior="ignore" if types else "infer",
        ),
    )


def _fitting(
    found: Iterator[pa.RecordBatch], schema: pa.Schema, address: str
) -> Iterator[pa.RecordBatch]:
    for batch in found:
        _refuse_missing(schema, batch.schema.names, address)
        arrays = [fit(batch.column(field.name), field, f"'{address}'") for field in schema]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _refuse_missing(schema: pa.Schema, names: list[str], address: str) -> None:
    missing = [name for name in schema.names if name not in names]
    if missing:
        raise DetectionError(
            "BadArgument",
            f"'{address}' has no column {listed(missing)}. It has {listed(names)}.",
        )
