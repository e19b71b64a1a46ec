"""``multivariate/...``: models of many variables, and what they find."""

import io
import re
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from detector import datasource
from detector.api.errors import GatewayError
from detector.api.limits import Limits
from detector.api.model_store import ModelStore
from detector.api.multivariate import requests as asked
from detector.api.multivariate import responses as answer
from detector.api.multivariate import schemas as description
from detector.api.wire import Json, parse
from detector.errors import DetectionError
from detector.jobs import queue
from detector.multivariate.alignment import align
from detector.multivariate.model import MultivariateModel
from detector.settings import Settings
from detector.tracking import runs
from detector.tracking.records import ResultRecord

__all__ = ["router"]

_Made = TypeVar("_Made")
# The largest request for the last timestamps, 300 variables of 2,880, is so many times the largest
# one for a single series.
_LARGER = 10
_HOST = re.compile(r"(\[[0-9a-fA-F:.]{2,45}\]|[\w.-]{1,253})(:\d{1,5})?", re.ASCII)


def _only(*versions: str) -> Any:
    """Refuse, with 404, the versions of the API that had no such route."""

    async def check(request: Request) -> None:
        version, path = request.path_params["version"], request.scope["path"][:200]
        if version not in versions:
            raise GatewayError(
                404,
                f"Resource not found: the API version '{version}' has no {path}. Only "
                f"{' and '.join(versions)} had it.",
            )

    return Depends(check)


# The routes that every version has, that version v1.1 has alone, and that only the previews had.
_every = APIRouter(dependencies=[_only("v1.1", *asked.PREVIEWS)])
_general = APIRouter(dependencies=[_only("v1.1")])
_previews = APIRouter(dependencies=[_only(*asked.PREVIEWS)])
_last_preview = APIRouter(dependencies=[_only("v1.1-preview.1")])


@_every.post("/models", **description.TRAIN)
async def train(request: Request) -> Response:
    """Begin to train a model on many variables; ask for the model until it is READY."""

    def begin(body: bytes, version: str) -> Response:
        training = asked.training(parse(body), version)
        datasource.check(training.source, _access(request))
        _check_room(_settings(request))
        record = runs.create_model(training)
        queue.submit_training(record.model_id)
        headers = {"Location": f"{_address(request)}/models/{record.model_id}"}
        if version in asked.PREVIEWS:
            return Response(status_code=201, headers=headers)
        return Json(answer.model(record, version), status_code=201, headers=headers)

    return await _answer(request, "multivariate-train", begin)


@_every.get("/models", **description.LIST)
async def models(request: Request) -> Response:
    """List the models, the last updated first."""

    def look(_: bytes, version: str) -> Response:
        skip, top = asked.page(request.query_params, version)
        records, count = runs.list_models(skip, top)
        return Json(answer.models(records, count, _settings(request).max_models, version))

    return await _answer(request, "multivariate-list", look)


@_every.get("/models/{model_id}", **description.GET)
async def model(request: Request) -> Response:
    """Say what is known of a model: what was asked for, how far it is, how its training went."""

    def look(_: bytes, version: str) -> Response:
        return Json(answer.model(runs.get_model(_model_id(request)), version))

    return await _answer(request, "multivariate-get", look)


@_every.delete("/models/{model_id}", **description.DELETE)
async def delete(request: Request) -> Response:
    """Delete a model; if it is being trained, that is stopped."""

    def remove(_: bytes, version: str) -> Response:
        runs.delete_model(_model_id(request))
        return Response(status_code=204)

    return await _answer(request, "multivariate-delete", remove)


@_general.post("/models/{model_id}:detect-batch", **description.DETECT_BATCH)
async def detect_batch(request: Request) -> Response:
    """Start a batch detection; ask for its result until it is READY."""

    def begin(body: bytes, version: str) -> Response:
        record = _begin_detection(request, body, version)
        headers = {
            "operation-id": record.result_id,
            "operation-location": f"{_address(request)}/detect-batch/{record.result_id}",
        }
        return Json(answer.result(record, version), status_code=202, headers=headers)

    return await _answer(request, "multivariate-detect-batch", begin)


@_previews.post("/models/{model_id}/detect", **description.DETECT)
async def detect(request: Request) -> Response:
    """Start a batch detection; ask for its result until it is READY."""

    def begin(body: bytes, version: str) -> Response:
        record = _begin_detection(request, body, version)
        location = f"{_address(request)}/results/{record.result_id}"
        return Response(status_code=201, headers={"Location": location})

    return await _answer(request, "multivariate-detect-batch", begin)


