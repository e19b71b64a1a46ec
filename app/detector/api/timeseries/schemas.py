"""What the routes for one series take and answer, for OpenAPI."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from detector.api.openapi import Number, Problem, Wire, answers, json_body
from detector.series.options import GRANULARITIES, IMPUTE_MODES, SHORTEST_WINDOW
from detector.series.values import FEWEST_POINTS, MOST_POINTS
from detector.univariate.tuning import DEFAULT_SHARE, LARGEST_SHARE

__all__ = ["BATCH", "CHANGE_POINT", "ENTIRE", "LAST", "MODES", "MOST_SERIES", "TUNE"]

# What a batch may ask for, and how many series it may have.
MODES = ("entire", "last", "changepoint")
MOST_SERIES = 1000

_VALUES = (826, 799, 890, 900, 961, 935, 894, 855, 809, 810, 766, 805, 821, 773, 926, 962)
_EXAMPLE: dict[str, Any] = {
    "series": [
        {"timestamp": f"{1972 + place // 12}-{place % 12 + 1:02}-01T00:00:00Z", "value": value}
        for place, value in enumerate(_VALUES)
    ],
    "granularity": "monthly",
}

Granularity = Annotated[str, Field(json_schema_extra={"enum": list(GRANULARITIES)})]
ImputeMode = Annotated[str, Field(json_schema_extra={"enum": list(IMPUTE_MODES)})]
Count = Annotated[int, Field(ge=0)]


class Point(Wire):
    """A point of a series."""

    timestamp: datetime | None = Field(
        None, description="ISO 8601; may be left out with the granularity `none`."
    )
    value: float | str = Field(
        description="A number, or a string that spells one; within 1e100 of zero."
    )


class SeriesRequest(Wire):
    """A series, and what every detection in it may be told."""

    series: list[Point] = Field(
        min_length=FEWEST_POINTS,
        max_length=MOST_POINTS,
        description="In rising order of time, no timestamp twice, on the grid of the granularity.",
    )
    granularity: Granularity | None = Field("none", description="The time unit between points.")
    custom_interval: Annotated[int, Field(ge=1)] | None = Field(
        1, description="How many of these units lie between two points."
    )
    period: Count | None = Field(
        None, description="Points in one season, 0 for none; found out where it is not given."
    )


class DetectionRequest(SeriesRequest):
    """A series to detect anomalies in."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE | {"sensitivity": 95}})

    max_anomaly_ratio: Annotated[float, Field(gt=0, le=0.49)] | None = Field(
        0.25, description="At most this part of the points is anomalous."
    )
    sensitivity: Annotated[int, Field(ge=0, le=100)] | None = Field(
        None,
        description="The higher, the narrower the margins. 99 where it is not given; 95 for `last` "
        "of version v1.1.",
    )
    impute_mode: ImputeMode | None = Field("auto", description="How gaps are filled.")
    impute_fixed_value: float | None = Field(
        None, description="The value of every missing point, for the imputeMode `fixed`."
    )


class TuneRequest(DetectionRequest):
    """A series to choose a sensitivity for; a `sensitivity` is not looked at."""

    # One of its sixteen values has lost a digit.
    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                **_EXAMPLE,
                "series": [
                    point | {"value": 80} if place == 8 else point
                    for place, point in enumerate(_EXAMPLE["series"])
                ],
                "anomalyShare": 0.05,
            }
        }
    )

    anomaly_share: Annotated[float, Field(gt=0, le=LARGEST_SHARE)] | None = Field(
        DEFAULT_SHARE, description="Which part of the points is expected to be anomalies."
    )


class ChangePointRequest(SeriesRequest):
    """A series to find the change points of."""

    model_config = ConfigDict(json_schema_extra={"example": _EXAMPLE | {"threshold": 0.99}})

    stable_trend_window: Annotated[int, Field(ge=SHORTEST_WINDOW)] | None = Field(
        None, description="How many points a trend lasts at least; below half of the series."
    )
    threshold: Annotated[float, Field(ge=0.01, le=0.99)] | None = Field(
        None, description="The lower, the fewer change points."
    )


class EntireAnswer(Wire):
    """What is expected and what is anomalous of each point; version v1.0 has no severity."""

    period: Count
    expected_values: list[Number]
    upper_margins: list[Number]
    lower_margins: list[Number]
    is_anomaly: list[bool]
    is_negative_anomaly: list[bool]
    is_positive_anomaly: list[bool]
    severity: list[Number] = Field(default_factory=list)


class LastAnswer(Wire):
    """What is expected of the last point; version v1.0 has no severity."""

    period: Count
    suggested_window: Count
    expected_value: Number
    upper_margin: Number
    lower_margin: Number
    is_anomaly: bool
    is_negative_anomaly: bool
    is_positive_anomaly: bool
    severity: Number = None


class ChangePointAnswer(Wire):
    """Which points are change points."""

    period: Count
    is_change_point: list[bool]
    confidence_scores: list[Number]


class TuneAnswer(Wire):
    """How many points each sensitivity flags, and which one flags about the share asked for."""

    points: Count
    sensitivities: list[int] = Field(description="0 to 99.")
    anomalies: list[Count] = Field(description="How many points each of them flags.")
    anomaly_share: float = Field(description="As it was asked for.")
    sensitivity: int = Field(
        description="It flags the part of the points nearest to `anomalyShare`; of several the "
        "lowest, but the highest where that flags none."
    )


class BatchSeries(DetectionRequest, ChangePointRequest):
    """A series of a batch, with options of its own where it has any."""

    model_config = ConfigDict(json_schema_extra={})

    id: str | int | None = Field(None, description="Comes back with the answer; no other has it.")


class BatchRequest(Wire):
    """Up to 1,000 series, 500,000 points together; all options of one series, for all."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "mode": "entire",
                "granularity": "monthly",
                "sensitivity": 95,
                "series": [
                    {"id": "pump 1", "series": _EXAMPLE["series"]},
                    {"id": "pump 2", "series": _EXAMPLE["series"], "sensitivity": 80},
                ],
            }
        },
    )

    mode: Annotated[str, Field(json_schema_extra={"enum": list(MODES)})] | None = Field(
        "entire", description="Which operation answers each series."
    )
    series: list[BatchSeries] = Field(min_length=1, max_length=MOST_SERIES)


class BatchAnswer(Wire):
    """The answer for each series, in the order in which they were sent."""

    results: list[dict[str, Any]] = Field(
        description="What the operation of the mode answers, with the `id`; or `id` and `error`, "
        "an object with `code` and `message`, for a series that is not valid."
    )


def _route(request: type[BaseModel], answer: type[BaseModel]) -> dict[str, Any]:
    """Return what a route says of itself."""
    wrong = "The series or an option is not valid; the code says why."
    return {
        "responses": answers(
            {
                200: {"model": answer, "description": "The answer."},
                400: {"model": Problem, "description": wrong},
            }
        ),
        "openapi_extra": json_body(request),
    }


ENTIRE = _route(DetectionRequest, EntireAnswer)
LAST = _route(DetectionRequest, LastAnswer)
CHANGE_POINT = _route(ChangePointRequest, ChangePointAnswer)
BATCH = _route(BatchRequest, BatchAnswer)
TUNE = _route(TuneRequest, TuneAnswer)
