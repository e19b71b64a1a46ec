"""What Spark starts its Python workers from: the package is imported once, before they are forked.

``spark.python.daemon.module`` names it. A worker that imports the package itself takes two seconds
for that, and keeps a copy of it in memory.
"""

import gc

from pyspark import daemon

import detector.spark.batches  # noqa: F401

if __name__ == "__main__":
    # After each task Spark collects garbage. What is imported is none, and long to look through.
    gc.freeze()
    daemon.manager()
