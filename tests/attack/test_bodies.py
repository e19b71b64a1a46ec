"""Bodies: whatever arrives together, the service stays within its memory and answers others."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cgroups import Group
from services import HEADER, Service, minute, until

from .conftest import NAMES, WINDOW, train

MODELS = "/anomalydetector/v1.1/multivariate/models"
ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"
USUAL = json.dumps({"series": [{"value": place % 7} for place in range(47)]}).encode()
MEGABYTE = 1_000_000
# More than any pause that a large body makes.
HEALTH_SECONDS = 5


class Attacked:
    """A service with the stack's memory, and a client that behaves and must be answered."""

    def __init__(self, service: Service, group: Group) -> None:
        self.service, self.group = service, group
        self.peak_of_start = group.peak
        self.last = f"{MODELS}/{train(service)}:detect-last"
        self.answers: Counter[int] = Counter()
        self.slowest = 0.0

    def ask(self) -> None:
        for path, body in (("/health/live", None), (ENTIRE, USUAL)):
            started = time.monotonic()
            self.answers[self.service.call(path, body).status] += 1
            self.slowest = max(self.slowest, time.monotonic() - started)

    def post(self, path: str, body: bytes, times: int) -> Counter[int]:
        """Send a body so many times at once; return the statuses of the answers."""
        with ThreadPoolExecutor(times) as threads:
            work = [threads.submit(self.service.call, path, body) for _ in range(times)]
            while not all(each.done() for each in work):
                self.ask()
            return Counter(each.result().status for each in work)

    @contextlib.contextmanager
    def withheld(self, path: str, announced: int, sent: int, times: int) -> Iterator[None]:
        """Keep bodies that have arrived in part."""
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{HEADER}: any\r\n"
        head += f"Content-Length: {announced}\r\n\r\n"

        def send(one: socket.socket) -> None:
            # It may be refused before it is sent.
            with contextlib.suppress(ConnectionError):
                one.sendall(head.encode() + b" " * sent)

        with contextlib.ExitStack() as stack:
            address = "127.0.0.1", self.service.port
            clients = [
                stack.enter_context(socket.create_connection(address, timeout=30))
                for _ in range(times)
            ]
            senders = [threading.Thread(target=send, args=(one,)) for one in clients[-60:]]
            for sender in senders:
                sender.start()
            for one in clients[:-60]:
                send(one)
            while any(sender.is_alive() for sender in senders):
                self.ask()
            self.ask()
            yield

    def check(self) -> None:
        assert self.group.killed == 0
        # Models and what is detected need some too.
        assert self.group.peak < 0.75 * self.group.limit
        assert self.answers.keys() == {200}
        assert self.slowest < HEALTH_SECONDS


@pytest.fixture(scope="module")
def attacked(limited: tuple[Service, Group]) -> Attacked:
    """Return a service with the memory of the stack's, and a model of 300 variables."""
    return Attacked(*limited)


def objects(one: bytes, size: int) -> bytes:
    """Return a body of as many objects as have so many bytes."""
    return b'{"variables":[' + b",".join([one] * (size // (len(one) + 1))) + b"]}"


def latest(variables: int, timestamps: int) -> bytes:
    """Return the body of a request for the last timestamp."""
    times = [
        minute(place % 1440).replace("01-01", f"01-{1 + place // 1440:02}")
        for place in range(timestamps)
    ]
    values = [1.5 + place * 0.0123456789 for place in range(timestamps)]
    each = [{"variable": NAMES[n], "timestamps": times, "values": values} for n in range(variables)]
    return json.dumps({"variables": each}).encode()


def apart() -> bytes:
    """Return as large a body, in which no two variables have a timestamp in common."""
    values = [round(float(np.sin(place / 9)), 6) for place in range(2880)]
    moments = np.datetime64("2026-01-01", "s") + 60 * np.arange(2880)
    variables = []
    for place, name in enumerate(NAMES):
        own = np.datetime_as_string(moments + place * 60 * 2880, unit="s")
        timestamps = [f"{moment}Z" for moment in own]
        variables.append({"variable": name, "timestamps": timestamps, "values": values})
    return json.dumps({"variables": variables}).encode()


def series(points: int, size: int) -> bytes:
    """Return the body of a series, with a note that makes it so large."""
    times = [
        minute(place % 1440).replace("01-01", f"01-{1 + place // 1440:02}")
        for place in range(points)
    ]
    values = [{"timestamp": time, "value": place % 60} for place, time in enumerate(times)]
    return json.dumps({"series": values, "granularity": "minutely", "note": " " * size}).encode()


def test_a_service_starts_within_its_memory(attacked: Attacked) -> None:
    assert str(attacked.service.process.pid) in attacked.group.procs.read_text().split()
    assert 50e6 < attacked.peak_of_start < attacked.group.limit / 2
    assert attacked.group.killed == 0


def test_usual_requests_are_answered_while_bodies_are_withheld(attacked: Attacked) -> None:
    with (
        attacked.withheld(attacked.last, 40 * MEGABYTE, 39 * MEGABYTE, 60),
        attacked.withheld(ENTIRE, 2 * MEGABYTE, 60_000, 2000),
    ):
        for _ in range(10):
            attacked.ask()
    attacked.check()


def test_bodies_that_become_much_more_than_they_are_stay_within_the_memory(
    attacked: Attacked,
) -> None:
    # As large as it may be, one more than there is room for; and as many values as there may be.
    for size in (40 * MEGABYTE, 2 * MEGABYTE - 100):
        assert attacked.post(attacked.last, objects(b"{}", size), 6).keys() <= {400, 429}
    # Just small enough to take no turns.
    assert attacked.post(attacked.last, objects(b'{"a":1}', 1 * MEGABYTE), 70).keys() <= {400, 429}
    names = b",".join(b'"name %d":1e9' % place for place in range(1_900_000))
    assert attacked.post(attacked.last, b'{"variables":{' + names + b"}}", 5).keys() <= {400, 429}
    wide = "\N{GRINNING FACE}".encode() + b"a" * 39 * MEGABYTE
    assert attacked.post(attacked.last, b'{"variables":["' + wide + b'", NaN]}', 5).keys() <= {
        400,
        429,
    }
    attacked.check()


def test_the_largest_legal_bodies_stay_within_the_memory(attacked: Attacked) -> None:
    last = latest(300, 2880)
    assert len(last) > 30 * MEGABYTE
    answer = attacked.service.call(attacked.last, last)
    assert answer.status == 200
    assert len(answer.json["results"]) == 1
    assert {state["effectiveCount"] for state in answer.json["variableStates"]} == {WINDOW}
    several = attacked.post(attacked.last, last, 16)
    # Some are told to come back, and each has its turn in the end.
    assert several.keys() == {200, 429}
    until(lambda: attacked.service.call(attacked.last, last).status == 200, "it is answered", 30)
    largest = series(8640, 3_400_000)
    assert attacked.post(ENTIRE, largest, 16).keys() <= {200, 429}
    assert attacked.post(ENTIRE, largest, 1) == {200: 1}
    attacked.check()


def test_a_body_that_becomes_a_table_of_many_rows_is_refused(attacked: Attacked) -> None:
    # 864,000 of them.
    body = apart()
    assert attacked.post(attacked.last, body, 8).keys() <= {400, 429}
    refused = attacked.service.call(attacked.last, body)
    assert refused.status == 400
    assert refused.json["code"] == "DataExceedsLimit"
    assert "'timestamps' of all 'variables' together" in refused.json["message"]
    assert "86400 different ones" in refused.json["message"]
    assert attacked.service.call("/health/ready").status == 200
    attacked.check()
