"""How long a backup, a second one, its check and a restore take, on a store of 1 GB.

    python tests/bench/backup.py [--objects 5000] [--megabytes 1000]

Starts a real store (SeaweedFS) and a real database (MariaDB), fills them, and runs what the service
`backup` runs. Prints a Markdown table, and ends with 1 where the second backup copies anything.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

import mariadb
import seaweed
from backup_kit import SECRETS, Kit

USERS = {"mlflow": (SECRETS["mlflow"], "mlflow"), "detector": (SECRETS["detector"], "datasets")}


def held(folder: Path) -> int:
    """Return how many bytes of the disk a folder takes."""
    found = {path.stat().st_ino: path.stat().st_blocks for path in folder.rglob("*")}
    return 512 * sum(found.values())


def timed(kit: Kit, what: str, *arguments: str) -> str:
    before, begun = held(kit.folder), time.monotonic()
    printed = kit.run(*arguments)
    seconds = time.monotonic() - begun
    read = re.search(r"of which (.*) were read", printed)
    grown = (held(kit.folder) - before) / 1e6
    print(f"| {what} | {seconds:.1f} s | {read[1] if read else ''} | {grown:.1f} MB |", flush=True)
    return printed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=5000)
    parser.add_argument("--megabytes", type=int, default=1000)
    given = parser.parse_args()
    size = given.megabytes * 1_000_000 // given.objects
    with (
        tempfile.TemporaryDirectory() as folder,
        mariadb.running(Path(folder) / "mariadb") as url,
        seaweed.running(Path(folder) / "seaweed", USERS) as store,
    ):
        seaweed.client(store).create_bucket(Bucket="mlflow")
        kit = Kit(url, store, Path(folder))
        kit.folder.mkdir()
        kit.fill()
        with ThreadPoolExecutor(4) as threads:
            keys = [f"1/run-{place % 100}/artifacts/{place}" for place in range(given.objects)]
            list(threads.map(lambda key: kit.put("mlflow", key, os.urandom(size)), keys))
        print(f"{given.objects:,} objects of {size:,} bytes\n")
        print("| | time | read from the store | the folder grew by |\n|---|---|---|---|")
        timed(kit, "first backup", "create")
        second = timed(kit, "second backup, nothing has changed", "create")
        last = str(kit.folder / kit.backups()[-1])
        timed(kit, "verify", "verify", last)
        for page in kit.s3.get_paginator("list_objects_v2").paginate(Bucket="mlflow"):
            for each in page.get("Contents", ()):
                kit.s3.delete_object(Bucket="mlflow", Key=each["Key"])
        timed(kit, "restore of an emptied store", "restore", last, "--overwrite")
        kit.engine.dispose()
    if "of which 0 bytes were read" not in second:
        sys.exit("The second backup copied what the first one has.")


if __name__ == "__main__":
    main()
