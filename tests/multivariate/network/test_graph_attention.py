"""The network for many series beside the package's own: what it says, and how it learns."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from anomaly_detector import MultivariateAnomalyDetector
from anomaly_detector.multivariate import model as package_model
from anomaly_detector.multivariate.contract import MultiADConfig, NormalizeBase
from anomaly_detector.multivariate.module import (
    GAT,
    AnomalyDetectionCriterion,
    DetectionResults,
    MultivariateGraphAttnDetector,
)
from anomaly_detector.multivariate.util import get_multiple_variables_pct_weight_score

from detector.errors import DetectionError
from detector.multivariate.network.graph_attention import Network, Scores, Stopped, fit, judge
from detector.multivariate.network.lanes import Lanes
from detector.multivariate.network.recurrent import Gates, Unit
from detector.univariate.kernel import attention, graph_attention, recurrent

TOLERANCE = 1e-5


def rows(n: int, variables: int, seed: int = 1) -> np.ndarray:
    """Make series that move together, with an outlier in one of them every 40 rows."""
    noise = np.random.default_rng(seed)
    t = np.arange(n)[:, None]
    values = np.sin(t / (5 + np.arange(variables) % 11)) * (1 + np.arange(variables))
    values = values + 0.1 * noise.normal(size=values.shape)
    values[::40, noise.integers(variables)] += 4
    return np.asarray(values)


def trained(
    values: np.ndarray,
    window: int = 40,
    epochs: int = 2,
    seed: int = 7,
    on_epoch: Callable[[int, float, float, float], None] = lambda *_: None,
    stop: Callable[[], bool] = lambda: False,
) -> Network:
    return fit(
        values,
        sliding_window=window,
        epochs=epochs,
        seed=seed,
        device="cpu",
        on_epoch=on_epoch,
        stop=stop,
    )


def package(network: Network, monkeypatch: pytest.MonkeyPatch) -> MultivariateAnomalyDetector:
    """Return the package's detector with the weights and figures of `network`."""
    monkeypatch.setattr(package_model, "tqdm", iter)
    detector = MultivariateAnomalyDetector()
    detector.config = MultiADConfig(
        data_dim=network.dimensions,
        input_size=network.input_size,
        threshold_window=network.threshold_window,
        normalize_base=NormalizeBase(network.maximum.tolist(), network.minimum.tolist()),
    )
    detector.model = MultivariateGraphAttnDetector(detector.config)
    detector.model.load_state_dict(network.state)
    detector.threshold = network.threshold
    detector.pct_weight = network.weights.tolist()
    return detector


def frame(values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, columns=[f"{place:03d}" for place in range(values.shape[1])])


def flagged(detector: MultivariateAnomalyDetector, values: np.ndarray) -> np.ndarray:
    """Return the package's flags by its ``DetectionResults``, of the scores of its network."""
    _, scores, *_ = detector.inference(values, compute_attn=False)
    # Forecasts of one variable whose scores against zeros are these, and the threshold with the
    # same rounding: it is one of the scores.
    forecasts = torch.log1p(torch.from_numpy(scores))[:, None] / 2
    threshold = torch.tensor(detector.threshold, dtype=torch.float64)
    threshold = float(torch.exp(2 * (torch.log1p(threshold) / 2)) - 1)
    flags, *_ = DetectionResults(forecasts, None, None, None).compute_detection_results(
        torch.zeros_like(forecasts),
        [1.0],
        min(0.3, threshold),
        max(0.5, threshold),
        detector.config.threshold_window,
    )
    return np.asarray(flags)


