"""What the routes for many variables take and answer, for OpenAPI.

Where the previews of the API differ, version v1.1 is described.
"""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from detector.api.multivariate import examples
from detector.api.multivariate.requests import (
    DATA_SCHEMAS,
    LONGEST_NAME,
    MOST_LISTED,
    MOST_POINTS,
    MOST_TIMESTAMPS,
    MOST_VARIABLES,
)
from detector.api.openapi import GatewayProblem, Number, Problem, Wire, answers, json_body
from detector.multivariate.alignment import ALIGN_MODES, FILL_METHODS, AlignPolicy
from detector.multivariate.model import DEFAULT_WINDOW, MAX_WINDOW, MIN_WINDOW
from detector.multivariate.requests import MOST_CONTRIBUTORS

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
    "TRAIN",
]

_POLICY = AlignPolicy()
Count = Annotated[int, Field(ge=0)]
Status = Literal["CREATED", "RUNNING", "READY", "FAILED"]
DataSchema = Annotated[str, Field(json_schema_extra={"enum": list(DATA_SCHEMAS)})]
AlignMode = Annotated[str, Field(json_schema_extra={"enum": list(ALIGN_MODES)})]
FillMethod = Annotated[str, Field(json_schema_extra={"enum": list(FILL_METHODS)})]
Source = Annotated[
    str,
    Field(
        min_length=1,
        description="Where the data lies: what `PUT /datasets/{name}` answered, or an address "
        "that the service may read. The previews call it `source`.",
    ),
]
TopContributors = Annotated[
    Annotated[int, Field(ge=1, le=MOST_CONTRIBUTORS)] | None,
    Field(description="At most so many variables are named for an anomaly."),
]


class Span(Wire):
    """The part of the data that is used."""

    start_time: datetime = Field(description="Cut to where the data begins.")
    end_time: datetime = Field(description="Cut to where the data ends.")


class Alignment(Wire):
    """How variables that were not read at the same times are aligned, and gaps filled."""

    align_mode: AlignMode | None = _POLICY.mode
    fill_na_method: FillMethod | None = Field(_POLICY.fill, alias="fillNAMethod")
    padding_value: float | None = Field(None, description="Required with `Fixed`.")


class TrainingRequest(Span):
    """Data to train a model on."""

    model_config = ConfigDict(json_schema_extra={"example": examples.TRAINING})

    data_source: Source
    data_schema: DataSchema | None = Field(
        DATA_SCHEMAS[0],
        description="One CSV of all variables, or one CSV for each. The previews knew the latter "
        "only.",
    )
    display_name: Annotated[str, Field(max_length=LONGEST_NAME)] | None = ""
    sliding_window: Annotated[int, Field(ge=MIN_WINDOW, le=MAX_WINDOW)] | None = Field(
        DEFAULT_WINDOW, description="On how many timestamps the score of one rests."
    )
    align_policy: Alignment | None = Field(
        None,
        description="How variables that were not read at the same times are aligned, and how gaps "
        f"are filled. By default {_POLICY.mode} and {_POLICY.fill}.",
    )


class BatchRequest(Span):
    """Data to detect anomalies in."""

    model_config = ConfigDict(json_schema_extra={"example": examples.BATCH})

    data_source: Source
    top_contributor_count: TopContributors = 10


class PreviewBatchRequest(Span):
    """Data to detect anomalies in."""

    model_config = ConfigDict(json_schema_extra={"example": examples.PREVIEW_BATCH})

    source: Source


class Values(Wire):
    """The values of a variable."""

    timestamps: list[datetime] = Field(max_length=MOST_TIMESTAMPS)
    values: list[float | str | None] = Field(max_length=MOST_TIMESTAMPS)


class Variable(Values):
    """A variable of the model, and its values."""

    variable: str = Field(min_length=1)


class PreviewVariable(Values):
    """A variable of the model, and its values."""

    name: str = Field(min_length=1)


_VARIABLES = Field(
    min_length=1,
    max_length=MOST_VARIABLES,
    description="The variables of the model, with at least as many timestamps as its sliding "
    "window; null for a value that is missing.",
)


class LastRequest(Wire):
    """Values whose last timestamp is scored."""

    model_config = ConfigDict(json_schema_extra={"example": examples.LAST})

    variables: Annotated[list[Variable], _VARIABLES]
    top_contributor_count: TopContributors = 10


class PreviewLastRequest(Wire):
    """Values whose last timestamps are scored."""

    model_config = ConfigDict(json_schema_extra={"example": examples.PREVIEW_LAST})

    variables: Annotated[list[PreviewVariable], _VARIABLES]
    detecting_points: Annotated[int, Field(ge=1, le=MOST_POINTS)] | None = Field(
        1, description="How many of the last timestamps are scored."
    )


class VariableState(Wire):
    """What was read of a variable; the previews call the timestamps startTime and endTime."""

    variable: str
    filled_na_ratio: Annotated[float, Field(ge=0, le=1)] = Field(alias="filledNARatio")
    effective_count: Count
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None


