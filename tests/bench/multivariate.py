"""How fast many series are trained on and scored together, beside the upstream package.

    python tests/bench/multivariate.py [--quick]

Both train on the same rows with the same seeds, in turn, and both score with the same weights. Ends
with 1 where a bar is missed: training 1.3 times as fast with the validation loss of the package,
and 5 times beside two other processes at full load; scoring 5 times as fast with its scores; memory
that fits a million rows. Prints Markdown tables and writes ``build/bench-multivariate.json``.
``--quick`` trains for fewer epochs and leaves out the longest series.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "app"))

import numpy as np
import pandas as pd
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from anomaly_detector.multivariate import model as package
    from anomaly_detector.multivariate.contract import MultiADConfig, NormalizeBase
    from anomaly_detector.multivariate.module import MultivariateGraphAttnDetector

from detector.multivariate.network.scoring import Network, score
from detector.multivariate.network.training import fit

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build"
WINDOW = 200
TOLERANCE = 1e-5
TRAINED_FASTER, TRAINED_FASTER_BUSY, SCORED_FASTER = 1.3, 5, 5
# For a million rows of 20 variables; the rows themselves are 160 MB of it.
MOST_BYTES = 2 * 1024**3
TRAININGS = ((2_000, 5), (2_000, 10), (10_000, 10))
SCORINGS = ((1_000, 5), (5_000, 5), (5_000, 20), (20_000, 20))
SEEDS = (42, 43, 44)
LONG = 5_000

PEAK = """
import pathlib, sys
import numpy as np
from detector.multivariate.network.scoring import score
from detector.multivariate.network.training import fit
what, rows = sys.argv[1], int(sys.argv[2])
values = np.sin(np.arange(rows)[:, None] / np.arange(5, 25))
values += 0.1 * np.random.default_rng(1).normal(size=values.shape)
few = values if what == "fit" else values[:1000]
network = fit(few, sliding_window=200, epochs=1, seed=1, device="cpu",
              on_epoch=lambda *_: None, stop=lambda: False)
if what == "score":
    score(network, values)
status = pathlib.Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) * 1024)
"""


def generated(n: int, variables: int) -> np.ndarray:
    """Make waves that share a cause, with noise, and an outlier in every hundred rows."""
    noise = np.random.default_rng(20261122)
    t = np.arange(n)[:, None]
    shape = 1 + np.arange(variables)
    values = shape * np.sin(2 * np.pi * t / (24 + 7 * (shape % 5)))
    values = values + 0.2 * np.sin(2 * np.pi * t / 500) + 0.1 * noise.normal(size=values.shape)
    places = noise.integers(0, n, n // 100)
    values[places, noise.integers(0, variables, len(places))] += 4
    return np.asarray(values)


def frame(values: np.ndarray) -> pd.DataFrame:
    names = [f"{place:03d}" for place in range(values.shape[1])]
    index = pd.date_range("2020-01-01", periods=len(values), freq="min")
    return pd.DataFrame(values, columns=names, index=index)


def timed(do: Callable[..., Any], *arguments: Any) -> tuple[float, float, Any]:
    """Return the seconds by the clock, those of the processor, and what was made."""
    clock, processor = time.perf_counter(), time.process_time()
    made = do(*arguments)
    return time.perf_counter() - clock, time.process_time() - processor, made


def train_ours(values: np.ndarray, seed: int, epochs: int) -> tuple[float, Network]:
    losses: list[float] = []
    network = fit(
        values,
        sliding_window=WINDOW,
        epochs=epochs,
        seed=seed,
        device="cpu",
        on_epoch=lambda _, __, validation, ___: losses.append(validation),
        stop=lambda: False,
    )
    return min(losses), network


def train_theirs(values: np.ndarray, seed: int, epochs: int) -> float:
    """Train the untouched package and return its least validation loss, heard as it goes by."""
    detector = package.MultivariateAnomalyDetector()
    losses: list[float] = []
    evaluate = detector.evaluate_epoch

    def listen(*arguments: Any) -> Any:
        found = evaluate(*arguments)
        losses.append(found[0])
        return found

    detector.evaluate_epoch = listen
    with tempfile.TemporaryDirectory() as folder:
        params = {"sliding_window": WINDOW, "seed": seed, "epochs": epochs, "save": folder}
        detector.fit(frame(values), params)
    return min(losses)


def trainings(quick: bool) -> list[dict[str, Any]]:
    """Train both in turn on each size, once for each seed."""
    results = []
    epochs = 20 if quick else 100
    for n, variables in TRAININGS:
        if quick and n > LONG:
            continue
        progress(f"training on {n} x {variables}")
        values = generated(n, variables)
        runs = [
            (timed(train_ours, values, seed, epochs), timed(train_theirs, values, seed, epochs))
            for seed in SEEDS
        ]
        own_loss = [own[2][0] for own, _ in runs]
        other_loss = [other[2] for _, other in runs]
        spread = max(max(own_loss) - min(own_loss), max(other_loss) - min(other_loss))
        gap = statistics.mean(own_loss) - statistics.mean(other_loss)
        ratio = statistics.median(other[0] / own[0] for own, other in runs)
        results.append(
            {
                "rows": n,
                "variables": variables,
                "epochs": epochs,
                "ours_s": statistics.median(own[0] for own, _ in runs),
                "upstream_s": statistics.median(other[0] for _, other in runs),
                "ours_cpu_s": statistics.median(own[1] for own, _ in runs),
                "upstream_cpu_s": statistics.median(other[1] for _, other in runs),
                "ratio": ratio,
                "ours_loss": own_loss,
                "upstream_loss": other_loss,
                "load": os.getloadavg()[0],
                "met": ratio >= TRAINED_FASTER and gap <= spread,
            }
        )
    return results


def busy_training(quick: bool) -> dict[str, Any]:
    """Train both in turn beside two other processes that calculate all the time."""
    n, variables = TRAININGS[1]
    epochs = 5 if quick else 20
    values = generated(n, variables)
    progress(f"training on {n} x {variables} on a busy machine")
    train_ours(values, 42, 1)
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        runs = [
            (timed(train_ours, values, seed, epochs), timed(train_theirs, values, seed, epochs))
            for seed in SEEDS
        ]
    finally:
        for other in others:
            other.kill()
            other.wait()
    ratio = statistics.median(other[0] / own[0] for own, other in runs)
    return {
        "rows": n,
        "variables": variables,
        "epochs": epochs,
        "ours_s": statistics.median(own[0] for own, _ in runs),
        "upstream_s": statistics.median(other[0] for _, other in runs),
        "ratio": ratio,
        "met": ratio >= TRAINED_FASTER_BUSY,
    }


def as_package(network: Network) -> package.MultivariateAnomalyDetector:
    """Return the package's detector with the weights and figures of `network`."""
    detector = package.MultivariateAnomalyDetector()
    detector.config = MultiADConfig(
        data_dim=network.dimensions,
        input_size=network.input_size,
        threshold_window=network.threshold_window,
        normalize_base=NormalizeBase(network.maximum.tolist(), network.minimum.tolist()),
    )
    detector.model = MultivariateGraphAttnDetector(detector.config)
    detector.model.load_state_dict(network.state)
    detector.threshold = network.threshold
    detector.pct_weight = network.weights.tolist()
    return detector


