"""Shows how far the jobs of Spark are."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.sql import SparkSession
from tqdm import tqdm  # type: ignore[import-untyped]

__all__ = ["progress"]

_SECONDS = 0.2


@contextmanager
def progress(spark: SparkSession, what: str) -> Iterator[None]:
    """Show on standard error how many tasks are done, while the body runs jobs.

    Parameters
    ----------
    spark : SparkSession
    what : str
        What is being done, in a word or two.
    """
    done = threading.Event()
    with tqdm(desc=what, unit=" tasks", total=0) as bar:
        watcher = threading.Thread(target=_watch, args=(spark, bar, done), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


def _watch(spark: SparkSession, bar: "tqdm", done: threading.Event) -> None:
    tracker = spark.sparkContext.statusTracker()
    # The tasks of each stage: how many there are, and how many are done.
    stages: dict[int, tuple[int, int]] = {}
    while True:
        last = done.wait(_SECONDS)
        for stage in tracker.getActiveStageIds():
            info = tracker.getStageInfo(stage)
            if info is not None:
                stages[stage] = (info.numTasks, info.numCompletedTasks)
        active = set(tracker.getActiveStageIds())
        # A stage that is no longer worked on is done.
        for stage in stages.keys() - active if not last else stages.keys():
            stages[stage] = (stages[stage][0], stages[stage][0])
        bar.total = sum(count for count, _ in stages.values())
        bar.n = sum(completed for _, completed in stages.values())
        bar.refresh()
        if last:
            return
