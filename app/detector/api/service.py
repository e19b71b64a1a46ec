"""What every detection has in common: from the bytes of a request to those of its answer."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from detector.api.errors import GatewayError
from detector.api.limits import Limits
from detector.api.served_models import ServedModels
from detector.api.wire import Json, parse
from detector.series.series import Series

__all__ = ["VERSIONS", "Operation", "require_version"]

# The versions of the API, and the margins that each answers with.
VERSIONS = {"v1.0": "V1", "v1.1": "V2", "v1.1-preview": "V2", "v1.1-preview.1": "V2"}
_BILLED = 1000
_Results = list[dict[str, Any]]


async def require_version(request: Request) -> None:
    """Refuse, with 404, a version of the API that there never was."""
    version = request.path_params["version"]
    if version not in VERSIONS:
        raise GatewayError(
            404,
            f"Resource not found: there is no API version '{version[:50]}'. This service knows "
            f"{', '.join(VERSIONS)}.",
        )


@dataclass(frozen=True)
class Operation:
    """One kind of detection.

    Attributes
    ----------
    name : str
        In the log and the metrics.
    model : str
        The registered model that answers.
    series : type of Series
        Which options are read.
    to_wire : callable
        Takes the results of the model and the version of the API, returns the answer.
    model_id : callable
        Takes the answer and the request; returns the service's number of the method used.
    granularity_required : frozenset of str
        The versions of the API that have no default for it.
    defaults : mapping
        Options that a version after v1.0 uses where the request gives none.
    """

    name: str
    model: str
    series: type[Series]
    to_wire: Callable[[_Results, str], dict[str, Any]]
    model_id: Callable[[dict[str, Any], dict[str, Any]], int]
    granularity_required: frozenset[str]
    defaults: Mapping[str, Any] = field(default_factory=dict)

    async def answer(self, request: Request) -> Json:
        """Answer a request with the detection of its series."""
        limits: Limits = request.app.state.limits
        request.state.operation = self.name
        request.state.api_version = request.path_params["version"]
        body = await limits.read(request)
        # Reading and writing half a megabyte of JSON takes its time too.
        return await limits.run(lambda: self._detect(body, request))

    def _detect(self, body: bytes, request: Request) -> Json:
        models: ServedModels = request.app.state.models
        limits: Limits = request.app.state.limits
        version = request.path_params["version"]
        model = models[self.model]
        asked = parse(body)
        points = self.series.table(asked, require_granularity=version in self.granularity_required)
        limits.check_points(len(points))
        options = {
            name: value for name, value in asked.items() if name != "series" and value is not None
        }
        if version != "v1.0":
            options = {**self.defaults, **options}
        started = time.perf_counter()
        results = model.predict(points, options | {"boundaryVersion": VERSIONS[version]})
        seconds = time.perf_counter() - started
        state = request.state
        state.points, state.model, state.model_version = len(points), model.name, model.version
        state.detection_milliseconds = round(seconds * 1e3, 3)
        answer = self.to_wire(results, version)
        headers = {
            "csp-billing-usage": "CognitiveServices.AnomalyDetector.DataPoints="
            f"{-(-len(points) // _BILLED)}",
            "model-id": str(self.model_id(answer, options)),
        }
        return Json(answer, headers=headers)