class ModelState(Wire):
    """How a training went, by every tenth epoch; while it runs, by each of the last hundred."""

    epoch_ids: list[Count]
    train_losses: list[Number]
    validation_losses: list[Number]
    latencies_in_seconds: list[Number]


class Diagnostics(Wire):
    """How a training went, and on what."""

    model_state: ModelState
    variable_states: list[VariableState]


class AlignmentUsed(Wire):
    """How variables were aligned and gaps filled."""

    align_mode: str
    fill_na_method: str = Field(alias="fillNAMethod")
    padding_value: Number


class ModelInfo(Span):
    """What was asked for, with every default, and how far the training is."""

    data_source: str
    data_schema: str
    display_name: str
    sliding_window: Count
    align_policy: AlignmentUsed
    status: Status
    errors: list[Problem]
    diagnostics_info: Diagnostics


class Model(Wire):
    """A model."""

    model_id: UUID
    created_time: datetime
    last_updated_time: datetime
    model_info: ModelInfo


class Models(Wire):
    """A page of the models, and how many there are and may be."""

    models: list[Model]
    current_count: Count
    max_count: Count
    next_link: str


class CorrelationChanges(Wire):
    """The variables to which a variable is not related as before."""

    changed_variables: list[str]
    changed_values: list[Number] = Field(default_factory=list)


class Interpretation(Wire):
    """A variable behind an anomaly."""

    variable: str
    contribution_score: Number
    correlation_changes: CorrelationChanges


class Contributor(Wire):
    """A variable behind an anomaly, as the first preview told of it."""

    variable: str
    contribution_score: Number


class AnomalyValue(Wire):
    """Whether a timestamp is an anomaly, and why."""

    is_anomaly: bool
    severity: Number
    score: Number
    interpretation: list[Interpretation] = Field(default_factory=list)
    contributors: list[Contributor] = Field(default_factory=list)


class AnomalyState(Wire):
    """What was found at a timestamp."""

    timestamp: datetime
    value: AnomalyValue
    errors: list[Problem]


class Summary(Wire):
    """What was asked for, and how far it is."""

    status: Status
    errors: list[Problem]
    variable_states: list[VariableState]
    setup_info: dict[str, Any]


class Result(Wire):
    """A batch detection."""

    result_id: UUID
    summary: Summary
    results: list[AnomalyState]


class Latest(Wire):
    """What was found at the last timestamps."""

    variable_states: list[VariableState]
    results: list[AnomalyState]


def _route(
    status: int,
    answer: dict[str, Any],
    body: type[BaseModel] | None = None,
    parameters: tuple[dict[str, Any], ...] = (),
) -> dict[str, Any]:
    """Return what a route says of itself: its answer, the body it takes, what it asks for."""
    extra: dict[str, Any] = {} if body is None else json_body(body)
    if parameters:
        extra["parameters"] = list(parameters)
    described = {
        status: answer,
        400: {
            "model": Problem,
            "description": "The request cannot be answered; the code says why.",
        },
        404: {
            "model": Problem | GatewayProblem,
            "description": "There is no such model, result, route or API version.",
        },
    }
    return {
        "status_code": status,
        # Of other bodies FastAPI would say otherwise that they are JSON.
        "response_class": JSONResponse if "model" in answer else Response,
        "responses": answers(described),
        "openapi_extra": extra,
    }


def _in_query(name: str, least: int, most: int, default: int, what: str) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": least, "maximum": most, "default": default}
    described = f"{what} Also `${name}`."
    return {
        "name": name,
        "in": "query",
        "required": False,
        "schema": schema,
        "description": described,
    }


def _json(model: type[BaseModel], description: str) -> dict[str, Any]:
    return {"model": model, "description": description}


_BEGUN = "It has begun; the header `Location` is its address."
_PAGE = (
    _in_query("skip", 0, 2**31 - 1, 0, "How many models to leave out."),
    _in_query("top", 1, MOST_LISTED, 10, "How many models to list."),
)
_ZIP = {
    "description": "A zip of the model's files.",
    "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
}
_BATCH_BEGUN = (
    "It has begun; the headers `operation-id` and `operation-location` say where its result will "
    "be."
)

TRAIN = _route(201, _json(Model, _BEGUN), TrainingRequest)
LIST = _route(200, _json(Models, "The models."), parameters=_PAGE)
GET = _route(200, _json(Model, "The model."))
DELETE = _route(204, {"description": "It is deleted."})
DETECT_BATCH = _route(202, _json(Result, _BATCH_BEGUN), BatchRequest)
DETECT = _route(201, {"description": _BEGUN}, PreviewBatchRequest)
RESULT = _route(200, _json(Result, "The result."))
DETECT_LAST = _route(200, _json(Latest, "What was found."), LastRequest)
LAST_DETECT = _route(200, _json(Latest, "What was found."), PreviewLastRequest)
EXPORT = _route(200, _ZIP)
