"""Writes Parquet into a folder of an S3 store: all that a job wrote, once, or nothing.

A task uploads its rows in parts. The store keeps parts for itself until the upload is completed,
so nobody sees what a task wrote that failed, was killed or ran twice. The driver completes one
upload of each task when all have ended, deletes the older files where they are to be replaced, and
writes ``_SUCCESS`` last. While it does, a marker lies in the folder, and this package's reader
refuses the folder.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import TaskContext
from pyspark.sql.datasource import DataSourceArrowWriter, WriterCommitMessage
from pyspark.sql.types import StructType

from detector.errors import DetectionError, listed
from detector.spark.sources import store
from detector.spark.sources.store import APPENDING, OVERWRITING, Place
from detector.spark.sources.types import arrow_schema

__all__ = ["S3Writer"]

_PART = 8 * 1024**2
_ROWS_BYTES = 8 * 1024**2
_KEYS_AT_ONCE = 1000
# As many connections has a client of boto3.
_AT_ONCE = 10
# In the marker, once every new file is whole.
_WHOLE = b"the new files are whole"


@dataclass(frozen=True)
class Written(WriterCommitMessage):
    """What a task wrote: parts of an upload, or nothing (None) where it had no row."""

    task: int
    upload: str | None
    parts: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class S3Writer(DataSourceArrowWriter):
    """One job's writing.

    Attributes
    ----------
    place : Place
    schema : StructType
    job : str
        In the name of each of its objects.
    before : frozenset of str
        The keys that were there when it began.
    overwrite : bool
        Whether they are deleted in the end.
    """

    place: Place
    schema: StructType
    job: str
    before: frozenset[str]
    overwrite: bool

    @classmethod
    def begun(cls, place: Place, schema: StructType, *, overwrite: bool) -> S3Writer:
        """Return a writer that knows what lies in the folder.

        Raises
        ------
        DetectionError
            ``BadArgument`` for two columns of one name.
        """
        twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
        if twice:
            raise DetectionError("BadArgument", f"There are two columns {listed(twice)}.")
        with store.client() as asked, store.explained(str(place)):
            before = frozenset(each.key for each in store.objects(asked, place))
        return cls(place, schema, uuid.uuid4().hex, before, overwrite)

    def write(self, iterator: Iterator[pa.RecordBatch]) -> Written:
        """Upload the rows of a task; its worker sees neither the other tasks nor their files."""
        task = cast(TaskContext, TaskContext.get()).partitionId()
        with store.client() as asked, store.explained(str(self.place)):
            upload = Upload(asked, self.place.bucket, self._key(task))
            try:
                _write(iterator, upload)
                return Written(task, *upload.ended())
            except BaseException:
                upload.abort()
                raise

    def commit(self, messages: list[WriterCommitMessage | None]) -> None:
        """Make what the tasks wrote the folder's files, in place of or beside those before."""
        written = [each for each in messages if isinstance(each, Written) and each.upload]
        with store.client() as asked, store.explained(str(self.place)):
            if self.overwrite:
                self._refuse_others(asked)
            self._put(asked, self.place.folder + self.marker, b"")
            _each(lambda message: self._complete(asked, message), written)
            _each(lambda task: self._abort_uploads(asked, task), range(len(messages)))
            if not written:
                self._put(asked, self._key(0), self._empty())
            if self.overwrite:
                self._put(asked, self.place.folder + self.marker, _WHOLE)
                self._delete(asked, sorted(self.before))
            self._put(asked, self.place.folder + "_SUCCESS", b"")
            self._delete(asked, [self.place.folder + self.marker])

    def abort(self, messages: list[WriterCommitMessage | None]) -> None:
        """Delete what the tasks wrote, unless it has begun to replace what was there."""
        with store.client() as asked, store.explained(str(self.place)):
            if self.overwrite and self._is_whole(asked):
                return
            _each(lambda task: self._abort_uploads(asked, task), range(len(messages)))
            mine = [each.key for each in store.objects(asked, self.place) if self.job in each.key]
            # The marker goes last: until then nobody reads the others.
            self._delete(
                asked, sorted(mine, key=lambda key: key == self.place.folder + self.marker)
            )

    @property
    def marker(self) -> str:
        """The name of its marker in the folder."""
        return f"{OVERWRITING if self.overwrite else APPENDING}{self.job}"

    def _key(self, task: int) -> str:
        # A task's attempts upload to one name, of which the store lists the uploads.
        return f"{self.place.folder}part-{task:05}-{self.job}.parquet"

    def _complete(self, asked: Any, message: Written) -> None:
        asked.complete_multipart_upload(
            Bucket=self.place.bucket,
            Key=self._key(message.task),
            UploadId=message.upload,
            MultipartUpload={"Parts": list(message.parts)},
        )

    def _abort_uploads(self, asked: Any, task: int) -> None:
        """Delete what attempts left which were killed, or ended after another."""
        bucket, key = self.place.bucket, self._key(task)
        found = asked.list_multipart_uploads(Bucket=bucket, Prefix=key).get("Uploads", [])
        for each in found:
            asked.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=each["UploadId"])

    def _refuse_others(self, asked: Any) -> None:
        found = {each.key for each in store.objects(asked, self.place)}
        others = sorted(found - self.before)
        if others:
            raise DetectionError(
                "BadArgument",
                f"Another job wrote '{self.place.address(others[0])}' while this one ran, which "
                "wrote nothing: let one job at a time overwrite a folder.",
            )

    def _is_whole(self, asked: Any) -> bool:
        from botocore.exceptions import ClientError  # type: ignore[import-untyped]

        try:
            found = asked.get_object(Bucket=self.place.bucket, Key=self.place.folder + self.marker)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                return False
            raise
        return bool(found["Body"].read() == _WHOLE)

    def _empty(self) -> bytes:
        """Return a file without rows, from which a reader learns the columns."""
        file = io.BytesIO()
        pq.write_table(arrow_schema(self.schema).empty_table(), file)
        return file.getvalue()

    def _put(self, asked: Any, key: str, body: bytes) -> None:
        asked.put_object(Bucket=self.place.bucket, Key=key, Body=body)

    def _delete(self, asked: Any, keys: list[str]) -> None:
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            chosen = [{"Key": key} for key in keys[start : start + _KEYS_AT_ONCE]]
            answer = asked.delete_objects(Bucket=self.place.bucket, Delete={"Objects": chosen})
            for failed in answer.get("Errors", [])[:1]:
                raise DetectionError(
                    "GetDataError",
                    f"The store does not delete '{self.place.address(failed['Key'])}': "
                    f"{failed.get('Code')}.",
                )


