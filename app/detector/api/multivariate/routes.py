"""``multivariate/...``: models of many variables, and what they find."""

import io
import re
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi import Path as InPath
from starlette.responses import Response

from detector import datasource
from detector.api.dependencies import DataAccess, ServiceLimits, ServiceSettings, ServiceStore
from detector.api.errors import GatewayError
from detector.api.limits import Limits
from detector.api.model_store import ModelStore
from detector.api.multivariate import requests as asked
from detector.api.multivariate import responses as answer
from detector.api.multivariate import schemas
from detector.api.versions import PREVIEWS, V1_1, LastPreview, Multivariate, Preview
from detector.api.wire import MOST_VALUES, Json, parse
from detector.errors import DetectionError
from detector.jobs import submission
from detector.multivariate.alignment import align
from detector.multivariate.model import MultivariateModel
from detector.multivariate.wire import NAMES
from detector.settings import Settings
from detector.tracking import runs
from detector.tracking.listing import ModelList, has_models
from detector.tracking.records import ModelRecord, ResultRecord

__all__ = ["router"]

router = APIRouter(prefix="/multivariate")

_Made = TypeVar("_Made")
# The largest request for the last timestamps, 300 variables of 2,880, is so many times the largest
# one for a single series.
_LARGER = 10
# How many variables a list tells of, some 150 bytes each; more are on its next page.
_MOST_STATES = 30_000
_HOST = re.compile(r"(\[[0-9a-fA-F:.]{2,45}\]|[\w.-]{1,253})(:\d{1,5})?", re.ASCII)
_ID = InPath(json_schema_extra={"format": "uuid"})
ModelId = Annotated[str, _ID]
ResultId = Annotated[str, _ID]


@dataclass(frozen=True)
class _Call:
    """A request that is answered with the model store."""

    request: Request
    limits: Limits
    store: ModelStore
    access: datasource.Access

    async def answer(
        self, operation: str, version: str, work: Callable[[bytes], _Made], *, times: int = 1
    ) -> _Made:
        """Return what the work makes of the body, done where it may take its time.

        Parameters
        ----------
        times
            How many times the largest body of one series this one may have.
        """
        body = await self.read(operation, version, times=times)
        return await self.store.ask(lambda: work(body))

    async def read(self, operation: str, version: str, *, times: int = 1) -> bytes:
        """Return the body, for an operation that the log and the metrics name."""
        state = self.request.state
        state.operation, state.api_version = operation, version
        return await self.limits.read(self.request, times=times)

    def address(self, version: str) -> str:
        """Return the address of the resources, absolute, at the host that the client called."""
        host, scope = self.request.headers.get("host", ""), self.request.scope
        if not _HOST.fullmatch(host):
            host = ":".join(str(part) for part in scope["server"])
        return f"{scope['scheme']}://{host}/anomalydetector/{version}/multivariate"


async def _call(
    request: Request, limits: ServiceLimits, store: ServiceStore, access: DataAccess
) -> _Call:
    return _Call(request, limits, store, access)


Call = Annotated[_Call, Depends(_call)]


@router.post("/models", **schemas.TRAIN)
async def train(version: Multivariate, call: Call, settings: ServiceSettings) -> Response:
    """Begin to train a model on many variables; ask for the model until it is READY."""

    def begin(body: bytes) -> Response:
        training = asked.training(parse(body), version)
        datasource.check(training.source, call.access)
        _check_room(settings)
        record = submission.begin_training(training)
        headers = {"Location": f"{call.address(version)}/models/{record.model_id}"}
        if version in PREVIEWS:
            return Response(status_code=201, headers=headers)
        told = answer.model(record, version, call.access)
        return Json(told, status_code=201, headers=headers)

    return await call.answer("multivariate-train", version, begin)


@router.get("/models", **schemas.LIST)
async def models(version: Multivariate, call: Call, settings: ServiceSettings) -> Response:
    """List the models, the last updated first."""

    def look(listed: ModelList) -> Response:
        skip, top = asked.page(call.request.query_params, version)
        records, count = listed.page(skip, top)
        whole = _fitting(records)
        rest = f"skip={skip + whole}&top={top - whole}"
        link = f"{call.address(version)}/models?{rest}" if whole < len(records) else ""
        page = records[:whole]
        most, access = settings.max_models, call.access
        return Json(answer.models(page, count, most, version, access, next_link=link))

    await call.read("multivariate-list", version)
    return await call.store.list_models(look)


@router.get("/models/{model_id}", **schemas.GET)
async def model(version: Multivariate, call: Call, model_id: ModelId) -> Response:
    """Say what is known of a model: what was asked for, how far it is, how its training went."""

    def look(_: bytes) -> Response:
        return Json(answer.model(runs.get_model(model_id), version, call.access))

    return await call.answer("multivariate-get", version, look)


@router.delete("/models/{model_id}", **schemas.DELETE)
async def delete(version: Multivariate, call: Call, model_id: ModelId) -> Response:
    """Delete a model; if it is being trained, that is stopped."""

    def remove(_: bytes) -> Response:
        runs.delete_model(model_id)
        return Response(status_code=204)

    return await call.answer("multivariate-delete", version, remove)


@router.post("/models/{model_id}:detect-batch", **schemas.DETECT_BATCH)
async def detect_batch(
    version: V1_1, call: Call, model_id: ModelId, settings: ServiceSettings
) -> Response:
    """Start a batch detection; ask for its result until it is READY."""

    def begin(body: bytes) -> Response:
        record = _begin_detection(call, model_id, body, version, settings)
        headers = {
            "operation-id": record.result_id,
            "operation-location": f"{call.address(version)}/detect-batch/{record.result_id}",
        }
        told = answer.result(record, version, call.access)
        return Json(told, status_code=202, headers=headers)

    return await call.answer("multivariate-detect-batch", version, begin)


