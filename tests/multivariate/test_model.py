"""Many variables together: how they are aligned, trained on, scored, kept and loaded."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from anomaly_detector.common.data_processor import MultiADDataProcessor
from hypothesis import given, settings
from hypothesis import strategies as st

from detector import DetectionError, MultivariateAnomalyDetector, plot
from detector.errors import Stopped
from detector.multivariate.alignment import AlignPolicy, Table, align, by_time
from detector.multivariate.model import (
    AnomalyState,
    Epoch,
    MultivariateModel,
    TrainingOptions,
    train,
)
from detector.multivariate.wire import NAMES
from detector.tracking import registry, server
from detector.tracking.experiments import ensure_experiment

ROOT = Path(__file__).parents[2]
WINDOW = 28
VARIABLES = ("a", "b", "c")


def minutes(rows: int, start: str = "2026-01-01") -> pd.DatetimeIndex:
    return pd.date_range(start, periods=rows, freq="min")


def plant(rows: int, seed: int = 1) -> pd.DataFrame:
    """Return three variables that swing together."""
    draw = np.random.default_rng(seed)
    swing = np.sin(np.arange(rows) / 9)[:, None] * [1.0, -2.0, 5.0]
    values = swing + draw.normal(scale=0.1, size=(rows, 3))
    return pd.DataFrame(values, columns=VARIABLES, index=minutes(rows))


def refused(code: str) -> Any:
    return pytest.raises(DetectionError, match=f"^{code}: ")


@pytest.fixture(scope="module")
def model() -> MultivariateModel:
    options = TrainingOptions(sliding_window=WINDOW, epochs=60)
    return train(align(plant(400), sliding_window=WINDOW), options)


@pytest.fixture(scope="module")
def later() -> Table:
    """Rows to score, with a jump of one variable among them."""
    frame = plant(700).iloc[400:]
    frame.iloc[200:210, 1] += 4
    return align(frame, start=frame.index[WINDOW - 1], sliding_window=WINDOW)


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("InvalidAlignMode", {"mode": "outer"}),
        ("InvalidAlignMode", {"mode": None}),
        ("InvalidFillNAMethod", {"fill": "linear"}),
        ("InvalidFillNAMethod", {"fill": "NotFill"}),
        ("RequiredPaddingValue", {"fill": "Fixed"}),
        ("RequiredPaddingValue", {"fill": "Fixed", "padding_value": math.nan}),
        ("RequiredPaddingValue", {"fill": "Fixed", "padding_value": "0"}),
    ],
)
def test_a_wrong_align_policy_is_refused(code: str, arguments: Any) -> None:
    with refused(code):
        AlignPolicy(**arguments)


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("InvalidSlidingWindow", {"sliding_window": 27}),
        ("InvalidSlidingWindow", {"sliding_window": 2881}),
        ("InvalidSlidingWindow", {"sliding_window": 200.0}),
        ("InvalidSlidingWindow", {"sliding_window": True}),
        ("BadArgument", {"epochs": 0}),
        ("BadArgument", {"seed": -1}),
        ("BadArgument", {"device": "tpu"}),
    ],
)
def test_wrong_training_options_are_refused(code: str, arguments: Any) -> None:
    with refused(code):
        TrainingOptions(**arguments)


@st.composite
def scattered(draw: st.DrawFn) -> pd.DataFrame:
    """Return variables of different lengths and gaps, with the rows in any order."""
    rows = draw(st.integers(WINDOW, 60))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = random.integers(-9, 9, (rows, len(VARIABLES))).astype(float)
    values[random.random(values.shape) < draw(st.sampled_from([0.0, 0.02, 0.5, 1.0]))] = np.nan
    for column, first, last in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9), st.integers(40, 60)), max_size=3)
    ):
        values[:first, column] = values[last:, column] = np.nan
    times = pd.Timestamp("2026-01-01") + pd.to_timedelta(
        np.cumsum(random.integers(1, 6, rows)), unit="min"
    )
    frame = pd.DataFrame(values, columns=random.permutation(VARIABLES), index=times)
    return frame.iloc[random.permutation(rows)]


POLICIES = [
    AlignPolicy(mode, fill, 7.5)
    for mode in ("Outer", "Inner")
    for fill in ("Previous", "Subsequent", "Linear", "Zero", "Fixed")
]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.mode + policy.fill)
@settings(max_examples=20, deadline=None)
@given(frame=scattered())
def test_gaps_are_filled_as_the_package_fills_them(
    policy: AlignPolicy, frame: pd.DataFrame
) -> None:
    given_frame = frame.copy()
    expected = frame.dropna() if policy.mode == "Inner" else frame
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        processor = MultiADDataProcessor(fill_na_method=policy.fill, fill_na_value=7.5)
        expected = processor.process(expected)
    if len(expected) < WINDOW:
        with refused("NotEnoughInput" if len(expected) else "NoData"):
            align(frame, sliding_window=WINDOW, policy=policy)
    else:
        table = align(frame, sliding_window=WINDOW, policy=policy)
        assert table.variables == VARIABLES
        np.testing.assert_array_equal(table.timestamps, expected.index.to_numpy())
        np.testing.assert_array_equal(table.values, expected.to_numpy())
    pd.testing.assert_frame_equal(frame, given_frame)


@settings(max_examples=60, deadline=None)
@given(frame=scattered())
def test_states_tell_what_was_there_before_filling(frame: pd.DataFrame) -> None:
    states = align(frame, sliding_window=WINDOW).states
    for state in states:
        there = frame[state.variable].dropna()
        assert state.effective_count == len(there)
        assert state.filled_na_ratio == pytest.approx(1 - len(there) / len(frame))
        if len(there):
            assert state.first_timestamp == there.index.min()
            assert state.last_timestamp == there.index.max()
    ratios = [(-state.filled_na_ratio, state.variable) for state in states]
    assert ratios == sorted(ratios)


@settings(max_examples=60, deadline=None)
@given(
    frame=scattered(),
    start=st.integers(-20, 320),
    length=st.integers(0, 320),
    window=st.integers(WINDOW, 40),
)
def test_rows_are_those_asked_for_and_the_look_back(
    frame: pd.DataFrame, start: int, length: int, window: int
) -> None:
    first = pd.Timestamp("2026-01-01") + pd.Timedelta(minutes=start)
    last = first + pd.Timedelta(minutes=length)
    times = frame.index.sort_values()
    asked, before = times[(times >= first) & (times <= last)], times[times < first]
    expected = before[max(0, len(before) - window + 1) :].append(asked)
    if len(asked) and len(expected) >= window:
        table = align(frame, start=first, end=last, sliding_window=window)
        assert list(table.timestamps) == list(expected.to_numpy())
        assert table.lead == len(expected) - len(asked)
    else:
        with refused("NotEnoughInput" if len(asked) else "NoData"):
            align(frame, start=first, end=last, sliding_window=window)


def test_rows_and_states_are_those_the_service_reported() -> None:
    frame = plant(3000).set_axis(minutes(3000, "2021-01-01"), axis=0)
    table = align(
        frame, start="2021-01-02T00:00:00Z", end="2021-01-02T05:00:00Z", sliding_window=200
    )
    assert (len(table.values), table.lead) == (500, 199)
    assert {state.effective_count for state in table.states} == {500}
    assert {state.filled_na_ratio for state in table.states} == {0.0}
    assert table.states[0].first_timestamp == pd.Timestamp("2021-01-01T20:41:00")
    assert table.states[0].last_timestamp == pd.Timestamp("2021-01-02T05:00:00")


def test_times_beyond_the_data_are_cut_to_it() -> None:
    frame = plant(40)
    table = align(frame, start="2000-01-01", end="2100-01-01", sliding_window=WINDOW)
    assert (len(table.values), table.lead) == (40, 0)


def test_times_of_another_zone_are_the_same_moments() -> None:
    frame = plant(40)
    elsewhere = frame.set_axis(frame.index.tz_localize("UTC").tz_convert("Asia/Tokyo"), axis=0)
    there = align(elsewhere, start="2026-01-01T09:35:00+09:00", sliding_window=WINDOW)
    here = align(frame, start="2026-01-01T00:35:00", sliding_window=WINDOW)
    np.testing.assert_array_equal(there.timestamps, here.timestamps)
    assert there.lead == here.lead == 27


def test_a_variable_without_any_value_is_filled_with_zeros() -> None:
    table = align(plant(40).assign(b=np.nan), sliding_window=WINDOW)
    assert not table.values[:, 1].any()
    empty = table.states[0]
    assert (empty.variable, empty.effective_count, empty.filled_na_ratio) == ("b", 0, 1.0)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e101, "broken", 1j])
def test_what_is_no_usable_number_is_refused_by_name_and_time(value: Any) -> None:
    frame = plant(40).astype(object)
    frame.iloc[3, 1] = value
    with refused("VariableParseError") as error:
        align(frame, sliding_window=WINDOW)
    assert "'b'" in error.value.message
    assert "2026-01-01T00:03:00" in error.value.message


def test_a_column_of_dates_is_refused() -> None:
    frame = plant(40)
    with refused("VariableParseError"):
        align(frame.assign(b=frame.index), sliding_window=WINDOW)


def test_whole_numbers_with_gaps_are_read() -> None:
    frame = pd.DataFrame({"a": range(40)}, index=minutes(40))
    holed = frame.astype("Int64").where(frame["a"] != 7)
    np.testing.assert_array_equal(
        align(holed, sliding_window=WINDOW).values, frame.to_numpy(dtype=float)
    )


def test_numbers_as_text_are_read() -> None:
    frame = plant(40)
    as_text = align(frame.astype(str), sliding_window=WINDOW)
    np.testing.assert_allclose(as_text.values, frame.to_numpy(), rtol=1e-14)


@pytest.mark.parametrize(
    ("code", "frame"),
    [
        ("NoVariablesFound", pd.DataFrame(index=minutes(40))),
        ("DuplicatedVariables", pd.DataFrame(0.0, index=minutes(40), columns=["a", "b", "a"])),
        ("DataExceedsLimit", pd.DataFrame(0.0, index=minutes(40), columns=range(302))),
        ("InvalidTimestampFormat", pd.DataFrame(0.0, index=range(40), columns=["a"])),
        (
            "InvalidTimestampFormat",
            pd.DataFrame(0.0, index=minutes(39).insert(3, pd.NaT), columns=["a"]),
        ),
        (
            "MergeDataFailed",
            pd.DataFrame(0.0, index=minutes(39).append(minutes(1)), columns=["a"]),
        ),
        ("NoData", pd.DataFrame(0.0, index=minutes(0), columns=["a"])),
        ("NotEnoughInput", pd.DataFrame(0.0, index=minutes(WINDOW - 1), columns=["a"])),
        ("TooManyData", pd.DataFrame(0.0, index=minutes(1_000_001), columns=["a"])),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_frame_that_cannot_be_aligned_is_refused(code: str, frame: pd.DataFrame) -> None:
    with refused(code):
        align(frame, sliding_window=WINDOW)


def test_a_start_that_is_no_date_is_refused() -> None:
    with refused("InvalidTimestampFormat"):
        align(plant(40), start="never", sliding_window=WINDOW)


def test_every_row_asked_for_is_scored(model: MultivariateModel, later: Table) -> None:
    result = model.detect_table(later)
    assert [found.timestamp for found in result] == list(
        pd.DatetimeIndex(later.timestamps[later.lead :])
    )
    assert not any(found.error for found in result)
    assert all(0 <= found.score <= math.e - 1 for found in result)


def test_severity_is_that_part_of_the_largest_score(model: MultivariateModel, later: Table) -> None:
    result = model.detect_table(later)
    assert {found.is_anomaly for found in result} == {True, False}
    for found in result:
        assert found.severity == (found.score / (math.e - 1) if found.is_anomaly else 0.0)


def test_contributors_of_an_anomaly_are_sorted_and_sum_to_1(
    model: MultivariateModel, later: Table
) -> None:
    for found in model.detect_table(later):
        scores = [contributor.score for contributor in found.contributors]
        assert scores == sorted(scores, reverse=True)
        if found.is_anomaly:
            assert {contributor.variable for contributor in found.contributors} == set(VARIABLES)
            assert sum(scores) == pytest.approx(1)
        else:
            assert not scores


def test_all_contributors_of_an_anomaly_name_the_same_changed_variables(
    model: MultivariateModel, later: Table
) -> None:
    named = 0
    for found in model.detect_table(later):
        assert len({contributor.changed_variables for contributor in found.contributors}) <= 1
        for contributor in found.contributors:
            assert set(contributor.changed_variables) <= set(VARIABLES)
            assert len(contributor.changed_values) == len(contributor.changed_variables) <= 5
            named += len(contributor.changed_variables)
    assert named


def test_a_jump_is_flagged_with_its_variable_on_top(model: MultivariateModel, later: Table) -> None:
    jump = model.detect_table(later)[200 - later.lead]
    assert jump.is_anomaly
    assert jump.contributors[0].variable == "b"


def test_contributors_are_cut_to_as_many_as_asked_for(
    model: MultivariateModel, later: Table
) -> None:
    result, cut = model.detect_table(later), model.detect_table(later, top_contributors=1)
    assert [found.contributors[:1] for found in result] == [found.contributors for found in cut]


def test_rows_without_enough_before_them_say_so(model: MultivariateModel) -> None:
    result = model.detect_table(align(plant(40), sliding_window=WINDOW))
    assert len(result) == 40
    early, rest = result[: WINDOW - 1], result[WINDOW - 1 :]
    for row, found in enumerate(early):
        assert found.error is not None
        assert found.error[0] == "InsufficientHistoricalData"
        assert f"There are {row} rows before" in found.error[1]
        assert (found.is_anomaly, found.severity, found.score) == (False, 0.0, 0.0)
    assert not any(found.error for found in rest)


def test_one_window_gives_one_state(model: MultivariateModel) -> None:
    frame = plant(500).iloc[-WINDOW:]
    table = align(frame, start=frame.index[-1], sliding_window=WINDOW)
    assert [found.error for found in model.detect_table(table)] == [None]


def test_a_window_longer_than_a_score_needs_is_served_too() -> None:
    frame = plant(900)
    options = TrainingOptions(sliding_window=500, epochs=1)
    result = train(align(frame, sliding_window=500), options).detect_table(
        align(frame, start=frame.index[-5], sliding_window=500)
    )
    assert [found.timestamp for found in result] == list(frame.index[-5:])
    assert not any(found.error for found in result)


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("ColumnNotFound", ["a", "b"]),
        ("ColumnNotFound", ["a", "b", "d"]),
        ("NumColumnsMismatch", ["a", "b", "c", "d"]),
    ],
)
def test_other_variables_are_refused(model: MultivariateModel, code: str, names: list[str]) -> None:
    table = align(plant(60).reindex(columns=names, fill_value=0.0), sliding_window=WINDOW)
    with refused(code):
        model.detect_table(table)


def test_training_on_no_more_than_a_window_is_refused() -> None:
    with refused("NotEnoughInput"):
        train(align(plant(28), sliding_window=28), TrainingOptions(sliding_window=28))


def test_a_gpu_that_is_not_there_is_refused() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU: run with CUDA_VISIBLE_DEVICES set to nothing")
    table = align(plant(60), sliding_window=WINDOW)
    with refused("BadArgument"):
        train(table, TrainingOptions(sliding_window=WINDOW, device="cuda"))


def test_every_epoch_is_reported() -> None:
    epochs: list[Epoch] = []
    options = TrainingOptions(sliding_window=WINDOW, epochs=3)
    train(align(plant(400), sliding_window=WINDOW), options, on_epoch=epochs.append)
    assert [epoch.number for epoch in epochs] == [1, 2, 3]
    assert all(epoch.train_loss > 0 and epoch.validation_loss > 0 for epoch in epochs)
    assert all(epoch.seconds > 0 for epoch in epochs)


def test_training_stops_within_an_epoch() -> None:
    epochs: list[Epoch] = []
    answers = iter([False, True])
    with pytest.raises(Stopped):
        train(
            align(plant(4000), sliding_window=WINDOW),
            TrainingOptions(sliding_window=WINDOW),
            on_epoch=epochs.append,
            stop=lambda: next(answers),
        )
    assert not epochs


def test_the_seed_decides() -> None:
    table = align(plant(300), sliding_window=WINDOW)

    def scores(seed: int) -> list[float]:
        options = TrainingOptions(sliding_window=WINDOW, epochs=1, seed=seed)
        return [found.score for found in train(table, options).detect_table(table)]

    assert scores(1) == scores(1)
    assert scores(1) != scores(2)


def test_two_trainings_at_once_give_what_each_gives_alone() -> None:
    tables = [align(plant(300, seed), sliding_window=WINDOW) for seed in (1, 2)]

    def result(table: Table) -> list[AnomalyState]:
        return train(table, TrainingOptions(sliding_window=WINDOW, epochs=3)).detect_table(table)

    alone = [result(table) for table in tables]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(result, tables)) == alone


def test_threads_may_share_one_model(model: MultivariateModel, later: Table) -> None:
    expected = model.detect_table(later)
    together = threading.Barrier(4)

    def detect(_: int) -> list[AnomalyState]:
        together.wait(timeout=30)
        return model.detect_table(later)

    with ThreadPoolExecutor(4) as pool:
        assert all(found == expected for found in pool.map(detect, range(4)))


def test_nothing_is_written_where_the_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = align(plant(300), sliding_window=WINDOW)
    train(table, TrainingOptions(sliding_window=WINDOW, epochs=1)).detect_table(table)
    assert not list(tmp_path.iterdir())


def test_a_saved_model_gives_the_same_numbers(
    model: MultivariateModel, later: Table, tmp_path: Path
) -> None:
    model.save(tmp_path / "kept")
    loaded = MultivariateModel.load(tmp_path / "kept")
    assert loaded.detect_table(later) == model.detect_table(later)
    assert (loaded.variables, loaded.options) == (model.variables, model.options)


def test_a_saved_model_is_tensors_and_json(model: MultivariateModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"weights.pt", "model.json"}
    assert json.loads((tmp_path / "model.json").read_text())["variables"] == list(VARIABLES)


def test_a_model_of_a_later_format_is_refused(model: MultivariateModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    file = tmp_path / "model.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 2}))
    with pytest.raises(ValueError, match="format 2; this version reads format 1"):
        MultivariateModel.load(tmp_path)


def test_aligning_does_not_load_torch() -> None:
    program = (
        "import sys, pandas; from detector.multivariate.alignment import align;"
        "times = pandas.date_range('2026-01-01', periods=40, freq='min');"
        "align(pandas.DataFrame({'a': 1.0}, index=times), sliding_window=28);"
        "print([name for name in ('torch', 'mlflow') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        cwd=ROOT / "app",
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def logged(
    model: MultivariateModel, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, registry.RegisteredVersion, str]:
    """A store in a folder of its own, the model registered there, and the run's id."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        server.connect()
        experiment = ensure_experiment("multivariate")
        with mlflow.start_run(experiment_id=experiment) as run:
            version = registry.log_multivariate(
                model, plant(400), registered_as="plant", alias="champion"
            )
            assert registry.log_multivariate(model, plant(400)).startswith("models:/m-")
    return folder, version, run.info.run_id


