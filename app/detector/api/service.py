"""What every detection in a series has in common: from the bytes of a request to its answer."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from fastapi import Request

from detector.api.limits import Limits
from detector.api.model_kinds import KINDS, Found
from detector.api.served_models import Model, ServedModels
from detector.api.versions import VERSIONS
from detector.api.wire import Json, parse
from detector.series.options import Options, given_options
from detector.series.series import Columns

__all__ = ["Answer", "Operation", "billed"]

_BILLED = 1000


def billed(points: int) -> dict[str, str]:
    """Return the header that says what the service would have charged for."""
    thousands = -(-points // _BILLED)
    return {"csp-billing-usage": f"CognitiveServices.AnomalyDetector.DataPoints={thousands}"}


@dataclass(frozen=True)
class Answer:
    """What an operation answers, and what the service tells of it."""

    content: dict[str, Any]
    points: int
    model: Model
    model_id: int
    milliseconds: float


@dataclass(frozen=True)
class Operation:
    """One kind of detection.

    Attributes
    ----------
    name : str
        In the log and the metrics.
    model : str
        The registered model that answers.
    to_wire : callable
        Takes what is found and the version of the API; returns the answer.
    model_id : callable
        Takes what is found and the options; returns the service's number of the method used.
    sensitivity : int or None
        What a version of boundary V2 uses where the request gives none, if not the kernel's
        default.
    """

    name: str
    model: str
    to_wire: Callable[[Any, str], dict[str, Any]]
    model_id: Callable[[Found, Options], int]
    sensitivity: int | None = None

    async def answer(
        self, request: Request, version: str, limits: Limits, models: ServedModels
    ) -> Json:
        """Answer a request with the detection of its series."""
        request.state.operation = self.name
        request.state.api_version = version
        body = await limits.read(request)
        # Reading and writing half a megabyte of JSON takes its time too.
        return await limits.run(
            request,
            lambda: self._detect(body, request, version, limits, models),
            size=len(body),
        )

    def _detect(
        self, body: bytes, request: Request, version: str, limits: Limits, models: ServedModels
    ) -> Json:
        model = models[self.model]
        asked = parse(body)
        answer = self.detect(asked, model, version, limits)
        state = request.state
        state.points, state.detection_milliseconds = answer.points, answer.milliseconds
        state.model, state.model_version = model.name, model.version
        content = answer.content
        if "series" not in asked:
            # Microsoft's program for Power BI, which sends `Series`, reads `IsAnomaly`.
            content |= {name[0].upper() + name[1:]: value for name, value in content.items()}
        headers = {
            **billed(answer.points),
            "model-id": str(answer.model_id),
            # Ours; the one above was the service's, and names the method.
            "x-model-name": model.name,
            "x-model-version": str(model.version),
        }
        return Json(content, headers=headers)

    def detect(self, asked: Any, model: Model, version: str, limits: Limits) -> Answer:
        """Detect in a series as it was asked for.

        Raises
        ------
        DetectionError
            With Azure's code, for a series or an option that is not valid.
        GatewayError
            413, for one that is longer than the operator lets through.
        """
        columns = KINDS[self.model].series.columns(asked)
        points = len(columns.values)
        limits.check_points(points)
        columns, params = self._with_defaults(asked, columns, version)
        started = time.perf_counter()
        found = model.detect(columns, params)
        milliseconds = round((time.perf_counter() - started) * 1e3, 3)
        model_id = self.model_id(found, columns.options)
        return Answer(self.to_wire(found, version), points, model, model_id, milliseconds)

    def _with_defaults(
        self, asked: dict[str, Any], columns: Columns, version: str
    ) -> tuple[Columns, dict[str, Any]]:
        """Return the columns and the options as sent, with what the version of the API decides."""
        params = given_options(asked)
        params.pop("series")
        boundary = params["boundaryVersion"] = VERSIONS[version]
        options = replace(columns.options, boundary_version=boundary)
        if self.sensitivity is not None and boundary == "V2" and "sensitivity" not in params:
            params["sensitivity"] = self.sensitivity
            options = replace(options, sensitivity=self.sensitivity)
        return replace(columns, options=options), params