@_general.get("/detect-batch/{result_id}", **description.RESULT_OF_BATCH)
@_previews.get("/results/{result_id}", **description.RESULT)
async def result(request: Request) -> Response:
    """Return the status of a batch detection, and its result when it is READY."""

    def look(_: bytes, version: str) -> Response:
        return Json(answer.result(runs.get_result(request.path_params["result_id"]), version))

    return await _answer(request, "multivariate-result", look)


@_general.post("/models/{model_id}:detect-last", **description.DETECT_LAST)
@_last_preview.post(
    "/models/{model_id}/last/detect",
    **description.LAST_DETECT,
)
async def detect_last(request: Request) -> Response:
    """Detect anomalies in the last timestamps of the values in the request."""
    store: ModelStore = request.app.state.store
    limits: Limits = request.app.state.limits
    model_id = _model_id(request)

    def prepare(body: bytes, version: str) -> tuple[asked.Latest, MultivariateModel]:
        return asked.latest(parse(body), version), store.model(model_id)

    last, trained = await _answer(request, "multivariate-detect-last", prepare, times=_LARGER)
    request.state.model, request.state.points = model_id, last.frame.size
    # The store may keep its threads waiting, and must not keep detections waiting.
    return await limits.run(lambda: _detect(request, last, trained))


@_previews.get("/models/{model_id}/export", **description.EXPORT)
async def export(request: Request) -> Response:
    """Return the files of a trained model in a zip."""
    store: ModelStore = request.app.state.store

    def pack(_: bytes, version: str) -> Response:
        name = f"{_model_id(request)}.zip"
        return Response(
            _zipped(store.model(_model_id(request))),
            media_type="application/zip",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    return await _answer(request, "multivariate-export", pack)


async def _answer(
    request: Request, operation: str, work: Callable[[bytes, str], _Made], *, times: int = 1
) -> _Made:
    """Return what the work makes of the body and the version, done where it may take its time."""
    version = request.path_params["version"]
    request.state.operation, request.state.api_version = operation, version
    limits: Limits = request.app.state.limits
    store: ModelStore = request.app.state.store
    body = await limits.read(request, times=times)
    return await store.ask(lambda: work(body, version))


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _access(request: Request) -> datasource.Access:
    access: datasource.Access = request.app.state.access
    return access


def _model_id(request: Request) -> str:
    return str(request.path_params["model_id"])


def _address(request: Request) -> str:
    """Return the address of the resources, absolute, at the host that the client called."""
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        host = ":".join(str(part) for part in request.scope["server"])
    version = request.path_params["version"]
    return f"{request.scope['scheme']}://{host}/anomalydetector/{version}/multivariate"


def _check_room(settings: Settings) -> None:
    """Refuse another model where there are as many as there may be."""
    if runs.has_models(settings.max_models):
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


def _begin_detection(request: Request, body: bytes, version: str) -> ResultRecord:
    detection = asked.detection(parse(body), version)
    datasource.check(detection.source, _access(request))
    model_id = _model_id(request)
    if runs.get_model(model_id).status != runs.READY:
        # Says why not.
        runs.load_model(model_id)
    request.state.model = model_id
    record = runs.create_result(model_id, detection)
    queue.submit_detection(record.result_id)
    return record


def _detect(request: Request, last: asked.Latest, model: MultivariateModel) -> Response:
    started = time.perf_counter()
    policy, window = model.options.align, model.options.sliding_window
    index = last.frame.index if policy.mode == "Outer" else last.frame.dropna().index
    start: pd.Timestamp | None = index[-last.points :][0] if len(index) else None
    table = align(last.frame, start=start, sliding_window=window, policy=policy)
    anomaly_states = model.detect(table, top_contributors=last.contributors)
    seconds = time.perf_counter() - started
    request.state.detection_milliseconds = round(seconds * 1e3, 3)
    return Json(answer.latest(table.states, anomaly_states, request.path_params["version"]))


def _zipped(model: MultivariateModel) -> bytes:
    content = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder))
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in sorted(Path(folder).iterdir()):
                packed.write(path, path.name)
    return content.getvalue()


router = APIRouter(prefix="/multivariate")
for _each in (_every, _general, _previews, _last_preview):
    router.include_router(_each)
