"""The description of the API for OpenAPI: fields, bounds, refusals and the documented examples.

That of the routes for many variables is in `detector.api.multivariate.schemas`.
"""

from typing import Any

from detector.api.errors import CODES
from detector.series.options import GRANULARITIES, IMPUTE_MODES

__all__ = ["CHANGE_POINT", "ENTIRE", "GATEWAY_PROBLEM", "LAST", "PROBLEM", "REFUSED", "as_json"]

_VALUES = (826, 799, 890, 900, 961, 935, 894, 855, 809, 810, 766, 805, 821, 773, 926, 962)
_EXAMPLE_SERIES = [
    {"timestamp": f"{1972 + place // 12}-{place % 12 + 1:02}-01T00:00:00Z", "value": value}
    for place, value in enumerate(_VALUES)
]

_SERIES = {
    "type": "array",
    "minItems": 12,
    "maxItems": 8640,
    "description": "In rising order of time, no timestamp twice, on the grid of the granularity.",
    "items": {
        "type": "object",
        "required": ["value"],
        "properties": {
            "timestamp": {"description": "ISO 8601; may be left out with the granularity `none`."},
            "value": {
                "anyOf": [{"type": "number"}, {"type": "string"}],
                "description": "A number, or a string that spells one; within 1e100 of zero.",
            },
        },
    },
}
_GRANULARITY = {
    "type": ["string", "null"],
    "enum": [*GRANULARITIES, None],
    "default": "none",
    "description": "The time unit between points. Version v1.0 requires it.",
}
_SHARED = {
    "customInterval": {
        "type": ["integer", "null"],
        "minimum": 1,
        "default": 1,
        "description": "How many of these units lie between two points.",
    },
    "period": {
        "type": ["integer", "null"],
        "minimum": 0,
        "description": "Points in one season, 0 for none; found out where it is not given.",
    },
}
_DETECTION = {
    "type": "object",
    "required": ["series"],
    "properties": {
        "series": _SERIES,
        "granularity": _GRANULARITY,
        **_SHARED,
        "maxAnomalyRatio": {
            "type": ["number", "null"],
            "exclusiveMinimum": 0,
            "maximum": 0.49,
            "default": 0.25,
            "description": "At most this part of the points is anomalous.",
        },
        "sensitivity": {
            "type": ["integer", "null"],
            "minimum": 0,
            "maximum": 100,
            "description": "The higher, the narrower the margins. 99 where it is not given; 95 for "
            "`last` of the versions after v1.0.",
        },
        "imputeMode": {
            "type": ["string", "null"],
            "enum": [*IMPUTE_MODES, None],
            "default": "auto",
            "description": "How gaps are filled.",
        },
        "imputeFixedValue": {
            "type": ["number", "null"],
            "description": "The value of every missing point, for the imputeMode `fixed`.",
        },
    },
    "example": {"series": _EXAMPLE_SERIES, "granularity": "monthly", "sensitivity": 95},
}
_CHANGE_POINT = {
    "type": "object",
    "required": ["series", "granularity"],
    "properties": {
        "series": _SERIES,
        "granularity": {**_GRANULARITY, "type": "string", "enum": list(GRANULARITIES)},
        **_SHARED,
        "stableTrendWindow": {
            "type": ["integer", "null"],
            "minimum": 3,
            "description": "How many points a trend lasts at least; below half of the series.",
        },
        "threshold": {
            "type": ["number", "null"],
            "minimum": 0.01,
            "maximum": 0.99,
            "description": "The lower, the fewer change points.",
        },
    },
    "example": {"series": _EXAMPLE_SERIES, "granularity": "monthly", "threshold": 0.99},
}

# The service sends null where a number cannot be written in JSON.
_NUMBER = {"type": ["number", "null"]}
_BOOLEAN = {"type": "boolean"}
_COUNT = {"type": "integer", "minimum": 0}


def _lists(names: str, of: dict[str, Any]) -> dict[str, Any]:
    return {name: {"type": "array", "items": of} for name in names.split()}


def _each(names: str, of: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(names.split(), of)


_FLAGS = "isAnomaly isNegativeAnomaly isPositiveAnomaly"
_ENTIRE_ANSWER = (
    {"period": _COUNT}
    | _lists("expectedValues upperMargins lowerMargins severity", _NUMBER)
    | _lists(_FLAGS, _BOOLEAN)
)
_LAST_ANSWER = (
    _each("period suggestedWindow", _COUNT)
    | _each("expectedValue upperMargin lowerMargin severity", _NUMBER)
    | _each(_FLAGS, _BOOLEAN)
)
_CHANGE_POINT_ANSWER = (
    {"period": _COUNT} | _lists("isChangePoint", _BOOLEAN) | _lists("confidenceScores", _NUMBER)
)
PROBLEM = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
}
GATEWAY_PROBLEM = {"type": "object", "required": ["error"], "properties": {"error": PROBLEM}}
REFUSED = (401, 404, 408, 413, 429, 503)


def as_json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the description of an answer in JSON."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _route(request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """Return what a route says of itself."""
    answered = {
        "type": "object",
        # Version v1.0 knew no severity.
        "required": [name for name in answer if name != "severity"],
        "properties": answer,
    }
    return {
        "responses": {
            200: as_json("The answer.", answered),
            400: as_json("The series or an option is not valid; the code says why.", PROBLEM),
            **{status: as_json(CODES[status], GATEWAY_PROBLEM) for status in REFUSED},
        },
        "openapi_extra": {
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": request}},
            },
            "parameters": [
                {
                    "name": "version",
                    "in": "path",
                    "required": True,
                    "schema": {"enum": ["v1.0", "v1.1", "v1.1-preview", "v1.1-preview.1"]},
                    "example": "v1.1",
                }
            ],
            "security": [{"key": []}],
        },
    }


ENTIRE = _route(_DETECTION, _ENTIRE_ANSWER)
LAST = _route(_DETECTION, _LAST_ANSWER)
CHANGE_POINT = _route(_CHANGE_POINT, _CHANGE_POINT_ANSWER)
