"""Measures what the README says of the stack: ``make figures``.

Works on a stack of its own, as the tests do, and removes it again. Images must be built before
(`make up` does), because building is not what is measured.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = "anomaly-detector-figures"
ENVIRONMENT = os.environ | {"MLFLOW_PORT": "5056", "DETECTOR_PORT": "5059"}
REPEATS = 3
SETTLE_SECONDS = 30


def run(*command: str) -> str:
    return subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, check=True, capture_output=True, text=True
    ).stdout


def compose(*arguments: str) -> str:
    return run("docker", "compose", "-p", PROJECT, *arguments)


def seconds(*command: str) -> float:
    start = time.perf_counter()
    run(*command)
    return time.perf_counter() - start


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def idle_memory() -> dict[str, float]:
    """MiB per running container, as the engine counts them."""
    names = compose("ps", "-q").split()
    lines = run("docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *names)
    units = {"KiB": 1 / 1024, "MiB": 1.0, "GiB": 1024.0}
    found = {}
    for line in lines.splitlines():
        name, used, unit = re.match(r"(\S+) ([\d.]+)(\w+)", line).groups()  # type: ignore[union-attr]
        found[name.removeprefix(f"{PROJECT}-").removesuffix("-1")] = float(used) * units[unit]
    return found


def image_sizes() -> dict[str, float]:
    """MB of each image of ours, the base image's share taken out."""
    config = json.loads(compose("config", "--format", "json"))["services"]
    version = config["workspace"]["build"]["args"]["PYTHON_VERSION"]
    size = ["docker", "image", "inspect", "--format", "{{.Size}}"]
    base = int(run(*size, f"python:{version}-slim-bookworm"))
    return {
        name: (int(run(*size, f"anomaly-detector/{name}")) - base) / 1e6
        for name in ("mlflow", "workspace", "detector")
    }


def main() -> None:
    say = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
    up: list[float] = []
    try:
        for turn in range(REPEATS):
            say(f"first start {turn + 1} of {REPEATS} ...")
            compose("down", "--volumes")
            up.append(seconds("docker", "compose", "-p", PROJECT, "up", "-d", "--wait"))
        again: list[float] = []
        for turn in range(REPEATS):
            say(f"later start {turn + 1} of {REPEATS} ...")
            compose("down")
            again.append(seconds("docker", "compose", "-p", PROJECT, "up", "-d", "--wait"))
        say(f"letting it idle for {SETTLE_SECONDS} s ...")
        time.sleep(SETTLE_SECONDS)
        memory = idle_memory()
        walk = []
        inside = ["docker", "compose", "-p", PROJECT, "exec", "-T", "workspace"]
        for turn in range(REPEATS):
            say(f"walk-through {turn + 1} of {REPEATS} ...")
            walk.append(seconds(*inside, "python", "app/test.py"))
    finally:
        compose("down", "--volumes")

    cores = os.cpu_count()
    figures = {
        "machine": f"{cores} cores, {platform.system()} {platform.machine()}, engine "
        + run("docker", "version", "--format", "{{.Server.Version}}").strip(),
        "first start to healthy, empty volumes, s": round(median(up), 1),
        "later start to healthy, s": round(median(again), 1),
        "idle memory of the whole stack, MiB": round(sum(memory.values())),
        "idle memory per service, MiB": {name: round(used) for name, used in memory.items()},
        "walk-through in the workspace, s": round(median(walk), 1),
        "image sizes without the base image, MB": {
            name: round(size) for name, size in image_sizes().items()
        },
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
