"""The one face of the package: what it offers, and that each of it says what it is and runs."""

import doctest
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import detector

APP = Path(__file__).parents[1] / "app"
FUNCTIONS = ["detect_change_points", "detect_entire", "detect_latest"]
RESULTS = ["ChangePoints", "Detection", "MultivariateDetection"]
MODELS = ["ChangePointDetector", "EntireAnomalyDetector", "LatestAnomalyDetector"]
OTHERS = [
    "AnomalyState",
    "Contributor",
    "DetectionError",
    "Epoch",
    "LatestDetection",
    "SensitivityCurve",
    "Stopped",
    "detect_many",
    "tune_sensitivity",
]
EXPORTED = {
    name: getattr(detector, name)
    for name in sorted(
        [*FUNCTIONS, *RESULTS, *MODELS, *OTHERS, "MultivariateAnomalyDetector", "MultivariateModel"]
    )
}


def documentation(thing: Any) -> str:
    return inspect.getdoc(thing) or ""


def test_face_is_this_list_and_no_more() -> None:
    assert detector.__all__ == list(EXPORTED)
    with pytest.raises(AttributeError, match="'Detector'"):
        detector.Detector  # noqa: B018


@pytest.mark.parametrize("name", ["detector", *EXPORTED])
def test_example_in_the_documentation_runs(name: str) -> None:
    (example,) = doctest.DocTestFinder(recurse=False).find(EXPORTED.get(name, detector), name)
    assert example.examples
    said: list[str] = []
    doctest.DocTestRunner().run(example, out=said.append)
    assert not said, "".join(said)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_says_shapes_units_errors_and_source(name: str) -> None:
    said = documentation(EXPORTED[name])
    for part in ("Parameters", "Returns", "Raises", "Notes", "Examples"):
        assert f"{part}\n{'-' * len(part)}" in said
    assert "shape ``(n,)``" in said
    assert "DetectionError" in said
    assert "https://learn.microsoft.com/" in said
    for option in inspect.signature(EXPORTED[name]).parameters:
        assert option in said


@pytest.mark.parametrize("name", RESULTS)
def test_result_says_its_shapes_and_shows_itself(name: str) -> None:
    result = EXPORTED[name]
    assert "the shape ``(n,)``" in documentation(result)
    for field in result.__dataclass_fields__:
        assert field in documentation(result)
    assert documentation(result.to_frame)
    assert documentation(result.plot)


@pytest.mark.parametrize(
    "name", ["AnomalyState", "Contributor", "Epoch", "LatestDetection", "SensitivityCurve"]
)
def test_record_says_each_of_its_fields(name: str) -> None:
    for field in EXPORTED[name].__dataclass_fields__:
        assert field in documentation(EXPORTED[name])


@pytest.mark.parametrize(
    "method",
    [
        *(EXPORTED[name].predict for name in (*MODELS, "MultivariateAnomalyDetector")),
        *(EXPORTED[name].detect for name in MODELS),
        EXPORTED["MultivariateModel"].fit,
        EXPORTED["MultivariateModel"].detect,
    ],
    ids=lambda method: method.__qualname__,
)
def test_method_says_what_it_raises(method: Any) -> None:
    assert "Raises\n------\nDetectionError" in documentation(method)


def test_multivariate_model_says_its_source() -> None:
    assert "IEEE" in documentation(EXPORTED["MultivariateModel"])
    assert "shape (n, d)" in documentation(EXPORTED["MultivariateModel"].fit)


def test_detection_loads_neither_torch_nor_mlflow() -> None:
    program = (
        "import sys; from detector import detect_entire, MultivariateModel;"
        "detect_entire([float(i % 7) for i in range(40)]);"
        "print([name for name in ('torch', 'mlflow', 'statsmodels') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, cwd=APP, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def page_data(page: str) -> pd.DataFrame:
    times = pd.date_range("2026-01-01", periods=480, freq="30min")
    swing = np.sin(np.arange(480) / 9)
    if page == "multivariate.md":
        return pd.DataFrame({"flow": swing, "pressure": 3 - swing}, index=times)
    days = pd.date_range("2026-01-01", periods=480, freq="D")
    return pd.DataFrame({"timestamp": days, "value": np.arange(480.0) % 7})


@pytest.mark.parametrize("page", ["detection.md", "changepoint.md", "multivariate.md"])
def test_python_of_the_documentation_runs_and_uses_the_face_alone(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (APP.parent / "docs" / page).read_text()
    blocks = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    imports = [line for line in "".join(blocks).splitlines() if "import" in line]
    assert imports
    assert all(line.startswith("from detector import ") for line in imports)
    for block in blocks:
        # Those without an import show a model that is registered somewhere.
        if "from detector import" in block:
            exec(block, {"frame": page_data(page)})  # noqa: S102 - our own pages
    assert [file.suffix for file in tmp_path.iterdir()] == [".png"]
