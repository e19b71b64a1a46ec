"""Runs the command line: ``python -m detector``."""

import atexit
import gc
import sys

# All that is imported stays. To look through it for garbage takes a quarter of the time until the
# service answers, and at the end, once more, most of a second.
gc.set_threshold(10_000)
atexit.register(gc.freeze)

from detector.cli import main

sys.exit(main())
