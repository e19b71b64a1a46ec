"""The format ``s3`` of Spark: files in an S3 store, read and written by the Python workers."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
from pyspark.sql.types import (
    DataType,
    DateType,
    DoubleType,
    LongType,
    NullType,
    StringType,
    StructType,
    TimestampType,
)

from detector.errors import DetectionError
from detector.spark.sources import files, store
from detector.spark.sources.files import Piece
from detector.spark.sources.options import refuse_unknown
from detector.spark.sources.s3_writer import S3Writer
from detector.spark.sources.store import Place, Stored
from detector.spark.sources.types import arrow_schema, spark_type

__all__ = ["S3"]

_TASK_BYTES = 32 * 1024**2
# To open a file takes about as long as to read so many bytes.
_FILE_BYTES = 1024**2
_FILES_AT_ONCE = 16


class S3(DataSource):
    """Parquet, CSV and lines of JSON in a folder of the store; Parquet is written."""

    @classmethod
    def name(cls) -> str:
        return "s3"

    def schema(self) -> StructType:
        """Return the columns of the files, which must agree.

        Raises
        ------
        DetectionError
            ``FileNotExist`` where there is no file, ``BadArgument`` where two do not agree,
            ``GetDataError`` where the store does not answer.
        """
        place = self._place()
        system, found = store.filesystem(), store.files(place)
        with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
            each = list(pool.map(lambda file: files.columns(system, place, file), found))
        return _agreed(place, found, each)

    def reader(self, schema: StructType) -> DataSourceReader:
        return S3Reader(self._place(), schema)

    def writer(self, schema: StructType, overwrite: bool) -> S3Writer:
        place = Place.parse_folder(self._options())
        return S3Writer.begun(place, schema, overwrite=overwrite)

    def _place(self) -> Place:
        return Place.parse(self._options())

    def _options(self) -> MutableMapping[str, str]:
        refuse_unknown(self.options, ("path",), self.name())
        return self.options


class Pieces(InputPartition):
    """What one task reads."""

    def __init__(self, value: list[Piece]) -> None:
        super().__init__(value)


class S3Reader(DataSourceReader):
    """Reads the columns of the schema, and no others."""

    def __init__(self, place: Place, schema: StructType) -> None:
        self._place = place
        self._schema = schema

    def partitions(self) -> list[InputPartition]:
        """Return a part of a large Parquet file, or several small files, for each task."""
        system = store.filesystem()
        tasks: list[list[Piece]] = [[]]
        room = _TASK_BYTES
        for file in store.files(self._place):
            for piece in files.pieces(system, self._place, file, _TASK_BYTES):
                cost = max(piece.size, _FILE_BYTES)
                if tasks[-1] and cost > room:
                    tasks.append([])
                    room = _TASK_BYTES
                tasks[-1].append(piece)
                room -= cost
        return [Pieces(task) for task in tasks]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        system, schema = store.filesystem(), arrow_schema(self._schema)
        for piece in partition.value:
            yield from files.batches(system, self._place, piece, schema)


def _agreed(place: Place, found: list[Stored], each: list[pa.Schema | None]) -> StructType:
    """Return the columns of all files, in the order of the first."""
    first = ""
    types: dict[str, DataType] = {}
    for file, schema in zip(found, each, strict=True):
        if schema is None:
            continue
        address = place.address(file.key)
        here = {field.name: spark_type(field.type, field.name, f"'{address}'") for field in schema}
        if not types:
            types, first = here, address
        for name in [*types, *here]:
            if name not in here or name not in types:
                missing, other = (address, first) if name not in here else (first, address)
                raise _unequal(f"'{missing}' has no column '{name}', and '{other}' has one")
            common = _common(types[name], here[name])
            if common is None:
                raise _unequal(
                    f"The column '{name}' is {here[name].simpleString()} in '{address}' and "
                    f"{types[name].simpleString()} in '{first}'"
                )
            types[name] = common
    if not types:
        raise _unequal(f"The files at '{place}' are empty")
    schema = StructType()
    for name, kind in types.items():
        schema.add(name, StringType() if isinstance(kind, NullType) else kind)
    return schema


def _common(one: DataType, other: DataType) -> DataType | None:
    """Return the type that holds the values of both: text in a file may look like less."""
    if one == other or isinstance(other, NullType):
        return one
    if isinstance(one, NullType):
        return other
    for narrow, wide in ((LongType(), DoubleType()), (DateType(), TimestampType())):
        if narrow in (one, other) and wide in (one, other):
            return wide
    return None


def _unequal(what: str) -> DetectionError:
    return DetectionError("BadArgument", f"{what}: give the columns to read by .schema(...).")
