"""Usual clients beside ones that attack, while services are killed: ``make soak``.

    python tests/bench/soak.py [--minutes 10] [--picture docs/soak.png] [--without trainings ...]

Starts a stack of its own, measures usual requests while nothing else happens, then lets
`attackers.py` loose on it for the minutes given, with the S3 store, MLflow, the worker and the
database killed in turn and brought back. Prints a table as Markdown, and ends with 1 where

- a usual request is lost: not answered with what it was answered before, however often it is sent
  again as Azure's clients do (after 429 and 503, as long as Retry-After says);
- 99 % of the usual requests do not take less than ten times their quiet time;
- a container grows, is killed for its memory, or starts again without having been killed here;
- a model or a batch detection is left that is neither READY nor FAILED, or a file.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.client
import itertools
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "app"), str(ROOT / "tests")]

import attackers
import matplotlib.pyplot as plt
import services
from compose import Stack, wait_until

KEY = "the-key-of-the-soak"
HEADERS = {"Ocp-Apim-Subscription-Key": KEY, "Content-Type": "application/json"}
SERIES = "/anomalydetector/v1.1/timeseries"
MODELS = "/anomalydetector/v1.1/multivariate/models"
CLIENTS, PAUSE, QUIET_SECONDS = 4, 0.1, 30.0
# Killed one after the other, in these parts of the time.
KILLS = {"minio": 0.2, "mlflow": 0.4, "worker": 0.6, "db": 0.8}
AWAY_SECONDS = 5.0
# How often Azure's clients send again: three times by default, ten at most.
TRIES = 10
WATCHED = ("detector", "worker", "mlflow", "minio", "db")
END_SECONDS, SETTLE_SECONDS = 600.0, 30.0
TEMPORARY = ("/tmp", "/var/lib/detector")  # noqa: S108
# What the usual requests may take under attack, in times of their quiet median.
TIMES = 10
# What a container may keep more of in the last quarter of the attack than in the first. What it has
# while it works comes and goes.
GROWTH = 1.25


@dataclass(frozen=True)
class Request:
    """A usual request, and what it is answered."""

    name: str
    path: str
    body: bytes


@dataclass(frozen=True)
class Told:
    """What became of one usual request."""

    request: str
    at: float
    seconds: float
    tries: int
    is_right: bool
    status: int


class Span(NamedTuple):
    """From when to when, in seconds since the start."""

    start: float
    end: float


@dataclass(frozen=True)
class Attacked:
    """What the attackers were answered, and when services were killed."""

    counts: dict[str, dict[str, int]]
    kills: dict[str, float]


def usual(model_id: str) -> list[Request]:
    """Return the usual requests: recorded ones and ones of their kind."""
    days = [
        {
            "timestamp": f"2024-{1 + day // 28:02}-{1 + day % 28:02}T00:00:00Z",
            "value": 100.0 + 10 * (day % 7) + (day * 37 % 11) / 10 + (80 if day == 100 else 0),
        }
        for day in range(180)
    ]

    def series(points: int) -> bytes:
        return json.dumps({"series": days[-points:], "granularity": "none", "period": 7}).encode()

    latest = json.dumps(services.latest()).encode()
    return [
        Request("entire, 47 points", f"{SERIES}/entire/detect", series(47)),
        Request("last, 180 points", f"{SERIES}/last/detect", series(180)),
        Request("change points, 60 points", f"{SERIES}/changepoint/detect", series(60)),
        Request("3 variables, last", f"{MODELS}/{model_id}:detect-last", latest),
    ]


class Client:
    """A client as Azure's are: keeps its connection, and sends again what is put off."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._connection: http.client.HTTPConnection | None = None

    def send(self, request: Request) -> tuple[int, bytes, int]:
        """Return status, body and how many tries it took."""
        for tries in range(1, TRIES + 1):
            status, content, wait = self._try(request)
            if status == 200:
                return status, content, tries
            time.sleep(wait)
        return status, content, TRIES

    def is_ready(self) -> bool:
        """Say whether the endpoint answers and has its models."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.ask("GET", "/health/ready")[0] == 200
        return False

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        """Return status and JSON of one request."""
        connection = http.client.HTTPConnection(*self._address, timeout=120)
        connection.request(method, path, body, HEADERS)
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content or b"null")

    def _try(self, request: Request) -> tuple[int, bytes, float]:
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(*self._address, timeout=60)
            self._connection.request("POST", request.path, request.body, HEADERS)
            answer = self._connection.getresponse()
            return answer.status, answer.read(), float(answer.headers.get("Retry-After", 1))
        except (OSError, http.client.HTTPException):
            self._connection = None
            return 0, b"", 0.1


@contextlib.contextmanager
def repeating(what: Callable[[], None], pause: float) -> Iterator[None]:
    """Do something again and again, in a thread, until the block ends."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            what()
            stop.wait(pause)

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(300)


