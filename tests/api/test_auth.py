"""Keys: which open, and what is said of others."""

from __future__ import annotations

from typing import Any

import pytest

ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"


@pytest.mark.parametrize("place", [0, 1])
def test_each_of_the_keys_opens(guarded: Any, kit: Any, weeks: dict[str, Any], place: int) -> None:
    assert guarded.call(ENTIRE, weeks, headers={kit.HEADER: kit.KEYS[place]}).status == 200


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (None, "due to missing subscription key"),
        ("", "due to missing subscription key"),
        ("the-first-key,the-second-key", "due to invalid subscription key"),
        ("The-First-Key", "due to invalid subscription key"),
        ("schlüssel", "due to invalid subscription key"),
    ],
)
def test_no_other_key_opens(
    guarded: Any, kit: Any, weeks: dict[str, Any], key: str | None, text: str
) -> None:
    headers = {} if key is None else {kit.HEADER: key}
    answer = guarded.call(ENTIRE, weeks, headers=headers)
    assert answer.status == 401
    assert answer.json["error"]["code"] == "401"
    assert text in answer.json["error"]["message"]
    assert kit.HEADER in answer.json["error"]["message"]
