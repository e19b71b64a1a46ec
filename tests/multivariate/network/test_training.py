"""The training of a network: what a batch teaches, what is kept, and what is left alone."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from anomaly_detector import MultivariateAnomalyDetector
from anomaly_detector.multivariate import model as package_model
from anomaly_detector.multivariate.contract import MultiADConfig
from anomaly_detector.multivariate.module import (
    AnomalyDetectionCriterion,
    MultivariateGraphAttnDetector,
)
from anomaly_detector.multivariate.util import get_multiple_variables_pct_weight_score

from detector.errors import DetectionError, Stopped
from detector.multivariate.network import module, windows
from detector.multivariate.network.scoring import Network, score
from detector.multivariate.network.threads import Threads
from detector.multivariate.network.training import Adam, Training
from detector.multivariate.network.windows import Windows

TOLERANCE = 1e-5
Rows = Callable[..., np.ndarray]
Trained = Callable[..., Network]
Package = Callable[[Network], MultivariateAnomalyDetector]


@pytest.mark.parametrize("starts", [range(0, 870, 10), range(0, 810, 90)])
def test_a_batch_gives_the_gradients_of_the_package_s_network(
    starts: range, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With neither noise nor dropout, and the latent variable drawn alike."""
    monkeypatch.setattr(windows, "_NOISE", 0.0)
    monkeypatch.setattr(module, "_MASKS", torch.ones(256, 8))
    values, size = rows(900, 3), 30
    low, high = values.min(axis=0), values.max(axis=0)
    batch = torch.tensor(starts)
    with Threads(2) as threads:
        data = Windows(values, low, high, size, "cpu")
        training = Training(data, data, 5, threads)
        monkeypatch.setattr(training.optimizer, "step", lambda: None)
        theirs = MultivariateGraphAttnDetector(MultiADConfig(data_dim=3, input_size=size))
        theirs.load_state_dict(training.state())
        chance = training._latent.clone_state()
        training.module.train()
        loss = training.learn(batch)
    for part in (theirs.feat_gat, theirs.time_gat):
        part.dropout = torch.nn.Identity()
    latent = torch.randn(len(batch), 100, generator=chance)
    theirs.vae.reparameterize = lambda mean, spread: mean + latent * torch.exp(0.5 * spread)
    scaled = torch.from_numpy((values - low) / (high - low + 1e-8)).float()
    inputs = torch.stack([scaled[start : start + size] for start in starts])
    results = theirs(inputs)[:4]
    expected, _, _ = AnomalyDetectionCriterion()(
        results[0], results[1], scaled[batch + size], *results[2:]
    )
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    names = dict(training.module.named_parameters())
    largest = max(float(weight.grad.abs().max()) for weight in theirs.parameters())
    # A bias in front of a batch norm has a gradient of zero: what is there is rounding.
    zero = {f"vae.{part}.{layer}.bias" for part in ("Encoder", "Decoder") for layer in (0, 3)}
    for name, weight in theirs.named_parameters():
        least = (1e-4 if name in zero else 1e-5) * largest
        gradient = names.pop(name).grad
        assert torch.allclose(gradient, weight.grad, rtol=1e-3, atol=least), name
    assert not names
    state = training.state()
    for name, buffer in theirs.named_buffers():
        torch.testing.assert_close(state[name], buffer, rtol=1e-5, atol=1e-6)


def test_a_step_is_that_of_torch_s_own_class() -> None:
    chance = torch.Generator().manual_seed(5)
    ours, theirs = ([torch.ones(each) for each in ((3, 4), (5,))] for _ in range(2))
    optimizers = Adam(ours), torch.optim.Adam(theirs, lr=1e-3, fused=True)
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = other.grad = torch.randn(one.shape, generator=chance)
        for optimizer in optimizers:
            optimizer.step()
        assert all(map(torch.equal, ours, theirs))


def test_validation_loss_is_the_package_s(rows: Rows, trained: Trained, package: Package) -> None:
    values, losses = rows(1000, 3), []
    network = trained(values, epochs=1, on_epoch=lambda *epoch: losses.append(epoch))
    detector = package(network)
    held = package_model.MultiADDataset(
        values[800:900], 20, 1, 1, network.maximum, network.minimum, -1000.0, 1000.0
    )
    loader = torch.utils.data.DataLoader(held, 128)
    found, _, _ = detector.evaluate_epoch(detector.model, AnomalyDetectionCriterion(), loader)
    assert losses[0][2] == pytest.approx(found, rel=1e-5)


def test_thresholds_are_the_package_s(rows: Rows, trained: Trained, package: Package) -> None:
    values = rows(600, 4)
    network = trained(values)
    found = package(network).compute_thresholds(values[:480])
    own = (network.threshold, network.score_max, network.score_min)
    np.testing.assert_allclose(own, found, rtol=0, atol=TOLERANCE)


