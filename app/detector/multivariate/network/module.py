"""The network for many variables, a ``torch.nn.Module``.

It is that of ``MultivariateAnomalyDetector`` in ``time-series-anomaly-detector`` (Zhao et al.,
Multivariate Time-series Anomaly Detection via Graph Attention Network, ICDM 2020), layer by layer
and by the same names, so that each loads the other's ``state_dict``. The package draws from
torch's global generator, which threads share; here every draw is from a generator that is given.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

AVERAGED, STEPS, HIDDEN = 7, 100, 100
# What stays in the cache: windows that are attended, rows that enter the recurrent unit.
_ATTENDED, _ENTERED = 32, 1280
_MANY = 256  # rows of a product for which oneDNN's is faster
_MASKS = 2.0 * ((torch.arange(256)[:, None] >> torch.arange(8)) & 1)


def average(rows: Tensor) -> Tensor:
    """Return moving averages of rows ``(..., n)``, shape ``(..., n - 6)``."""
    count = rows.shape[-1] - AVERAGED + 1
    return torch.stack([rows[..., i : i + count] for i in range(AVERAGED)]).mean(dim=0)


def pool(averages: Tensor) -> Tensor:
    """Return the maximum of averages ``(b, d, n)`` in each step, shape ``(steps, b, d)``."""
    return functional.adaptive_max_pool1d(averages, STEPS).permute(2, 0, 1).contiguous()


def dropout_mask(shape: torch.Size, random: Generator) -> Tensor:
    """Return 0 in half of the places, by chance, and 2 in the others."""
    # A random byte is eight places: a draw for each of them takes forty times as long.
    words = torch.empty(-(-shape.numel() // 64), dtype=torch.int64)
    words.random_(-(2**63), None, generator=random)
    mask = _MASKS.index_select(0, words.view(torch.uint8).int())
    return mask.view(-1)[: shape.numel()].view(shape)


def linear(weight: Tensor, bias: Tensor, batch: int) -> Callable[[Tensor], Tensor]:
    """Return a linear layer for `batch` rows, oneDNN's where it is faster than torch's default."""
    possible = weight.is_cpu and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if torch.is_grad_enabled() or batch < _MANY or not possible:
        return lambda rows: functional.linear(rows, weight, bias)
    quick, added = weight.to_mkldnn(), bias.to_mkldnn()
    return lambda rows: functional.linear(rows.to_mkldnn(), quick, added).to_dense()


class GraphAttention(nn.Module):
    """Attention between the nodes of a graph (Velickovic et al., ICLR 2018)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight_key = nn.Parameter(torch.empty(features, 1))
        self.weight_query = nn.Parameter(torch.empty(features, 1))

    def forward(self, nodes: Tensor, random: Generator | None) -> tuple[Tensor, Tensor]:
        """Return attended nodes ``(b, f, n)`` of nodes ``(b, n, f)``, and attention ``(b, n, n)``.

        Without a generator nothing is dropped; the attention is always that before dropout.
        """
        query = (nodes @ self.weight_query).transpose(1, 2)
        scores = functional.leaky_relu(nodes @ self.weight_key + query, 0.2, inplace=True)
        attention = kept = scores.softmax(dim=2)
        if random is not None:
            kept = attention * dropout_mask(attention.shape, random).to(nodes.device)
        return nodes.transpose(1, 2) @ kept.transpose(1, 2), attention


def _layers() -> tuple[nn.Module, ...]:
    return nn.Linear(HIDDEN, HIDDEN), nn.BatchNorm1d(HIDDEN), nn.ReLU()


