"""The scores of a network: those of the package, whatever goes together or comes before."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from anomaly_detector import MultivariateAnomalyDetector
from anomaly_detector.multivariate import model as package_model
from anomaly_detector.multivariate.module import DetectionResults

from detector.errors import DetectionError
from detector.multivariate.network import windows
from detector.multivariate.network.scoring import Network, Scores, score

TOLERANCE = 1e-5
Rows = Callable[..., np.ndarray]
Trained = Callable[..., Network]
Package = Callable[[Network], MultivariateAnomalyDetector]


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
def test_scores_are_those_of_the_package(
    n: int, variables: int, window: int, rows: Rows, trained: Trained, package: Package
) -> None:
    values = rows(n, variables)
    network = trained(values, window)
    assert_says_the_same(score(network, values), package(network), values)


def test_scores_of_a_network_the_package_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: Rows
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
    assert_says_the_same(score(network, values), detector, values)


def test_values_far_outside_the_training_are_scored(
    rows: Rows, trained: Trained, package: Package
) -> None:
    values = rows(400, 3)
    network = trained(values)
    values[200:260] *= 1e6
    scores = score(network, values)
    assert np.isfinite(scores.score).all()
    flags = flagged(package(network), values)
    np.testing.assert_array_equal(scores.is_anomaly, flags)


@pytest.mark.parametrize("together", [8, 33, 300])
def test_scores_do_not_depend_on_how_many_windows_go_together(
    together: int, monkeypatch: pytest.MonkeyPatch, rows: Rows, trained: Trained
) -> None:
    values = rows(500, 3)
    network = trained(values)
    whole = score(network, values)
    monkeypatch.setattr(windows, "_MOST", together)
    monkeypatch.setattr(windows, "_FEWEST", together)
    parts = score(network, values)
    np.testing.assert_array_equal(parts.is_anomaly, whole.is_anomaly)
    np.testing.assert_allclose(parts.score, whole.score, rtol=0, atol=1e-6)
    np.testing.assert_allclose(parts.attention_changes, whole.attention_changes, atol=1e-6)


def test_a_score_depends_on_the_rows_before_alone(rows: Rows, trained: Trained) -> None:
    values = rows(500, 3)
    network = trained(values)
    whole, start = score(network, values), score(network, values[:300])
    count = len(start.score)
    np.testing.assert_array_equal(start.is_anomaly, whole.is_anomaly[:count])
    np.testing.assert_allclose(start.score, whole.score[:count], rtol=0, atol=1e-6)


def test_a_score_depends_on_one_sliding_window_before(rows: Rows, trained: Trained) -> None:
    values = rows(500, 3)
    network = trained(values)
    whole, later = score(network, values), score(network, values[150:])
    count = len(later.score)
    np.testing.assert_array_equal(later.is_anomaly, whole.is_anomaly[-count:])
    np.testing.assert_allclose(later.score, whole.score[-count:], rtol=0, atol=1e-6)


def test_too_few_rows_to_score_are_refused(rows: Rows, trained: Trained) -> None:
    network = trained(rows(300, 2))
    with pytest.raises(DetectionError, match="At least 40 rows are needed, and there are 39"):
        score(network, rows(39, 2))
    assert len(score(network, rows(40, 2)).score) == 1