def score_and_pack(
    network: Network, values: np.ndarray, table: pd.DataFrame
) -> list[dict[str, Any]]:
    """Score, and pack what lies behind anomalies as the package does; of other rows it is moot."""
    scores, index, names = score(network, values), table.index, list(table.columns)
    flags, values = scores.is_anomaly.tolist(), scores.score.tolist()
    changes = scores.attention_changes
    changed = np.argsort(-np.abs(changes), axis=2)[:, :, :10]
    sizes = np.take_along_axis(changes, changed, axis=2)
    counts = (np.abs(sizes) > min(0.001, 1 / (1.25 * len(names)))).sum(axis=2)
    ranked = np.argsort(-scores.contributions, axis=1)
    found = (ranked, scores.contributions, changed, sizes, counts)
    anomalies = zip(*(part.tolist() for part in found), strict=True)
    results = []
    for place, flag, value in zip(index[-len(values) :], flags, values, strict=True):
        parts = []
        if flag:
            order, shares, others, by, count = next(anomalies)
            for one in order:
                top = slice(count[one])
                parts.append((names[one], shares[one], others[one][top], by[one][top]))
        results.append(
            {"index": place, "is_anomaly": flag, "score": value, "interpretation": parts}
        )
    return results


def scorings(quick: bool) -> list[dict[str, Any]]:
    """Score by both in turn with the same weights, ours after a first call not counted."""
    results = []
    # Of the package's progress bars nothing is to be seen or counted.
    package.tqdm = iter
    for n, variables in SCORINGS:
        if quick and n > LONG:
            continue
        progress(f"scoring {n} x {variables}")
        values = generated(n, variables)
        network = train_ours(values[:2_000], 42, 5)[1]
        detector, table = as_package(network), frame(values)
        score(network, values)
        owns, others = [], []
        for _ in range(5 if n <= LONG else 3):
            owns.append(timed(score_and_pack, network, values, table))
            others.append(timed(detector.predict, None, table, {"sliding_window": WINDOW}))
        own, other = owns[0][2], others[0][2]
        worst = max(abs(a["score"] - b["score"]) for a, b in zip(own, other, strict=True))
        ratio = statistics.median(b[0] / a[0] for a, b in zip(owns, others, strict=True))
        results.append(
            {
                "rows": n,
                "variables": variables,
                "anomalies": sum(answer["is_anomaly"] for answer in own),
                "ours_s": statistics.median(own[0] for own in owns),
                "upstream_s": statistics.median(other[0] for other in others),
                "ours_cpu_s": statistics.median(own[1] for own in owns),
                "upstream_cpu_s": statistics.median(other[1] for other in others),
                "ratio": ratio,
                "scores_apart": worst,
                "met": ratio >= SCORED_FASTER and worst <= TOLERANCE,
            }
        )
    return results