def assert_says_the_same(
    scores: Scores, detector: MultivariateAnomalyDetector, values: np.ndarray
) -> None:
    variables = values.shape[1]
    window = detector.config.input_size + detector.config.threshold_window
    answers = detector.predict(None, frame(values), {"sliding_window": window})
    flags = flagged(detector, values)
    np.testing.assert_array_equal(scores.is_anomaly, flags)
    theirs = [answer["score"] for answer in answers]
    np.testing.assert_allclose(scores.score, theirs, rtol=0, atol=TOLERANCE)
    anomalies = [answer for answer, flag in zip(answers, flags, strict=True) if flag]
    assert anomalies, "a comparison without anomalies says little"
    assert scores.contributions.shape == (len(anomalies), variables)
    assert scores.attention_changes.shape == (len(anomalies), variables, variables)
    for place, answer in enumerate(anomalies):
        for part in answer["interpretation"]:
            variable = int(part["variable_name"])
            own = scores.contributions[place, variable]
            assert own == pytest.approx(part["contribution_score"], abs=TOLERANCE)
            changes = part["correlation_changes"]
            others = [int(name) for name in changes["changed_variables"]]
            own_changes = scores.attention_changes[place, variable, others]
            np.testing.assert_allclose(
                own_changes, changes["changed_values"], rtol=0, atol=TOLERANCE
            )


@pytest.mark.parametrize(
    ("n", "variables", "window"),
    [(700, 5, 200), (230, 1, 28), (500, 12, 61), (1000, 3, 450), (90, 301, 28), (460, 2, 300)],
)
def test_judges_as_the_package_does(
    n: int, variables: int, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = rows(n, variables)
    network = trained(values, window)
    assert_says_the_same(judge(network, values), package(network, monkeypatch), values)


def test_judges_with_a_network_the_package_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_model, "tqdm", iter)
    values = rows(1700, 4)
    detector = MultivariateAnomalyDetector()
    detector.fit(frame(values), {"sliding_window": 60, "epochs": 1, "save": str(tmp_path)})
    base = detector.config.normalize_base
    network = Network(
        state=detector.model.state_dict(),
        dimensions=4,
        input_size=30,
        threshold_window=30,
        minimum=np.array(base.min_values),
        maximum=np.array(base.max_values),
        weights=np.array(detector.pct_weight),
        threshold=float(detector.threshold),
        score_min=float(detector.train_score_min),
        score_max=float(detector.train_score_max),
    )
    values = values[-400:]
    assert_says_the_same(judge(network, values), detector, values)


def test_judges_values_far_outside_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    values = rows(400, 3)
    network = trained(values)
    values[200:260] *= 1e6
    scores = judge(network, values)
    assert np.isfinite(scores.score).all()
    flags = flagged(package(network, monkeypatch), values)
    np.testing.assert_array_equal(scores.is_anomaly, flags)


def test_thresholds_are_the_package_s(monkeypatch: pytest.MonkeyPatch) -> None:
    values = rows(600, 4)
    network = trained(values)
    found = package(network, monkeypatch).compute_thresholds(values[:480])
    own = (network.threshold, network.score_max, network.score_min)
    np.testing.assert_allclose(own, found, rtol=0, atol=TOLERANCE)


def test_variables_that_jump_weigh_what_they_do_in_the_package() -> None:
    noise = np.random.default_rng(3)
    values = rows(300, 4)
    values[:, 1] = noise.integers(0, 2, 300)
    values[:, 2] = 0.0
    window = 40
    theirs = get_multiple_variables_pct_weight_score(values, window)
    assert 0 < theirs[1] < 1
    np.testing.assert_array_equal(trained(values, epochs=1).weights, theirs)


