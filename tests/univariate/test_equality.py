"""Whole calls beside the untouched upstream package, and beside what the service answered."""

from typing import Any

import kernels
import numpy as np
import oracle
import pandas as pd
import pytest
import recordings
from hypothesis import HealthCheck, given, settings

from detector.series.series import Series
from detector.univariate import detection

CASES = recordings.kernel_cases()
# Upstream takes seconds for these; the long proof and the benchmark take them as well.
SHORT_CASES = [case for case in CASES if len(case.points) < 1400]


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(oracle.series(longest=300))
def test_generated_series_give_the_same(
    drawn: tuple[str, pd.DataFrame, dict[str, Any]],
) -> None:
    mode, frame, params = drawn
    own = oracle.outcome(oracle.ours, mode, frame, params)
    assert oracle.difference(own, oracle.outcome(oracle.theirs, mode, frame, params)) is None


@kernels.BUILT
@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(oracle.series(longest=900))
def test_both_kernels_answer_generated_series_alike(
    drawn: tuple[str, pd.DataFrame, dict[str, Any]],
) -> None:
    kernels.assert_same(oracle.ours, *drawn)


@kernels.BUILT
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_both_kernels_answer_a_case_alike(case: recordings.KernelCase) -> None:
    kernels.assert_same(oracle.ours, case.mode, case.frame, case.params)


@pytest.mark.parametrize(
    ("n", "period", "granularity", "mode"),
    [
        (1500, 101, "daily", "entire"),
        (1201, 12, "daily", "latest"),
        (2016, 168, "hourly", "entire"),
        (3000, 0, "minutely", "entire"),
        (8640, 0, "hourly", "latest"),
        (8640, 1440, "minutely", "entire"),
    ],
)
def test_long_series_give_the_same(n: int, period: int, granularity: str, mode: str) -> None:
    noise = np.random.default_rng(n)
    values = 100 + noise.normal(size=n)
    if period:
        values += 10 * np.sin(2 * np.pi * np.arange(n) / period)
    values[noise.integers(0, n, 9)] += 25
    frequency = {"daily": "D", "hourly": "h", "minutely": "min"}[granularity]
    times = pd.date_range("2020-01-01", periods=n, freq=frequency)
    frame = pd.DataFrame({"timestamp": times, "value": values})
    params = {"granularity": granularity, "boundaryVersion": "V2"}
    own, other = oracle.ours(mode, frame, params), oracle.theirs(mode, frame, params)
    assert own[0]["result"]["period"] == period
    assert oracle.difference(own, other) is None


def constant(value: float) -> pd.DataFrame:
    times = pd.date_range("1971-02-01", periods=37, freq="D")
    return pd.DataFrame({"timestamp": times, "value": np.full(37, value)})


def impulses() -> pd.DataFrame:
    frame = constant(0.0)
    frame.loc[2, "value"] = 20.0
    frame.loc[36, "value"] = 20000.0
    return frame


@pytest.mark.parametrize("mode", ["entire", "latest"])
@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(constant(1e16), id="constant beyond the bins of a histogram"),
        pytest.param(constant(0.1), id="constant that float32 rounds"),
        pytest.param(impulses(), id="impulse whose spectrum is flat but for rounding"),
    ],
)
def test_series_where_rounding_decides_give_the_same(mode: str, frame: pd.DataFrame) -> None:
    params = {"granularity": "daily"}
    own, other = oracle.ours(mode, frame, params), oracle.theirs(mode, frame, params)
    assert oracle.difference(own, other) is None


def test_spectral_residual_expects_the_own_value_of_calm_points() -> None:
    noise = np.random.default_rng(2)
    values = 288 + noise.normal(size=60) * 0.2
    values[30] -= 3
    times = pd.date_range("2021-01-01", periods=60, freq="min")
    frame = pd.DataFrame({"timestamp": times, "value": values})
    params = {"granularity": "minutely"}
    own = oracle.ours("entire", frame, params)
    assert own[30]["result"]["is_negative_anomaly"]
    assert oracle.difference(own, oracle.theirs("entire", frame, params)) is None


def test_all_65_cases_are_at_hand() -> None:
    assert len(CASES) == 65


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_of_the_package_suite_has_the_recorded_answer(case: recordings.KernelCase) -> None:
    response = case.response
    own = [answer["result"] for answer in oracle.ours(case.mode, case.frame, case.params)]
    if response.get("period") is not None:
        assert own[0]["period"] == response["period"]
    if case.mode == "latest":
        response = {name: [value] for name, value in response.items()}
    for theirs, ours in (
        ("isAnomaly", "is_anomaly"),
        ("isPositiveAnomaly", "is_positive_anomaly"),
        ("isNegativeAnomaly", "is_negative_anomaly"),
    ):
        if theirs in response:
            assert [result[ours] for result in own] == response[theirs]
    for name in ("expectedValues", "expectedValue"):
        if name in response:
            expected = [result["expected_value"] for result in own]
            assert expected == pytest.approx(response[name], rel=0.05, abs=1e-7)


@pytest.mark.parametrize("case", SHORT_CASES, ids=lambda case: case.name)
def test_case_of_the_package_suite_gives_what_upstream_gives(case: recordings.KernelCase) -> None:
    mode, frame, params = case.mode, case.frame, case.params
    own, other = oracle.ours(mode, frame, params), oracle.theirs(mode, frame, params)
    assert oracle.difference(own, other) is None


def test_entire_answer_of_the_live_service() -> None:
    live = recordings.read("azure/entire_daily47_live.json")
    answer = live["response"]
    found = detection.entire(Series.from_request({**live["request"], "boundaryVersion": "V2"}))
    assert found.period == 7
    anomalies = [3, 18, 21, 22, 23, 24, 25, 28, 29, 30, 31, 32, 35, 44]
    assert np.flatnonzero(found.is_anomaly).tolist() == anomalies
    assert np.flatnonzero(found.is_negative).tolist() == [18, 28, 29, 30, 31, 32, 35, 44]
    assert found.is_positive.tolist() == answer["isPositiveAnomaly"]
    assert found.expected == pytest.approx(answer["expectedValues"], rel=1e-6)
    assert found.upper_margin == pytest.approx(answer["upperMargins"], rel=1e-3)
    assert found.lower_margin == pytest.approx(answer["lowerMargins"], rel=1e-3)
    assert found.severity == pytest.approx(answer["severity"], rel=1e-3)


def test_latest_answer_of_the_live_service() -> None:
    request = recordings.read("azure/last_daily47_live.json")["request"]
    found = detection.latest(Series.from_request({**request, "boundaryVersion": "V2"}))
    assert (found.period, found.suggested_window, found.is_anomaly) == (7, 29, False)
    assert found.expected == pytest.approx(35063404.86, rel=2e-5)
    assert found.upper_margin == found.lower_margin == pytest.approx(246603.12, rel=2e-5)
    assert found.severity == pytest.approx(0.0399, rel=5e-3)


def test_example_of_version_1_0() -> None:
    spec = recordings.read("azure/spec_EntireDetect_monthly48.json")
    body = spec.get("request") or spec["parameters"]["body"]
    series = Series.from_request(body)
    found = detection.entire(series)
    assert found.period == 12
    assert np.flatnonzero(found.is_anomaly).tolist() == [25]
    assert found.upper_margin[25] == pytest.approx(0.05 * found.expected[25])
    # An older kernel expected 798 here, not 777; severity is the distance from it all the same.
    distance = abs(series.values[25] - found.expected[25]) / found.expected[25]
    assert found.severity[25] == pytest.approx(distance)
    assert detection.latest(series).suggested_window == 49