def peak(what: str, rows: int) -> int:
    """Return the most memory a fresh process had, in bytes."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, what, str(rows)],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "app")},
        text=True,
    )
    return int(done.stdout)


def memory() -> list[dict[str, Any]]:
    """Measure the memory a row takes, and what a million of them would."""
    results = []
    for what in ("fit", "score"):
        progress(f"memory: {what}")
        few, many = 10_000, 40_000
        least = peak(what, few)
        slope = (peak(what, many) - least) / (many - few)
        million = least + slope * (1_000_000 - few)
        results.append(
            {
                "what": what,
                "bytes_per_row": slope,
                "million_rows": million,
                "met": million <= MOST_BYTES,
            }
        )
    return results


def machine() -> dict[str, Any]:
    model = "unknown"
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(
            (line.split(": ")[1] for line in lines if line.startswith("model name")), model
        )
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }


def progress(what: str) -> None:
    print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


def cells(*values: str) -> str:
    return f"| {' | '.join(values)} |"


def report(
    trained: list[dict[str, Any]],
    busy: dict[str, Any],
    scored: list[dict[str, Any]],
    held: list[dict[str, Any]],
) -> str:
    """Return the figures as tables of Markdown."""
    lines = [
        "| training | epochs | upstream (CPU) | ours (CPU) | | loss upstream | loss ours | bar |",
        "|---|---:|---:|---:|---:|---|---|---|",
    ]
    for run in trained:
        losses = [
            f"{statistics.mean(found):.4f} ({min(found):.4f} to {max(found):.4f})"
            for found in (run["upstream_loss"], run["ours_loss"])
        ]
        lines.append(
            cells(
                f"{run['rows']} x {run['variables']}",
                str(run["epochs"]),
                f"{run['upstream_s']:.1f} s ({run['upstream_cpu_s']:.1f} s)",
                f"{run['ours_s']:.1f} s ({run['ours_cpu_s']:.1f} s)",
                f"{run['ratio']:.1f}x",
                *losses,
                "met" if run["met"] else "MISSED",
            )
        )
    lines += [
        "",
        "| training beside two processes at full load | epochs | upstream | ours | | bar |",
        "|---|---:|---:|---:|---:|---|",
        cells(
            f"{busy['rows']} x {busy['variables']}",
            str(busy["epochs"]),
            f"{busy['upstream_s']:.1f} s",
            f"{busy['ours_s']:.1f} s",
            f"{busy['ratio']:.1f}x",
            "met" if busy["met"] else "MISSED",
        ),
        "",
        "| scoring | anomalies | upstream (CPU) | ours (CPU) | | scores off | bar |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for run in scored:
        lines.append(
            cells(
                f"{run['rows']} x {run['variables']}",
                str(run["anomalies"]),
                f"{run['upstream_s'] * 1e3:.0f} ms ({run['upstream_cpu_s'] * 1e3:.0f} ms)",
                f"{run['ours_s'] * 1e3:.0f} ms ({run['ours_cpu_s'] * 1e3:.0f} ms)",
                f"{run['ratio']:.1f}x",
                f"{run['scores_apart']:.0e}",
                "met" if run["met"] else "MISSED",
            )
        )
    lines += ["", "| memory, 20 variables | a row | 1,000,000 rows | bar |", "|---|---:|---:|---|"]
    for run in held:
        lines.append(
            cells(
                run["what"],
                f"{run['bytes_per_row']:.0f} bytes",
                f"{run['million_rows'] / 1024**2:.0f} MB",
                "met" if run["met"] else "MISSED",
            )
        )
    here = machine()
    lines += ["", f"{here['processor']}, {here['cores']} cores, Python {here['python']}."]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer epochs, no long series")
    options = parser.parse_args()
    held = memory()
    scored = scorings(options.quick)
    trained = trainings(options.quick)
    busy = busy_training(options.quick)
    progress("")
    print(report(trained, busy, scored, held))
    BUILD.mkdir(exist_ok=True)
    path = BUILD / "bench-multivariate.json"
    figures = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": {
            name: version(name)
            for name in ("time-series-anomaly-detector", "numpy", "pandas", "torch")
        },
        "training": trained,
        "busy_training": busy,
        "scoring": scored,
        "memory": held,
    }
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0 if all(run["met"] for run in (*trained, busy, *scored, *held)) else 1


if __name__ == "__main__":
    sys.exit(main())