class Upload(io.RawIOBase):
    """A file that goes to the store in parts while it is written, and stays unseen there."""

    def __init__(self, asked: Any, bucket: str, key: str) -> None:
        self._asked = asked
        self._where = {"Bucket": bucket, "Key": key}
        self._buffer = bytearray()
        self._parts: list[dict[str, Any]] = []
        self._id: str | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._buffer += data
        while len(self._buffer) >= _PART:
            with memoryview(self._buffer) as view:
                part = bytes(view[:_PART])
            self._send(part)
            del self._buffer[:_PART]
        return len(data)

    def ended(self) -> tuple[str | None, tuple[dict[str, Any], ...]]:
        """Send what is left; return the upload, if any, and its parts."""
        if self._buffer:
            self._send(bytes(self._buffer))
        return self._id, tuple(self._parts)

    def abort(self) -> None:
        if self._id:
            self._asked.abort_multipart_upload(**self._where, UploadId=self._id)

    def _send(self, part: bytes) -> None:
        if self._id is None:
            self._id = self._asked.create_multipart_upload(**self._where)["UploadId"]
        number = len(self._parts) + 1
        answer = self._asked.upload_part(
            **self._where, UploadId=self._id, PartNumber=number, Body=part
        )
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})


def _each(do: Callable[[Any], None], of: Sequence[Any]) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(do, of))


def _write(batches: Iterator[pa.RecordBatch], upload: Upload) -> None:
    """Write rows as Parquet, some MiB in a row group; nothing where there is none."""
    writer: pq.ParquetWriter | None = None
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        if batch.num_rows == 0:
            continue
        waiting.append(batch)
        if sum(each.nbytes for each in waiting) >= _ROWS_BYTES:
            writer = writer or pq.ParquetWriter(upload, batch.schema)
            writer.write_table(pa.Table.from_batches(waiting))
            waiting.clear()
    if waiting:
        writer = writer or pq.ParquetWriter(upload, waiting[0].schema)
        writer.write_table(pa.Table.from_batches(waiting))
    if writer:
        writer.close()
