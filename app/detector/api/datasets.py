"""``/datasets``: data of one's own for training and detection, without an account anywhere."""

import tempfile
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, BinaryIO, cast

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Path, Request
from pydantic import Field
from starlette.responses import Response

from detector.api.dependencies import DataAccess, ServiceUploads
from detector.api.errors import CODES, GatewayError, refusal
from detector.api.multivariate import examples
from detector.api.openapi import Problem, Wire, answers
from detector.api.upload_room import LAST_ANSWER, Upload, UploadRoom, no_room
from detector.api.wire import Json
from detector.datasource import Access, datasets, remove, store
from detector.datasource.uploads import begins_well, stem_of, too_large
from detector.errors import DetectionError

__all__ = ["router"]

router = APIRouter()

DatasetName = Annotated[str, Path(openapi_examples={examples.NAME: {"value": examples.NAME}})]
_Refusal = DetectionError | GatewayError

_BLOCK = 1024 * 1024
# Longer than a network that recovers is silent.
_SILENT_SECONDS = 30
_READ_ON_BYTES, _READ_ON_SECONDS = 8 * _BLOCK, 1


class Kept(Wire):
    """Where data is kept."""

    data_source: str = Field(description="What training and detection name as dataSource.")


class Dataset(Kept):
    """What is kept under a name."""

    name: str
    bytes: Annotated[int, Field(ge=0)]
    last_updated_time: datetime


class Datasets(Wire):
    """What is kept, by name."""

    datasets: list[Dataset]


def _refused(status: int, description: str) -> dict[int, dict[str, Any]]:
    return {status: {"model": Problem, "description": description}}


