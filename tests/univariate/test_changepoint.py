"""Change points: the recorded answers, generated series of every kind, and what is refused."""

import math
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import kernels
import numpy as np
import pandas as pd
import pytest
import recordings
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.datasets import nile

from detector import ChangePointDetector
from detector.errors import DetectionError
from detector.series.options import STABLE_TREND_WINDOWS, ChangePointOptions
from detector.series.series import ChangePointSeries
from detector.univariate.changepoint import change_points
from detector.univariate.segmentation import find_breaks

FREQUENCIES = {
    "yearly": "YS",
    "monthly": "MS",
    "weekly": "7D",
    "daily": "D",
    "hourly": "h",
    "minutely": "min",
}


def series_of(values: Any, granularity: str, **options: Any) -> ChangePointSeries:
    times = pd.date_range("1800-01-01", periods=len(values), freq=FREQUENCIES[granularity])
    return ChangePointSeries.from_arrays(values, times, {"granularity": granularity, **options})


def places(values: Any, granularity: str, **options: Any) -> list[int]:
    found = change_points(series_of(values, granularity, **options))
    return [int(place) for place in np.flatnonzero(found.is_change_point)]


def season(n: int, period: int) -> Any:
    return np.sin(np.arange(n) * 2 * np.pi / period) if period else np.zeros(n)


def noise(n: int, memory: float, seed: int) -> Any:
    steps = np.random.default_rng(seed).normal(size=n + 50)
    for place in range(1, n + 50):
        steps[place] += memory * steps[place - 1]
    return steps[50:]


@pytest.mark.parametrize(
    ("name", "flagged"),
    [("daily47", [20, 27]), ("js60", [22, 37, 51]), ("net257", [225])],
    ids=["47", "60", "257"],
)
def test_recorded_answer_of_the_service_is_met(name: str, flagged: list[int]) -> None:
    recorded = recordings.read(f"azure/changepoint_{name}_live.json")
    request, answer = recorded["request"], recorded["response"]
    found = change_points(ChangePointSeries.from_records(request["series"], request))
    assert np.flatnonzero(found.is_change_point).tolist() == flagged
    assert found.is_change_point.tolist() == answer["isChangePoint"]
    assert found.period == answer.get("period", request.get("period"))
    assert found.confidence == pytest.approx(answer["confidenceScores"], rel=0, abs=1e-9)


# Published by Microsoft with the answer of the live service: how to use the prebuilt Anomaly
# Detector in Fabric with the REST API, MicrosoftDocs/fabric-docs.
TWELVE_DAYS = [116168307, 116195090, 116219292, 116218498, 116217643, 116234219]
TWELVE_DAYS += [116291400, 116326509, 116323167, 116360790, 116367491, 116371082]
THEIR_SCORES = [0, 0, 0.002121398923, 0.039526568857, 0.051973862655, 0.014491783645]
THEIR_SCORES += [0.211643447171, 0, 0.031603994575, 0.022681790162, 0.018113672790, 0.043980954729]


def test_published_answer_without_a_season_is_met() -> None:
    options = {"stableTrendWindow": 5, "threshold": 0.9, "period": 0}
    found = change_points(series_of(TWELVE_DAYS, "daily", **options))
    assert np.flatnonzero(found.is_change_point).tolist() == [6]
    assert found.confidence == pytest.approx(THEIR_SCORES, rel=0, abs=1e-9)


def off_line(trend: Any, run: range, place: int, point: int) -> float:
    """Return how far a point lies off the line through a run, drawn on to a place."""
    line = np.polyfit(run, trend[run], min(len(run) - 1, 1))
    return float(abs(np.polyval(line, place) - trend[point]))


def their_rule(trend: Any, window: int) -> tuple[list[range], Any]:
    """Return the pieces and the scores by the service's rule, as its recorded answers tell it.

    A point off the line through its piece starts the next piece. Pieces shorter than the window are
    dropped: the next departs from where the line before them is drawn on by one place.
    """
    pieces, scores = [range(1)], np.zeros(len(trend))
    for point in range(1, len(trend)):
        longer = range(pieces[-1].start, point + 1)
        scores[point] = off_line(trend, longer, point, point)
        if scores[point] > 0.1:
            pieces.append(range(point, point + 1))
        else:
            pieces[-1] = longer
    for before, after in pairwise(piece for piece in pieces if len(piece) >= window):
        scores[after.start] = off_line(trend, before, before.stop, after.start)
    return pieces, scores


