"""The description of the routes for many variables, for OpenAPI.

Where the previews of the API differ, version v1.1 is described.
"""

from typing import Any

from starlette.responses import Response

from detector.api.errors import CODES
from detector.api.multivariate.requests import (
    DATA_SCHEMAS,
    LONGEST_NAME,
    MOST_CONTRIBUTORS,
    MOST_LISTED,
    MOST_POINTS,
    MOST_TIMESTAMPS,
    MOST_VARIABLES,
    PREVIEWS,
)
from detector.api.timeseries.schemas import GATEWAY_PROBLEM, PROBLEM, REFUSED, as_json
from detector.api.wire import Json
from detector.multivariate.alignment import ALIGN_MODES, FILL_METHODS, AlignPolicy
from detector.multivariate.model import DEFAULT_WINDOW, MAX_WINDOW, MIN_WINDOW

__all__ = [
    "DELETE",
    "DETECT",
    "DETECT_BATCH",
    "DETECT_LAST",
    "EXPORT",
    "GET",
    "LAST_DETECT",
    "LIST",
    "RESULT",
    "RESULT_OF_BATCH",
    "TRAIN",
]

_Schema = dict[str, Any]


def _object(properties: _Schema, *, optional: str = "") -> _Schema:
    required = [name for name in properties if name not in optional.split()]
    return {"type": "object", "required": required, "properties": properties}


def _list(of: _Schema, **more: Any) -> _Schema:
    return {"type": "array", "items": of, **more}


