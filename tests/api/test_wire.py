"""JSON as it comes and goes."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from detector.api.wire import Json

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