def with_excursion(seed: int) -> Any:
    """Return a shift in noise, and up to six points far off just before it."""
    random = np.random.default_rng(seed)
    at, length = int(random.integers(20, 40)), int(random.integers(1, 7))
    values = random.uniform(2, 20) * (np.arange(60) >= at) + random.normal(size=60)
    values[at - length : at] += np.repeat(random.uniform(-30, 30, 3), 2)[:length]
    return (values - values.min()) / (values.max() - values.min())


def test_scores_before_a_change_are_theirs_or_those_of_one_line() -> None:
    dropped, elsewhere = [0, 0], 0
    for seed in range(500):
        values = with_excursion(seed)
        found = change_points(series_of(values, "daily", period=0))
        assert (found.confidence[found.is_change_point] > 0.1).all(), f"seed {seed}"
        at = int(np.argmax(found.is_change_point))
        pieces, scores = their_rule(values, 5)
        starts = [piece.start for piece in pieces if piece.start <= at]
        if len(starts) < 2 or at == starts[1]:
            continue
        # Its piece may be too short for the service, but not for us.
        scores[at] = off_line(values, pieces[0], starts[1], at)
        if at != starts[-1] or at - starts[1] >= 5 or scores[at] <= 0.1:
            # The service would have begun another piece, or none.
            elsewhere += 1
            expected = [off_line(values, range(point + 1), point, point) for point in range(at)]
        else:
            dropped[min(len(starts) - 3, 1)] += 1
            expected = scores[: at + 1].tolist()
        scored = found.confidence[: len(expected)]
        assert scored == pytest.approx(expected, rel=0, abs=1e-9), f"seed {seed}"
    # One piece or two were dropped, or none.
    assert all([*dropped, elsewhere])


def test_nile_breaks_after_1898_and_nowhere_else() -> None:
    flow = nile.load_pandas().data["volume"].to_numpy()
    (found,) = places(flow, "yearly")
    assert 1871 + found in (1898, 1899)


@pytest.mark.parametrize(
    ("name", "granularity", "dates"),
    [
        ("change-point-sample", "daily", ["2019-01-23", "2019-02-07", "2019-02-21"]),
        ("change-point-sample-seasonality", "daily", ["2019-01-29", "2019-02-05", "2019-03-30"]),
    ],
)
def test_samples_break_where_the_eye_sees_it(name: str, granularity: str, dates: list[str]) -> None:
    request = recordings.read(f"univariate/azure-samples-{name}.json")
    series = ChangePointSeries.from_records(request["series"], request)
    found = change_points(series)
    assert [
        str(series.timestamps[place])[:10] for place in np.flatnonzero(found.is_change_point)
    ] == dates


def test_spikes_do_not_hide_breaks() -> None:
    request = recordings.read("univariate/azure-samples-univariate_sample_hourly.json")
    series = ChangePointSeries.from_records(request["series"], request)
    assert change_points(series).is_change_point.sum() == 8


KINDS = [
    ("daily", 60, 0, 40),
    ("daily", 60, 7, 40),
    ("daily", 365, 7, 15),
    ("weekly", 150, 0, 25),
    ("monthly", 72, 12, 20),
    ("yearly", 60, 0, 30),
    ("hourly", 240, 24, 15),
    ("hourly", 1000, 168, 5),
    ("minutely", 3000, 0, 3),
]


