"""The numerical parts of the upstream package that were too slow, written anew.

Each gives what the function of ``time-series-anomaly-detector`` it stands for gives, bit for bit
where comparisons hang on it. ``tests/detector`` holds the proofs.
"""
