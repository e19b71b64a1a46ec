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

import pytest
from cgroups import Group
from services import HEADER, Service, minute, until

from .conftest import NAMES

ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"
USUAL = json.dumps({"series": [{"value": place % 7} for place in range(47)]}).encode()
MEGABYTE = 1_000_000
# More than any pause that a large body makes.
HEALTH_SECONDS = 5


class Attacked:
    """A service with the stack's memory, and a client that behaves and must be answered."""

    def __init__(self, service: Service, group: Group, last: str) -> None:
        self.service, self.group, self.last = service, group, last
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


@pytest.fixture
def attacked(many_variables: tuple[Service, Group, str]) -> Attacked:
    """Return a service with the memory of the stack's, and a model of 300 variables."""
    return Attacked(*many_variables)


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


def series(points: int, size: int) -> bytes:
    """Return the body of a series, with a note that makes it so large."""
    times = [
        minute(place % 1440).replace("01-01", f"01-{1 + place // 1440:02}")
        for place in range(points)
    ]
    values = [{"timestamp": time, "value": place % 60} for place, time in enumerate(times)]
    return json.dumps({"series": values, "granularity": "minutely", "note": " " * size}).encode()


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
    for times in (3, 10):
        # As large as it may be, and as many values as there may be.
        assert attacked.post(attacked.last, objects(b"{}", 40 * MEGABYTE), times).keys() <= {
            400,
            429,
        }
        assert attacked.post(attacked.last, objects(b"{}", 2 * MEGABYTE - 100), times).keys() <= {
            400,
            429,
        }
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
    assert attacked.post(attacked.last, last, 1) == {200: 1}
    several = attacked.post(attacked.last, last, 16)
    # Some are told to come back, and each has its turn in the end.
    assert several.keys() == {200, 429}
    until(lambda: attacked.service.call(attacked.last, last).status == 200, "it is answered", 30)
    largest = series(8640, 3_400_000)
    assert attacked.post(ENTIRE, largest, 16).keys() <= {200, 429}
    assert attacked.post(ENTIRE, largest, 1) == {200: 1}
    attacked.check()