@pytest.mark.parametrize("kind", ["shift", "trend"])
@pytest.mark.parametrize(("granularity", "n", "period", "count"), KINDS)
def test_every_break_of_six_deviations_is_found_within_the_window(
    kind: str, granularity: str, n: int, period: int, count: int
) -> None:
    window = STABLE_TREND_WINDOWS[granularity]
    false = 0
    for seed in range(count):
        random = np.random.default_rng(seed)
        at = int(random.integers(max(3 * window, n // 5), n - max(3 * window, n // 5)))
        size = 6 * random.uniform(1, 2) * random.choice([-1, 1])
        after = np.arange(n) - at
        rise = (after >= 0) if kind == "shift" else np.maximum(after, 0) / window
        values = random.normal(size=n) + size * rise + 10 * season(n, period)
        scale = 10 ** random.uniform(-3, 4)
        found = places(scale * (values + 50), granularity, period=period)
        assert any(abs(place - at) <= window for place in found), f"seed {seed}: {at}, {found}"
        false += len(found) - 1
    assert false <= max(count // 10, 1)


@pytest.mark.parametrize(
    ("granularity", "n", "memory", "count", "most"),
    [
        ("daily", 12, 0.0, 200, 0.08),
        ("daily", 30, 0.0, 200, 0.06),
        ("daily", 100, 0.0, 200, 0.02),
        ("daily", 100, 0.3, 200, 0.10),
        ("daily", 400, 0.3, 50, 0.04),
        ("daily", 400, 0.5, 50, 0.08),
        ("yearly", 100, 0.0, 100, 0.03),
        ("hourly", 500, 0.3, 30, 0.04),
        ("minutely", 3000, 0.5, 3, 0.0),
    ],
)
def test_stationary_noise_rarely_breaks(
    granularity: str, n: int, memory: float, count: int, most: float
) -> None:
    broken = sum(
        bool(places(noise(n, memory, seed), granularity, period=0)) for seed in range(count)
    )
    assert broken <= most * count


@pytest.mark.parametrize(
    ("granularity", "n", "period", "count"),
    [("daily", 60, 7, 60), ("daily", 365, 7, 20), ("hourly", 240, 24, 20), ("hourly", 1000, 24, 5)],
)
def test_plain_season_rarely_breaks(granularity: str, n: int, period: int, count: int) -> None:
    broken = []
    for seed in range(count):
        random = np.random.default_rng(seed)
        values = 10 * season(n, period) + random.choice([0, 0.1, 1, 3]) * random.normal(size=n)
        if places(values, granularity):
            broken.append(seed)
    assert len(broken) <= 0.05 * count, f"seeds {broken}"


@pytest.mark.parametrize("values", [np.zeros(60), np.full(60, 1e100), np.arange(60.0)])
def test_straight_series_does_not_break(values: Any) -> None:
    found = change_points(series_of(values, "daily", period=0))
    assert not found.is_change_point.any()
    assert found.confidence.max() < 1e-9


def test_lower_threshold_finds_no_more() -> None:
    random = np.random.default_rng(7)
    levels = np.repeat([0.0, 3, 9, 30, 10, 60, 58], 40)
    values = levels + random.normal(size=len(levels)) / 4
    counts = [
        len(places(values, "daily", period=0, threshold=threshold))
        for threshold in (0.99, 0.9, 0.8, 0.5, 0.01)
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


def test_longer_window_asks_for_a_longer_trend() -> None:
    values = np.repeat([0.0, 5, 0], [40, 8, 40]) + np.random.default_rng(3).normal(size=88) / 10
    assert places(values, "daily", period=0, stableTrendWindow=5) == [40, 48]
    assert places(values, "daily", period=0, stableTrendWindow=20) == []


def test_gap_leaves_one_answer_for_each_point_sent() -> None:
    values = np.repeat([0.0, 9.0], 40) + np.random.default_rng(1).normal(size=80)
    days = pd.date_range("2024-01-01", periods=80, freq="D")
    frame = pd.DataFrame({"timestamp": days, "value": values}).drop(index=[20, 21, 60])
    series = ChangePointSeries.from_frame(frame, {"granularity": "daily", "period": 0})
    found = change_points(series)
    assert len(found.confidence) == len(found.is_change_point) == 77
    assert np.flatnonzero(found.is_change_point).tolist() == [38]


def test_change_in_a_gap_is_told_of_the_point_behind_it() -> None:
    values = np.repeat([0.0, 9.0], 40) + np.random.default_rng(1).normal(size=80) / 10
    days = pd.date_range("2024-01-01", periods=80, freq="D")
    frame = pd.DataFrame({"timestamp": days, "value": values}).drop(index=range(38, 43))
    answers = ChangePointDetector().predict(None, frame, {"granularity": "daily", "period": 0})
    flagged = [a["timestamp"] for a in answers if a["result"]["is_change_point"]]
    assert flagged
    assert all(days[37] <= each <= days[45] for each in flagged)


@pytest.mark.parametrize("granularity", sorted(STABLE_TREND_WINDOWS))
def test_defaults_are_those_of_the_granularity(granularity: str) -> None:
    options = ChangePointOptions.from_request({"granularity": granularity, "period": None})
    assert options.threshold == (0.91 if granularity == "hourly" else 0.9)
    series = ChangePointSeries(np.zeros(300), np.arange(300), range(300), options)
    expected = {
        "yearly": 3,
        "monthly": 6,
        "weekly": 3,
        "daily": 5,
        "hourly": 24,
        "minutely": 72,
        "secondly": 72,
        "microsecond": 100,
        "none": 100,
    }
    assert series.stable_trend_window == expected[granularity]


def test_default_window_gives_way_in_a_short_series() -> None:
    assert series_of(np.arange(12.0), "hourly").stable_trend_window == 5


def test_options_of_anomaly_detection_are_not_looked_at() -> None:
    sent = {"granularity": "daily", "sensitivity": 400, "maxAnomalyRatio": 7, "imputeMode": "x"}
    assert ChangePointOptions.from_request(sent) == ChangePointOptions(granularity="daily")


@pytest.mark.parametrize(
    ("option", "code", "says"),
    [
        ({"granularity": "hour"}, "InvalidGranularity", "'hour'"),
        ({"customInterval": 0}, "InvalidCustomInterval", "It is 0"),
        ({"period": -1}, "InvalidPeriod", "It is -1"),
        ({"period": 10}, "InvalidModelArgument", "at least 21"),
        ({"threshold": 0.009}, "InvalidModelArgument", "'threshold' field must be an float"),
        ({"threshold": 0.991}, "InvalidModelArgument", "0.991"),
        ({"threshold": "high"}, "InvalidModelArgument", "'high'"),
        ({"threshold": math.nan}, "InvalidModelArgument", "nan"),
        ({"stableTrendWindow": 2}, "InvalidModelArgument", ">= 3"),
        ({"stableTrendWindow": 3.5}, "InvalidModelArgument", "3.5"),
        ({"stableTrendWindow": 10}, "InvalidModelArgument", "at most 9 for the 20 points"),
    ],
)
def test_wrong_option_is_refused(option: dict[str, Any], code: str, says: str) -> None:
    days = pd.date_range("2024-01-01", periods=20, freq="D")
    request = {"granularity": "daily", **option}
    with pytest.raises(DetectionError) as caught:
        ChangePointSeries.from_arrays(np.arange(20.0), days, request)
    assert caught.value.code == code
    assert says in caught.value.message


@pytest.mark.parametrize(
    "option", [{"threshold": 0.01}, {"threshold": 0.99}, {"stableTrendWindow": 9}]
)
def test_bounds_are_accepted(option: dict[str, Any]) -> None:
    assert places(np.arange(20.0), "daily", period=0, **option) == []


def test_two_seasons_are_required_without_a_granularity_too() -> None:
    series = ChangePointSeries.from_arrays(
        np.arange(14.0) % 7, request={"granularity": "none", "period": 7}
    )
    with pytest.raises(DetectionError) as caught:
        change_points(series)
    assert caught.value.code == "InvalidModelArgument"


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
names = st.sampled_from(
    ["granularity", "customInterval", "period", "stableTrendWindow", "threshold", "sensitivity"]
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    options=st.dictionaries(names, anything | st.sampled_from([3, 7, 0.5, "daily"]), max_size=4),
    values=st.lists(
        st.floats(-1e100, 1e100) | st.sampled_from([0.0, 1.0, 5e-324]), min_size=10, max_size=40
    ),
)
def test_fuzzed_requests_raise_nothing_but_detection_errors(
    options: dict[str, Any], values: list[float]
) -> None:
    days = pd.date_range("2024-01-01", periods=len(values), freq="D")
    try:
        series = ChangePointSeries.from_arrays(values, days, {"granularity": "daily", **options})
        found = change_points(series)
    except DetectionError:
        return
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    values=st.lists(st.integers(0, 3), min_size=12, max_size=150),
    shortest=st.integers(3, 6),
)
def test_breaks_leave_the_shortest_line_between_them(values: list[int], shortest: int) -> None:
    breaks = find_breaks(np.array(values) / 3, shortest)
    assert (np.diff([0, *breaks, len(values)]) >= shortest).all()


def test_input_is_never_changed() -> None:
    values = np.repeat([0.0, 9.0], 40)
    days = pd.date_range("2024-01-01", periods=80, freq="D")
    frame = pd.DataFrame({"timestamp": days, "value": values})
    params = {"granularity": "daily", "threshold": 0.8}
    before, given_params = frame.copy(), dict(params)
    ChangePointDetector().predict(None, frame, params)
    pd.testing.assert_frame_equal(frame, before)
    assert params == given_params


def test_model_answers_in_plain_values() -> None:
    values = np.repeat([0.0, 9.0], 40)
    days = pd.date_range("2024-01-01", periods=80, freq="D")
    frame = pd.DataFrame({"timestamp": days, "value": values})
    answers = ChangePointDetector().predict(None, frame, {"granularity": "daily", "period": 0})
    assert [answer["timestamp"] for answer in answers] == list(days)
    assert list(answers[0]["result"]) == ["is_change_point", "confidence_score", "period"]
    assert [type(value) for value in answers[0]["result"].values()] == [bool, float, int]
    flags = [answer["result"]["is_change_point"] for answer in answers]
    assert flags.index(True) == 40


def test_eight_threads_get_the_same_answers() -> None:
    requests = [
        (noise(90, 0, seed) + np.repeat([0.0, 8.0], 45), granularity)
        for seed, granularity in enumerate(["daily", "hourly", "monthly"])
    ]
    serial = [places(*request) for request in requests]
    with ThreadPoolExecutor(8) as pool:
        threaded = list(pool.map(lambda request: places(*request), requests * 8))
    assert threaded == serial * 8


def test_change_points_are_a_table_and_a_picture() -> None:
    found = change_points(series_of([0.0] * 30 + [9.0] * 30, "daily", period=0))
    frame = found.to_frame()
    assert list(frame.columns) == [
        "timestamp",
        "value",
        "is_change_point",
        "confidence_score",
        "period",
    ]
    assert frame["is_change_point"].idxmax() == 30
    assert frame["confidence_score"].tolist() == found.confidence.tolist()
    (axes,) = found.plot(title="A step").axes
    assert axes.get_title(loc="left") == "A step"
    assert len(axes.collections[0].get_segments()) == 1


@kernels.BUILT
@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(12, 400),
    kind=st.sampled_from(["noise", "walk", "steps", "impulse", "constant"]),
    scale=st.sampled_from([1e-300, 1.0, 1e100]),
    threshold=st.sampled_from([0.5, 0.9, 0.99]),
    period=st.sampled_from([0, 4]),
)
def test_compiled_scores_are_numpys(
    seed: int, n: int, kind: str, scale: float, threshold: float, period: int
) -> None:
    drawn = np.random.default_rng(seed)
    values = {
        "noise": drawn.uniform(-1, 1, n),
        "walk": np.cumsum(drawn.uniform(-1, 1, n)) / n,
        "steps": np.repeat(drawn.uniform(-1, 1, n // 9 + 1), 9)[:n],
        "impulse": (np.arange(n) == n // 2) * 1.0,
        "constant": np.ones(n),
    }[kind]
    series = series_of(scale * values, "hourly", period=period, threshold=threshold)
    kernels.assert_same(change_points, series)
