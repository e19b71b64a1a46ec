"""``timeseries/batch/detect``: many series in one request. It is ours; Azure's API had none."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.responses import Response

from detector.api.errors import GatewayError, described
from detector.api.limits import Limits
from detector.api.served_models import Model, ServedModels
from detector.api.service import Answer, Operation, answered_by, billed
from detector.api.timeseries.schemas import MOST_SERIES
from detector.api.wire import Json, parse, written
from detector.errors import DetectionError, shown
from detector.series.names import Names
from detector.series.options import given_options

__all__ = ["BODY_TIMES", "MOST_POINTS", "Batch"]

MOST_POINTS = 500_000
# How many times the largest body of one series that of a batch may have.
BODY_TIMES = 10
# Of each point four: itself, its two values, and what stands between it and the next one.
_MOST_VALUES = 4 * MOST_POINTS + 64 * MOST_SERIES
# A piece of work has so many points, and each series costs as much as so many more.
_AT_ONCE, _EACH = 8640, 200
_BATCH = Names(["mode", "series"])
_SERIES = Names(["id", "series"])
_DEFAULT_MODE = "entire"


@dataclass(frozen=True)
class _Asked:
    """A batch: the mode, and each series with its id and its options."""

    mode: str
    ids: list[Any]
    requests: list[Any]

    def pieces(self) -> Iterator[range]:
        """Yield neighbouring series, so many together that a thread has some work."""
        start = cost = 0
        for place, each in enumerate(self.requests):
            cost += _points(each) + _EACH
            if cost >= _AT_ONCE or place == len(self.requests) - 1:
                yield range(start, place + 1)
                start, cost = place + 1, 0


class Batch:
    """Answers batches by the operations for one series, by their modes."""

    def __init__(self, operations: Mapping[str, Operation]) -> None:
        self._operations = operations

    async def answer(
        self, request: Request, version: str, limits: Limits, models: ServedModels
    ) -> Response:
        """Answer a request with the detection of all its series."""
        state = request.state
        state.operation, state.api_version = "batch", version
        body = await limits.read(request, times=BODY_TIMES)
        asked = await limits.run(request, lambda: self._read(body), size=len(body))
        operation = self._operations[asked.mode]
        # One version answers all.
        model = models[operation.model]
        found = await limits.run_pieces(
            request,
            [
                self._piece(asked, places, operation, model, version, limits)
                for places in asked.pieces()
            ],
        )
        answers = [answer for piece in found for _, answer in piece if answer]
        state.points = sum(answer.points for answer in answers)
        state.series, state.refused = len(asked.requests), len(asked.requests) - len(answers)
        state.model, state.model_version = model.name, model.version
        state.detection_milliseconds = round(sum(answer.milliseconds for answer in answers), 3)
        content = b",".join(content for piece in found for content, _ in piece)
        return Response(
            b'{"results":[' + content + b"]}",
            media_type=Json.media_type,
            headers={**billed(state.points), **answered_by(model)},
        )

    def _read(self, body: bytes) -> _Asked:
        """Read a batch; what concerns one series alone is left for that one's answer."""
        content = parse(body, most=_MOST_VALUES)
        if not isinstance(content, dict) or not content:
            raise DetectionError(
                "InvalidJsonFormat",
                "Invalid Json Format, input data is Empty. Send a JSON object with the field "
                f"'series', not {shown(content)}.",
            )
        shared = given_options(_BATCH.usual(content))
        mode, series = shared.pop("mode", _DEFAULT_MODE), shared.pop("series", None)
        if not isinstance(mode, str) or mode not in self._operations:
            raise DetectionError(
                "BadArgument",
                f"The 'mode' field must be one of {', '.join(self._operations)}, not "
                f"{shown(mode)}.",
            )
        if series is None:
            raise DetectionError(
                "RequiredSeries",
                "The 'series' field is required in request. It is a list of objects, each with a "
                "'series' of its own.",
            )
        if not isinstance(series, list) or not 0 < len(series) <= MOST_SERIES:
            raise DetectionError(
                "BadArgument",
                f"The 'series' field must be a list of 1 to {MOST_SERIES} objects, each with a "
                f"'series' of its own, not {_how_many(series)}.",
            )
        each = [_SERIES.usual(one) if isinstance(one, dict) else one for one in series]
        points = sum(map(_points, each))
        if points > MOST_POINTS:
            raise DetectionError(
                "BadArgument",
                f"The series have {points} points together, and may have {MOST_POINTS}: send them "
                "in more than one request.",
            )
        return _Asked(mode, _ids(each), [_with_options(one, shared) for one in each])

    def _piece(
        self,
        asked: _Asked,
        places: range,
        operation: Operation,
        model: Model,
        version: str,
        limits: Limits,
    ) -> Callable[[], list[tuple[bytes, Answer | None]]]:
        """Return what answers some of the series: each one's JSON, and its answer if it has one."""

        def answer(place: int) -> tuple[bytes, Answer | None]:
            one = asked.requests[place]
            named = {} if asked.ids[place] is None else {"id": asked.ids[place]}
            try:
                if not isinstance(one, dict):
                    raise DetectionError(
                        "BadArgument",
                        f"It must be an object with a 'series', and is {shown(one)}.",
                    )
                found = operation.detect(one, model, version, limits)
            except (DetectionError, GatewayError) as error:
                return written(named | {"error": described(error)}), None
            return written(named | found.content), found

        return lambda: [answer(place) for place in places]


def _points(one: Any) -> int:
    series = one.get("series") if isinstance(one, dict) else None
    return len(series) if isinstance(series, list) else 0


def _how_many(series: Any) -> str:
    return f"{len(series)} of them" if isinstance(series, list) else shown(series)


def _with_options(one: Any, shared: Mapping[str, Any]) -> Any:
    """Return a series with the options of all where it has none of its own."""
    if not isinstance(one, dict):
        return one
    return {**shared, **given_options({name: one[name] for name in one if name != "id"})}


def _ids(each: list[Any]) -> list[Any]:
    """Return the id of each series, None where it has none."""
    places: dict[Any, int] = {}
    ids = [one.get("id") if isinstance(one, dict) else None for one in each]
    for place, name in enumerate(ids):
        if name is None:
            continue
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise DetectionError(
                "BadArgument",
                f"The 'id' of the series at index {place} must be a string or an integer, not "
                f"{shown(name)}.",
            )
        if places.setdefault(name, place) != place:
            raise DetectionError(
                "BadArgument",
                f"The series at index {places[name]} and {place} have the same 'id', "
                f"{shown(name)}.",
            )
    return ids
