"""``timeseries/entire/tune``: what each sensitivity flags. It is ours; Azure's API had none."""

import time
from dataclasses import replace

from fastapi import Request

from detector.api.limits import Limits
from detector.api.versions import VERSIONS
from detector.api.wire import Json, parse
from detector.series.options import given_options
from detector.series.series import Series
from detector.univariate.tuning import DEFAULT_SHARE, tune

__all__ = ["answer"]


async def answer(request: Request, version: str, limits: Limits) -> Json:
    """Answer a request with how many points of its series each sensitivity flags."""
    request.state.operation, request.state.api_version = "tune", version
    body = await limits.read(request)
    return await limits.run(request, lambda: _tune(body, request, version, limits), size=len(body))


def _tune(body: bytes, request: Request, version: str, limits: Limits) -> Json:
    asked = parse(body)
    columns = Series.columns(asked)
    limits.check_points(len(columns.values))
    options = replace(columns.options, boundary_version=VERSIONS[version])
    started = time.perf_counter()
    series = Series.from_columns(replace(columns, options=options))
    curve = tune(series, given_options(asked).get("anomalyShare", DEFAULT_SHARE))
    state = request.state
    state.points = curve.points
    state.detection_milliseconds = round((time.perf_counter() - started) * 1e3, 3)
    return Json(
        {
            "points": curve.points,
            "sensitivities": curve.sensitivities,
            "anomalies": curve.anomalies,
            "anomalyShare": curve.anomaly_share,
            "sensitivity": curve.sensitivity,
        }
    )
