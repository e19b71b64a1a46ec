"""The tests of stationarity beside those of arch, as the package uses them."""

import numpy as np
import pytest
from arch.unitroot import ADF, KPSS

from detector.kernel.stationarity import is_stationary


def upstream(values: np.ndarray) -> bool:
    try:
        return bool(ADF(values.tolist()).pvalue < 0.05 or KPSS(values.tolist()).pvalue >= 0.05)
    except Exception:  # noqa: BLE001 - the package takes whatever fails for stationary
        return True


@pytest.mark.parametrize("n", [12, 13, 20, 31, 60, 150, 500])
@pytest.mark.parametrize(
    "kind", ["noise", "walk", "line", "noisy line", "constant", "step", "sine", "huge"]
)
@pytest.mark.filterwarnings("ignore")
def test_verdict_is_that_of_arch(kind: str, n: int) -> None:
    for seed in range(6):
        noise = np.random.default_rng(seed).normal(size=n)
        t = np.arange(n)
        values = {
            "noise": noise,
            "walk": np.cumsum(noise),
            "line": t * 0.5,
            "noisy line": t * 0.5 + noise,
            "constant": np.full(n, 4.0),
            "step": (t > n // 2) * 5 + noise,
            "sine": np.sin(t / (seed + 2)),
            "huge": 1e12 + np.cumsum(noise) * 1e9,
        }[kind]
        assert is_stationary(values) == upstream(values)
