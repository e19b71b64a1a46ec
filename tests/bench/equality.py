"""The long proof: ours and the upstream package agree on thousands of series.

Where the kernel is compiled it is the one compared, and numpy's must give the same bits.

    python tests/bench/equality.py [--examples 2000] [--seed 20261122]

Ends with 1 and prints the series as soon as they differ on one.
Writes what was proved to ``build/bench-equality.json``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2] / folder) for folder in ("app", "tests")]

import kernels
import oracle
import pandas as pd
from hypothesis import HealthCheck, Phase, given, seed, settings

from detector.univariate.kernel import native

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build"


def prove(examples: int, chosen_seed: int) -> dict[str, Any]:
    """Compare on `examples` series; return what they were like."""
    seen: Counter[str] = Counter()
    longest = 0
    started = time.monotonic()

    @seed(chosen_seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        # Making a failing series small would take hours of the upstream package's time.
        phases=[Phase.generate],
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(oracle.series())
    def compare(request: tuple[str, pd.DataFrame, dict[str, Any]]) -> None:
        nonlocal longest
        mode, frame, params = request
        own = oracle.outcome(oracle.ours, mode, frame, params)
        other = oracle.outcome(oracle.theirs, mode, frame, params)
        found = oracle.difference(own, other)
        assert found is None, f"{found}; mode {mode}, params {params}"
        if native.stl is not None:
            kernels.assert_same(oracle.ours, mode, frame, params)
            seen["alike on both kernels"] += 1
        seen["examples"] += 1
        seen[mode] += 1
        seen["refused by both"] += own is None
        seen["failed upstream"] += other is oracle.FAILED
        if own is not None:
            seen["seasonal"] += own[0]["result"]["period"] > 1
            seen["with anomalies"] += any(answer["result"]["is_anomaly"] for answer in own)
        seen["1000 points or more"] += len(frame) >= 1000
        longest = max(longest, len(frame))
        if seen["examples"] % 50 == 0:
            since = time.monotonic() - started
            print(f"\r{seen['examples']} series alike, {since:.0f} s", end="", flush=True)

    compare()
    print()
    return {
        "seed": chosen_seed,
        "tolerance": oracle.TOLERANCE,
        "longest": longest,
        "seconds": round(time.monotonic() - started),
        **seen,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=20261122)
    options = parser.parse_args()
    proved = prove(options.examples, options.seed)
    proved["versions"] = {
        name: version(name) for name in ("time-series-anomaly-detector", "numpy", "pandas", "scipy")
    }
    BUILD.mkdir(exist_ok=True)
    path = BUILD / "bench-equality.json"
    path.write_text(json.dumps(proved, indent=2) + "\n", encoding="utf-8")
    print(f"{proved['examples']} series alike, seed {proved['seed']}; see {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
