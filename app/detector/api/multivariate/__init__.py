"""``multivariate/...``: models of many variables."""
