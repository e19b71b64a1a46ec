"""The network that judges many series together: how it is trained, and what it says of rows.

It is that of ``MultivariateAnomalyDetector`` in ``time-series-anomaly-detector``: moving averages
of a window of rows, pooled to a hundred steps; attention between the steps and between the
variables; a gated recurrent unit; then a forecast of the row that follows and a variational
autoencoder (Zhao et al., Multivariate Time-series Anomaly Detection via Graph Attention Network,
ICDM 2020). The weights and their names are the package's, so either can use the other's.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch.nn import functional

from detector.arrays import Floats
from detector.errors import DetectionError, Stopped
from detector.multivariate.network.attention import Learner, attend
from detector.multivariate.network.lanes import Lanes
from detector.multivariate.network.recurrent import HIDDEN, STEPS, Gates, Unit

Singles = npt.NDArray[np.float32]
State = Mapping[str, torch.Tensor]

_AVERAGED = 7
_BATCH = 128
# Windows in one go where nothing is learnt: many make quick products, and memory for few is there
# where there are many variables.
_BLOCK = 512
_BLOCK_VALUES = 10_240
_STRIDE = 10
_NOISE = 0.1
_RATE = 1e-3
_DECAYS = (0.9, 0.999)
_MOMENTUM = 0.1
_CLIP = 1000.0
_UPPER, _LOWER = 0.5, 0.3
_LEVEL = 0.8
_LIMIT = 0.95
_CHANGEABLE = 1.9
_NORMS = ("fc_layers.1", "vae.Encoder.1", "vae.Encoder.4", "vae.Decoder.1", "vae.Decoder.4")
# Rows normalised in one go.
_ROWS = 65_536


@dataclass(frozen=True)
class Network:
    """All that judging needs: tensors and plain numbers.

    Parameters
    ----------
    state : dict of str to Tensor
        The weights, float32 on the CPU, by the package's names.
    dimensions : int
        Variables, d.
    input_size : int
        Rows the network sees before the one it judges.
    threshold_window : int
        Scores the score of a row is compared with.
    minimum, maximum : ndarray of float64, shape (d,)
        Of the rows trained on.
    weights : ndarray of float64, shape (d,)
        How much each variable counts: 1, or less where most of its changes are large.
    threshold, score_min, score_max : float
        Of the scores of the rows trained on: the 80th percentile, the least, the largest.
    """

    state: dict[str, torch.Tensor]
    dimensions: int
    input_size: int
    threshold_window: int
    minimum: Floats
    maximum: Floats
    weights: Floats
    threshold: float
    score_min: float
    score_max: float


@dataclass(frozen=True)
class Scores:
    """What a network says of the last m rows of what it was given.

    Parameters
    ----------
    is_anomaly : ndarray of bool, shape (m,)
    score : ndarray of float64, shape (m,)
        0 to e - 1.
    contributions : ndarray of float64, shape (a, d)
        Of the a anomalies alone, in order: each variable's part of the score; a row sums to 1.
    attention_changes : ndarray of float32, shape (a, d, d)
        Of the anomalies alone: the attention of the row's variable to the column's, less its
        moving mean.
    """

    is_anomaly: npt.NDArray[np.bool_]
    score: Floats
    contributions: Floats
    attention_changes: Singles


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
    """Train a network on `values`: the first 8 tenths of the rows, validated on the 9th.

    Parameters
    ----------
    values : ndarray of float64, shape (n, d)
        Finite.
    sliding_window : int
        Half of it is the network's input, the other half, or 200, the window of the threshold.
    epochs : int
    seed : int
        The same one gives the same network on the same machine.
    device : str
        ``cpu`` or ``cuda``.
    on_epoch : callable
        Told the epoch's number from 1, the losses of training and validation, its seconds. The
        losses are means over windows of the summed squared errors of forecast and
        reconstruction, plus the divergence of the autoencoder; validation is 0 without windows.
    stop : callable
        Asked at every batch whether to stop.

    Returns
    -------
    Network
        That of the epoch with the least loss of validation; the last where nothing is validated.

    Raises
    ------
    Stopped
        When `stop` said so.
    DetectionError
        ``NotEnoughInput`` for fewer rows than give two windows to train on.
    """
    size = sliding_window // 2
    count = int(len(values) * 0.8)
    held = values[count : count + int(len(values) * 0.1)]
    trained = values[:count]
    if count < size + 2:
        raise DetectionError(
            "NotEnoughInput",
            f"A sliding window of {sliding_window} needs at least "
            f"{math.ceil((size + 2) / 0.8)} rows to train on, and there are {len(values)}.",
        )
    low, high = trained.min(axis=0), trained.max(axis=0)
    with Lanes(2) as lanes:
        training = _Training(
            _Rows.of(trained, low, high, size, (0.0, 1.0), device),
            _Rows.of(held, low, high, size, (-_CLIP, _CLIP), device),
            seed,
            lanes,
        )
        state = training.run(epochs, on_epoch, stop)
    window = min(200, sliding_window - size)
    network = Network(
        state=state,
        dimensions=values.shape[1],
        input_size=size,
        threshold_window=window,
        minimum=low,
        maximum=high,
        weights=_weights(values, size + window),
        threshold=0.0,
        score_min=0.0,
        score_max=0.0,
    )
    parts = [
        (errors * network.weights).mean(axis=1)
        for errors, _ in _errors(network, trained, device, stop)
    ]
    scores = np.sort(np.concatenate(parts))
    return replace(
        network,
        threshold=float(scores[int(len(scores) * _LEVEL)]),
        score_min=float(scores[0]),
        score_max=float(scores[-1]),
    )


def judge(network: Network, values: Floats, *, device: str = "cpu") -> Scores:
    """Judge the rows from ``input_size + threshold_window - 1`` on.

    Parameters
    ----------
    network : Network
    values : ndarray of float64, shape (n, d)
        Finite.
    device : str

    Raises
    ------
    DetectionError
        ``NotEnoughInput`` for fewer than ``input_size + threshold_window`` rows.
    """
    window, least = network.threshold_window, network.input_size + network.threshold_window
    if len(values) < least:
        raise DetectionError(
            "NotEnoughInput", f"At least {least} rows are needed, and there are {len(values)}."
        )
    upper, lower = max(_UPPER, network.threshold), min(_LOWER, network.threshold)
    scores = np.empty(len(values) - network.input_size)
    flags = np.zeros(len(scores), dtype=bool)
    contributions: list[Floats] = []
    changes: list[Singles] = []
    before = np.empty((0, network.dimensions, network.dimensions), dtype=np.float32)
    start = 0
    for errors, maps in _errors(network, values, device, lambda: False):
        weighted = errors * network.weights
        end = start + len(weighted)
        scores[start:end] = weighted.mean(axis=1)
        first = max(start, window - 1)
        maps = np.concatenate([before, maps])
        if end > first:
            recent = scores[first:end]
            least_scores = _limits(scores[:end], window, first - (window - 1))
            above = (recent >= least_scores) & (recent >= lower) | (recent > upper)
            flags[first:end] = above
            places = np.flatnonzero(above)
            found = weighted[places + first - start]
            total = found.sum(axis=1, keepdims=True)
            contributions.append(np.divide(found, total, out=found * 0, where=total > 0))
            changes.append(_changes(maps, places + len(maps) - (end - first), window))
        before = maps[-(window - 1) :]
        start = end
    return Scores(
        flags[window - 1 :],
        scores[window - 1 :],
        np.concatenate(contributions),
        _join(changes),
    )


def _join(parts: list[Singles]) -> Singles:
    """Return `parts` as one, and let go of each once it is copied: they are most of the memory."""
    whole = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), dtype=np.float32)
    end = len(whole)
    while parts:
        part = parts.pop()
        whole[end - len(part) : end] = part
        end -= len(part)
    return whole


def _limits(scores: Floats, window: int, start: int) -> Floats:
    """Return the 95th percentile of the `window` scores up to each, from those of `start` on.

    That is what the package's documentation and its ``DetectionResults`` say. Its ``predict``
    takes the window that ends ``window - 1`` rows earlier, of which the first rows of a call have
    one score, so that flags would depend on where a request begins.
    """
    rank = int(window * _LIMIT)
    views = np.lib.stride_tricks.sliding_window_view(scores, window)[start:]
    return np.partition(views, rank, axis=1)[:, rank]


def _changes(maps: Singles, places: npt.NDArray[np.int64], window: int) -> Singles:
    """Return the maps at `places` less the mean of the `window` of them that ends there.

    One product would say the same, but the library that numpy has for it leaves threads behind that
    wait busily, in the way of those that judge.
    """
    changes = np.empty((len(places), *maps.shape[1:]), dtype=np.float32)
    total, last = np.zeros(maps.shape[1:]), -window
    for row, place in enumerate(places.tolist()):
        start = place - window + 1
        if last < start:
            total = np.add.reduce(maps[start : place + 1], dtype=np.float64)
        else:
            total += np.add.reduce(maps[last + 1 : place + 1])
            total -= np.add.reduce(maps[last - window + 1 : start])
        changes[row] = maps[place] - total / window
        last = place
    return changes


def _weights(values: Floats, window: int) -> Floats:
    """Return how much each variable counts: less for those that mostly jump, as counters do."""
    means = np.empty(values.shape[1])
    for place in range(values.shape[1]):
        series = pd.Series(values[:, place] + 0.0001)
        ratios = [(series.shift(step) / series - 1).abs() for step in (1, -1)]
        largest = pd.Series(np.maximum(ratios[0], ratios[1])).clip(0, 2)
        means[place] = largest.rolling(window).max().mean()
    jumping = means > _CHANGEABLE
    return np.where(jumping, jumping.mean(), 1.0)


@dataclass(frozen=True)
class _Rows:
    """Rows as the network sees them, and where its pooling looks.

    `averages` has the shape ``(n - 6, d)``: what the windows share of the moving average.
    """

    rows: torch.Tensor
    averages: torch.Tensor
    size: int
    starts: torch.Tensor
    lengths: torch.Tensor

    @classmethod
    def of(
        cls,
        values: Floats,
        low: Floats,
        high: Floats,
        size: int,
        clip: tuple[float, float],
        device: str,
    ) -> "_Rows":
        singles = np.empty(values.shape, dtype=np.float32)
        for start in range(0, len(values), _ROWS):
            part = (values[start : start + _ROWS] - low) / (high - low + 1e-8)
            singles[start : start + _ROWS] = np.clip(part, *clip)
        rows = torch.from_numpy(singles).to(device)
        length = size - _AVERAGED + 1
        steps = torch.arange(STEPS)
        starts = steps * length // STEPS
        ends = -(-(steps + 1) * length // STEPS)
        averages = _average(rows[None])[0] if len(rows) >= _AVERAGED else rows[:0]
        return cls(rows, averages, size, starts.to(device), (ends - starts).to(device))

    def __len__(self) -> int:
        """Return how many windows have a row that follows them."""
        return max(0, len(self.rows) - self.size)

    def windows(self, first: int, count: int) -> torch.Tensor:
        """Return the pooled windows from `first` on, shape ``(count, steps, d)``."""
        length = self.size - _AVERAGED + 1
        pools = self._pools(self.averages[None, first : first + count - 1 + length])
        shifts = torch.arange(count, device=self.starts.device)[:, None]
        places = (self._places(pools) + shifts).reshape(-1)
        return pools[0].flatten(0, 1).index_select(0, places).view(count, STEPS, -1)

    def targets(self, first: int, count: int) -> torch.Tensor:
        """Return the rows that follow the windows from `first` on, shape ``(count, d)``."""
        return self.rows[first + self.size : first + self.size + count]

    def noisy(self, starts: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """Return the pooled windows from these rows on, with noise of their own."""
        length = self.size - _AVERAGED + 1
        noise = torch.empty(len(starts), self.size, self.rows.shape[1])
        noise.normal_(0.0, _NOISE, generator=random)
        averages = _average(noise.to(self.rows.device))
        places = (starts[:, None] + torch.arange(length, device=starts.device)).reshape(-1)
        averages += self.averages.index_select(0, places).view_as(averages)
        pools = self._pools(averages)
        return pools.flatten(1, 2).index_select(1, self._places(pools))

    def _pools(self, averages: torch.Tensor) -> torch.Tensor:
        """Return the largest of each run of every length there is, ``(b, lengths, n, d)``."""
        shortest, longest = int(self.lengths.min()), int(self.lengths.max())
        largest = averages.clone()
        pools = []
        for length in range(1, longest + 1):
            if length > 1:
                rest = averages[:, length - 1 :]
                largest[:, : rest.shape[1]] = torch.maximum(largest[:, : rest.shape[1]], rest)
            if length >= shortest:
                pools.append(largest.clone())
        return torch.stack(pools, dim=1)

    def _places(self, pools: torch.Tensor) -> torch.Tensor:
        return (self.lengths - self.lengths.min()) * pools.shape[2] + self.starts


def _average(rows: torch.Tensor) -> torch.Tensor:
    """Return the mean of each run of rows, shape ``(b, n - 6, d)``."""
    count = rows.shape[1] - _AVERAGED + 1
    sums = rows[:, :count].clone()
    for shift in range(1, _AVERAGED):
        sums += rows[:, shift : shift + count]
    return sums.div_(_AVERAGED)


class _Units(threading.local):
    """The memory of recurrent units: every thread has one for each size of batch there is."""

    def __init__(self) -> None:
        self._units: dict[tuple[int, int], Unit] = {}

    def of(self, windows: torch.Tensor) -> Unit:
        batch, _, variables = windows.shape
        if (batch, variables) not in self._units:
            unit = Unit(variables, batch, str(windows.device), learns=False)
            self._units[batch, variables] = unit
        return self._units[batch, variables]


def _enter(
    unit: Unit, between: torch.Tensor, over_time: torch.Tensor, windows: torch.Tensor
) -> None:
    """Put attended variables ``(b, steps, d)``, steps ``(b, d, steps)`` and windows into `unit`."""
    variables = unit.variables
    unit.inputs[:, :, :variables] = between.transpose(0, 1)
    unit.inputs[:, :, variables : 2 * variables] = over_time.permute(2, 0, 1)
    unit.inputs[:, :, 2 * variables :] = windows.transpose(0, 1)


def _encode(
    windows: torch.Tensor, state: State, gates: Gates, unit: Unit
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the unit's last state, ``(b, hidden)``, and the variables' attention ``(b, d, d)``."""
    turned = windows.transpose(1, 2).contiguous()
    between, maps = attend(turned, *_attention(state, "feat"), mapped=True)
    over_time, _ = attend(windows, *_attention(state, "time"), mapped=False)
    _enter(unit, between, over_time, windows)
    return unit.run(gates), maps


