"""Runs the command line: ``python -m detector``."""

import atexit
import gc
import os
import sys

# All that is imported stays. To look through it for garbage takes a quarter of the time until the
# service answers, and at the end, once more, most of a second.
gc.set_threshold(10_000)
atexit.register(gc.freeze)
# What numpy and scipy compute here is small. The threads that both would start for it, one for each
# processor, are a third of what `--help` costs.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from detector.cli import main

sys.exit(main())