def wire(result: list[AnomalyState]) -> list[Any]:
    return [
        [
            str(found.timestamp),
            found.is_anomaly,
            found.severity,
            found.score,
            [[one.variable, one.score, *one.changed_variables] for one in found.contributors],
        ]
        for found in result
    ]


def test_a_logged_model_gives_the_same_numbers_where_only_its_code_is(
    logged: tuple[Path, registry.RegisteredVersion, str],
    model: MultivariateModel,
    later: Table,
    tmp_path: Path,
) -> None:
    folder, version, run_id = logged
    assert (version.name, version.version, version.alias) == ("plant", 1, "champion")
    addresses = [version.alias_uri, f"runs:/{run_id}/model"]
    rows = pd.DataFrame(later.values, columns=VARIABLES)
    rows.insert(0, "timestamp", later.timestamps)
    rows.to_parquet(tmp_path / "rows.parquet")
    program = (
        "import json, sys, mlflow, pandas; mlflow.set_tracking_uri(sys.argv[1]);"
        "models = [mlflow.pyfunc.load_model(address) for address in sys.argv[3:]];"
        "rows = pandas.read_parquet('rows.parquet');"
        "found = [model.predict(rows, params={'startTime': sys.argv[2]}) for model in models];"
        "import detector; print(detector.__file__);"
        "print(json.dumps([[[str(one['timestamp']), *[one['result'][key] for key in"
        "    ('is_anomaly', 'severity', 'score')], [list(item.values())[:2] +"
        "    item['changed_variables'] for item in one['result']['interpretation']]]"
        "    for one in each] for each in found]))"
    )
    start = pd.Timestamp(later.timestamps[later.lead]).isoformat()
    done = subprocess.run(
        [sys.executable, "-c", program, f"sqlite:///{folder}/mlflow.db", start, *addresses],
        capture_output=True,
        cwd=tmp_path,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    loaded_from, found = done.stdout.splitlines()[-2:]
    assert loaded_from.endswith("/code/detector/__init__.py")
    assert json.loads(found) == [wire(model.detect_table(later))] * 2


def test_a_logged_model_is_its_code_and_its_weights_without_a_pickle(
    logged: tuple[Path, registry.RegisteredVersion, str],
) -> None:
    folder, version, _ = logged
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    kept = Path(mlflow.artifacts.download_artifacts(version.model_uri))
    files = {str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()}
    assert {"artifacts/model/weights.pt", "artifacts/model/model.json", "model.py"} <= files
    assert "input_example.json" in files
    assert not [name for name in files if name.endswith(".pkl")]
    requirements = (kept / "requirements.txt").read_text().split()
    assert any(line.startswith("torch==") for line in requirements)
    assert all("==" in line and "+" not in line for line in requirements)


def test_params_choose_the_rows_and_cut_the_contributors(model: MultivariateModel) -> None:
    rows = plant(200).reset_index(names="timestamp")
    params = {
        "startTime": "2026-01-01T01:00:00Z",
        "endTime": "2026-01-01T02:00:00Z",
        "topContributorCount": 1,
    }
    found = MultivariateAnomalyDetector(model).predict(None, rows, params)
    assert [one["timestamp"] for one in found] == list(minutes(61, "2026-01-01T01:00"))
    assert {len(one["result"]["interpretation"]) for one in found} == {0, 1}


def test_results_have_the_documented_keys(model: MultivariateModel) -> None:
    rows = plant(200).reset_index(names="timestamp")
    found = MultivariateAnomalyDetector(model).predict(None, rows)
    keys = ["is_anomaly", "severity", "score", "interpretation", "error"]
    assert all(list(one["result"]) == keys for one in found)
    assert found[0]["result"]["error"]["code"] == "InsufficientHistoricalData"
    anomaly = next(one["result"] for one in found if one["result"]["is_anomaly"])
    assert anomaly["error"] is None
    assert list(anomaly["interpretation"][0]) == [
        "variable",
        "contribution_score",
        "changed_variables",
    ]


def test_rows_without_timestamps_are_refused(model: MultivariateModel) -> None:
    with refused("FileColumnsNotExist"):
        MultivariateAnomalyDetector(model).predict(None, plant(200))


def test_a_picture_of_many_variables_shows_those_that_contribute_most() -> None:
    names = [f"v{number:02}" for number in range(20)]
    frame = pd.DataFrame(0.0, index=minutes(5), columns=names)
    result = pd.DataFrame(
        {
            "timestamp": frame.index,
            "is_anomaly": [False, False, True, False, False],
            "severity": [0.0, 0.0, 0.4, 0.0, 0.0],
            "top": [None, None, "v19", None, None],
        }
    )
    labels = [axes.get_ylabel() for axes in plot.multivariate(frame, result, title="many").axes]
    assert len(labels) == 13
    assert {"v19", "severity"} <= set(labels)


def test_fit_is_a_training_on_the_aligned_frame(later: Table) -> None:
    options = TrainingOptions(sliding_window=WINDOW, epochs=2)
    model = train(align(plant(400), sliding_window=WINDOW), options)
    fitted = MultivariateModel.fit(plant(400), sliding_window=WINDOW, epochs=2)
    assert fitted.options == options
    assert fitted.detect_table(later) == model.detect_table(later)


def test_fit_keeps_its_options() -> None:
    epochs: list[Epoch] = []
    frame = plant(100)
    fitted = MultivariateModel.fit(
        frame,
        sliding_window=WINDOW,
        align_mode="Inner",
        fill_method="Fixed",
        padding_value=7.5,
        epochs=2,
        seed=3,
        start=frame.index[10],
        end=frame.index[79],
        on_epoch=epochs.append,
    )
    policy = AlignPolicy("Inner", "Fixed", 7.5)
    assert fitted.options == TrainingOptions(WINDOW, align=policy, epochs=2, seed=3)
    assert len(epochs) == 2
    with pytest.raises(Stopped):
        MultivariateModel.fit(frame, sliding_window=WINDOW, stop=lambda: True)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("sliding_window", {"sliding_window": 27}),
        ("align_mode", {"align_mode": "outer"}),
        ("fill_method", {"fill_method": "linear"}),
        ("padding_value", {"fill_method": "Fixed"}),
        ("epochs", {"epochs": 0}),
        ("start", {"start": "never"}),
        ("end", {"end": "never"}),
    ],
)
def test_message_names_an_option_as_python_does(name: str, arguments: Any) -> None:
    with pytest.raises(DetectionError, match=f"[Tt]he '{name}' field"):
        MultivariateModel.fit(plant(100), **arguments)