@pytest.mark.parametrize("together", [33, 129, 10_000])
def test_scores_hang_not_on_how_many_rows_go_together(
    together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = rows(500, 3)
    network = trained(values)
    whole = judge(network, values)
    monkeypatch.setattr(graph_attention, "_ROWS", together)
    parts = judge(network, values)
    np.testing.assert_array_equal(parts.is_anomaly, whole.is_anomaly)
    np.testing.assert_allclose(parts.score, whole.score, rtol=0, atol=1e-6)
    np.testing.assert_allclose(parts.attention_changes, whole.attention_changes, atol=1e-6)


def test_rows_are_judged_by_those_before_them_alone() -> None:
    values = rows(500, 3)
    network = trained(values)
    whole, start = judge(network, values), judge(network, values[:300])
    count = len(start.score)
    np.testing.assert_array_equal(start.is_anomaly, whole.is_anomaly[:count])
    np.testing.assert_allclose(start.score, whole.score[:count], rtol=0, atol=1e-6)


def test_rows_are_judged_by_one_sliding_window_before_them() -> None:
    values = rows(500, 3)
    network = trained(values)
    whole, later = judge(network, values), judge(network, values[150:])
    count = len(later.score)
    np.testing.assert_array_equal(later.is_anomaly, whole.is_anomaly[-count:])
    np.testing.assert_allclose(later.score, whole.score[-count:], rtol=0, atol=1e-6)


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("batch", [17, 400])
def test_a_unit_learns_as_torch_s_own_does(
    batch: int, quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurrent, "_QUICK", recurrent._QUICK and quick)
    torch.manual_seed(11)
    variables = 3
    theirs = torch.nn.GRU(3 * variables, 100)
    inputs = torch.randn(100, batch, 3 * variables, requires_grad=True)
    upper = torch.randn(batch, 100)
    _, last = theirs(inputs)
    last[0].backward(upper)
    weights = {f"gru.{name}": weight.detach() for name, weight in theirs.named_parameters()}
    unit, gates = Unit(variables, batch, "cpu", learns=True), Gates.of(weights)
    # Ours takes the plain inputs last.
    unit.inputs.copy_(inputs.detach().roll(-variables, dims=2))
    torch.testing.assert_close(unit.run(gates), last[0].detach(), rtol=0, atol=1e-6)
    sums, entries = unit.learn(gates, upper)
    for name, gradient in sums.gradients().items():
        expected = theirs.get_parameter(name.removeprefix("gru.")).grad
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-4)
    expected = inputs.grad[:, :, variables:]
    torch.testing.assert_close(entries, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("graphs", "nodes", "features"), [(20, 100, 4), (9, 4, 100), (3, 1, 100)])
