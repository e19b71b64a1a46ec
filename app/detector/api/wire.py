"""JSON as it comes and goes."""

import json
from typing import Any

import numpy as np
import orjson
from starlette.responses import Response

from detector.errors import DetectionError

__all__ = ["Json", "parse"]


class Json(Response):
    """An answer in JSON, of arrays as well; numbers that JSON has no word for become null."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the bytes of a body."""
        return orjson.dumps(content, default=_as_list, option=orjson.OPT_SERIALIZE_NUMPY)


def _as_list(value: Any) -> Any:
    # orjson writes arrays of numbers that are contiguous.
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written in JSON")


def parse(body: bytes) -> Any:
    """Read JSON whatever its Content-Type said, and the literal NaN that Python writes."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    if not body.strip():
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise DetectionError(
            "InvalidJsonFormat", f"Invalid Json Format: the body is no JSON ({reason})."
        ) from error