@pytest.mark.parametrize(
    ("says", "arguments"),
    [
        ("'slidingWindow'", lambda: TrainingOptions(27, names=NAMES)),
        ("'alignMode'", lambda: AlignPolicy("outer", names=NAMES)),
        ("'fillNAMethod'", lambda: AlignPolicy(fill="linear", names=NAMES)),
        ("'paddingValue'", lambda: AlignPolicy(fill="Fixed", names=NAMES)),
        (
            "'startTime'",
            lambda: align(plant(40), start="never", sliding_window=WINDOW, names=NAMES),
        ),
    ],
)
def test_message_names_an_option_as_the_wire_does(says: str, arguments: Any) -> None:
    with pytest.raises(DetectionError, match=says):
        arguments()


def test_time_without_data_is_named_as_it_was_given() -> None:
    frame = plant(40)
    with pytest.raises(DetectionError, match="no data between start '2030-01-01': it goes from"):
        align(frame, start="2030-01-01", sliding_window=WINDOW)
    with pytest.raises(DetectionError, match="no data between startTime '2030-01-01': it goes"):
        align(frame, start="2030-01-01", sliding_window=WINDOW, names=NAMES)


def test_detect_scores_the_rows_asked_for(model: MultivariateModel) -> None:
    frame = plant(200)
    found = model.detect(frame, start=frame.index[100], end="2026-01-01T02:29:00Z")
    assert list(pd.DatetimeIndex(found.timestamps)) == list(frame.index[100:150])
    assert len(found) == len(found.states) == 50
    assert [state.timestamp for state in found] == list(frame.index[100:150])


