"""The module beside the package's: its state, its first weights, what it returns and learns."""

from collections.abc import Iterator

import pytest
import torch
from anomaly_detector.multivariate.contract import MultiADConfig
from anomaly_detector.multivariate.module import GAT, MultivariateGraphAttnDetector

from detector.multivariate.network import module
from detector.multivariate.network.module import GraphAttention, GraphAttentionNetwork, dropout_mask


@pytest.fixture(autouse=True)
def one_core() -> Iterator[None]:
    """Let torch use one core here: beside other work two wait for each other all the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def drawn(variables: int, seed: int = 8) -> GraphAttentionNetwork:
    return GraphAttentionNetwork(variables, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("variables", "size", "batch"), [(1, 14, 3), (5, 100, 40), (12, 700, 300)])
def test_returns_what_the_package_s_does(variables: int, size: int, batch: int) -> None:
    config = MultiADConfig(data_dim=variables, input_size=size)
    theirs = MultivariateGraphAttnDetector(config).train()
    theirs(torch.rand(50, size, variables))  # gives the batch norms statistics
    own = drawn(variables)
    own.load_state_dict(theirs.eval().state_dict())
    inputs = torch.rand(batch, size, variables)
    with torch.inference_mode():
        results = own.eval()(inputs)
    for result, expected in zip(results, theirs(inputs), strict=True):
        torch.testing.assert_close(result, expected.detach(), rtol=0, atol=1e-6)


def test_the_package_loads_its_state() -> None:
    own = drawn(4)
    theirs = MultivariateGraphAttnDetector(MultiADConfig(data_dim=4))
    theirs.load_state_dict(own.state_dict())
    inputs = torch.rand(20, 200, 4)
    for result, expected in zip(own.eval()(inputs), theirs.eval()(inputs), strict=True):
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 17, 400])
def test_the_recurrent_unit_learns_as_torch_s_own(batch: int) -> None:
    own, upper = drawn(3), torch.randn(batch, 100)
    inputs = torch.randn(100, batch, 9, requires_grad=True)
    leaves = [inputs, *own.gru.parameters()]
    results = own._last_state(inputs), own.gru(inputs)[1][0]
    torch.testing.assert_close(*results, rtol=0, atol=1e-6)
    for gradient, expected in zip(
        *(torch.autograd.grad(result, leaves, upper) for result in results), strict=True
    ):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("many", [1, 1000])
def test_the_recurrent_unit_without_gradients_is_torch_s_own(
    many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MANY", many)
    own, inputs = drawn(3), torch.randn(100, 300, 9)
    with torch.inference_mode():
        torch.testing.assert_close(
            own._last_state(inputs), own.gru(inputs)[1][0], rtol=0, atol=1e-6
        )


@pytest.mark.parametrize(("graphs", "nodes", "features"), [(20, 100, 4), (9, 4, 100), (3, 1, 100)])
def test_attention_with_dropout_learns_as_the_package_s(
    graphs: int, nodes: int, features: int
) -> None:
    torch.manual_seed(13)
    theirs, own = GAT(features), GraphAttention(features)
    own.load_state_dict(theirs.state_dict())
    inputs, upper = torch.randn(graphs, nodes, features), torch.randn(graphs, features, nodes)
    mask = dropout_mask(torch.Size((graphs, nodes, nodes)), torch.Generator().manual_seed(1))
    theirs.dropout.register_forward_hook(lambda _, given, __: given[0] * mask)
    results = own(inputs, torch.Generator().manual_seed(1)), theirs(inputs)
    for result, expected in zip(*results, strict=True):
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-6)
    for attended, _ in results:
        attended.backward(upper)
    for weight, expected in zip(own.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, expected.grad, rtol=1e-3, atol=1e-4)


def test_half_of_the_places_are_dropped() -> None:
    mask = dropout_mask(torch.Size((7, 101, 101)), torch.Generator().manual_seed(2))
    kept = mask / 2
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert kept.mean().item() == pytest.approx(0.5, abs=0.01)
    assert (kept[:, 1:] == kept[:, :-1]).float().mean().item() == pytest.approx(0.5, abs=0.01)
    assert (kept[1:] == kept[:-1]).float().mean().item() == pytest.approx(0.5, abs=0.01)


def test_the_first_weights_are_drawn_as_the_package_s() -> None:
    random = torch.get_rng_state()
    own = drawn(5).state_dict()
    assert torch.equal(torch.get_rng_state(), random)
    torch.manual_seed(8)
    theirs = MultivariateGraphAttnDetector(MultiADConfig(data_dim=5)).state_dict()
    assert set(own) == set(theirs)
    for name, weight in theirs.items():
        assert own[name].shape == weight.shape
        assert own[name].dtype == weight.dtype
        if "running" in name or "num_batches" in name or "moving" in name:
            assert torch.equal(own[name], weight), name
        elif weight.numel() >= 500:
            largest = float(weight.abs().max())
            assert float(own[name].abs().max()) == pytest.approx(largest, rel=0.05), name
            assert float(own[name].std()) == pytest.approx(float(weight.std()), rel=0.1), name
