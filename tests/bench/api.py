"""How fast the service answers, in whole HTTP requests over loopback.

    python tests/bench/api.py [--minutes 5] [--no-upstream]
    python tests/bench/api.py --against CHECKOUT
    python tests/bench/api.py --tls

Times the recorded request, what the service adds to the bare detection, the throughput of two
threads and of two workers beside that of one, and `mlflow models serve` of the untouched upstream
model on the same request; then loads the service with more clients than workers. Prints a Markdown
table, writes ``build/bench-api.json``, and ends with 1 where a bar is missed. With ``--against`` it
times another checkout beside this one instead, in turn; with ``--tls``, the service with TLS.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import ssl
import statistics
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "app"), str(ROOT / "tests")]

import load
import numpy as np
import pandas as pd
import recordings
import services

from detector.series.series import Series
from detector.univariate import detection

BUILD = ROOT / "build"
ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"
SEED = 20261122
CLIENTS = 8
MANY_CLIENTS = 16
# What computes at the same time: threads of one worker, or workers.
SHAPES = {
    "1 worker of 1 thread": {"DETECTOR_CONCURRENT_DETECTIONS": "1"},
    "1 worker of 2 threads": {"DETECTOR_CONCURRENT_DETECTIONS": "2"},
    "2 workers of 1 thread": {"DETECTOR_CONCURRENT_DETECTIONS": "1", "DETECTOR_WORKERS": "2"},
}


def request(points: int, granularity: str, period: int) -> dict[str, Any]:
    """Make a request with a season, noise, and one outlier in a hundred points."""
    noise = np.random.default_rng(SEED)
    place = np.arange(points)
    values = 100 + 10 * np.sin(2 * np.pi * place / period) + noise.normal(size=points)
    values[noise.integers(0, points, max(1, points // 100))] += 30
    steps = {"daily": "D", "hourly": "h"}
    times = pd.date_range("2020-01-01", periods=points, freq=steps[granularity])
    stamps = times.strftime("%Y-%m-%dT%H:%M:%SZ")
    series = [
        {"timestamp": t, "value": v} for t, v in zip(stamps, values.round(3).tolist(), strict=True)
    ]
    return {"series": series, "granularity": granularity}


def median_ms(call: Callable[[], Any], calls: int) -> float:
    """Return the median time of a call, after three that do not count."""
    taken = []
    for count in range(calls + 3):
        started = time.perf_counter()
        call()
        if count >= 3:
            taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1e3


class Client:
    """One connection that is kept, and sends bodies that were made before."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        if context:
            self._connection = http.client.HTTPSConnection(
                "127.0.0.1", port, timeout=120, context=context
            )

    def close(self) -> None:
        self._connection.close()

    def post(self, path: str, body: bytes) -> int:
        return self.answer(path, body)[0]

    def answer(self, path: str, body: bytes) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/json", services.HEADER: "any"}
        self._connection.request("POST", path, body, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()


@contextlib.contextmanager
def running(folder: Path, **environment: str) -> Iterator[services.Service]:
    """Serve until the block ends; every worker is ready, and has answered each operation."""
    service = services.start_detector(folder, DETECTOR_MODEL_REFRESH_SECONDS="10", **environment)
    try:
        service.wait()
        workers = int(environment.get("DETECTOR_WORKERS", "1"))
        loaded = '"model loaded"'
        services.until(lambda: service.output.count(loaded) == 3 * workers, "every worker")
        yield service
    finally:
        service.stop()


def throughput(port: int, body: bytes, seconds: float) -> float:
    """Return the answers a second that the clients get."""
    counts = [0] * CLIENTS
    end = time.monotonic() + seconds

    def ask(place: int) -> None:
        while time.monotonic() < end:
            # A connection each, because a connection stays with the worker that took it.
            if Client(port).post(ENTIRE, body) != 200:
                raise SystemExit("a request failed")
            counts[place] += 1

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(CLIENTS)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - started)


def compare(folder: Path, checkout: Path) -> int:
    """Print what requests take here and in another checkout; return 1 where answers differ."""
    bodies = {
        "47 points": json.dumps(recordings.read("azure/entire_daily47_live.json")["request"]),
        "180 points": json.dumps(request(180, "daily", 7)),
        "8640 points": json.dumps(request(8640, "hourly", 24)),
    }
    differ = 0
    with (
        running(folder / "here") as here,
        running(folder / "there", PYTHONPATH=str(checkout / "app")) as there,
    ):
        clients = {"there": Client(there.port), "here": Client(here.port)}
        print("| whole request | there, ms | here, ms | there to here |\n|---|---|---|---|")
        for name, text in bodies.items():
            body, taken = text.encode(), {each: list[float]() for each in clients}
            for count in range(-20, 1000 if len(body) < 50_000 else 100):
                answers = set()
                for each, client in clients.items():
                    started = time.perf_counter()
                    answers.add(client.answer(ENTIRE, body))
                    if count >= 0:
                        taken[each].append(time.perf_counter() - started)
                differ += len(answers) > 1
            old, new = (statistics.median(taken[each]) * 1e3 for each in clients)
            print(f"| {name} | {old:.2f} | {new:.2f} | {old / new:.2f} |")
    print(f"{differ} answers differ\n")
    there = {"PYTHONPATH": str(checkout / "app")}
    print_rates(rates(folder, {"there": there, "here": {}}))
    return 1 if differ else 0