@router.post("/models/{model_id}/detect", **schemas.DETECT)
async def detect(
    version: Preview, call: Call, model_id: ModelId, settings: ServiceSettings
) -> Response:
    """Start a batch detection; ask for its result until it is READY."""

    def begin(body: bytes) -> Response:
        record = _begin_detection(call, model_id, body, version, settings)
        location = f"{call.address(version)}/results/{record.result_id}"
        return Response(status_code=201, headers={"Location": location})

    return await call.answer("multivariate-detect-batch", version, begin)


@router.get("/detect-batch/{result_id}", **schemas.RESULT)
async def batch_result(version: V1_1, call: Call, result_id: ResultId) -> Response:
    """Return the status of a batch detection, and its result when it is READY."""
    return await _result(call, version, result_id)


@router.get("/results/{result_id}", **schemas.RESULT)
async def result(version: Preview, call: Call, result_id: ResultId) -> Response:
    """Return the status of a batch detection, and its result when it is READY."""
    return await _result(call, version, result_id)


@router.post("/models/{model_id}:detect-last", **schemas.DETECT_LAST)
async def detect_last(version: V1_1, call: Call, model_id: ModelId) -> Response:
    """Detect anomalies in the last timestamps of the values in the request."""
    return await _detect_last(call, version, model_id)


@router.post("/models/{model_id}/last/detect", **schemas.LAST_DETECT)
async def last_detect(version: LastPreview, call: Call, model_id: ModelId) -> Response:
    """Detect anomalies in the last timestamps of the values in the request."""
    return await _detect_last(call, version, model_id)


@router.get("/models/{model_id}/export", **schemas.EXPORT)
async def export(version: Preview, call: Call, model_id: ModelId) -> Response:
    """Return the files of a trained model in a zip."""

    def pack(_: bytes) -> Response:
        return Response(
            _zipped(call.store.model(model_id)),
            media_type="application/zip",
            headers={"Content-Disposition": f'attachment; filename="{model_id}.zip"'},
        )

    return await call.answer("multivariate-export", version, pack)


async def _result(call: _Call, version: str, result_id: str) -> Response:
    def look(_: bytes) -> Response:
        return Json(answer.result(runs.get_result(result_id), version, call.access))

    return await call.answer("multivariate-result", version, look)


async def _detect_last(call: _Call, version: str, model_id: str) -> Response:
    state = call.request.state
    state.operation, state.api_version = "multivariate-detect-last", version
    body = await call.limits.read(call.request, times=_LARGER)
    # The store may keep its threads waiting, and must not keep detections waiting.
    trained = await call.store.ask(lambda: call.store.model(model_id))
    state.model = model_id
    # A large body takes its memory when its turn comes.
    return await call.limits.run_multivariate(
        call.request, lambda: _detect(call.request, body, trained, version)
    )


def _fitting(records: list[ModelRecord]) -> int:
    """Return how many of the models one answer may tell of, which is one at least."""
    variables = 0
    for place, record in enumerate(records):
        variables += record.variables
        if place and variables > _MOST_STATES:
            return place
    return len(records)


def _check_room(settings: Settings) -> None:
    """Refuse another model where there are as many as there may be."""
    if has_models(settings.max_models):
        raise DetectionError(
            "TooManyModels",
            f"This service has reached the maximum number of models, which is "
            f"{settings.max_models} (DETECTOR_MAX_MODELS). Delete some first.",
        )
    begun = sum(each.experiment == runs.MODELS for each in runs.unfinished())
    if begun >= settings.max_unfinished_models:
        raise DetectionError(
            "TooManyRunningModels",
            "This service has reached the maximum number of running models: "
            f"{begun} are being trained or wait for it, and {settings.max_unfinished_models} may "
            "(DETECTOR_MAX_UNFINISHED_MODELS). Try again when one of them is READY.",
        )


def _begin_detection(
    call: _Call,
    model_id: str,
    body: bytes,
    version: str,
    settings: Settings,
) -> ResultRecord:
    _check_queue(settings)
    detection = asked.detection(parse(body), version)
    datasource.check(detection.source, call.access)
    if runs.get_model(model_id).status != runs.READY:
        # Says why not.
        runs.load_model(model_id)
    call.request.state.model = model_id
    return submission.begin_detection(model_id, detection)


def _check_queue(settings: Settings) -> None:
    """Refuse another batch detection where as many as may are waiting and running."""
    begun = submission.unfinished_detections()
    if begun >= settings.max_unfinished_detections:
        raise GatewayError(
            429,
            f"{begun} batch detections wait and run already, and "
            f"{settings.max_unfinished_detections} may (DETECTOR_MAX_UNFINISHED_DETECTIONS). Try "
            "again when one of them is READY.",
            {"Retry-After": "10"},
        )


def _detect(request: Request, body: bytes, model: MultivariateModel, version: str) -> Response:
    most = min(MOST_VALUES, asked.most_values(len(model.variables)))
    last = asked.latest(parse(body, most=most), version, model)
    request.state.points = last.frame.size
    started = time.perf_counter()
    policy, window = model.options.align, model.options.sliding_window
    start = last.frame.index[-last.points :][0] if len(last.frame) else None
    table = align(last.frame, start=start, sliding_window=window, policy=policy, names=NAMES)
    anomaly_states = model.detect_table(table, top_contributors=last.contributors)
    seconds = time.perf_counter() - started
    request.state.detection_milliseconds = round(seconds * 1e3, 3)
    return Json(answer.latest(table.states, anomaly_states, version))


def _zipped(model: MultivariateModel) -> bytes:
    content = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder))
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(Path(folder).iterdir()):
                packed.write(path, path.name)
    return content.getvalue()