def test_variables_that_jump_weigh_what_they_do_in_the_package(
    rows: Rows, trained: Trained
) -> None:
    noise = np.random.default_rng(3)
    values = rows(300, 4)
    values[:, 1] = noise.integers(0, 2, 300)
    values[:, 2] = 0.0
    window = 40
    theirs = get_multiple_variables_pct_weight_score(values, window)
    assert 0 < theirs[1] < 1
    np.testing.assert_array_equal(trained(values, epochs=1).weights, theirs)


def test_the_same_seed_gives_the_same_network_and_another_a_different_one(
    rows: Rows, trained: Trained
) -> None:
    values = rows(700, 3)
    first, again, other = trained(values), trained(values), trained(values, seed=8)
    for name, weight in first.state.items():
        assert torch.equal(weight, again.state[name]), name
    assert first.threshold == again.threshold
    assert not torch.equal(first.state["fc_layers.2.weight"], other.state["fc_layers.2.weight"])


def test_trainings_at_once_give_the_networks_of_trainings_in_turn(
    rows: Rows, trained: Trained
) -> None:
    values = [rows(700, 3), rows(600, 5, seed=2)]
    in_turn = [trained(part) for part in values]
    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(trained, values))
    for one, other in zip(in_turn, at_once, strict=True):
        for name, weight in one.state.items():
            assert torch.equal(weight, other.state[name]), name


def test_one_core_gives_the_network_of_two(rows: Rows, trained: Trained) -> None:
    values, found = rows(700, 3), []
    before = torch.get_num_threads()

    def alone() -> None:
        torch.set_num_threads(1)
        found.append(trained(values))
        torch.set_num_threads(before)

    thread = threading.Thread(target=alone)
    thread.start()
    thread.join()
    for name, weight in trained(values).state.items():
        assert torch.equal(weight, found[0].state[name]), name


def test_nothing_outside_a_training_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: Rows, trained: Trained
) -> None:
    monkeypatch.chdir(tmp_path)
    random, own, threads = torch.get_rng_state(), np.random.get_state()[1].copy(), []
    count = torch.get_num_threads()
    score(trained(rows(300, 2)), rows(300, 2))
    assert torch.equal(torch.get_rng_state(), random)
    np.testing.assert_array_equal(np.random.get_state()[1], own)
    assert torch.get_num_threads() == count
    thread = threading.Thread(target=lambda: threads.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert threads == [count]
    assert not list(tmp_path.iterdir())


def test_the_weights_with_the_least_validation_loss_are_kept(rows: Rows, trained: Trained) -> None:
    values, losses = rows(1000, 2), []
    network = trained(values, 30, 12, on_epoch=lambda *epoch: losses.append(epoch))
    assert [epoch[0] for epoch in losses] == list(range(1, 13))
    best = int(np.argmin([epoch[2] for epoch in losses])) + 1
    assert network.state["fc_layers.1.num_batches_tracked"] == best
    again = trained(values, 30, best)
    for name, weight in again.state.items():
        assert torch.equal(weight, network.state[name]), name


def test_without_windows_to_validate_the_last_weights_are_kept(
    rows: Rows, trained: Trained
) -> None:
    losses: list[tuple[int, float, float, float]] = []
    network = trained(rows(250, 2), 200, 4, on_epoch=lambda *epoch: losses.append(epoch))
    assert [epoch[2] for epoch in losses] == [0.0] * 4
    assert network.state["fc_layers.1.num_batches_tracked"] == 4


def test_fewer_windows_than_a_batch_are_one_batch(rows: Rows, trained: Trained) -> None:
    losses: list[float] = []
    trained(rows(500, 2), 200, 12, on_epoch=lambda *epoch: losses.append(epoch[1]))
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("n", [20, 21, 35])
def test_the_least_rows_train(n: int, rows: Rows, trained: Trained) -> None:
    assert np.isfinite(trained(rows(n, 2), 28).threshold)


def test_too_few_rows_to_train_on_are_refused(rows: Rows, trained: Trained) -> None:
    with pytest.raises(DetectionError, match=r"NotEnoughInput: .* least 20 rows, not 19\."):
        trained(rows(19, 2), 28)


def test_a_training_stops_within_an_epoch(rows: Rows, trained: Trained) -> None:
    epochs: list[int] = []
    asked = iter(range(1000))
    with pytest.raises(Stopped):
        trained(
            rows(4200, 2),
            28,
            on_epoch=lambda *epoch: epochs.append(epoch[0]),
            stop=lambda: next(asked) >= 2,
        )
    assert not epochs
    assert next(asked) == 3