class Autoencoder(nn.Module):
    """A variational autoencoder (Kingma and Welling, ICLR 2014)."""

    def __init__(self, variables: int) -> None:
        super().__init__()
        self.Encoder, self.Decoder = (nn.Sequential(*_layers(), *_layers()) for _ in range(2))
        self.linear_mu, self.linear_logv = nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.linear_recon = nn.Linear(HIDDEN, variables)
        self.eps = nn.Buffer(torch.empty(HIDDEN))

    def forward(self, hidden: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstructed rows ``(b, d)``, and mean and log variance of the code ``(b, z)``.

        The code is drawn by `noise`, standard normal ``(b, z)``; without any by the buffer `eps`.
        """
        code = self.Encoder(hidden)
        mean, log_variance = self.linear_mu(code), self.linear_logv(code)
        latent = mean + (self.eps if noise is None else noise) * torch.exp(0.5 * log_variance)
        return self.linear_recon(self.Decoder(latent)).sigmoid(), mean, log_variance


class GraphAttentionNetwork(nn.Module):
    """The whole network, with first weights drawn from the package's distributions."""

    def __init__(self, variables: int, random: Generator) -> None:
        super().__init__()
        # Layers draw from the global generator when they are made, but not on this device.
        with torch.device("meta"):
            self.feat_gat = GraphAttention(STEPS)
            self.time_gat = GraphAttention(variables)
            self.moving_avg_weight = nn.Buffer(torch.empty(1, 1, AVERAGED))  # state, not used
            self.gru = nn.GRU(3 * variables, HIDDEN)
            inner = [nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()]
            layers = [nn.ReLU(), nn.BatchNorm1d(HIDDEN), *inner, nn.Linear(HIDDEN, variables)]
            self.fc_layers = nn.Sequential(*layers)
            self.vae = Autoencoder(variables)
        self.to_empty(device="cpu")
        # The layers to the variables come last, so that a seed gives what it gave before.
        bound, last = HIDDEN**-0.5, (self.fc_layers[-1], self.vae.linear_recon)
        for layer in sorted(self.modules(), key=lambda layer: layer in last):
            if isinstance(layer, nn.BatchNorm1d):
                layer.reset_parameters()
            for weight in layer.parameters(recurse=False):
                if isinstance(layer, GraphAttention):
                    nn.init.xavier_uniform_(weight, gain=1.414, generator=random)
                elif isinstance(layer, (nn.Linear, nn.GRU)):
                    nn.init.uniform_(weight, -bound, bound, generator=random)
        nn.init.constant_(self.moving_avg_weight, 1 / AVERAGED)
        nn.init.normal_(self.vae.eps, generator=random)

    def encode(self, pooled: Tensor, random: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return the last state ``(b, hidden)`` and the variables' attention ``(b, d, d)``.

        Of pooled windows ``(steps, b, d)``. Without a generator nothing is dropped.
        """
        entered, attention = [], []
        for part in torch.split(pooled, _ATTENDED, dim=1):
            between, found = self.feat_gat(part.permute(1, 2, 0).contiguous(), random)
            over_time, _ = self.time_gat(part.transpose(0, 1).contiguous(), random)
            attended = between.transpose(0, 1), over_time.permute(2, 0, 1)
            entered.append(torch.cat([part, *attended], dim=2))
            attention.append(found)
        return self._last_state(torch.cat(entered, dim=1)), torch.cat(attention)

    def _last_state(self, entered: Tensor) -> Tensor:
        """Return ``gru(entered)[1][0]`` in less time."""
        # The state h is kept as (h + 1) / 2, and tanh(x) calculated as 2 sigmoid(2x) - 1: a
        # sigmoid takes a tenth of the time.
        entry, state, entry_bias, state_bias = self.gru.parameters()
        batch, gates = entered.shape[1], [2 * HIDDEN, HIDDEN]
        scale = 1.0 + (torch.arange(3 * HIDDEN, device=state.device) >= 2 * HIDDEN)
        enter = linear(entry * scale[:, None], entry_bias * scale, batch)
        keep = linear(2 * state * scale[:, None], (state_bias - state.sum(dim=1)) * scale, batch)
        hidden = entered.new_full((batch, HIDDEN), 0.5)
        for steps in torch.split(entered, max(1, _ENTERED // batch)):
            rows = enter(steps.flatten(0, 1)).view(len(steps), batch, 3 * HIDDEN)
            near, far = torch.split(rows, gates, dim=2)
            for to_gates, to_new in zip(near.unbind(), far.unbind(), strict=True):
                opened, held = torch.split(keep(hidden), gates, dim=1)
                reset, update = (opened + to_gates).sigmoid_().chunk(2, dim=1)
                hidden = torch.lerp((held * reset).add_(to_new).sigmoid_(), hidden, update)
        return 2 * hidden - 1

    def forecast(self, hidden: Tensor) -> Tensor:
        """Return the expected next rows, ``(b, d)``."""
        return torch.sigmoid(self.fc_layers(hidden))

    def loss(self, hidden: Tensor, targets: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return squared errors of forecast and reconstruction plus divergence of the code."""
        rebuilt, mean, log_variance = self.vae(hidden, noise)
        divergence = -0.5 * torch.sum(1.0 + log_variance - mean.pow(2) - log_variance.exp())
        squares = (rebuilt - targets).square() + (self.forecast(hidden) - targets).square()
        return torch.sum(squares) + divergence

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return what the package's network returns for windows ``(b, size, d)``."""
        hidden, attention = self.encode(pool(average(windows.transpose(1, 2))))
        return self.forecast(hidden), *self.vae(hidden, None), attention
