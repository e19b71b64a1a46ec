"""JSON as it comes and goes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.api.wire import Json, parse
from detector.errors import DetectionError

ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/x-www-form-urlencoded", "x"]
)
def test_the_content_type_does_not_matter(
    service: Any, weeks: dict[str, Any], content_type: str
) -> None:
    assert service.call(ENTIRE, weeks, headers={"Content-Type": content_type}).status == 200


def test_numeric_strings_nulls_and_extra_keys_are_tolerated(
    service: Any, weeks: dict[str, Any]
) -> None:
    plain = service.call(ENTIRE, weeks).json
    for point in weeks["series"]:
        point.update(value=str(point["value"]), note="extra")
    weeks |= {"period": None, "maxAnomalyRatio": None, "boundaryVersion": "V1", "needed": {}}
    answer = service.call(ENTIRE, weeks)
    assert answer.status == 200
    assert answer.json == plain


def test_arrays_are_written_as_lists_of_their_values() -> None:
    noise = np.random.default_rng(20261124)
    bits = noise.integers(0, 2**64, 200_000, dtype=np.uint64).view(np.float64)
    special = [0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, 1e16, 1e22, 0.1, 1.0]
    scaled = noise.normal(size=200_000) * 10.0 ** noise.integers(-20, 20, 200_000)
    for array in (bits, np.array(special), scaled, scaled[::-1], scaled > 0, np.arange(5)):
        assert Json({"values": array}).body == orjson.dumps({"values": array.tolist()})
    mixed = np.array([1.5, None], dtype=object)
    assert Json({"values": mixed}).body == b'{"values":[1.5,null]}'
    assert Json({"value": np.float64(np.nan), "flag": np.bool_(True)}).body == (
        b'{"value":null,"flag":true}'
    )


MODELS = "/anomalydetector/v1.1/multivariate/models"


@pytest.mark.parametrize(
    "body",
    [b"[" * 1000, b"[" * 1000 + b"]" * 1000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 40],
    ids=["open", "closed", "many", "objects"],
)
def test_a_deep_body_is_refused(service: Any, body: bytes) -> None:
    for path in (ENTIRE, MODELS):
        answer = service.call(path, body)
        assert answer.status == 400
        assert answer.json["code"] == "InvalidJsonFormat"


DEEP = '["\u2200",' + "[" * 100_000 + "]" * 100_000 + "]"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16", "utf-32-le", "utf-32"])
def test_what_is_not_in_utf_8_is_refused(service: Any, encoding: str) -> None:
    for text in ("[NaN]", "[\u2200]", DEEP):
        body = text.encode(encoding)
        with pytest.raises(DetectionError) as refused:
            parse(body)
        assert refused.value.code == "InvalidJsonFormat"
        for path in (ENTIRE, MODELS):
            answer = service.call(path, body)
            assert (answer.status, answer.json["code"]) == (400, "InvalidJsonFormat")


def test_a_mark_of_utf_8_is_no_content() -> None:
    assert parse(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
    with pytest.raises(DetectionError, match="must be in UTF-8"):
        parse(b'["\xff"]')


def depth(value: Any) -> int:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return max(map(depth, parts), default=0) + isinstance(value, (dict, list))


LEAVES = st.one_of(st.none(), st.integers(-9, 9), st.text('[]{}"\\, a', max_size=6))
# Deep is what goes from one to the next, broad is what stands beside it.
BROAD = st.recursive(
    LEAVES, lambda part: st.lists(part) | st.dictionaries(st.text('[]{}"\\'), part), max_leaves=4
)
STEPS = st.lists(st.tuples(st.booleans(), BROAD, BROAD), max_size=40)


@given(steps=STEPS, spaces=st.booleans())
def test_a_body_is_read_if_it_is_not_deep_whatever_its_strings_hold(
    steps: list[Any], spaces: bool
) -> None:
    value: Any = None
    for is_list, before, after in steps:
        value = [before, value, after] if is_list else {"[": before, "a": value, "]": after}
    text = json.dumps(value, indent=1 if spaces else None).encode()
    if depth(value) <= 32:
        assert parse(text) == value
    elif depth(value) > 33:
        # One that holds only values is not counted.
        with pytest.raises(DetectionError, match="nested"):
            parse(text)


@pytest.mark.parametrize("literal", [b"1", b"NaN"])
@pytest.mark.parametrize("part", [b"{}", b"[]", b"1"])
def test_a_body_of_very_many_values_is_refused(part: bytes, literal: bytes) -> None:
    few, many = (b"[" + literal + (b"," + part) * count + b"]" for count in (600_000, 2_000_000))
    assert len(parse(few)) == 600_001
    with pytest.raises(DetectionError, match="more than 2000000 values, the most"):
        parse(many)


@pytest.mark.parametrize("body", [b"", b"  \n"])
def test_an_empty_body_is_nothing(body: bytes) -> None:
    assert parse(body) is None