class UsualClients:
    """Clients that ask for the usual things, and what each request came to."""

    def __init__(self, url: str, requests: list[Request], started: float) -> None:
        self.told: list[Told] = []
        self._url, self._requests, self._started = url, requests, started
        self._expected: dict[str, bytes] = {}

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        with contextlib.ExitStack() as clients:
            for place in range(CLIENTS):
                turns = itertools.cycle(self._requests[place:] + self._requests[:place])
                ask = functools.partial(self._ask, Client(self._url), turns)
                clients.enter_context(repeating(ask, PAUSE))
            yield

    def _ask(self, client: Client, turns: Iterator[Request]) -> None:
        request = next(turns)
        begun = time.monotonic()
        status, content, tries = client.send(request)
        now = time.monotonic()
        # The first answer to each is from the quiet time; none may differ from it.
        is_right = status == 200 and content == self._expected.setdefault(request.name, content)
        at = begun - self._started
        self.told.append(Told(request.name, at, now - begun, tries, is_right, status))


class Watch:
    """Memory of the containers, read where the kernel counts it."""

    def __init__(self, stack: Stack, started: float) -> None:
        self.seen: list[tuple[float, dict[str, float]]] = []
        self._started = started
        self._ids = {name: stack.container(name)["Id"] for name in WATCHED}

    def look(self) -> None:
        memory = {name: _memory(identity) for name, identity in self._ids.items()}
        self.seen.append((time.monotonic() - self._started, memory))

    def largest(self, service: str, since: float, until: float) -> float:
        """Return the most that a service had at a time, in MiB."""
        return max(memory[service] for at, memory in self.seen if since <= at <= until)

    def median(self, service: str, since: float, until: float) -> float:
        """Return what a service had at most half of the time, in MiB; a killed one has none."""
        return statistics.median(self._used(service, since, until))

    def floor(self, service: str, since: float, until: float) -> float:
        """Return what a service had at least nine tenths of the time: what it keeps, in MiB."""
        used = sorted(self._used(service, since, until))
        return used[len(used) // 10]

    def _used(self, service: str, since: float, until: float) -> list[float]:
        used = [memory[service] for at, memory in self.seen if since <= at <= until]
        return [each for each in used if each]


def _memory(container: str) -> float:
    """Return what a container uses in MiB; 0 where it does not run."""
    old = Path("/sys/fs/cgroup/memory/docker") / container
    new = Path(f"/sys/fs/cgroup/system.slice/docker-{container}.scope")
    is_old = old.is_dir()
    folder = old if is_old else new
    try:
        usage = (folder / ("memory.usage_in_bytes" if is_old else "memory.current")).read_text()
        lines = (folder / "memory.stat").read_text().splitlines()
    except FileNotFoundError:
        return 0.0
    counts = dict(line.split() for line in lines)
    # What the kernel gives up when it needs memory, caches of files, does not count.
    unused = counts["total_inactive_file" if is_old else "inactive_file"]
    return (int(usage) - int(unused)) / 2**20


def prepare(stack: Stack) -> tuple[str, str]:
    """Upload data and train a model; return the address of the data and the model's id."""
    client = Client(stack.endpoint)
    status, kept = client.ask("PUT", "/datasets/machine", services.table().encode())
    assert status == 201, kept
    asked = services.training(dataSource=kept["dataSource"])
    status, model = client.ask("POST", MODELS, json.dumps(asked).encode())
    assert status == 201, model
    path = f"{MODELS}/{model['modelId']}"
    wait_until(
        lambda: client.ask("GET", path)[1]["modelInfo"]["status"] == "READY", "the model is READY"
    )
    return kept["dataSource"], model["modelId"]


def attack(
    stack: Stack, data: str, model_id: str, seconds: float, without: list[str], started: float
) -> Attacked:
    """Let the attackers loose, and kill services meanwhile."""
    begun = time.monotonic()
    script = Path(__file__).with_name("attackers.py")
    # On another machine they would leave this one's cores alone.
    attacking = subprocess.Popen(
        ["nice", "-n", "10", sys.executable, script, stack.endpoint, KEY, model_id, data,
         str(seconds), *without],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    kills = {}
    for service, part in KILLS.items():
        time.sleep(max(0.0, begun + part * seconds - time.monotonic()))
        kills[service] = time.monotonic() - started
        say(f"{service} is killed, and comes back after {AWAY_SECONDS:g} s")
        stack.compose("kill", service)
        time.sleep(AWAY_SECONDS)
        stack.compose("start", service)
    out, _ = attacking.communicate(timeout=seconds + 300)
    return Attacked(json.loads(out), kills)


def unfinished(stack: Stack) -> int:
    """Return how many models and batch detections are neither READY nor FAILED."""
    rows = stack.sql(
        "SELECT COUNT(*) FROM runs JOIN tags ON tags.run_uuid = runs.run_uuid "
        "WHERE tags.`key` = 'detector.status' AND tags.value NOT IN ('READY', 'FAILED') "
        "AND runs.lifecycle_stage = 'active'"
    )
    return int(rows[0][0])


def files(stack: Stack) -> set[str]:
    """Return the files that lie about in the endpoint and the worker."""
    found = set()
    for service in ("detector", "worker"):
        out = stack.compose(
            "exec", "-T", service, "find", *TEMPORARY, "-type", "f", check=False
        ).stdout
        # A worker that started again has another folder.
        named = (re.sub(r"(/detector-work)-\w+", r"\1", line) for line in out.splitlines())
        found |= {f"{service}:{line}" for line in named}
    return found


def settle(stack: Stack, before: set[str]) -> list[str]:
    """Wait until what was begun has ended; return what has not, and the files that are left."""
    failures = []
    with contextlib.suppress(AssertionError):
        wait_until(lambda: unfinished(stack) == 0, "all has ended", seconds=END_SECONDS)
    if count := unfinished(stack):
        failures.append(f"{count} models and batch detections are neither READY nor FAILED")
    time.sleep(SETTLE_SECONDS)
    failures += [f"left behind: {name}" for name in sorted(files(stack) - before)]
    return failures


def killed_for_memory(stack: Stack) -> list[str]:
    """Return the services that the kernel ended, or that started again by themselves."""
    found = []
    for service in WATCHED:
        state = stack.container(service)
        if state["State"]["OOMKilled"] or state["RestartCount"]:
            found.append(f"{service} (started again {state['RestartCount']} times)")
    return found


def percentile(told: list[Told], part: float) -> float:
    """Return in milliseconds what so large a part of the requests took at most."""
    taken = sorted(each.seconds for each in told)
    return taken[min(len(taken) - 1, int(part * len(taken)))] * 1e3


def report(clients: UsualClients, quiet_until: float, end: float) -> list[str]:
    """Print how the usual requests fared; return what did not hold."""
    failures = []
    print(
        "\n| usual request | half, quiet | half, attacked | 99 %, attacked | sent | again | lost |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name in dict.fromkeys(each.request for each in clients.told):
        mine = [each for each in clients.told if each.request == name]
        quiet = [each for each in mine if each.at < quiet_until]
        loud = [each for each in mine if quiet_until <= each.at < end]
        usual_ms, slow_ms = percentile(quiet, 0.5), percentile(loud, 0.99)
        lost = [each for each in mine if not each.is_right]
        again = sum(each.tries > 1 for each in loud)
        print(
            f"| {name} | {usual_ms:.1f} ms | {percentile(loud, 0.5):.1f} ms | {slow_ms:.0f} ms, "
            f"{slow_ms / usual_ms:.0f}x | {len(loud)} | {again} | {len(lost)} |"
        )
        if lost:
            failures.append(f"{name}: {len(lost)} lost, the first with {lost[0]}")
        if slow_ms >= TIMES * usual_ms:
            failures.append(f"{name}: 99 % take {slow_ms / usual_ms:.1f} times their quiet time")
    return failures


def report_memory(watch: Watch, quiet_until: float, end: float, last: float) -> list[str]:
    """Print how much memory the containers had; return what grew."""
    failures = []
    settled = quiet_until + 0.25 * (end - quiet_until)
    print("\n| container | quiet | kept, first quarter | kept, last quarter | most | afterwards |")
    print("|---|---|---|---|---|---|")
    for name in WATCHED:
        first = watch.floor(name, quiet_until, settled)
        late = watch.floor(name, end - (settled - quiet_until), end)
        print(
            f"| `{name}` | {watch.median(name, 0, quiet_until):.0f} MiB | {first:.0f} | {late:.0f} "
            f"| {watch.largest(name, 0, end):.0f} | {watch.median(name, last - 10, last):.0f} |"
        )
        if late > GROWTH * first:
            failures.append(f"{name} grew from {first:.0f} to {late:.0f} MiB")
    return failures


def draw(
    path: Path, clients: UsualClients, watch: Watch, kills: dict[str, float], attacked: Span
) -> None:
    """Draw how long usual requests took and what memory the containers had, over time."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(10, 6), sharex=True, layout="constrained")
    for name in dict.fromkeys(each.request for each in clients.told):
        mine = [each for each in clients.told if each.request == name]
        above.plot([e.at for e in mine], [e.seconds * 1e3 for e in mine], ".", ms=2, label=name)
    above.set(yscale="log", ylabel="answered after, ms")
    for name in WATCHED:
        below.plot([at for at, _ in watch.seen], [each[name] for _, each in watch.seen], label=name)
    below.set(ylabel="memory, MiB", xlabel="seconds")
    for panel in (above, below):
        panel.axvspan(attacked.start, attacked.end, color="tab:red", alpha=0.06)
        for service, at in kills.items():
            panel.axvline(at, color="0.3", lw=0.8, ls="--")
            above.annotate(f" {service} killed", (at, 0.97), xycoords=("data", "axes fraction"),
                           fontsize=8, va="top")  # fmt: skip
        panel.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8, markerscale=4)
    figure.suptitle("Usual requests and memory, quiet, under attack (red), and afterwards")
    figure.savefig(path, dpi=110)


def say(text: str) -> None:
    print(f"... {text}", file=sys.stderr, flush=True)


def soak(stack: Stack, minutes: float, without: list[str], picture: Path | None) -> list[str]:
    """Run it all on a running stack; print what was seen, and return what did not hold."""
    wait_until(lambda: Client(stack.endpoint).is_ready(), "the endpoint is ready")
    data, model_id = prepare(stack)
    started = time.monotonic()
    clients = UsualClients(stack.endpoint, usual(model_id), started)
    watch = Watch(stack, started)
    with repeating(watch.look, 1.0):
        with clients.asking():
            say(f"usual requests only, for {QUIET_SECONDS:g} s")
            time.sleep(QUIET_SECONDS)
            before, quiet_until = files(stack), time.monotonic() - started
            say(f"the attack, for {minutes:g} minutes")
            attacked = attack(stack, data, model_id, minutes * 60, without, started)
            end = time.monotonic() - started
            say("the attack is over; what was begun must end")
        left = settle(stack, before)
        last = time.monotonic() - started
    failures = left + report(clients, quiet_until, end)
    failures += report_memory(watch, quiet_until, end, last)
    failures += killed_for_memory(stack)
    print("\n| attack | outcomes |\n|---|---|")
    for kind, counts in sorted(attacked.counts.items()):
        told = ", ".join(f"{count} x {what}" for what, count in sorted(counts.items()))
        print(f"| {kind.replace('_', ' ')} | {told} |")
    if picture:
        draw(picture, clients, watch, attacked.kills, Span(quiet_until, end))
    return failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help="how long the attack lasts")
    parser.add_argument("--picture", type=Path, help="draw what was seen into this file")
    names = [each.__name__ for each in attackers.ATTACKS]
    parser.add_argument("--without", nargs="*", choices=names, default=[], help="leave attacks out")
    given = parser.parse_args()
    stack = Stack("anomaly-detector-soak", port=5057, detector_port=5060, API_KEYS=KEY)
    stack.compose("down", "--volumes")
    try:
        say("the stack is built and started")
        stack.up()
        failures = soak(stack, given.minutes, given.without, given.picture)
    finally:
        stack.compose("down", "--volumes", check=False)
    for failure in failures:
        print(f"FAILED: {failure}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