def test_detection_is_arrays_a_table_and_a_picture(model: MultivariateModel) -> None:
    frame = plant(700).iloc[400:]
    frame.iloc[200:210, 1] += 4
    found = model.detect(frame, start=frame.index[100], top_contributors=2)
    assert found.is_anomaly[100]
    assert found.severity.tolist() == [state.severity for state in found]
    assert found.score.tolist() == [state.score for state in found]
    table = found.to_frame()
    assert table["timestamp"].tolist() == list(frame.index[100:])
    assert table["is_anomaly"].tolist() == found.is_anomaly.tolist()
    assert table["top"][100] == "b"
    assert next(iter(table["contributors"][100])) == "b"
    assert len(table["contributors"][100]) == 2
    assert set(table["error"]) == {None}
    labels = [axes.get_ylabel() for axes in found.plot(title="A plant").axes]
    assert labels == [*VARIABLES, "severity"]


def test_detection_says_which_rows_could_not_be_scored(model: MultivariateModel) -> None:
    table = model.detect(plant(40)).to_frame()
    assert table["error"].tolist() == ["InsufficientHistoricalData"] * (WINDOW - 1) + [None] * 13


@pytest.mark.parametrize("write", [lambda day: day, lambda day: f"{day.isoformat()}Z"])
def test_timestamps_may_be_a_column(model: MultivariateModel, write: Any) -> None:
    frame = plant(60)
    rows = frame.reset_index(names="timestamp")
    rows["timestamp"] = rows["timestamp"].map(write)
    assert model.detect(rows) == model.detect(frame)


