"""Rows in windows: scaled, averaged and pooled as the package does."""

import numpy as np
import pytest
import torch

from detector.multivariate.network.module import average, pool
from detector.multivariate.network.windows import Windows


@pytest.mark.parametrize("size", [14, 30, 100, 106, 107, 225, 1440])
def test_windows_share_what_each_has_alone(size: int) -> None:
    values = np.random.default_rng(1).normal(size=(size + 60, 3))
    windows = Windows(values, np.zeros(3), np.ones(3), size, "cpu")
    rows = torch.from_numpy(values / (1 + 1e-8)).float()
    alone = torch.stack([rows[start : start + size].t() for start in range(5, 45)])
    torch.testing.assert_close(
        windows.pooled(range(5, 45)), pool(average(alone)), rtol=0, atol=1e-6
    )
    torch.testing.assert_close(windows.targets[5:45], rows[5 + size : 45 + size])
    assert len(windows.targets) == 60


def test_values_are_scaled_and_cut_off() -> None:
    values = np.array([[-5.0], [0.0], [5.0], [10.0], [40.0]])
    low, high = np.array([0.0]), np.array([10.0])
    windows = Windows(values, low, high, 1, "cpu", clip=(0.0, 1.0))
    assert windows.targets.flatten().tolist() == pytest.approx([0.0, 0.5, 1.0, 1.0])
    assert values[0, 0] == -5.0


def test_noisy_windows_scatter_as_the_package_s() -> None:
    size, n = 200, 1200
    windows = Windows(np.full((n, 2), 0.5), np.zeros(2), np.ones(2), size, "cpu")
    random = torch.Generator().manual_seed(6)
    own = windows.noisy(torch.arange(0, 1000, 5), random)
    noisy = 0.5 + 0.1 * torch.randn(400, 1, size, generator=random)
    averages = torch.nn.functional.avg_pool1d(noisy, 7, stride=1)
    theirs = torch.nn.functional.adaptive_max_pool1d(averages, 100)
    assert own.mean().item() == pytest.approx(theirs.mean().item(), abs=3e-3)
    assert own.std().item() == pytest.approx(theirs.std().item(), abs=3e-3)
