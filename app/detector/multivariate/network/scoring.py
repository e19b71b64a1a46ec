"""What a trained network says of rows: their scores, anomalies, and what lies behind them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from detector.arrays import Flags, Floats, Singles
from detector.errors import DetectionError
from detector.multivariate.network.module import GraphAttentionNetwork
from detector.multivariate.network.threads import Threads
from detector.multivariate.network.windows import Windows, run

_UPPER, _LOWER, _LIMIT = 0.5, 0.3, 0.95


@dataclass(frozen=True)
class Network:
    """A trained network of d variables: tensors and plain numbers."""

    state: dict[str, Tensor]
    """The weights, float32 on the CPU, by the package's names."""
    dimensions: int
    input_size: int
    """Rows the network sees before the one it scores."""
    threshold_window: int
    """Scores that the score of a row is compared with."""
    minimum: Floats
    maximum: Floats
    """Of the rows trained on, ``(d,)``."""
    weights: Floats
    """How much each variable counts, ``(d,)``: 1, or less where most of its changes are large."""
    threshold: float
    """The 80th percentile of the scores of the rows trained on."""
    score_min: float
    score_max: float

    @cached_property
    def module(self) -> GraphAttentionNetwork:
        """The network itself, made once, as that takes as long as to score a hundred rows."""
        module = GraphAttentionNetwork(self.dimensions, torch.Generator())
        module.load_state_dict(self.state)
        return module.eval()


@dataclass(frozen=True)
class Scores:
    """What a network says of m rows, a of them anomalies."""

    is_anomaly: Flags
    score: Floats
    """0 to e - 1, ``(m,)``."""
    contributions: Floats
    """The part of each variable in the score of each anomaly, ``(a, d)``; a row sums to 1."""
    attention_changes: Singles
    """The attention of the row's variable to the column's, less its moving mean, ``(a, d, d)``."""


def score(
    network: Network,
    values: Floats,
    *,
    device: str = "cpu",
    stop: Callable[[], bool] | None = None,
) -> Scores:
    """Score the rows of `values` ``(n, d)`` from ``input_size + threshold_window - 1`` on.

    Raises ``DetectionError``, ``NotEnoughInput``, where there are none, and ``Stopped`` where
    `stop` asked for it.
    """
    window, least = network.threshold_window, network.input_size + network.threshold_window
    if len(values) < least:
        raise DetectionError(
            "NotEnoughInput", f"At least {least} rows are needed, and there are {len(values)}."
        )
    rank = int(window * _LIMIT)
    upper, lower = max(_UPPER, network.threshold), min(_LOWER, network.threshold)
    scores = np.empty(len(values) - network.input_size)
    flags = np.zeros(len(scores), dtype=bool)
    contributions, changes = list[Floats](), list[Singles]()
    before = np.empty((0, network.dimensions, network.dimensions), dtype=np.float32)
    start = 0
    # Block by block: of rows that are no anomalies only the scores are kept.
    for found, maps in errors(network, values, device, stop or (lambda: False)):
        weighted = found * network.weights
        end = start + len(weighted)
        scores[start:end] = weighted.mean(axis=1)
        first = max(start, window - 1)
        maps = np.concatenate([before, maps])
        if end > first:
            # The window that ends with the row, as the package documents; its `predict` takes one
            # that ends earlier, so that flags depend on where a request begins.
            windows = sliding_window_view(scores[:end], window)[first - window + 1 :]
            limits = np.partition(windows, rank, axis=1)[:, rank]
            recent = scores[first:end]
            flags[first:end] = (recent >= limits) & (recent >= lower) | (recent > upper)
            places = first + np.flatnonzero(flags[first:end])
            worst = weighted[places - start]
            total = worst.sum(axis=1, keepdims=True)
            contributions.append(np.divide(worst, total, out=worst * 0, where=total > 0))
            changes.append(_changes(maps, places + len(maps) - end, window))
        before = maps[-(window - 1) :]
        start = end
    parts = np.concatenate(contributions), np.concatenate(changes)
    return Scores(flags[window - 1 :], scores[window - 1 :], *parts)


def _changes(maps: Singles, places: npt.NDArray[np.int64], window: int) -> Singles:
    """Return the maps at `places` less the mean of the `window` of them that ends there."""
    # No product of matrices: numpy's library for it leaves threads behind that wait busily.
    changes = np.empty((len(places), *maps.shape[1:]), dtype=np.float32)
    total, last = np.zeros(maps.shape[1:]), -1
    for row, place in enumerate(places.tolist()):
        start, gone = place - window + 1, max(0, last - window + 1)
        total += np.add.reduce(maps[max(start, last + 1) : place + 1], dtype=np.float64)
        total -= np.add.reduce(maps[gone : min(start, last + 1)], dtype=np.float64)
        changes[row] = maps[place] - total / window
        last = place
    return changes


def errors(
    network: Network, values: Floats, device: str, stop: Callable[[], bool]
) -> Iterator[tuple[Singles, Singles]]:
    """Yield errors ``(b, d)`` and attention ``(b, d, d)`` of the rows with an input before them."""
    windows = Windows(values, network.minimum, network.maximum, network.input_size, device)
    module = network.module.to(device)

    def compare(hidden: Tensor, attention: Tensor, targets: Tensor) -> tuple[Singles, Singles]:
        off = (module.forecast(hidden) - targets).abs()
        found = torch.exp((2 * off).clamp(max=1)) - 1
        return found.cpu().numpy(), attention.cpu().numpy()

    with Threads() as threads:
        yield from run(module, windows, threads, stop, compare)
