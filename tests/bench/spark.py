"""What Spark costs beside a plain loop over the same series, and what that means for a million.

    python tests/bench/spark.py

Detects by a plain loop over `detect_entire`, by `detect_many` on one thread, and on Spark with one
and with all processors, each in a process of its own on the same Parquet file, and writes the
answers as Parquet. Prints Markdown tables: wall time, processor time of Python and of Java, memory
of a Python worker, series a second, and how long a million series would take.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2] / folder) for folder in ("app", "tests/bench")]

import joblib
import psutil
from many import fleet

ROOT = Path(__file__).parents[2]
# Points of a series, and how many series.
SIZES = ((180, 2000), (8640, 200), (180, 20_000))
MODEL_POINTS, MILLION, MODEL_CORES = 180, 1_000_000, (1, 16, 100, 1000)
OPTIONS: dict[str, Any] = {"granularity": "daily"}


def loop(path: str) -> dict[str, float]:
    import pandas as pd

    from detector import detect_entire

    frame = pd.read_parquet(path)
    detect_entire(frame.iloc[:50][["timestamp", "value"]], **OPTIONS)
    started, used = time.perf_counter(), time.process_time()
    parts = []
    for name, part in frame.groupby("series"):
        found = detect_entire(part[["timestamp", "value"]], **OPTIONS).to_frame()
        parts.append(found.assign(series=name))
    pd.concat(parts).to_parquet(f"{path}.loop")
    return {
        "seconds": time.perf_counter() - started,
        "python": time.process_time() - used,
    }


def table(path: str) -> dict[str, float]:
    import pandas as pd

    from detector import detect_many

    frame = pd.read_parquet(path)
    detect_many(frame.iloc[:50], by="series", threads=1, **OPTIONS)
    started, used = time.perf_counter(), time.process_time()
    detect_many(frame, by="series", threads=1, **OPTIONS).to_parquet(f"{path}.table")
    return {
        "seconds": time.perf_counter() - started,
        "python": time.process_time() - used,
    }


def spark(path: str, cores: str) -> dict[str, float]:
    from detector.spark import detect, session

    began = time.perf_counter()
    running = session("bench", spark_master=f"local[{cores}]")
    df = running.read.parquet(path)
    found = detect(df, by="series", **OPTIONS)
    # The first job starts Java's and Python's workers, which later ones find there.
    few = detect(df.where("series < 20"), by="series", **OPTIONS)
    few.write.mode("overwrite").parquet(f"{path}.spark")
    start = time.perf_counter() - began
    before = used()
    started = time.perf_counter()
    found.write.mode("overwrite").parquet(f"{path}.spark")
    seconds = time.perf_counter() - started
    after = used()
    workers = [each for each in psutil.Process().children(recursive=True) if is_worker(each)]
    return {
        "start": start,
        "seconds": seconds,
        "python": after["python"] - before["python"],
        "java": after["java"] - before["java"],
        "memory": max(peak(worker) for worker in workers) / 2**20,
    }


def used() -> dict[str, float]:
    """Return the seconds of processor time that the workers, and Java, have used so far."""
    seconds = {"python": 0.0, "java": 0.0}
    for process in psutil.Process().children(recursive=True):
        # One of Java's own may just have ended.
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            kind = "python" if is_worker(process) else "java"
            seconds[kind] += times.user + times.system
    return seconds


def is_worker(process: psutil.Process) -> bool:
    try:
        return "detector.spark.daemon" in process.cmdline()
    except psutil.NoSuchProcess:
        return False


def peak(process: psutil.Process) -> int:
    """Return the most memory that a process ever had resident, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    # One that has just ended has none any more.
    return max(
        (1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")),
        default=0,
    )


def in_a_process(kind: str, path: Path, *arguments: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, kind, str(path), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> int:
    cores = joblib.cpu_count()
    folder = ROOT / "build" / "bench-spark"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "fleet.parquet"
    print("| series | points | | wall | processor: Python | Java | memory of a worker | a second |")
    print("|---:|---:|---|---:|---:|---:|---:|---:|")
    for points, count in SIZES:
        fleet(points, count).to_parquet(path, coerce_timestamps="us")
        bare = in_a_process("loop", path)
        rows = {
            "plain loop": bare,
            "`detect_many`, 1 thread": in_a_process("table", path),
            "Spark, local[1]": in_a_process("spark", path, "1"),
            f"Spark, local[{cores}]": in_a_process("spark", path, str(cores)),
        }
        for name, row in rows.items():
            java, memory = row.get("java"), row.get("memory")
            print(
                f"| {count:,} | {points} | {name} | {row['seconds']:.2f} s, "
                f"{row['seconds'] / bare['seconds']:.2f}x | {row['python']:.2f} s, "
                f"{row['python'] / bare['python']:.2f}x | {f'{java:.2f} s' if java else ''} "
                f"| {f'{memory:.0f} MiB' if memory else ''} | {count / row['seconds']:,.0f} |",
                flush=True,
            )
    # Of the largest size, whose fixed costs weigh least.
    model(rows["Spark, local[1]"], rows[f"Spark, local[{cores}]"], cores, count)
    shutil.rmtree(folder)
    return 0


def model(one: dict[str, float], all_: dict[str, float], cores: int, count: int) -> None:
    """Print the time of a million series from what one series was measured to take."""
    python, java = (all_[kind] / count for kind in ("python", "java"))
    print(
        f"\nA series of {MODEL_POINTS} points takes {1000 * python:.2f} ms of Python and "
        f"{1000 * java:.2f} ms of Java; a session and its first job take {one['start']:.1f} s. A "
        f"second and core have {count / one['seconds']:,.0f} series on one core, "
        f"{count / all_['seconds'] / cores:,.0f} on {cores}.\n"
    )
    print("| cores | 1,000,000 series: start + series x (Python + Java) / cores |\n|---:|---:|")
    for number in MODEL_CORES:
        seconds = one["start"] + MILLION * (python + java) / number
        print(
            f"| {number:,} | {f'{seconds / 60:.1f} min' if seconds > 90 else f'{seconds:.0f} s'} |"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run = {"loop": loop, "table": table, "spark": spark}[sys.argv[1]]
        print(json.dumps(run(*sys.argv[2:])))
        sys.exit(0)
    sys.exit(main())
