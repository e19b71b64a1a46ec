"""The numerical parts of the upstream package that were too slow, written anew.

Each gives what the function of ``time-series-anomaly-detector`` it stands for gives: of one series
bit for bit where comparisons hang on it, of many variables within 1e-5. ``tests/detector`` holds
the proofs.
"""