_AWAY = _refused(503, "The store of data does not answer; try again after Retry-After seconds.")
_PUT: dict[str, Any] = {
    "responses": answers(
        {
            201: {"model": Kept, "description": "Kept, in place of what had the name."},
            **_refused(
                400,
                "The name is none, or the body is neither a CSV file with a timestamp column nor a "
                "zip of CSV files; the code says which.",
            ),
            **_refused(413, CODES["InvalidFileSize"].meaning),
            **_AWAY,
        },
        refusals=(401, 403, 408, 429, 507),
    ),
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "description": "Whatever its Content-Type, its content decides.",
            "content": {
                "text/csv": {
                    "schema": {"type": "string"},
                    "example": examples.DATA,
                },
                "application/zip": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
}
_LIST = answers(
    {200: {"model": Datasets, "description": "What is kept, by name."}, **_AWAY},
    refusals=(401, 403),
)
_DELETE = answers(
    {
        **_refused(400, "The name cannot be that of a data set."),
        **_refused(404, "Nothing is kept under the name."),
        **_AWAY,
    },
    refusals=(401, 403),
)


@router.put("/datasets/{name}", status_code=201, **_PUT)
async def put_dataset(
    request: Request, name: DatasetName, access: DataAccess, uploads: ServiceUploads
) -> Response:
    """Keep a CSV file, or a zip of CSV files, for training and detection."""
    return await _answered(request, "put-dataset", _put(request, name, access, uploads))


@router.get("/datasets", responses=_LIST)
async def list_datasets(request: Request, access: DataAccess, uploads: ServiceUploads) -> Response:
    """List what is kept."""
    return await _answered(request, "list-datasets", _list(access, uploads))


@router.delete("/datasets/{name}", status_code=204, responses=_DELETE)
async def delete_dataset(
    request: Request, name: DatasetName, access: DataAccess, uploads: ServiceUploads
) -> Response:
    """Delete what is kept under a name."""
    return await _answered(request, "delete-dataset", _delete(name, access, uploads))


async def _answered(request: Request, operation: str, answer: Awaitable[Response]) -> Response:
    request.state.operation = operation
    try:
        return await answer
    except DetectionError as error:
        request.state.code = error.code
        refused = refusal(error, of_dataset=True)
        refused.headers.update(LAST_ANSWER)
        if refused.status_code == 503:
            refused.headers["Retry-After"] = "5"
        return refused


async def _put(request: Request, name: str, access: Access, uploads: UploadRoom) -> Json:
    stem_of(name)
    announced = request.headers.get("content-length", "")
    size = int(announced) if announced.isascii() and announced.isdigit() else 0
    # What can never be kept must take no room from others while it is read on.
    refused = uploads.crowded() or (too_large(name, access) if size > access.max_bytes else None)
    if refused:
        if "expect" not in request.headers:
            await _read_on(request.stream())
        raise refused
    with uploads.taken(size) as upload:
        receive = _Receive(request, name, access, uploads, upload)
        try:
            # It has no name on the disk, so that nothing is left of an upload that breaks off.
            with tempfile.TemporaryFile(buffering=0) as file:
                await receive.write_to(cast(BinaryIO, file))
                source = await run_sync(store, name, cast(BinaryIO, file), access)
        except OSError as error:
            raise no_room(f"{error.strerror} in the folder for temporary files") from error
    return Json({"dataSource": source}, status_code=201)


async def _list(access: Access, uploads: UploadRoom) -> Json:
    found = await uploads.look(lambda: datasets(access))
    return Json(
        {
            "datasets": [
                {
                    "name": dataset.name,
                    "dataSource": dataset.source,
                    "bytes": dataset.bytes,
                    "lastUpdatedTime": f"{dataset.changed:%Y-%m-%dT%H:%M:%SZ}",
                }
                for dataset in found
            ]
        }
    )


async def _delete(name: str, access: Access, uploads: UploadRoom) -> Response:
    await uploads.look(lambda: remove(name, access))
    return Response(status_code=204)


@dataclass
class _Receive:
    """The body of an upload on its way to a file."""

    request: Request
    name: str
    access: Access
    uploads: UploadRoom
    upload: Upload

    async def write_to(self, file: BinaryIO) -> None:
        """Write the body; refuse it as soon as it is known to be too large or no data."""
        refused: _Refusal | None = self.uploads.lacking()
        if refused and "expect" in self.request.headers:
            # The client waits to be told whether to send anything.
            raise refused
        chunks = _steady(self.request.stream())
        try:
            with anyio.fail_after(self.access.seconds):
                refused = refused or await self._write(chunks, file)
        except TimeoutError:
            raise GatewayError(
                408,
                f"The body did not arrive within {self.access.seconds:g} seconds "
                "(DETECTOR_DATA_SECONDS).",
                LAST_ANSWER,
            ) from None
        if refused:
            await _read_on(chunks)
            raise refused

    async def _write(self, chunks: AsyncIterator[bytes], file: BinaryIO) -> _Refusal | None:
        """Write a body up to where it is refused, and return why."""
        block = bytearray()
        async for chunk in chunks:
            block += chunk
            if len(block) >= _BLOCK:
                refused = await run_sync(self._keep, block, file)
                if refused:
                    return refused
                block = bytearray()
        return await run_sync(self._keep, block, file)

    def _keep(self, block: bytearray, file: BinaryIO) -> _Refusal | None:
        """Write the next block of a body, or return why it is refused."""
        if self.upload.written + len(block) > self.access.max_bytes:
            return too_large(self.name, self.access)
        if not self.upload.written:
            try:
                begins_well(bytes(block), self.name, self.access)
            except DetectionError as error:
                return error
        try:
            # Without a buffer, a file may take less than it is given.
            while block:
                count = file.write(block)
                del block[:count]
                self.upload.written += count
        except OSError as error:
            return no_room(f"{error.strerror} in the folder for temporary files")
        return self.uploads.lacking()


async def _steady(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return what arrives; refuse it, with 408, where nothing more does: others need its place."""
    while True:
        try:
            with anyio.fail_after(_SILENT_SECONDS):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise GatewayError(
                408, f"Nothing of the body arrived for {_SILENT_SECONDS:g} seconds.", LAST_ANSWER
            ) from None
        if chunk is None:
            return
        yield chunk


async def _read_on(chunks: AsyncIterator[bytes]) -> None:
    """Read more of a body that is refused: a client that still sends does not see the answer."""
    size = 0
    with anyio.move_on_after(_READ_ON_SECONDS):
        async for chunk in chunks:
            size += len(chunk)
            if size > _READ_ON_BYTES:
                break
