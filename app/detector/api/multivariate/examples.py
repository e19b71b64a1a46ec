"""A pump of two variables: what the description of the API sends, so that it can be tried.

Each example goes with the others: the data is uploaded, a model trained on it, and asked.
"""

import math
from typing import Any

__all__ = ["BATCH", "DATA", "LAST", "NAME", "PREVIEW_BATCH", "PREVIEW_LAST", "TRAINING"]

NAME = "pump"
_SOURCE = f"{NAME}.csv"
_MINUTES, _WINDOW = 120, 28
_FAULT = 116


def _minute(place: int) -> str:
    return f"2021-01-01T{place // 60:02}:{place % 60:02}:00Z"


def _pressure(place: int) -> float:
    return round(1.2 + 0.3 * math.sin(place / 3) + 0.02 * math.sin(place * place * 12.9898), 2)


def _speed(place: int) -> float:
    # It follows the pressure, but for one minute.
    usual = 20 + 5 * math.sin(place / 3) + 0.3 * math.sin(place * place * 78.233)
    return round(usual - (9 if place == _FAULT else 0), 2)


_VARIABLES = {"pressure": _pressure, "speed": _speed}
DATA = "\n".join(
    [
        ",".join(["timestamp", *_VARIABLES]),
        *(
            ",".join([_minute(place), *(str(value(place)) for value in _VARIABLES.values())])
            for place in range(_MINUTES)
        ),
        "",
    ]
)


def _span(first: int, last: int) -> dict[str, str]:
    return {"startTime": _minute(first), "endTime": _minute(last)}


TRAINING: dict[str, Any] = {
    "dataSource": _SOURCE,
    **_span(0, _MINUTES - 11),
    "displayName": NAME,
    "slidingWindow": _WINDOW,
}
BATCH: dict[str, Any] = {
    "dataSource": _SOURCE,
    **_span(0, _MINUTES - 1),
    "topContributorCount": 2,
}
PREVIEW_BATCH: dict[str, Any] = {"source": _SOURCE, **_span(0, _MINUTES - 1)}


def _last(name: str) -> list[dict[str, Any]]:
    places = range(_FAULT + 1 - _WINDOW, _FAULT + 1)
    return [
        {
            name: variable,
            "timestamps": [_minute(place) for place in places],
            "values": [value(place) for place in places],
        }
        for variable, value in _VARIABLES.items()
    ]


LAST: dict[str, Any] = {"variables": _last("variable"), "topContributorCount": 2}
PREVIEW_LAST: dict[str, Any] = {"variables": _last("name"), "detectingPoints": 1}