_TEXT = {"type": "string"}
_TIME = {"type": "string", "format": "date-time"}
_ID = {"type": "string", "format": "uuid"}
# The service sends null where a number cannot be written in JSON.
_NUMBER = {"type": ["number", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_STATUS = {"enum": ["CREATED", "RUNNING", "READY", "FAILED"]}
_SOURCE = {
    "type": "string",
    "minLength": 1,
    "description": "Where the data lies: what `PUT /datasets/{name}` answered, or an address that "
    "the service may read. The previews call it `source`.",
}
_SPAN = {
    "startTime": _TIME | {"description": "ISO 8601; cut to where the data begins."},
    "endTime": _TIME | {"description": "ISO 8601; cut to where the data ends."},
}
_CONTRIBUTORS = {
    "type": ["integer", "null"],
    "minimum": 1,
    "maximum": MOST_CONTRIBUTORS,
    "default": 10,
    "description": "At most so many variables are named for an anomaly.",
}
_POLICY = AlignPolicy()
_TRAIN = _object(
    {
        "dataSource": _SOURCE,
        **_SPAN,
        "dataSchema": {
            "enum": [*DATA_SCHEMAS, None],
            "default": DATA_SCHEMAS[0],
            "description": "One CSV of all variables, or one CSV for each. The previews knew the "
            "latter only.",
        },
        "displayName": {"type": ["string", "null"], "maxLength": LONGEST_NAME, "default": ""},
        "slidingWindow": {
            "type": ["integer", "null"],
            "minimum": MIN_WINDOW,
            "maximum": MAX_WINDOW,
            "default": DEFAULT_WINDOW,
            "description": "On how many timestamps the score of one rests.",
        },
        "alignPolicy": {
            "type": ["object", "null"],
            "description": "How variables that were not read at the same times are aligned, and "
            f"how gaps are filled. By default {_POLICY.mode} and {_POLICY.fill}.",
            "properties": {
                "alignMode": {"enum": [*ALIGN_MODES, None], "default": _POLICY.mode},
                "fillNAMethod": {"enum": [*FILL_METHODS, None], "default": _POLICY.fill},
                "paddingValue": {
                    "type": ["number", "null"],
                    "description": "Required with `Fixed`.",
                },
            },
        },
    },
    optional="dataSchema displayName slidingWindow alignPolicy",
) | {
    "example": {
        "dataSource": "factory.csv",
        "startTime": "2021-01-01T00:00:00Z",
        "endTime": "2021-01-02T09:19:00Z",
        "displayName": "factory",
        "slidingWindow": 200,
    }
}
_BATCH = _object(
    {"dataSource": _SOURCE, **_SPAN, "topContributorCount": _CONTRIBUTORS},
    optional="topContributorCount",
) | {
    "example": {
        "dataSource": "factory.csv",
        "startTime": "2021-01-02T12:00:00Z",
        "endTime": "2021-01-03T00:00:00Z",
        "topContributorCount": 10,
    }
}
_PREVIEW_BATCH = _object({"source": _SOURCE, **_SPAN})


def _variables(name: str) -> _Schema:
    number = {"type": ["number", "string", "null"]}
    each = {
        name: {"type": "string", "minLength": 1},
        "timestamps": _list(_TIME, maxItems=MOST_TIMESTAMPS),
        "values": _list(number, maxItems=MOST_TIMESTAMPS),
    }
    return _list(_object(each), minItems=1, maxItems=MOST_VARIABLES) | {
        "description": "The variables of the model, with at least as many timestamps as its "
        "sliding window; null for a value that is missing."
    }


_EXAMPLE = [
    {
        "variable": variable,
        "timestamps": [f"2021-01-01T00:{minute:02}:00Z" for minute in range(3)],
        "values": values,
    }
    for variable, values in (("pressure", [1.2, 1.3, 1.2]), ("speed", [20, 21, None]))
]
_LAST = _object(
    {"variables": _variables("variable"), "topContributorCount": _CONTRIBUTORS},
    optional="topContributorCount",
) | {"example": {"variables": _EXAMPLE, "topContributorCount": 10}}
_PREVIEW_LAST = _object(
    {
        "variables": _variables("name"),
        "detectingPoints": {
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": MOST_POINTS,
            "default": 1,
            "description": "How many of the last timestamps are scored.",
        },
    },
    optional="detectingPoints",
)

_STATES = _list(
    _object(
        {
            "variable": _TEXT,
            "filledNARatio": {"type": "number", "minimum": 0, "maximum": 1},
            "effectiveCount": _COUNT,
            "firstTimestamp": _TIME,
            "lastTimestamp": _TIME,
            "startTime": _TIME,
            "endTime": _TIME,
        },
        optional="firstTimestamp lastTimestamp startTime endTime",
    )
)
_ERRORS = _list(PROBLEM)
_MODEL = _object(
    {
        "modelId": _ID,
        "createdTime": _TIME,
        "lastUpdatedTime": _TIME,
        "modelInfo": _object(
            {
                "dataSource": _TEXT,
                "dataSchema": _TEXT,
                "startTime": _TIME,
                "endTime": _TIME,
                "displayName": _TEXT,
                "slidingWindow": _COUNT,
                "alignPolicy": _object(
                    {"alignMode": _TEXT, "fillNAMethod": _TEXT, "paddingValue": _NUMBER}
                ),
                "status": _STATUS,
                "errors": _ERRORS,
                "diagnosticsInfo": _object(
                    {
                        "modelState": _object(
                            {
                                "epochIds": _list(_COUNT),
                                "trainLosses": _list(_NUMBER),
                                "validationLosses": _list(_NUMBER),
                                "latenciesInSeconds": _list(_NUMBER),
                            }
                        ),
                        "variableStates": _STATES,
                    }
                ),
            }
        ),
    }
)
_MODELS = _object(
    {
        "models": _list(_MODEL),
        "currentCount": _COUNT,
        "maxCount": _COUNT,
        "nextLink": _TEXT,
    }
)
_BECAUSE = _object(
    {
        "variable": _TEXT,
        "contributionScore": _NUMBER,
        "correlationChanges": _object(
            {"changedVariables": _list(_TEXT), "changedValues": _list(_NUMBER)},
            optional="changedValues",
        ),
    }
)
_DETECTED = _list(
    _object(
        {
            "timestamp": _TIME,
            "value": _object(
                {
                    "isAnomaly": {"type": "boolean"},
                    "severity": _NUMBER,
                    "score": _NUMBER,
                    "interpretation": _list(_BECAUSE),
                    "contributors": _list(
                        _object({"contributionScore": _NUMBER, "variable": _TEXT})
                    ),
                },
                optional="interpretation contributors",
            ),
            "errors": _ERRORS,
        }
    )
)
_RESULT = _object(
    {
        "resultId": _ID,
        "summary": _object(
            {
                "status": _STATUS,
                "errors": _ERRORS,
                "variableStates": _STATES,
                "setupInfo": {"type": "object"},
            }
        ),
        "results": _DETECTED,
    }
)
_LATEST = _object({"variableStates": _STATES, "results": _DETECTED})


def _route(
    answers: dict[int, _Schema],
    *parameters: _Schema,
    versions: tuple[str, ...],
    body: _Schema | None = None,
) -> dict[str, Any]:
    """Return what a route says of itself."""
    (status,) = answers
    either = {"anyOf": [PROBLEM, GATEWAY_PROBLEM]}
    refused = {code: as_json(CODES[code], GATEWAY_PROBLEM) for code in REFUSED}
    refused[404] = as_json("There is no such model, result, route or API version.", either)
    extra: dict[str, Any] = {
        "parameters": [
            {
                "name": "version",
                "in": "path",
                "required": True,
                "schema": {"enum": list(versions)},
                "example": versions[0],
            },
            *parameters,
        ],
        "security": [{"key": []}],
    }
    if body is not None:
        extra["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body}},
        }
    content = answers[status].get("content", {})
    return {
        "status_code": status,
        # What FastAPI would say of the body otherwise: that it is JSON.
        "response_class": Json if "application/json" in content else Response,
        "responses": {
            **answers,
            400: as_json("The request cannot be answered; the code says why.", PROBLEM),
            **refused,
        },
        "openapi_extra": extra,
    }


def _in_path(name: str) -> _Schema:
    return {"name": name, "in": "path", "required": True, "schema": _ID}


def _in_query(name: str, least: int, most: int, default: int, what: str) -> _Schema:
    schema = {"type": "integer", "minimum": least, "maximum": most, "default": default}
    return {
        "name": name,
        "in": "query",
        "required": False,
        "schema": schema,
        "description": f"{what} Also `${name}`.",
    }


_V1_1 = ("v1.1",)
_MODEL_ID, _RESULT_ID = _in_path("model_id"), _in_path("result_id")
_BEGUN = "It has begun; the header `Location` is its address."

TRAIN = _route({201: as_json(_BEGUN, _MODEL)}, versions=_V1_1, body=_TRAIN)
LIST = _route(
    {200: as_json("The models.", _MODELS)},
    _in_query("skip", 0, 2**31 - 1, 0, "How many models to leave out."),
    _in_query("top", 1, MOST_LISTED, 10, "How many models to list."),
    versions=_V1_1,
)
GET = _route({200: as_json("The model.", _MODEL)}, _MODEL_ID, versions=_V1_1)
DELETE = _route({204: {"description": "It is deleted."}}, _MODEL_ID, versions=_V1_1)
DETECT_BATCH = _route(
    {
        202: as_json(
            "It has begun; the headers `operation-id` and `operation-location` say where its "
            "result will be.",
            _RESULT,
        )
    },
    _MODEL_ID,
    versions=_V1_1,
    body=_BATCH,
)
DETECT = _route({201: {"description": _BEGUN}}, _MODEL_ID, versions=PREVIEWS, body=_PREVIEW_BATCH)
RESULT_OF_BATCH = _route({200: as_json("The result.", _RESULT)}, _RESULT_ID, versions=_V1_1)
RESULT = _route({200: as_json("The result.", _RESULT)}, _RESULT_ID, versions=PREVIEWS)
DETECT_LAST = _route(
    {200: as_json("What was found.", _LATEST)}, _MODEL_ID, versions=_V1_1, body=_LAST
)
LAST_DETECT = _route(
    {200: as_json("What was found.", _LATEST)},
    _MODEL_ID,
    versions=("v1.1-preview.1",),
    body=_PREVIEW_LAST,
)
EXPORT = _route(
    {
        200: {
            "description": "A zip of the model's files.",
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
    _MODEL_ID,
    versions=PREVIEWS,
)
