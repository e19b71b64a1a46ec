"""Saliency beside the package's own."""

import numpy as np
import pytest
from anomaly_detector.univariate.detectors.spectral_residual import SpectralResidual

from detector.univariate.kernel import spectral_residual


@pytest.mark.parametrize("n", [12, 30, 99, 100, 101, 700])
@pytest.mark.parametrize("ratio", [0.05, 0.4])
@pytest.mark.filterwarnings("ignore")
def test_scores_are_those_of_the_package(n: int, ratio: float) -> None:
    noise = np.random.default_rng(n)
    most = max(int(n * ratio), 1)
    for values in (noise.normal(size=n), np.cumsum(noise.normal(size=n)), np.arange(n) % 5.0):
        values[-1] += 4
        theirs, _ = SpectralResidual._detect(3.5, values.tolist(), most, False)
        assert np.array_equal(spectral_residual.score_entire(values).raw, theirs["Score"])
        theirs, model = SpectralResidual._detect(3.5, values.tolist(), most, True)
        ours = spectral_residual.score_latest(values, most)
        assert np.array_equal(ours.raw, theirs["Score"])
        assert ours.by_z_score == (model.name == "SpectralResidual_ZScore")
