"""The numerical parts of the upstream package that were too slow, written anew.

Each gives, bit for bit where comparisons hang on it, what the function of
``time-series-anomaly-detector`` it stands for gives; ``tests/detector/kernel`` holds the proofs.
"""