def rates(
    folder: Path, places: dict[str, dict[str, str]], *, rounds: int = 3, seconds: float = 3
) -> dict[str, dict[str, load.Load]]:
    """Load services of each shape with requests of 180 points; of each place, in turn.

    Returns
    -------
    dict
        By shape and place, the median of the rounds.
    """
    body = json.dumps(request(180, "daily", 7)).encode()
    found: dict[str, dict[str, load.Load]] = {}
    for shape, settings in SHAPES.items():
        with contextlib.ExitStack() as stack:
            started = {
                place: stack.enter_context(
                    running(folder / f"{place}, {shape}", **settings, **environment)
                )
                for place, environment in places.items()
            }
            taken: dict[str, list[load.Load]] = {place: [] for place in places}
            for _ in range(rounds):
                for place, service in started.items():
                    asked = service.port, service.process.pid, ENTIRE, body
                    taken[place].append(load.measure(*asked, clients=MANY_CLIENTS, seconds=seconds))
        found[shape] = {
            place: sorted(each, key=lambda one: one.rate)[rounds // 2]
            for place, each in taken.items()
        }
    return found


def print_rates(found: dict[str, dict[str, load.Load]]) -> None:
    """Print them; where there are two places, also how many times as many the second answers."""
    print(f"| 180 points, {MANY_CLIENTS} clients | | requests/s | server, ms | client, ms |")
    print("|---|---|---:|---:|---:|")
    for shape, places in found.items():
        first = next(iter(places.values()))
        for place, each in places.items():
            times = "" if each is first else f", {each.rate / first.rate:.1f}x"
            figures = f"{each.rate:.0f}{times} | {each.server_ms:.2f} | {each.client_ms:.2f}"
            print(f"| {shape} | {place} | {figures} |")


def compare_tls(folder: Path) -> int:
    """Print what TLS adds to a request, on a connection that is kept and on one of its own."""
    body = json.dumps(recordings.read("azure/entire_daily47_live.json")["request"]).encode()
    with (
        running(folder / "plain") as plain,
        running(folder / "secure", DETECTOR_TLS="self") as secure,
    ):
        context = ssl.create_default_context(cafile=secure.authority)
        ways = {"HTTP": (plain.port, None), "TLS": (secure.port, context)}
        kept = {way: Client(*where) for way, where in ways.items()}
        taken: dict[tuple[str, str], list[float]] = {}
        for count in range(-20, 1000):
            for way, where in ways.items():
                for name in ("kept", "its own"):
                    started = time.perf_counter()
                    client = kept[way] if name == "kept" else Client(*where)
                    if client.post(ENTIRE, body) != 200:
                        raise SystemExit("a request failed")
                    if name == "its own":
                        client.close()
                    if count >= 0:
                        taken.setdefault((name, way), []).append(time.perf_counter() - started)
    print("| 47 points, on a connection | HTTP, ms | TLS, ms |\n|---|---|---|")
    for name in ("kept", "its own"):
        halves = [statistics.median(taken[name, way]) * 1e3 for way in ways]
        print(f"| {name} | {halves[0]:.2f} | {halves[1]:.2f} |")
    return 0


def upstream_ms(folder: Path, asked: dict[str, Any]) -> float:
    """Return the median time of `mlflow models serve` of the upstream model."""
    folder.mkdir(parents=True)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        from anomaly_detector import EntireAnomalyDetector

        frame = pd.DataFrame(asked["series"])
        frame["timestamp"] = pd.to_datetime(frame["timestamp"]).dt.tz_localize(None)
        params = {"granularity": asked["granularity"], "sensitivity": 99}
        model = EntireAnomalyDetector()
        signature = mlflow.models.infer_signature(frame, params=params)
        path = folder / "model"
        mlflow.pyfunc.save_model(
            path, python_model=model, signature=signature, pip_requirements=["mlflow"]
        )
    port = services.free_port()
    arguments = ["mlflow", "models", "serve", "-m", str(path), "--env-manager", "local"]
    # It starts its server by name.
    path_of_tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    arguments += ["-p", str(port), "--workers", "1"]
    server = services.Service(folder, arguments, port, PATH=path_of_tools)
    body = json.dumps(
        {"dataframe_split": json.loads(frame.to_json(orient="split", date_format="iso"))}
        | {"params": params}
    ).encode()
    try:
        server.wait("/ping")
        client = Client(port)
        if client.post("/invocations", body) != 200:
            raise SystemExit(f"the upstream model does not answer: {server.output[-2000:]}")
        return median_ms(lambda: client.post("/invocations", body), 10)
    finally:
        server.stop()


def resident_mb(pid: int) -> float:
    """Return the memory of a process and its children."""
    total = 0
    for process in load.processes(pid):
        with contextlib.suppress(OSError, IndexError):
            status = Path(f"/proc/{process}/status").read_text()
            total += int(status.split("VmRSS:")[1].split()[0])
    return total / 1024


def mixed_load(service: services.Service, minutes: float) -> dict[str, Any]:
    """Load the service with mixed sizes; return what it answered and how large it was."""
    sizes = ((47, "daily", 7), (180, "daily", 7), (2016, "hourly", 168), (8640, "hourly", 24))
    bodies = [json.dumps(request(*size)).encode() for size in sizes]
    end = time.monotonic() + minutes * 60
    statuses: Counter[str] = Counter()

    def ask(place: int) -> None:
        client = Client(service.port)
        turn = place
        while time.monotonic() < end:
            turn += 1
            try:
                statuses[str(client.post(ENTIRE, bodies[turn % len(bodies)]))] += 1
            except OSError as error:
                statuses[type(error).__name__] += 1
                client = Client(service.port)

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(CLIENTS)]
    for thread in threads:
        thread.start()
    health, memory = [], []
    while time.monotonic() < end:
        started = time.perf_counter()
        if service.call("/health/ready").status != 200:
            statuses["health"] += 1
        health.append(time.perf_counter() - started)
        memory.append(resident_mb(service.process.pid))
        time.sleep(1)
    for thread in threads:
        thread.join()
    third = max(1, len(memory) // 3)
    return {
        "minutes": minutes,
        "answers": dict(statuses),
        "slowest health check, ms": max(health) * 1e3,
        "memory after a third, MB": memory[third - 1],
        "memory at the end, MB": memory[-1],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="How fast the service answers.")
    parser.add_argument("--minutes", type=float, default=5, help="how long to load it")
    parser.add_argument("--no-upstream", action="store_true", help="leave the comparison out")
    parser.add_argument("--against", type=Path, help="another checkout, to compare with")
    parser.add_argument("--tls", action="store_true", help="compare with TLS instead")
    options = parser.parse_args()
    if options.tls:
        with tempfile.TemporaryDirectory() as temporary:
            return compare_tls(Path(temporary))
    if options.against:
        with tempfile.TemporaryDirectory() as temporary:
            return compare(Path(temporary), options.against.resolve())
    small = recordings.read("azure/entire_daily47_live.json")["request"]
    year_half, large = request(180, "daily", 7), request(8640, "hourly", 24)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with running(folder / "one") as service:
            client = Client(service.port)
            body = json.dumps(small).encode()
            found["47 points, ms"] = median_ms(lambda: client.post(ENTIRE, body), 200)
            # In a process that does nothing else, with the input that is already checked.
            checked = Series.from_request(small | {"boundaryVersion": "V2"})
            found["bare detection, ms"] = median_ms(lambda: detection.entire(checked), 200)
            half = json.dumps(year_half).encode()
            found["180 points, ms"] = median_ms(lambda: client.post(ENTIRE, half), 100)
            heavy = json.dumps(large).encode()
            found["1 worker, 1/s"] = throughput(service.port, heavy, 10)
        small_loads = rates(folder, {"here": {}})
        found["180 points under load"] = {
            shape: vars(places["here"]) for shape, places in small_loads.items()
        }
        with running(folder / "two", DETECTOR_WORKERS="2") as service:
            found["2 workers, 1/s"] = throughput(service.port, heavy, 10)
            if options.minutes:
                found["load"] = mixed_load(service, options.minutes)
        if not options.no_upstream:
            found["upstream, 180 points, ms"] = upstream_ms(folder / "upstream", year_half)
    bars = [
        ("47 points, whole request, ms", found["47 points, ms"], "<", 10.0),
        (
            "of it above detection, ms",
            found["47 points, ms"] - found["bare detection, ms"],
            "<",
            3.0,
        ),
        ("2 workers to 1", found["2 workers, 1/s"] / found["1 worker, 1/s"], ">=", 1.7),
    ]
    if not options.no_upstream:
        faster = found["upstream, 180 points, ms"] / found["180 points, ms"]
        bars.append(("times mlflow models serve, 180 points", faster, ">=", 20.0))
    if options.minutes:
        loaded = found["load"]
        bars += [
            (
                "answers under load but 200 and 429",
                sum(n for status, n in loaded["answers"].items() if status not in ("200", "429")),
                "<",
                1,
            ),
            (
                "memory at the end of the load to a third of it",
                loaded["memory at the end, MB"] / loaded["memory after a third, MB"],
                "<",
                1.1,
            ),
        ]
    print("| what | figure | bar | |\n|---|---|---|---|")
    missed = 0
    for name, figure, sign, bar in bars:
        held = figure < bar if sign == "<" else figure >= bar
        missed += not held
        print(f"| {name} | {figure:.2f} | {sign} {bar:g} | {'holds' if held else 'MISSED'} |")
    print()
    print_rates(small_loads)
    print("\n" + json.dumps(found, indent=1))
    BUILD.mkdir(exist_ok=True)
    (BUILD / "bench-api.json").write_text(json.dumps(found, indent=1) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
