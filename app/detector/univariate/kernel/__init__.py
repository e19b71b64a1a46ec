"""The numerical parts of the upstream package that were too slow, written anew.

Each gives, bit for bit where comparisons depend on it, what the function of
``time-series-anomaly-detector`` gives that it stands for; ``tests/univariate/kernel`` holds the
proofs.
"""
