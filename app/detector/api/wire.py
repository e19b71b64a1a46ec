"""JSON as it comes and goes."""

import json
from typing import Any

import numpy as np
import orjson
from starlette.responses import Response

from detector.errors import DetectionError

__all__ = ["MOST_VALUES", "Json", "parse", "written"]

# The largest legal request, 300 variables of 2,880 timestamps, has 1.8 million.
MOST_VALUES = 2_000_000
# The interpreter's lock is held while so many bytes are counted: 0.1 ms.
_BLOCK = 65_536
_BETWEEN = (b",", b"[", b"]", b"{", b"}")
_DEEPEST = 32
_NO_MARKS = bytes(set(range(256)) - set(b'[]{}"'))


class Json(Response):
    """An answer in JSON, of arrays as well; numbers that JSON has no word for become null."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the bytes of a body."""
        return written(content)


def written(content: Any) -> bytes:
    """Write JSON, of arrays as well."""
    return orjson.dumps(content, default=_as_list, option=orjson.OPT_SERIALIZE_NUMPY)


def _as_list(value: Any) -> Any:
    # orjson writes arrays of numbers that are contiguous.
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written in JSON")


def parse(body: bytes, *, most: int = MOST_VALUES) -> Any:
    """Read JSON in UTF-8 whatever its Content-Type said, and the NaN that Python writes.

    Parameters
    ----------
    body : bytes
    most : int
        How many values, objects and lists included, it may hold.

    Raises
    ------
    DetectionError
        ``InvalidJsonFormat`` for what is no JSON or too deep, ``DataExceedsLimit`` for too many
        values; both before anything is made of it.
    """
    _check_size(body, most)
    _check_depth(body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    if not body or body.isspace():
        return None
    try:
        # Of bytes it would guess the encoding, and the depth was counted in UTF-8.
        return json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UnicodeDecodeError):
            reason = "it must be in UTF-8"
        else:
            reason = str(error) if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise DetectionError(
            "InvalidJsonFormat", f"Invalid Json Format: the body is no JSON ({reason})."
        ) from error


def _check_size(body: bytes, most: int) -> None:
    # Between two values stands one of these; a few more are in strings.
    if len(body) <= most:
        return
    count = 0
    for start in range(0, len(body), _BLOCK):
        count += sum(map(body[start : start + _BLOCK].count, _BETWEEN))
        if count > most:
            raise DetectionError(
                "DataExceedsLimit",
                f"The body holds more than {most} values, the most that this request may have.",
            )


def _check_depth(body: bytes) -> None:
    if b"\\" in body:
        # An escaped quote does not end a string.
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Strings that hold no bracket vanish, and so does what holds nothing but values.
    marks = body.translate(None, _NO_MARKS).replace(b'""', b"")
    marks = marks.replace(b"{}", b"").replace(b"[]", b"")
    if len(marks) <= _DEEPEST:
        return
    each = np.frombuffer(marks, dtype=np.uint8)
    quotes = each == ord('"')
    brackets = each[~quotes & (np.cumsum(quotes, dtype=np.int32) % 2 == 0)]
    opening = (brackets == ord("[")) | (brackets == ord("{"))
    if np.cumsum(np.where(opening, 1, -1)).max(initial=0) > _DEEPEST:
        raise DetectionError(
            "InvalidJsonFormat",
            f"Invalid Json Format: the body is nested more than {_DEEPEST} deep.",
        )
