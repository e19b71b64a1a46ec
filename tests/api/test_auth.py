"""Keys: which open, and what is said of others."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from detector.api import keys as module
from detector.api.errors import GatewayError
from detector.api.keys import Keys

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


def test_wrong_keys_wait_and_right_ones_do_not(factory: Any, kit: Any) -> None:
    models = "/anomalydetector/v1.1/multivariate/models"

    def asked(key: str) -> tuple[int, float]:
        started = time.monotonic()
        status = factory.call(models, headers={kit.HEADER: key}).status
        return status, time.monotonic() - started

    asked("any")
    # 0.1, 0.2, 0.4 and 0.8 s; the same address sends the right key meanwhile.
    with ThreadPoolExecutor(4) as threads:
        wrong = [threads.submit(asked, "wrong") for _ in range(4)]
        right = 0
        while not all(each.done() for each in wrong):
            status, seconds = asked("any")
            assert status == 200
            assert seconds < 0.7
            right += 1
    assert right > 3
    assert {each.result()[0] for each in wrong} == {401}
    assert max(each.result()[1] for each in wrong) > 0.8
    # Others have sent none.
    assert asked("")[1] < 0.7


async def refused(keys: Keys, address: str) -> int:
    with pytest.raises(GatewayError) as raised:
        await keys.check("wrong", address)
    return raised.value.status


def test_what_is_remembered_of_wrong_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_SECONDS", 0.0)

    async def work() -> None:
        keys = Keys([SecretStr("right")])
        for place in range(10_000):
            assert await refused(keys, f"192.0.2.{place}") == 401
        assert len(keys._counts) <= 4096
        # A delay that ends some day, however many there were.
        for _ in range(2000):
            assert await refused(keys, "192.0.2.1") == 401

    anyio.run(work)


def test_few_answers_to_wrong_keys_wait_at_once() -> None:
    async def work() -> None:
        keys = Keys([SecretStr("right")])
        async with anyio.create_task_group() as tasks:
            for place in range(256):
                tasks.start_soon(refused, keys, f"192.0.2.{place}")
            await anyio.sleep(0)
            assert await refused(keys, "192.0.2.1") == 429
            await keys.check("right", "192.0.2.1")

    anyio.run(work)
