"""What the tests of the network share: rows, a short training, and the package's detector."""

from collections.abc import Callable

import numpy as np
import pytest
from anomaly_detector import MultivariateAnomalyDetector
from anomaly_detector.multivariate import model as package_model
from anomaly_detector.multivariate.contract import MultiADConfig, NormalizeBase
from anomaly_detector.multivariate.module import MultivariateGraphAttnDetector

from detector.multivariate.network.scoring import Network
from detector.multivariate.network.training import fit


def make_rows(n: int, variables: int, seed: int = 1) -> np.ndarray:
    """Make series that move together, with an outlier in one of them every 40 rows."""
    noise = np.random.default_rng(seed)
    t = np.arange(n)[:, None]
    values = np.sin(t / (5 + np.arange(variables) % 11)) * (1 + np.arange(variables))
    values = values + 0.1 * noise.normal(size=values.shape)
    values[::40, noise.integers(variables)] += 4
    return np.asarray(values)


def train(
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


@pytest.fixture
def rows() -> Callable[..., np.ndarray]:
    return make_rows


@pytest.fixture
def trained() -> Callable[..., Network]:
    return train


@pytest.fixture
def package(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Network], MultivariateAnomalyDetector]:
    """Return what makes the package's detector with the weights and figures of a network."""
    monkeypatch.setattr(package_model, "tqdm", iter)

    def make(network: Network) -> MultivariateAnomalyDetector:
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

    return make
