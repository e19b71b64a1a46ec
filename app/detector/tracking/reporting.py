"""What a run shows of a detection: its data, figures, table, pictures and a description.

Everything is logged to the active run.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient

from detector.arrays import Floats, Ints
from detector.multivariate.requests import redacted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NOTE = "mlflow.note.content"
_TEMPLATE = Path(__file__).with_name("picture.html")
# More than these are too many for a browser to draw: of more rows every nth is, and each anomaly.
_MOST_PANELS, _MOST_ROWS = 12, 20_000


@dataclass(frozen=True)
class Panel:
    """A curve of the interactive picture.

    Attributes
    ----------
    name : str
    values : ndarray of float64, shape (n,)
        NaN where there is none.
    marks : ndarray of int64
        The rows of its anomalies.
    lower, upper : ndarray of float64, shape (n,), optional
        The band in which it was expected.
    """

    name: str
    values: Floats
    marks: Ints
    lower: Floats | None = None
    upper: Floats | None = None


def log_data(frame: pd.DataFrame, *, source: str | None, name: str, context: str) -> None:
    """Log the data of a training or detection as a dataset, with its source, schema and digest.

    Parameters
    ----------
    frame : DataFrame
        The timestamps are a column.
    source : str, optional
        A path or an address, kept without what grants access; by default, and for a DataFrame of
        Spark (``spark:...``), the program that made it.
    name : str
    context : str
        ``training`` or ``detection``.
    """
    with warnings.catch_warnings():
        # A path is "interpreted in multiple ways", which are all the same.
        warnings.filterwarnings("ignore", "The specified dataset source can be interpreted")
        has_address = source and not source.startswith("spark:")
        shown = redacted(source) if source and has_address else None
        dataset = mlflow.data.from_pandas(frame, source=shown, name=name)  # type: ignore[attr-defined]
    mlflow.log_input(dataset, context=context)


def add_note(text: str) -> None:
    """Add a paragraph to the description of the active run."""
    run = mlflow.active_run()
    before = MlflowClient().get_run(run.info.run_id).data.tags.get(_NOTE) if run else None
    mlflow.set_tag(_NOTE, f"{before}\n\n{text}" if before else text)


def log_univariate(
    result: pd.DataFrame,
    *,
    title: str,
    source: str | None,
    seconds: float,
    picture: Figure,
) -> None:
    """Log a detection in one series.

    Parameters
    ----------
    result : DataFrame
        One row for each point, as `detector.plot.univariate` takes it, with ``period``.
    title : str
        What the series is.
    source : str, optional
        The file that it was read from.
    seconds : float
        What the detection took.
    picture : Figure
    """
    log_data(result[["timestamp", "value"]], source=source, name=title, context="detection")
    flags = result["is_anomaly"].to_numpy()
    period = int(result["period"].iloc[0])
    expected = result["expected_value"].to_numpy()
    panel = Panel(
        name="value",
        values=result["value"].to_numpy(),
        marks=np.flatnonzero(flags),
        lower=expected - result["lower_margin"].to_numpy(),
        upper=expected + result["upper_margin"].to_numpy(),
    )
    figures = {"points": len(result), "anomalies": int(flags.sum()), "period": period}
    season = f"the period is {period}" if period else "there is no season"
    found = f"{title}: {figures['anomalies']} of {len(result)} points are anomalies; {season}."
    _log(result, title, found, figures | {"seconds": seconds}, picture, [panel])


def log_multivariate(
    frame: pd.DataFrame,
    result: pd.DataFrame,
    *,
    title: str,
    source: str | None,
    seconds: float,
    picture: Figure,
) -> None:
    """Log a detection in many variables.

    Parameters
    ----------
    frame : DataFrame
        One column for each variable; the index is the timestamps, those of `result` among them.
    result : DataFrame
        One row for each timestamp scored, as `detector.plot.multivariate` takes it.
    title, source, seconds, picture
        As in `log_univariate`.
    """
    rows = frame.reindex(pd.DatetimeIndex(result["timestamp"]))
    log_data(rows.reset_index(names="timestamp"), source=source, name=title, context="detection")
    anomalies = result[result["is_anomaly"]]
    blamed = anomalies["top"].value_counts()
    order = sorted(frame.columns, key=lambda name: -int(blamed.get(name, 0)))
    top = result["top"].to_numpy()
    panels = [
        Panel(name, rows[name].to_numpy(np.float64), np.flatnonzero(top == name))
        for name in order[:_MOST_PANELS]
    ]
    figures = {"rows": len(rows), "variables": frame.shape[1], "anomalies": len(anomalies)}
    found = f"{title}: {len(anomalies)} of {len(rows)} rows of {frame.shape[1]} variables are "
    found += "anomalies."
    if len(anomalies):
        found += f" {blamed.index[0]} contributes most to {blamed.iloc[0]} of them."
    _log(result, title, found, figures | {"seconds": seconds}, picture, panels)


def _log(
    result: pd.DataFrame,
    title: str,
    found: str,
    figures: Mapping[str, float],
    picture: Figure,
    panels: Sequence[Panel],
) -> None:
    add_note(
        f"{found}\n\nIn the artifacts: `result.html` is a picture to zoom into, `result.png` one "
        "to show, and `result.json` the table of every timestamp."
    )
    mlflow.log_metrics(dict(figures))
    times = result["timestamp"].astype(str)
    mlflow.log_table(result.assign(timestamp=times), "result.json")
    mlflow.log_figure(picture, "result.png")
    mlflow.log_text(render(title, times.tolist(), panels), "result.html")


def render(title: str, times: Sequence[str], panels: Sequence[Panel]) -> str:
    """Return a page with a picture that can be zoomed into; it needs nothing but a browser.

    Parameters
    ----------
    title : str
    times : sequence of str
        Of the rows, which all panels have in common.
    panels : sequence of Panel
        Drawn one above the other.
    """
    rows = _drawn(len(times), panels)
    content = {
        "title": title,
        "times": [times[row] for row in rows.tolist()],
        "panels": [_thinned(panel, rows) for panel in panels],
    }
    # In a page, "</script>" within a name would end the data.
    data = json.dumps(content, allow_nan=False).replace("<", "\\u003c")
    return _TEMPLATE.read_text(encoding="utf-8").replace("{{data}}", data)


def _drawn(count: int, panels: Sequence[Panel]) -> Ints:
    every = np.arange(0, count, -(-count // _MOST_ROWS) or 1)
    rows: Ints = np.unique(np.concatenate([every, *(panel.marks for panel in panels)]))
    return rows


def _thinned(panel: Panel, rows: Ints) -> dict[str, object]:
    drawn = asdict(panel) | {"marks": np.searchsorted(rows, panel.marks).tolist()}
    for name in ("values", "lower", "upper"):
        if drawn[name] is not None:
            values = drawn[name][rows].tolist()
            drawn[name] = [value if np.isfinite(value) else None for value in values]
    return drawn