def test_attention_learns_as_the_package_s_does(graphs: int, nodes: int, features: int) -> None:
    torch.manual_seed(13)
    theirs = GAT(features)
    inputs, upper = torch.randn(graphs, nodes, features), torch.randn(graphs, features, nodes)
    key, query = theirs.weight_key.detach(), theirs.weight_query.detach()
    own = attention.Learner(graphs, nodes, "cpu")
    result = own.attend(inputs, key, query, torch.Generator().manual_seed(1))
    kept = own.pairs[1] > 0
    assert kept.float().mean().item() == pytest.approx(0.5, abs=0.3)
    theirs.dropout.register_forward_hook(lambda module, given, _: given[0] * kept * 2)
    expected, _ = theirs(inputs)
    torch.testing.assert_close(result, expected.detach(), rtol=1e-5, atol=1e-6)
    expected.backward(upper)
    own_key, own_query = own.learn(upper)
    torch.testing.assert_close(own_key, theirs.weight_key.grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(own_query, theirs.weight_query.grad, rtol=1e-3, atol=1e-4)


def test_half_the_attention_is_dropped() -> None:
    learner = attention.Learner(7, 101, "cpu")
    nothing = torch.zeros(3, 1)
    learner.attend(torch.rand(7, 101, 3), nothing, nothing, torch.Generator().manual_seed(2))
    kept = learner.pairs[1]
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert kept.mean().item() == pytest.approx(0.5, abs=0.01)
    assert (kept[:, 1:] == kept[:, :-1]).float().mean().item() == pytest.approx(0.5, abs=0.01)
    assert (kept[1:] == kept[:-1]).float().mean().item() == pytest.approx(0.5, abs=0.01)


def test_a_batch_gives_the_gradients_of_the_package_s_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With neither noise nor dropout, and the latent variable drawn alike."""
    monkeypatch.setattr(graph_attention, "_NOISE", 0.0)
    monkeypatch.setattr(attention, "_BITS", torch.full_like(attention._BITS, 0.5))
    values, size = rows(900, 3), 30
    low, high = values.min(axis=0), values.max(axis=0)
    with Lanes(2) as lanes:
        data = graph_attention._Rows.of(values, low, high, size, (0.0, 1.0), "cpu")
        training = graph_attention._Training(data, data, 5, lanes)
        seen: dict[str, torch.Tensor] = {}
        monkeypatch.setattr(training._parameters, "step", seen.update)
        theirs = MultivariateGraphAttnDetector(MultiADConfig(data_dim=3, input_size=size))
        theirs.load_state_dict(training._state)
        chance = training._latent.clone_state()
        starts = torch.arange(0, len(data), 10)
        loss = training._learn(starts)
    for part in (theirs.feat_gat, theirs.time_gat):
        part.dropout = torch.nn.Identity()
    latent = torch.randn(len(starts), 100, generator=chance)
    theirs.vae.reparameterize = lambda mean, spread: mean + latent * torch.exp(0.5 * spread)
    windows = torch.stack([data.rows[start : start + size] for start in starts.tolist()])
    results = theirs(windows)[:4]
    expected, _, _ = AnomalyDetectionCriterion()(
        results[0], results[1], data.rows[starts + size], *results[2:]
    )
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    names = dict(theirs.named_parameters())
    assert set(seen) == set(names)
    # A bias in front of a batch norm has a gradient of zero: what is there is rounding.
    largest = max(float(weight.grad.abs().max()) for weight in names.values())
    for name, gradient in seen.items():
        theirs_gradient = names[name].grad
        assert torch.allclose(gradient, theirs_gradient, rtol=1e-3, atol=1e-5 * largest), name
    for name, buffer in theirs.named_buffers():
        torch.testing.assert_close(training._state[name], buffer, rtol=1e-5, atol=1e-6)


def test_a_step_is_that_of_torch_s_adam() -> None:
    noise = torch.Generator().manual_seed(4)
    start = {"a": torch.randn(3, 4, generator=noise), "b": torch.randn(5, generator=noise)}
    parameters = graph_attention._Parameters(start, "cpu")
    theirs = {name: torch.nn.Parameter(value.clone()) for name, value in start.items()}
    adam = torch.optim.Adam(theirs.values(), lr=1e-3)
    for _ in range(5):
        gradients = {name: torch.randn(v.shape, generator=noise) for name, v in start.items()}
        for name, value in theirs.items():
            value.grad = gradients[name]
        adam.step()
        parameters.step(gradients)
    for name, value in theirs.items():
        torch.testing.assert_close(parameters.state[name], value.detach(), rtol=0, atol=1e-6)


def test_noisy_windows_scatter_as_the_package_s() -> None:
    size, n = 200, 1200
    values = np.full((n, 2), 0.5)
    data = graph_attention._Rows.of(values, np.zeros(2), np.ones(2), size, (0.0, 1.0), "cpu")
    random = torch.Generator().manual_seed(6)
    own = data.noisy(torch.arange(0, 1000, 5), random)
    noisy = 0.5 + 0.1 * torch.randn(400, 1, size, generator=random)
    averages = torch.nn.functional.avg_pool1d(noisy, 7, stride=1)
    theirs = torch.nn.functional.adaptive_max_pool1d(averages, 100)
    assert own.mean().item() == pytest.approx(theirs.mean().item(), abs=3e-3)
    assert own.std().item() == pytest.approx(theirs.std().item(), abs=3e-3)


def test_the_first_weights_are_drawn_as_the_package_s() -> None:
    own = graph_attention._initial(5, torch.Generator().manual_seed(8))
    torch.manual_seed(8)
    theirs = dict(MultivariateGraphAttnDetector(MultiADConfig(data_dim=5)).named_parameters())
    assert set(own) == set(theirs)
    for name, weight in theirs.items():
        assert own[name].shape == weight.shape
        if weight.numel() >= 500:
            largest = float(weight.detach().abs().max())
            assert float(own[name].abs().max()) == pytest.approx(largest, rel=0.05), name
            assert float(own[name].std()) == pytest.approx(float(weight.detach().std()), rel=0.1)


def test_the_same_seed_gives_the_same_network_and_another_a_different_one() -> None:
    values = rows(700, 3)
    first, again, other = trained(values), trained(values), trained(values, seed=8)
    for name, weight in first.state.items():
        assert torch.equal(weight, again.state[name]), name
    assert first.threshold == again.threshold
    assert not torch.equal(first.state["fc_layers.2.weight"], other.state["fc_layers.2.weight"])


def test_trainings_at_once_give_the_networks_of_trainings_in_turn() -> None:
    values = [rows(700, 3), rows(600, 5, seed=2)]
    in_turn = [trained(part) for part in values]
    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(trained, values))
    for one, other in zip(in_turn, at_once, strict=True):
        for name, weight in one.state.items():
            assert torch.equal(weight, other.state[name]), name


def test_one_core_gives_the_network_of_two() -> None:
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


def test_a_lane_has_one_core_and_others_what_they_had() -> None:
    before = torch.get_num_threads()
    with Lanes(2) as lanes:
        counts = list(lanes.map(lambda _: torch.get_num_threads(), range(8)))
        with ThreadPoolExecutor(1) as pool:
            new = pool.submit(torch.get_num_threads).result()
    assert set(counts) == {1}
    assert torch.get_num_threads() == new == before


def test_nothing_outside_a_training_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    random, own, threads = torch.get_rng_state(), np.random.get_state()[1].copy(), []
    count = torch.get_num_threads()
    judge(trained(rows(300, 2)), rows(300, 2))
    assert torch.equal(torch.get_rng_state(), random)
    np.testing.assert_array_equal(np.random.get_state()[1], own)
    assert torch.get_num_threads() == count
    thread = threading.Thread(target=lambda: threads.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert threads == [count]
    assert not list(tmp_path.iterdir())


def test_the_weights_with_the_least_validation_loss_are_kept() -> None:
    values, losses = rows(1000, 2), []
    network = trained(values, 30, 12, on_epoch=lambda *epoch: losses.append(epoch))
    assert [epoch[0] for epoch in losses] == list(range(1, 13))
    best = int(np.argmin([epoch[2] for epoch in losses])) + 1
    assert network.state["fc_layers.1.num_batches_tracked"] == best
    again = trained(values, 30, best)
    for name, weight in again.state.items():
        assert torch.equal(weight, network.state[name]), name


def test_validation_loss_is_the_package_s(monkeypatch: pytest.MonkeyPatch) -> None:
    values, losses = rows(1000, 3), []
    network = trained(values, epochs=1, on_epoch=lambda *epoch: losses.append(epoch))
    detector = package(network, monkeypatch)
    held = package_model.MultiADDataset(
        values[800:900], 20, 1, 1, network.maximum, network.minimum, -1000.0, 1000.0
    )
    loader = torch.utils.data.DataLoader(held, 128)
    found, _, _ = detector.evaluate_epoch(detector.model, AnomalyDetectionCriterion(), loader)
    assert losses[0][2] == pytest.approx(found, rel=1e-5)


def test_without_windows_to_validate_the_last_weights_are_kept() -> None:
    losses: list[tuple[int, float, float, float]] = []
    network = trained(rows(250, 2), 200, 4, on_epoch=lambda *epoch: losses.append(epoch))
    assert [epoch[2] for epoch in losses] == [0.0] * 4
    assert network.state["fc_layers.1.num_batches_tracked"] == 4


def test_fewer_windows_than_a_batch_are_one_batch() -> None:
    losses: list[float] = []
    trained(rows(500, 2), 200, 12, on_epoch=lambda *epoch: losses.append(epoch[1]))
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("n", [20, 21, 35])
def test_the_least_rows_train(n: int) -> None:
    assert np.isfinite(trained(rows(n, 2), 28).threshold)


def test_too_few_rows_to_train_on_are_refused() -> None:
    with pytest.raises(DetectionError, match=r"NotEnoughInput: .* least 20 rows .* there are 19\."):
        trained(rows(19, 2), 28)


def test_too_few_rows_to_judge_are_refused() -> None:
    network = trained(rows(300, 2))
    with pytest.raises(DetectionError, match="At least 40 rows are needed, and there are 39"):
        judge(network, rows(39, 2))
    assert len(judge(network, rows(40, 2)).score) == 1


def test_a_training_stops_within_an_epoch() -> None:
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
