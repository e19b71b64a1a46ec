"""Clients that do not behave: python attackers.py URL KEY MODEL_ID DATA SECONDS [WITHOUT ...]

Each kind but those left out is a thread that attacks until the time is up. What came of it is
printed as one line of JSON: by kind, how often each status was answered, and how often the
connection was closed.
"""

from __future__ import annotations

import collections
import http.client
import json
import math
import random
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

SERIES = "/anomalydetector/v1.1/timeseries"
MODELS = "/anomalydetector/v1.1/multivariate/models"
SILENT, HALF_SENT, WITHHELD = 1500, 50, 20
_LARGE = 39_000_000


class Attackers:
    """What the attacks share: the address, the key, the end, and the counts."""

    def __init__(self, url: str, key: str, model_id: str, data: str, seconds: float) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname or "", parts.port or 80)
        self.headers = {"Ocp-Apim-Subscription-Key": key, "Content-Type": "application/json"}
        self.model = f"{MODELS}/{model_id}"
        self.data = data
        self.counts: dict[str, collections.Counter[str]] = {}
        self._end = time.monotonic() + seconds
        self._stop = threading.Event()

    def rounds(self, pause: float) -> Iterator[int]:
        """Count rounds, with a pause between them, until the time is up."""
        count = 0
        while time.monotonic() < self._end:
            yield count
            count += 1
            self._stop.wait(min(pause, max(0.0, self._end - time.monotonic())))

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Send one request over a connection of its own; count its status."""
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        try:
            connection.request(method, path, body, headers or self.headers)
            answer = connection.getresponse()
            content = answer.read()
            self.count(str(answer.status))
            return answer.status, content
        except (OSError, http.client.HTTPException):
            self.count("closed")
            return 0, b""
        finally:
            connection.close()

    def connect(self) -> socket.socket | None:
        try:
            return socket.create_connection(self.address, timeout=5)
        except OSError:
            self.count("no connection")
            return None

    def count(self, outcome: str) -> None:
        kind = threading.current_thread().name
        self.counts.setdefault(kind, collections.Counter())[outcome] += 1


def silent_connections(attack: Attackers) -> None:
    """Connect and say nothing; connect again whatever is closed."""
    _hold(attack, SILENT, b"", None)


def half_sent_headers(attack: Attackers) -> None:
    """Send a header a byte at a time."""
    start = f"POST {SERIES}/entire/detect HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".encode()
    _hold(attack, HALF_SENT, start, b"a")


def _hold(attack: Attackers, count: int, start: bytes, more: bytes | None) -> None:
    held = selectors.DefaultSelector()
    for _ in attack.rounds(1.0):
        for _ in range(min(200, count - len(held.get_map()))):
            connection = attack.connect()
            if connection is None:
                break
            connection.setblocking(False)
            held.register(connection, selectors.EVENT_READ)
            attack.count("connected")
            _send(connection, start)
        for ready, _ in held.select(0):
            held.unregister(ready.fileobj)
            ready.fileobj.close()  # type: ignore[union-attr]
            attack.count("closed")
        if more:
            for each in list(held.get_map().values()):
                _send(each.fileobj, more)  # type: ignore[arg-type]
    for each in list(held.get_map().values()):
        each.fileobj.close()  # type: ignore[union-attr]


def _send(connection: socket.socket, data: bytes) -> None:
    try:
        if data:
            connection.send(data)
    except OSError:
        # Closed by the service; the selector says so in the next round.
        pass


def withheld_bodies(attack: Attackers) -> None:
    """Announce large bodies, send most of each, and keep the rest."""
    head = "\r\n".join(
        [
            f"POST {attack.model}:detect-last HTTP/1.1",
            "Host: localhost",
            *(f"{name}: {value}" for name, value in attack.headers.items()),
            f"Content-Length: {_LARGE}",
            "\r\n",
        ]
    ).encode()
    block = b'{"variables": [' + b"1," * (_LARGE // 4)
    for _ in attack.rounds(20.0):
        held = [each for each in (attack.connect() for _ in range(WITHHELD)) if each]
        for each in held:
            try:
                each.sendall(head + block)
                attack.count("withheld")
            except OSError:
                attack.count("closed")
        for each in held:
            each.close()


def nested_json(attack: Attackers) -> None:
    """Send JSON that is small to send and large to build."""
    bodies = [
        b"[" * 4_000_000,
        b'{"series":' + b"[" * 1000 + b"]" * 1000 + b"}",
        b'{"variables":[' + b"{}," * 10_000_000 + b"{}]}",
        b'{"series":[' + b"{}," * 1_000_000 + b"{}]}",
        b'{"series":[{"value":1}],"period":' + b"9" * 4300 + b"}",
    ]
    for count in attack.rounds(2.0):
        path = f"{attack.model}:detect-last" if count % 2 else f"{SERIES}/entire/detect"
        attack.ask("POST", path, bodies[count % len(bodies)])


def many_timestamps(attack: Attackers) -> None:
    """Score 300 variables whose timestamps are all different."""
    stamps = [
        f"{2000 + each // 40000}-01-{1 + each // 1440 % 27:02}T"
        f"{each // 60 % 24:02}:{each % 60:02}:00Z"
        for each in range(2880)
    ]
    body = json.dumps(
        {
            "variables": [
                {
                    "variable": f"v{place}",
                    "timestamps": [each.replace("00Z", f"00.{place:03}Z") for each in stamps],
                    "values": [1.0] * len(stamps),
                }
                for place in range(300)
            ]
        },
        separators=(",", ":"),
    ).encode()
    for _ in attack.rounds(10.0):
        attack.ask("POST", f"{attack.model}:detect-last", body)


def slow_change_points(attack: Attackers) -> None:
    """Send series whose change points take long: smooth, and with half of the grid missing."""
    hours = [
        {"timestamp": f"{_day(2 * hour)}T{2 * hour % 24:02}:00:00Z", "value": math.sin(hour / 400)}
        for hour in range(8640 // 2)
    ]
    smooth = [
        {"timestamp": f"{_day(hour)}T{hour % 24:02}:00:00Z", "value": math.sin(hour / 1300)}
        for hour in range(8640)
    ]
    bodies = [
        json.dumps({"series": hours, "granularity": "hourly", "stableTrendWindow": 3}).encode(),
        json.dumps({"series": smooth, "granularity": "hourly"}).encode(),
    ]
    for count in attack.rounds(0.5):
        attack.ask("POST", f"{SERIES}/changepoint/detect", bodies[count % 2])


def _day(hour: int) -> str:
    day = hour // 24
    return f"{2020 + day // 336}-{1 + day // 28 % 12:02}-{1 + day % 28:02}"


def wrong_keys(attack: Attackers) -> None:
    """Guess keys."""
    for count in attack.rounds(0.05):
        guess = {"Ocp-Apim-Subscription-Key": f"a-guess-of-a-key-{count}"}
        attack.ask("GET", MODELS, headers=guess)


def garbage(attack: Attackers) -> None:
    """Send bytes that are no HTTP."""
    noise = random.Random(1)  # noqa: S311 - no secret
    for _ in attack.rounds(0.2):
        connection = attack.connect()
        if connection:
            _send(connection, noise.randbytes(2000))
            connection.close()
            attack.count("sent")


def broken_uploads(attack: Attackers) -> None:
    """Break off uploads half-way, and send one whole that is deleted."""
    rows = b"".join(b"2026-01-01T00:%02d:00Z,1\n" % minute for minute in range(60))
    whole = b"timestamp,value\n" + rows
    for count in attack.rounds(2.0):
        connection = attack.connect()
        if connection:
            head = f"PUT /datasets/broken{count} HTTP/1.1\r\nHost: localhost\r\n"
            for name, value in attack.headers.items():
                head += f"{name}: {value}\r\n"
            _send(connection, head.encode() + b"Content-Length: 100000000\r\n\r\n" + 400 * whole)
            connection.close()
            attack.count("broken off")
        attack.ask("PUT", f"/datasets/whole{count % 5}", whole)
        attack.ask("DELETE", f"/datasets/whole{count % 5}")


def trainings(attack: Attackers) -> None:
    """Begin trainings, and delete every other one."""
    asked = {
        "dataSource": attack.data,
        "startTime": "2026-01-01T00:00:00Z",
        "endTime": "2026-01-01T04:59:00Z",
        "slidingWindow": 28,
    }
    for count in attack.rounds(10.0):
        status, content = attack.ask("POST", MODELS, json.dumps(asked).encode())
        if status == 201 and count % 2:
            attack.ask("DELETE", f"{MODELS}/{json.loads(content)['modelId']}")


def many_batches(attack: Attackers) -> None:
    """Begin batch detections by the dozen, and list as many models as one may."""
    asked = {
        "dataSource": attack.data,
        "startTime": "2026-01-01T00:00:00Z",
        "endTime": "2026-01-01T04:59:00Z",
    }
    for _ in attack.rounds(30.0):
        for _ in range(20):
            attack.ask("POST", f"{attack.model}:detect-batch", json.dumps(asked).encode())
        attack.ask("GET", f"{MODELS}?$top=1000")


ATTACKS: tuple[Callable[[Attackers], None], ...] = (
    silent_connections,
    half_sent_headers,
    withheld_bodies,
    nested_json,
    many_timestamps,
    slow_change_points,
    wrong_keys,
    garbage,
    broken_uploads,
    trainings,
    many_batches,
)


def main() -> None:
    url, key, model_id, data, seconds, *without = sys.argv[1:]
    attack = Attackers(url, key, model_id, data, float(seconds))
    threads = [
        threading.Thread(target=each, args=(attack,), name=each.__name__)
        for each in ATTACKS
        if each.__name__ not in without
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(attack.counts))


if __name__ == "__main__":
    main()
