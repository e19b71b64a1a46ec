"""Measures detection on the stack's Spark cluster, and what the loss of a worker costs.

    python tests/bench/spark_cluster.py [--series 20000]

Works on a stack of its own, as the tests do, and removes it again: two workers of a core each. The
job runs undisturbed, and once more while one worker's container is killed when half of the tasks
are done. Images must be built before (`make up-spark` does).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from compose import SPARK, Stack, run_on_cluster

WORKERS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=20_000)
    parser.add_argument("--tasks", type=int, default=64)
    asked = parser.parse_args()
    stack = Stack(
        "anomaly-detector-cluster",
        port=5057,
        detector_port=5060,
        spark_port=5061,
        SPARK_WORKERS=str(WORKERS),
    )
    try:
        stack.compose(*SPARK, "up", "-d", "--wait", "spark-worker", "spark-workspace")
        quiet = run_on_cluster(stack, asked.series, asked.tasks)
        disturbed = run_on_cluster(
            stack,
            asked.series,
            asked.tasks,
            half_way=lambda: stack.docker("kill", stack.containers("spark-worker")[0]),
        )
    finally:
        stack.compose(*SPARK, "down", "--volumes")
    print(json.dumps({"undisturbed": quiet, "a worker killed": disturbed}, indent=2))
    same = {key: value for key, value in quiet.items() if key != "seconds"}
    sys.exit({key: disturbed[key] for key in same} != same)


if __name__ == "__main__":
    main()
