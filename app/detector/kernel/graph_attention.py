"""The network that judges many series together: how it is trained, and what it says of rows."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from anomaly_detector.multivariate.contract import MultiADConfig
from anomaly_detector.multivariate.dataset import MultiADDataset
from anomaly_detector.multivariate.module import (
    AnomalyDetectionCriterion,
    MultivariateGraphAttnDetector,
)
from anomaly_detector.multivariate.util import get_multiple_variables_pct_weight_score

from detector.errors import Stopped

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Network:
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
    is_anomaly: npt.NDArray[np.bool_]
    score: Floats
    contributions: Floats
    attention_changes: npt.NDArray[np.float32]


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
    size = sliding_window // 2
    threshold_window = min(200, sliding_window - size)
    count = int(len(values) * 0.8)
    train = values[:count]
    held = values[count : count + int(len(values) * 0.1)]
    low, high = train.min(axis=0), train.max(axis=0)
    config = MultiADConfig(data_dim=values.shape[1], input_size=size, device=device)
    torch.manual_seed(seed)
    model = MultivariateGraphAttnDetector(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    training = MultiADDataset(train, size, 10, 1, high, low, 0.0, 1.0)
    validation = MultiADDataset(held, size, 1, 1, high, low, -1000.0, 1000.0)
    batches = torch.utils.data.DataLoader(
        training, 128, shuffle=True, drop_last=len(training) >= 128
    )
    others = torch.utils.data.DataLoader(validation, 128)
    best, state = np.inf, model.state_dict()
    for epoch in range(1, epochs + 1):
        started = time.perf_counter()
        losses = []
        for model_trains, loader in ((True, batches), (False, others)):
            model.train(model_trains)
            total, seen = 0.0, 0
            for x, y in loader:
                if stop():
                    raise Stopped
                if model_trains:
                    x = x + 0.1 * torch.randn_like(x)
                with torch.set_grad_enabled(model_trains):
                    pred, recon, mu, logv, _ = model(x.to(device))
                    loss = AnomalyDetectionCriterion()(pred, recon, y.to(device), mu, logv)[0]
                if model_trains:
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                total += loss.item()
                seen += len(x)
            losses.append(total / seen if seen else 0.0)
        if losses[1] < best or not len(validation):
            best = losses[1]
            state = copy.deepcopy(model.state_dict())
        on_epoch(epoch, losses[0], losses[1], time.perf_counter() - started)
    weights = np.array(get_multiple_variables_pct_weight_score(values, size + threshold_window))
    state = {name: tensor.cpu() for name, tensor in state.items()}
    network = Network(
        state, values.shape[1], size, threshold_window, low, high, weights, 0.0, 0.0, 0.0
    )
    scores = np.sort(_infer(network, train, device)[1])
    return Network(
        **{
            **network.__dict__,
            "threshold": float(scores[int(len(scores) * 0.8)]),
            "score_min": float(scores[0]),
            "score_max": float(scores[-1]),
        }
    )


def _infer(network: Network, values: Floats, device: str) -> tuple[Any, Any, Any]:
    config = MultiADConfig(
        data_dim=network.dimensions, input_size=network.input_size, device=device
    )
    model = MultivariateGraphAttnDetector(config)
    model.load_state_dict(network.state)
    model.eval()
    data = MultiADDataset(
        values, network.input_size, 1, 1, network.maximum, network.minimum, -1000.0, 1000.0
    )
    parts, maps = [], []
    with torch.no_grad():
        for x, y in torch.utils.data.DataLoader(data, 128):
            pred, _, _, _, attention = model(x.to(device))
            off = torch.exp(torch.clamp(2 * (pred.cpu() - y).abs(), max=1)) - 1
            parts.append(off.numpy() * network.weights)
            maps.append(attention.cpu().numpy())
    contributions = np.concatenate(parts)
    return contributions, contributions.mean(axis=1), np.concatenate(maps)


def judge(network: Network, values: Floats, *, device: str = "cpu") -> Scores:
    contributions, scores, maps = _infer(network, values, device)
    window = network.threshold_window
    upper, lower = max(0.5, network.threshold), min(0.3, network.threshold)
    limits = np.sort(np.lib.stride_tricks.sliding_window_view(scores, window), axis=1)
    tail = scores[window - 1 :]
    flags = ((tail >= limits[:, int(window * 0.95)]) & (tail >= lower)) | (tail > upper)
    means = np.lib.stride_tricks.sliding_window_view(maps, window, axis=0).mean(axis=-1)
    kept = contributions[window - 1 :][flags]
    return Scores(
        flags, tail, kept / kept.sum(axis=1, keepdims=True), (maps[window - 1 :] - means)[flags]
    )