@pytest.mark.parametrize(
    ("code", "frame"),
    [
        ("FileColumnsNotExist", plant(60).reset_index(drop=True)),
        ("InvalidTimestampFormat", plant(60).reset_index(drop=True).assign(timestamp="soon")),
        ("InvalidTimestampFormat", plant(60).reset_index(drop=True).assign(timestamp=7)),
    ],
)
def test_frame_without_dates_is_refused(
    model: MultivariateModel, code: str, frame: pd.DataFrame
) -> None:
    with refused(code):
        model.detect(frame)


def test_a_saved_model_has_the_options_that_every_version_knows(
    later: Table, tmp_path: Path
) -> None:
    names = {"mode": "alignMode"}
    options = TrainingOptions(
        sliding_window=WINDOW, epochs=1, align=AlignPolicy(names=names), names=names
    )
    train(later, options).save(tmp_path)
    saved = json.loads((tmp_path / "model.json").read_text())["options"]
    assert set(saved) == {"sliding_window", "align", "epochs", "seed", "device"}
    assert set(saved["align"]) == {"mode", "fill", "padding_value"}


@pytest.mark.parametrize("word", ["now", "today", "10:00"])
def test_a_word_for_this_day_is_no_moment(word: str) -> None:
    minutes = pd.date_range("2026-01-01", periods=40, freq="min")
    frame = pd.DataFrame({"a": np.arange(40.0)}, index=minutes)
    with pytest.raises(DetectionError, match="InvalidTimestampFormat"):
        align(frame, start=word, sliding_window=28)
    with pytest.raises(DetectionError, match="InvalidTimestampFormat"):
        by_time(pd.DataFrame({"timestamp": [word] * 40, "a": np.arange(40.0)}))
