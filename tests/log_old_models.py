"""Log a model of each kind with an older version of the package, and record its answers.

    git worktree add ../older f37a8c8
    .venv/bin/python tests/log_old_models.py ../older tests/recorded/logged-models-f37a8c8.tar.xz

f37a8c8 is the last commit with all modules in one folder. The archive it writes holds what MLflow
keeps of them: its SQLite store as SQL, and the files of the models. Where they lay is written as
``{folder}``. The weights of the network are rounded before it answers, so that they take less room.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

MONTHLY = {"granularity": "monthly", "maxAnomalyRatio": 0.25, "sensitivity": 95}
ROWS, WINDOW = 160, 28
_TEXTS = (".sql", "MLmodel")


def series() -> pd.DataFrame:
    """Return 20 month ends, all 1 but the last, which is 0."""
    months = pd.date_range("1962-01-31", periods=20, freq="ME")
    return pd.DataFrame({"timestamp": months, "value": [1.0] * 19 + [0.0]})


def variables() -> pd.DataFrame:
    """Return three variables that go together by the minute, but for one row near the end."""
    noise = np.random.default_rng(7)
    wave = np.sin(np.arange(ROWS) / 5)[:, None] + noise.normal(0, 0.05, (ROWS, 3))
    wave[150, 1] += 4
    minutes = pd.date_range("2026-01-01", periods=ROWS, freq="min", name="timestamp")
    return pd.DataFrame(wave.round(4), columns=list("abc"), index=minutes)


def rounded(weights: torch.Tensor) -> torch.Tensor:
    """Return weights of which four bits of the mantissa are left; what counts stays as it is."""
    if weights.dtype != torch.float32:
        return weights
    return ((weights.view(torch.int32) + (1 << 18)) >> 19 << 19).view(torch.float32)


def log_models(checkout: Path) -> dict[str, Any]:
    """Log both models to a store in the current folder; return their answers and ids."""
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "LOGNAME": "recorder"}
    import mlflow

    sys.path.insert(0, str(checkout / "app"))
    sys.dont_write_bytecode = True
    from detector import EntireAnomalyDetector, registry, runs, work  # type: ignore[attr-defined]
    from detector.multivariate import TrainingOptions  # type: ignore[attr-defined]

    registry.connect()
    with mlflow.start_run():
        registry.log(
            EntireAnomalyDetector(),
            name="univariate",
            registered_as="univariate",
            alias="champion",
            example=series(),
            params=MONTHLY,
        )
    frame = variables()
    options = TrainingOptions(sliding_window=WINDOW, epochs=2)
    asked = work.info_of("pump.csv", frame.index[0], frame.index[-1], options, name="pump")
    model_id = runs.create_model(asked, queued=False).model_id
    work.train_model(model_id, frame, options, registered_as="multivariate", alias="champion")
    for path in Path("mlruns").rglob("weights.pt"):
        torch.save({name: rounded(each) for name, each in torch.load(path).items()}, path)
    rows = frame.reset_index()
    return {
        "model_id": model_id,
        "asked": asked,
        "univariate": registry.load("univariate", "champion").predict(series()),
        "multivariate": registry.load("multivariate", "champion").predict(rows),
    }


def main() -> None:
    checkout, target = (Path(argument).resolve() for argument in sys.argv[1:3])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        os.chdir(folder)
        # MLflow writes down where a model lay before it was logged.
        (folder / "tmp").mkdir()
        tempfile.tempdir = str(folder / "tmp")
        answers = log_models(checkout)
        (folder / "answers.json").write_text(json.dumps(answers, default=str), encoding="utf-8")
        with closing(sqlite3.connect("mlflow.db")) as store:
            (folder / "mlflow.sql").write_text("\n".join(store.iterdump()), encoding="utf-8")
        (folder / "mlflow.db").unlink()
        for path in folder.rglob("*"):
            if path.name.endswith(_TEXTS):
                text = path.read_text(encoding="utf-8").replace(str(folder), "{folder}")
                path.write_text(text, encoding="utf-8")
        with tarfile.open(target, "w:xz", preset=9) as archive:
            for path in sorted(folder.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    archive.add(path, path.relative_to(folder), filter=_anonymous)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    main()
