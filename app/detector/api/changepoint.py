"""``timeseries/changepoint/detect``."""

from typing import Any

from fastapi import APIRouter, Request

from detector.api import served_models
from detector.api.description import CHANGE_POINT
from detector.api.service import VERSIONS, Operation
from detector.api.wire import Json
from detector.series import ChangePointSeries

__all__ = ["router"]

router = APIRouter()

_MODEL_ID = 60


def _change_points(results: list[dict[str, Any]], version: str) -> dict[str, Any]:
    return {
        "period": results[0]["period"],
        "isChangePoint": [result["is_change_point"] for result in results],
        "confidenceScores": [result["confidence_score"] for result in results],
    }


_CHANGE_POINT = Operation(
    "changepoint",
    served_models.CHANGE_POINT,
    ChangePointSeries,
    _change_points,
    lambda *_: _MODEL_ID,
    frozenset(VERSIONS),
)


@router.post("/timeseries/changepoint/detect", **CHANGE_POINT)
async def detect_change_points(request: Request) -> Json:
    """Find where the trend of a series changes."""
    return await _CHANGE_POINT.answer(request)