def _attention(state: State, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    return state[f"{name}_gat.weight_key"], state[f"{name}_gat.weight_query"]


def _linear(state: State, name: str, inputs: torch.Tensor) -> torch.Tensor:
    return functional.linear(inputs, state[f"{name}.weight"], state[f"{name}.bias"])


def _norm(state: State, name: str, inputs: torch.Tensor, *, learns: bool) -> torch.Tensor:
    return functional.batch_norm(
        inputs,
        state[f"{name}.running_mean"],
        state[f"{name}.running_var"],
        state[f"{name}.weight"],
        state[f"{name}.bias"],
        training=learns,
        momentum=_MOMENTUM,
    )


def _forecast(state: State, hidden: torch.Tensor, *, learns: bool) -> torch.Tensor:
    """Return the expected next rows, ``(b, d)``."""
    values = _norm(state, "fc_layers.1", hidden.relu(), learns=learns)
    values = _linear(state, "fc_layers.2", values).relu()
    values = _linear(state, "fc_layers.4", values).relu()
    return _linear(state, "fc_layers.6", values).sigmoid()


def _coder(state: State, name: str, inputs: torch.Tensor, *, learns: bool) -> torch.Tensor:
    for layer in (0, 3):
        values = _linear(state, f"vae.{name}.{layer}", inputs)
        inputs = _norm(state, f"vae.{name}.{layer + 1}", values, learns=learns).relu()
    return inputs


def _loss(
    state: State, hidden: torch.Tensor, targets: torch.Tensor, chance: torch.Tensor, *, learns: bool
) -> torch.Tensor:
    """Return the summed loss of forecast, reconstruction and divergence.

    `chance` is what the latent variable is drawn by, ``(b, z)`` or ``(z,)``.
    """
    code = _coder(state, "Encoder", hidden, learns=learns)
    mean = _linear(state, "vae.linear_mu", code)
    spread = _linear(state, "vae.linear_logv", code)
    latent = mean + chance * torch.exp(0.5 * spread)
    decoded = _coder(state, "Decoder", latent, learns=learns)
    rebuilt = _linear(state, "vae.linear_recon", decoded).sigmoid()
    divergence = -0.5 * torch.sum(1.0 + spread - mean.pow(2) - spread.exp())
    forecast = _forecast(state, hidden, learns=learns)
    off = functional.mse_loss(rebuilt, targets, reduction="sum")
    return off + divergence + functional.mse_loss(forecast, targets, reduction="sum")


def _parts(count: int, variables: int) -> list[range]:
    """Share out windows so that two threads end at about the same time."""
    most = max(_BATCH, min(_BLOCK, _BLOCK_VALUES // variables))
    pairs = -(-count // (2 * most))
    # Products are quickest where their width fills whole registers.
    size = -(-count // (16 * pairs)) * 8
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def _errors(
    network: Network, values: Floats, device: str, stop: Callable[[], bool]
) -> Iterator[tuple[Singles, Singles]]:
    """Yield errors ``(b, d)`` and attention ``(b, d, d)`` of the rows with an input before them."""
    state = {name: tensor.to(device) for name, tensor in network.state.items()}
    clip = (-_CLIP, _CLIP)
    units = _Units()
    gates = Gates.of(state)

    def blocks() -> Iterator[tuple[_Rows, range]]:
        for first in range(0, len(values) - network.input_size, _ROWS):
            part = values[first : first + _ROWS + network.input_size]
            rows = _Rows.of(
                part, network.minimum, network.maximum, network.input_size, clip, device
            )
            yield from ((rows, part) for part in _parts(len(rows), values.shape[1]))

    def calculate(block: tuple[_Rows, range]) -> tuple[Singles, Singles]:
        rows, part = block
        with torch.inference_mode():
            windows = rows.windows(part.start, len(part))
            hidden, maps = _encode(windows, state, gates, units.of(windows))
            off = _forecast(state, hidden, learns=False) - rows.targets(part.start, len(part))
            errors = torch.exp((2 * off.abs()).clamp(max=1)) - 1
            return errors.cpu().numpy(), maps.cpu().numpy()

    with Lanes() as lanes:
        for result in lanes.map(calculate, blocks()):
            if stop():
                raise Stopped
            yield result


class _Parameters:
    """The weights, their gradients and Adam's memory of them, each in one vector."""

    def __init__(self, initial: State, device: str) -> None:
        count = sum(tensor.numel() for tensor in initial.values())
        self.values, self._gradients, self._mean, self._square = torch.zeros(4, count).to(device)
        self.state: dict[str, torch.Tensor] = {}
        self._slots: dict[str, torch.Tensor] = {}
        start = 0
        for name, tensor in initial.items():
            part = slice(start, start + tensor.numel())
            self.state[name] = self.values[part].view(tensor.shape)
            self.state[name].copy_(tensor)
            self._slots[name] = self._gradients[part].view(tensor.shape)
            start = part.stop
        self._steps = 0

    def step(self, gradients: State) -> None:
        """Go one step of Adam (Kingma and Ba, ICLR 2015); `gradients` has every weight's."""
        for name, slot in self._slots.items():
            slot.copy_(gradients[name])
        self._steps += 1
        first, second = _DECAYS
        self._mean.lerp_(self._gradients, 1 - first)
        self._square.mul_(second).addcmul_(self._gradients, self._gradients, value=1 - second)
        scale = math.sqrt(1 - second**self._steps)
        size = self._square.sqrt().div_(scale).add_(1e-8)
        self.values.addcdiv_(self._mean, size, value=-_RATE / (1 - first**self._steps))


class _Half:
    """Half of a batch: what it is drawn by, and the memory to learn from it, used for every batch.

    Each half has random numbers of its own, whichever of them comes first.
    """

    def __init__(self, windows: int, variables: int, device: str, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)
        self.unit = Unit(variables, windows, device, learns=True)
        self.between = Learner(windows, variables, device)
        self.over_time = Learner(windows, STEPS, device)


class _Training:
    """One training: its rows, weights and random numbers, and the threads it is shared out to."""

    def __init__(self, training: _Rows, validation: _Rows, seed: int, lanes: Lanes) -> None:
        self._training, self._validation, self._lanes = training, validation, lanes
        device, variables = str(training.rows.device), training.rows.shape[1]
        seeds = np.random.SeedSequence(seed).generate_state(4, np.uint64)
        self._random, self._latent = (
            torch.Generator().manual_seed(int(number)) for number in seeds[[0, 3]]
        )
        self._stride = _STRIDE if len(training) >= 2 * _STRIDE else 1
        batch = min(_BATCH, len(training) // self._stride)
        self._halves = [
            _Half(windows, variables, device, int(number))
            for windows, number in zip((batch - batch // 2, batch // 2), seeds[1:3], strict=True)
        ]
        self._parameters = _Parameters(_initial(variables, self._random), device)
        self._rest = _buffers(self._random, device)
        self._state = {**self._parameters.state, **self._rest}
        self._gates = Gates.of(self._state)
        self._heads = [name for name in self._parameters.state if name[:3] in ("fc_", "vae")]
        self._units = _Units()

    def run(
        self,
        epochs: int,
        on_epoch: Callable[[int, float, float, float], None],
        stop: Callable[[], bool],
    ) -> dict[str, torch.Tensor]:
        """Train, and return the best weights."""
        best, kept = math.inf, None
        for epoch in range(1, epochs + 1):
            started = time.perf_counter()
            training = self._train(stop)
            validation = self._validate(stop)
            if len(self._validation) and validation < best:
                best, kept = validation, self._copy()
            on_epoch(epoch, training, validation, time.perf_counter() - started)
        return kept or self._copy()

    def _copy(self) -> dict[str, torch.Tensor]:
        return {
            name: tensor.detach().to("cpu", copy=True).contiguous()
            for name, tensor in self._state.items()
        }

    def _train(self, stop: Callable[[], bool]) -> float:
        """Train on every batch and return the mean loss."""
        total, seen = 0.0, 0
        for batch in self._batches():
            if stop():
                raise Stopped
            total += self._learn(batch)
            seen += len(batch)
        return total / seen

    def _batches(self) -> list[torch.Tensor]:
        """Return the rows the windows start from, shuffled; too few for a batch are one."""
        count = len(self._training) // self._stride
        starts = self._stride * torch.randperm(count, generator=self._random)
        whole = max(1, len(starts) // _BATCH)
        batches = torch.split(starts[: whole * _BATCH], _BATCH)
        return [batch.to(self._training.rows.device) for batch in batches]

    def _learn(self, batch: torch.Tensor) -> float:
        """Train on one batch and return its summed loss."""
        lanes = self._lanes
        parts = zip(self._halves, batch.tensor_split(2), strict=True)
        hidden = list(lanes.map(lambda part: self._encode(*part), parts))
        targets = self._training.rows[batch + self._training.size]
        ((loss, upper, gradients),) = lanes.map(lambda each: self._descend(each, targets), [hidden])
        work = zip(self._halves, upper, strict=True)
        sums = list(lanes.map(lambda part: self._ascend(*part), work))
        list(lanes.map(self._step, [{**gradients, **_total(sums)}]))
        return loss

    @torch.no_grad()
    def _encode(self, half: _Half, starts: torch.Tensor) -> torch.Tensor:
        """Return the unit's last state for half a batch."""
        windows = self._training.noisy(starts, half.random)
        turned = windows.transpose(1, 2).contiguous()
        state, random = self._state, half.random
        between = half.between.attend(turned, *_attention(state, "feat"), random)
        over_time = half.over_time.attend(windows, *_attention(state, "time"), random)
        _enter(half.unit, between, over_time, windows)
        return half.unit.run(self._gates)

    def _descend(
        self, hidden: list[torch.Tensor], targets: torch.Tensor
    ) -> tuple[float, list[torch.Tensor], dict[str, torch.Tensor]]:
        """Return the loss and its gradients: of each hidden state, and of the heads' weights."""
        state = dict(self._state)
        for name in self._heads:
            state[name] = state[name].detach().requires_grad_()
        leaves = [part.detach().requires_grad_() for part in hidden]
        whole = torch.cat(leaves)
        chance = torch.randn(len(whole), HIDDEN, generator=self._latent).to(whole.device)
        loss = _loss(state, whole, targets, chance, learns=True)
        found = torch.autograd.grad(loss, leaves + [state[name] for name in self._heads])
        for name in _NORMS:
            state[f"{name}.num_batches_tracked"] += 1
        heads = dict(zip(self._heads, found[len(leaves) :], strict=True))
        return loss.item(), list(found[: len(leaves)]), heads

    @torch.no_grad()
    def _ascend(self, half: _Half, gradient: torch.Tensor) -> tuple[Gates, dict[str, torch.Tensor]]:
        """Return the gradients of the gates and of the attention's weights for half a batch."""
        sums, entries = half.unit.learn(self._gates, gradient)
        variables = half.unit.variables
        between = half.between.learn(entries[:, :, :variables].transpose(0, 1))
        over_time = half.over_time.learn(entries[:, :, variables:].permute(1, 2, 0))
        return sums, {
            "feat_gat.weight_key": between[0],
            "feat_gat.weight_query": between[1],
            "time_gat.weight_key": over_time[0],
            "time_gat.weight_query": over_time[1],
        }

    def _step(self, gradients: State) -> None:
        self._parameters.step(gradients)
        self._gates = Gates.of(self._state)

    def _validate(self, stop: Callable[[], bool]) -> float:
        """Return the mean loss of the windows validated on, 0 where there are none."""
        rows, state = self._validation, self._state
        if not len(rows):
            return 0.0

        @torch.no_grad()
        def block(part: range) -> float:
            windows = rows.windows(part.start, len(part))
            hidden, _ = _encode(windows, state, self._gates, self._units.of(windows))
            targets = rows.targets(part.start, len(part))
            return _loss(state, hidden, targets, state["vae.eps"], learns=False).item()

        total = 0.0
        for loss in self._lanes.map(block, _parts(len(rows), rows.rows.shape[1])):
            if stop():
                raise Stopped
            total += loss
        return total / len(rows)


def _total(halves: list[tuple[Gates, dict[str, torch.Tensor]]]) -> dict[str, torch.Tensor]:
    (gates, weights), (other, others) = halves
    gates.add(other)
    return {**gates.gradients(), **{name: weights[name] + others[name] for name in weights}}


def _initial(variables: int, random: torch.Generator) -> dict[str, torch.Tensor]:
    """Draw the first weights as torch's own layers do, by name and shape of the package's."""

    def uniform(shape: tuple[int, ...], bound: float) -> torch.Tensor:
        return torch.empty(shape).uniform_(-bound, bound, generator=random)

    state: dict[str, torch.Tensor] = {}
    for name, features in (("feat_gat", STEPS), ("time_gat", variables)):
        for part in ("weight_key", "weight_query"):
            # Glorot and Bengio's bound, for a slope of 0.2.
            bound = 1.414 * math.sqrt(6 / (features + 1))
            state[f"{name}.{part}"] = uniform((features, 1), bound)
    bound = 1 / math.sqrt(HIDDEN)
    state["gru.weight_ih_l0"] = uniform((3 * HIDDEN, 3 * variables), bound)
    state["gru.weight_hh_l0"] = uniform((3 * HIDDEN, HIDDEN), bound)
    state["gru.bias_ih_l0"] = uniform((3 * HIDDEN,), bound)
    state["gru.bias_hh_l0"] = uniform((3 * HIDDEN,), bound)
    for name, width in _layers(variables).items():
        state[f"{name}.weight"] = uniform((width, HIDDEN), bound)
        state[f"{name}.bias"] = uniform((width,), bound)
    for name in _NORMS:
        state[f"{name}.weight"] = torch.ones(HIDDEN)
        state[f"{name}.bias"] = torch.zeros(HIDDEN)
    return state


def _layers(variables: int) -> dict[str, int]:
    """Return how wide each linear layer is; all are fed as many values as there are hidden."""
    coders = [f"vae.{part}.{layer}" for part in ("Encoder", "Decoder") for layer in (0, 3)]
    inner = ["fc_layers.2", "fc_layers.4", *coders, "vae.linear_mu", "vae.linear_logv"]
    outer = ["fc_layers.6", "vae.linear_recon"]
    return {**dict.fromkeys(inner, HIDDEN), **dict.fromkeys(outer, variables)}


def _buffers(random: torch.Generator, device: str) -> dict[str, torch.Tensor]:
    state = {
        "moving_avg_weight": torch.full((1, 1, _AVERAGED), 1 / _AVERAGED),
        "vae.eps": torch.randn(HIDDEN, generator=random),
    }
    for name in _NORMS:
        state[f"{name}.running_mean"] = torch.zeros(HIDDEN)
        state[f"{name}.running_var"] = torch.ones(HIDDEN)
        state[f"{name}.num_batches_tracked"] = torch.tensor(0)
    return {name: tensor.to(device) for name, tensor in state.items()}
