"""How a network is trained: the halves of each batch at once, each on one core."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Generator, Tensor
from torch.optim.adam import adam

from detector.arrays import Floats
from detector.errors import DetectionError, Stopped
from detector.multivariate.network.module import HIDDEN, GraphAttentionNetwork
from detector.multivariate.network.scoring import Network, errors
from detector.multivariate.network.threads import Threads
from detector.multivariate.network.windows import Windows, run

_BATCH, _STRIDE, _RATE = 128, 10, 1e-3
_LEVEL, _CHANGEABLE = 0.8, 1.9


def fit(
    values: Floats,
    *,
    sliding_window: int,
    epochs: int,
    seed: int,
    device: str,
    on_epoch: Callable[[int, float, float, float], None],
    stop: Callable[[], bool],
) -> Network:
    """Train a network on the first 8 tenths of rows ``(n, d)``, validated on the 9th.

    Half of `sliding_window` is the network's input, the other half, at most 200, the threshold's
    window. The same `seed` gives the same network on the same machine. `on_epoch` is called with
    the number of the epoch, from 1, the mean loss of a window in training and in validation (0
    without windows to validate), and the seconds; `stop` is asked at every batch whether to stop.
    The network is that of the epoch with the least validation loss, or else of the last.

    Raises ``Stopped`` when `stop` said so, and ``DetectionError``, ``NotEnoughInput``, for fewer
    rows than give two windows to train on.
    """
    size, count = sliding_window // 2, int(len(values) * 0.8)
    if count < size + 2:
        least = math.ceil((size + 2) / 0.8)
        raise DetectionError(
            "NotEnoughInput",
            f"A sliding window of {sliding_window} needs at least {least} rows, not {len(values)}.",
        )
    trained, held = values[:count], values[count : count + int(len(values) * 0.1)]
    low, high = trained.min(axis=0), trained.max(axis=0)
    windows = Windows(trained, low, high, size, device, clip=(0.0, 1.0))
    validated = Windows(held, low, high, size, device)
    with Threads(2) as threads:
        training = Training(windows, validated, seed, threads)
        best, state = math.inf, training.state()
        for epoch in range(1, epochs + 1):
            started = time.perf_counter()
            loss, validation = training.train(stop), training.validate(stop)
            if validation < best or not len(validated.targets):
                best, state = validation, training.state()
            on_epoch(epoch, loss, validation, time.perf_counter() - started)
    window = min(200, sliding_window - size)
    weights = _weights(values, size + window)
    network = Network(state, values.shape[1], size, window, low, high, weights, 0.0, 0.0, 0.0)
    parts = [(found * weights).mean(axis=1) for found, _ in errors(network, trained, device, stop)]
    scores = np.sort(np.concatenate(parts))
    lowest, level, highest = (float(scores[i]) for i in (0, int(len(scores) * _LEVEL), -1))
    return replace(network, threshold=level, score_min=lowest, score_max=highest)


def _weights(values: Floats, window: int) -> Floats:
    """Return how much each variable counts: less for those that mostly jump, as counters do."""
    means = []
    for column in values.T:
        series = pd.Series(column + 0.0001)
        before, after = ((series.shift(step) / series - 1).abs() for step in (1, -1))
        largest = pd.Series(np.maximum(before, after)).clip(0, 2)
        means.append(largest.rolling(window).max().mean())
    jumping = np.array(means) > _CHANGEABLE
    return np.where(jumping, jumping.mean(), 1.0)


class Adam:
    """Adam (Kingma and Ba, ICLR 2015), as ``torch.optim.Adam`` steps with ``fused=True``.

    That class imports torch's compiler when it is made, which takes longer than a short training.
    """

    def __init__(self, weights: list[Tensor]) -> None:
        self._weights = weights
        self._means, self._squares = ([torch.zeros_like(each) for each in weights] for _ in "12")
        self._steps = [torch.zeros((), device=each.device) for each in weights]

    @torch.no_grad()
    def step(self) -> None:
        """Change the weights by their gradients, which all have."""
        adam(
            self._weights,
            [each.grad for each in self._weights if each.grad is not None],
            self._means,
            self._squares,
            [],
            self._steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=_RATE,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


class Training:
    """A module, its optimizer and random numbers, and the threads that train it."""

    def __init__(self, windows: Windows, validated: Windows, seed: int, threads: Threads) -> None:
        self._windows, self._validated, self._threads = windows, validated, threads
        # Each half has a generator of its own, so that it does not matter which comes first.
        seeds = np.random.SeedSequence(seed).generate_state(4, np.uint64).tolist()
        self._random, *self._randoms, self._latent = (Generator().manual_seed(one) for one in seeds)
        module = GraphAttentionNetwork(windows.targets.shape[1], self._random)
        self.module = module.to(windows.targets.device)
        named, encoder = module.named_parameters(), ("feat_gat.", "time_gat.", "gru.")
        self._encoder = [weight for name, weight in named if name.startswith(encoder)]
        self.optimizer = Adam(list(module.parameters()))

    def state(self) -> dict[str, Tensor]:
        """Return a copy of the weights."""
        return {name: part.cpu().clone() for name, part in self.module.state_dict().items()}

    def train(self, stop: Callable[[], bool]) -> float:
        """Train on all windows, in shuffled batches, and return the mean loss of a window."""
        self.module.train()
        count = len(self._windows.targets)
        stride = _STRIDE if count >= 2 * _STRIDE else 1
        starts = stride * torch.randperm(count // stride, generator=self._random)
        # Too few for a batch are one; what is left over waits for the next epoch.
        starts = starts[: max(1, len(starts) // _BATCH) * _BATCH]
        total = 0.0
        for batch in torch.split(starts.to(self._windows.targets.device), _BATCH):
            if stop():
                raise Stopped
            total += self.learn(batch)
        return total / len(starts)

    def learn(self, batch: Tensor) -> float:
        """Train on the windows with these starts and return their summed loss."""
        # The halves meet before the batch norms, whose statistics are those of the whole batch.
        share, halves = self._threads.map, batch.tensor_split(2)

        def encode(half: int) -> Tensor:
            pooled = self._windows.noisy(halves[half], self._randoms[half])
            return self.module.encode(pooled, self._randoms[half])[0]

        hidden = list(share(encode, range(2)))
        ((loss, upper),) = share(lambda each: self._descend(each, batch), [hidden])
        ends = zip(hidden, upper, strict=True)
        found = share(lambda end: torch.autograd.grad(end[0], self._encoder, end[1]), ends)
        list(share(self._step, [list(found)]))
        return loss

    def _descend(self, hidden: list[Tensor], batch: Tensor) -> tuple[float, list[Tensor | None]]:
        """Return the loss and its gradients of `hidden`; set those of the heads."""
        leaves = [half.detach().requires_grad_() for half in hidden]
        noise = torch.randn(len(batch), HIDDEN, generator=self._latent).to(batch.device)
        loss = self.module.loss(torch.cat(leaves), self._windows.targets[batch], noise)
        self.module.zero_grad()
        torch.autograd.backward(loss)
        return loss.item(), [leaf.grad for leaf in leaves]

    def _step(self, gradients: list[tuple[Tensor, ...]]) -> None:
        for weight, one, other in zip(self._encoder, *gradients, strict=True):
            weight.grad = one + other
        self.optimizer.step()

    def validate(self, stop: Callable[[], bool]) -> float:
        """Return the mean loss of the windows validated on, 0 where there are none."""
        losses = run(self.module.eval(), self._validated, self._threads, stop, self._loss)
        return sum(losses) / max(1, len(self._validated.targets))

    def _loss(self, hidden: Tensor, _: Tensor, targets: Tensor) -> float:
        return self.module.loss(hidden, targets).item()
