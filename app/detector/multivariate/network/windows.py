"""Rows in overlapping windows, and the forward pass over all of them."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import torch
from torch import Generator, Tensor

from detector.arrays import Floats
from detector.errors import Stopped
from detector.multivariate.network import module as network
from detector.multivariate.network.threads import Threads

Clip = tuple[float, float]
_Result = TypeVar("_Result")

CLIP: Clip = (-1000.0, 1000.0)
# Windows in one go: many make fast products, but those of many variables need much memory.
_FEWEST, _MOST, _VALUES = 128, 512, 10_240
_NOISE = 0.1


class Windows:
    """The windows of `size` rows that have a row after them, their `targets`.

    Values ``(n, d)`` are scaled from `low` to `high` ``(d,)``, and cut off outside of `clip`.
    """

    def __init__(
        self, values: Floats, low: Floats, high: Floats, size: int, device: str, clip: Clip = CLIP
    ) -> None:
        scaled = values - low
        scaled /= high - low + 1e-8
        np.clip(scaled, *clip, out=scaled)
        self._size = size
        self._rows = torch.from_numpy(scaled.astype(np.float32)).to(device)
        self.targets = self._rows[size:]

    def pooled(self, block: range) -> Tensor:
        """Return the pooled windows that start in `block`, ``(steps, b, d)``."""
        # They share their averages, and the maximum of each run of averages.
        averages = network.average(self._rows[block.start : block.stop + self._size - 1].t())
        length = self._size - network.AVERAGED + 1
        steps = range(network.STEPS)
        runs = [(i * length // len(steps), -(-(i + 1) * length // len(steps))) for i in steps]
        widths = {end - start for start, end in runs}
        largest = {wide: averages.unfold(1, wide, 1).amax(2).t().contiguous() for wide in widths}
        return torch.stack([largest[end - start][start:][: len(block)] for start, end in runs])

    def noisy(self, starts: Tensor, random: Generator) -> Tensor:
        """Return the pooled windows with these starts, noise in every row, ``(steps, b, d)``."""
        windows = self._rows.unfold(0, self._size, 1)[starts].transpose(1, 2)
        noise = torch.normal(0.0, _NOISE, windows.shape, generator=random).to(windows.device)
        return network.pool(network.average((windows + noise).transpose(1, 2)))


def run(
    module: network.GraphAttentionNetwork,
    windows: Windows,
    threads: Threads,
    stop: Callable[[], bool],
    do: Callable[[Tensor, Tensor, Tensor], _Result],
) -> Iterator[_Result]:
    """Yield what `do` makes of hidden state, attention and targets of each block of windows."""
    count, variables = windows.targets.shape

    @torch.inference_mode()
    def calculate(block: range) -> _Result:
        hidden, attention = module.encode(windows.pooled(block))
        return do(hidden, attention, windows.targets[block.start : block.stop])

    # Two threads end at about the same time, and widths of eight fill whole registers.
    most = max(_FEWEST, min(_MOST, _VALUES // variables))
    pairs = max(1, -(-count // (2 * most)))
    size = max(1, -(-count // (16 * pairs))) * 8
    blocks = (range(start, min(start + size, count)) for start in range(0, count, size))
    for result in threads.map(calculate, blocks):
        if stop():
            raise Stopped
        yield result
