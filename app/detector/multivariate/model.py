"""A model of many variables together: how it is trained, and how it detects."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from detector.arrays import Floats, Singles
from detector.errors import DetectionError, listed
from detector.multivariate.alignment import AlignPolicy, Moment, Table, align, by_time
from detector.multivariate.options import (
    DEFAULT_WINDOW,
    MAX_WINDOW,
    MIN_WINDOW,
    TrainingOptions,
)
from detector.multivariate.results import (
    AnomalyState,
    Contributor,
    Epoch,
    MultivariateDetection,
)

if TYPE_CHECKING:
    from typing import Self

    from detector.multivariate.network.scoring import Network, Scores

__all__ = [
    "DEFAULT_WINDOW",
    "MAX_WINDOW",
    "MIN_WINDOW",
    "AnomalyState",
    "Contributor",
    "Epoch",
    "MultivariateDetection",
    "MultivariateModel",
    "TrainingOptions",
    "train",
]


def train(
    table: Table,
    options: TrainingOptions,
    *,
    on_epoch: Callable[[Epoch], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> MultivariateModel:
    """Train a model on the rows of a table, those looked back on among them.

    Parameters
    ----------
    table : Table
        More rows than one sliding window.
    options : TrainingOptions
    on_epoch : callable, optional
        Called with each `Epoch` when it is over.
    stop : callable, optional
        Asked several times an epoch whether to give up.

    Raises
    ------
    DetectionError
        ``NotEnoughInput``; ``BadArgument`` for a device that is not there.
    Stopped
        If `stop` said so.
    """
    from detector.multivariate.network import training

    rows = len(table.values)
    if rows <= options.sliding_window:
        raise DetectionError(
            "NotEnoughInput",
            f"Not enough data. The length of data is {rows}, but the minimum length should be "
            f"larger than sliding window, which is {options.sliding_window}.",
        )
    _check_device(options.device)

    def report(number: int, train_loss: float, validation_loss: float, seconds: float) -> None:
        if on_epoch is not None:
            on_epoch(Epoch(number, train_loss, validation_loss, seconds))

    trained = training.fit(
        table.values,
        sliding_window=options.sliding_window,
        epochs=options.epochs,
        seed=options.seed,
        device=options.device,
        on_epoch=report,
        stop=stop or (lambda: False),
    )
    return MultivariateModel(table.variables, options, trained)


class MultivariateModel:
    """A trained model. It never changes, and any number of threads may detect with it.

    Attributes
    ----------
    variables : tuple of str
        Those it was trained on, sorted; later data must have the same.
    options : TrainingOptions

    Notes
    -----
    The network is that of ``time-series-anomaly-detector``, the package that ran Azure's
    `Multivariate Anomaly Detector <https://learn.microsoft.com/rest/api/anomalydetector/>`_, after
    H. Zhao et al., "Multivariate Time-series Anomaly Detection via Graph Attention Network", IEEE
    ICDM 2020.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from detector import MultivariateModel
    >>> minutes = pd.date_range("2026-01-01", periods=200, freq="min")
    >>> swing = np.sin(np.arange(200) / 5)
    >>> frame = pd.DataFrame({"flow": swing, "pressure": 3 - swing}, index=minutes)
    >>> model = MultivariateModel.fit(frame, sliding_window=28, epochs=2, end="2026-01-01T02:29:00")
    >>> model.variables
    ('flow', 'pressure')
    >>> found = model.detect(frame, start="2026-01-01T02:30:00")
    >>> found.score.shape, found.to_frame()["timestamp"].iloc[0]
    ((50,), Timestamp('2026-01-01 02:30:00'))
    """

    def __init__(
        self, variables: tuple[str, ...], options: TrainingOptions, network: Network
    ) -> None:
        self.variables = variables
        self.options = options
        self._network = network

    @staticmethod
    def fit(
        frame: pd.DataFrame,
        *,
        sliding_window: int = DEFAULT_WINDOW,
        align_mode: str = "Outer",
        fill_method: str = "Linear",
        padding_value: float | None = None,
        epochs: int = 100,
        seed: int = 42,
        device: str = "cpu",
        start: Moment = None,
        end: Moment = None,
        on_epoch: Callable[[Epoch], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> MultivariateModel:
        """Train a model on variables as they usually are together.

        Parameters
        ----------
        frame : DataFrame, shape (n, d)
            A column for each of at most 301 variables, NaN where it has no value; dates as its
            index, or in a column ``timestamp``, in any order, UTC where they name no zone. More
            rows than one sliding window, at most 1,000,000. It is not changed.
        sliding_window : int
            28 to 2880: on how many rows, itself among them, the score of a row rests.
        align_mode, fill_method : str
            How variables that were not read at the same times are brought together, in `detect`
            too: ``Outer`` for every timestamp of any variable or ``Inner`` for those that all
            share; gaps filled by ``Linear``, ``Previous``, ``Subsequent``, ``Zero`` or ``Fixed``.
        padding_value : float, optional
            What ``Fixed`` fills gaps with.
        epochs : int
            How often the training goes through its rows, at least 1.
        seed : int
            The same rows, options, seed and machine give the same model.
        device : str
            ``cpu`` or ``cuda``.
        start, end : Timestamp or str, optional
            The first and the last moment to train on, all of the frame by default.
        on_epoch : callable, optional
            Called with each `Epoch` when it is over.
        stop : callable, optional
            Asked several times an epoch whether to give up.

        Raises
        ------
        DetectionError
            For an option or data that is not valid, with the code the service answered:
            ``InvalidSlidingWindow``, ``NotEnoughInput``, ``VariableParseError``, ...
        Stopped
            If `stop` said so.
        """
        options = TrainingOptions(
            sliding_window=sliding_window,
            align=AlignPolicy(align_mode, fill_method, padding_value, names=_FIT_NAMES),
            epochs=epochs,
            seed=seed,
            device=device,
        )
        table = align(
            by_time(frame),
            start=start,
            end=end,
            sliding_window=sliding_window,
            policy=options.align,
        )
        return train(table, options, on_epoch=on_epoch, stop=stop)

    def detect(
        self,
        frame: pd.DataFrame,
        *,
        start: Moment = None,
        end: Moment = None,
        top_contributors: int = 10,
    ) -> MultivariateDetection:
        """Detect the anomalies among the rows of a frame.

        Parameters
        ----------
        frame : DataFrame, shape (n, d)
            As for `fit`, with the variables that the model was trained on.
        start, end : Timestamp or str, optional
            The first and the last moment to score, all of the frame by default. The rows before
            are looked back on, as many as the sliding window less one.
        top_contributors : int
            At most this many contributors are named for an anomaly.

        Raises
        ------
        DetectionError
            For data that is not valid, with the code the service answered: ``ColumnNotFound``,
            ``NumColumnsMismatch``, ``NoData``, ``NotEnoughInput``, ...
        """
        table = align(
            by_time(frame),
            start=start,
            end=end,
            sliding_window=self.options.sliding_window,
            policy=self.options.align,
        )
        states = self.detect_table(table, top_contributors=top_contributors)
        return MultivariateDetection(tuple(states), table)

    def detect_table(
        self, table: Table, *, top_contributors: int = 10, stop: Callable[[], bool] | None = None
    ) -> list[AnomalyState]:
        """Detect the anomalies among the rows of a table that was aligned for this model.

        Parameters
        ----------
        table : Table
            Of the variables the model was trained on.
        top_contributors : int
            At most this many contributors are named for an anomaly.
        stop : callable, optional
            Called after every block of rows; the detection ends when it returns True.

        Returns
        -------
        list of AnomalyState
            One for each row but those that are only looked back on.

        Raises
        ------
        DetectionError
            ``ColumnNotFound`` or ``NumColumnsMismatch``, for other variables.
        Stopped
            If `stop` asked for it.
        """
        from detector.multivariate.network import scoring

        self.check_variables(table.variables)
        # The first row with all the history that its score rests on.
        first = self._network.input_size + self._network.threshold_window - 1
        early = range(table.lead, min(first, len(table.values)))
        anomaly_states = [self._too_early(table, row, first) for row in early]
        begin = max(first, table.lead)
        if begin < len(table.values):
            scores = scoring.score(
                self._network,
                table.values[begin - first :],
                device=self.options.device,
                stop=stop,
            )
            times = pd.DatetimeIndex(table.timestamps[begin:])
            anomaly_states.extend(_anomaly_states(times, self.variables, scores, top_contributors))
        return anomaly_states

    def check_variables(self, given: Collection[str]) -> None:
        """Refuse variables other than those that the model was trained on.

        Raises
        ------
        DetectionError
            ``ColumnNotFound`` or ``NumColumnsMismatch``.
        """
        missing = sorted(set(self.variables) - set(given))
        if missing:
            raise DetectionError(
                "ColumnNotFound",
                f"The data lacks {listed(missing)}, on which the model was trained.",
            )
        more = sorted(set(given) - set(self.variables))
        if more:
            raise DetectionError(
                "NumColumnsMismatch",
                f"The model was trained on {len(self.variables)} variables, and the data has "
                f"{len(given)}: the model does not know {listed(more)}.",
            )

    def _too_early(self, table: Table, row: int, needed: int) -> AnomalyState:
        message = (
            f"There are {row} rows before this one, and the model needs {needed}: its sliding "
            f"window is {self.options.sliding_window}."
        )
        return AnomalyState(
            timestamp=pd.Timestamp(table.timestamps[row]),
            is_anomaly=False,
            severity=0.0,
            score=0.0,
            error=("InsufficientHistoricalData", message),
        )

    def save(self, folder: Path) -> None:
        """Write the model to a folder: ``weights.pt``, tensors only, and ``model.json``."""
        import torch

        folder.mkdir(parents=True, exist_ok=True)
        network = self._network
        torch.save(network.state, folder / "weights.pt")
        content = {
            "format": _FORMAT,
            "variables": self.variables,
            "options": asdict(self.options),
            "dimensions": network.dimensions,
            "input_size": network.input_size,
            "threshold_window": network.threshold_window,
            "minimum": network.minimum.tolist(),
            "maximum": network.maximum.tolist(),
            "weights": network.weights.tolist(),
            "threshold": network.threshold,
            "score_min": network.score_min,
            "score_max": network.score_max,
        }
        text = json.dumps(content, indent=1, allow_nan=False)
        (folder / "model.json").write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Self:
        """Read a model that `save` wrote, to detect on `device`.

        Raises
        ------
        DetectionError
            ``BadArgument`` for a device that is not there.
        ValueError
            For a folder that a later version wrote.
        """
        import torch

        from detector.multivariate.network.scoring import Network

        _check_device(device)
        content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(
                f"'{folder}' holds a model of format {content['format']}; this version reads "
                f"format {_FORMAT}."
            )
        options: Mapping[str, Any] = content["options"]
        network = Network(
            state=torch.load(folder / "weights.pt", map_location="cpu", weights_only=True),
            dimensions=content["dimensions"],
            input_size=content["input_size"],
            threshold_window=content["threshold_window"],
            minimum=np.array(content["minimum"], dtype=np.float64),
            maximum=np.array(content["maximum"], dtype=np.float64),
            weights=np.array(content["weights"], dtype=np.float64),
            threshold=content["threshold"],
            score_min=content["score_min"],
            score_max=content["score_max"],
        )
        read = {**options, "align": AlignPolicy(**options["align"]), "device": device}
        return cls(tuple(content["variables"]), TrainingOptions(**read), network)


_FORMAT = 1
_MOST_CHANGED = 5
# What `fit` calls the fields of an align policy.
_FIT_NAMES = {"mode": "align_mode", "fill": "fill_method"}


def _anomaly_states(
    times: pd.DatetimeIndex, variables: tuple[str, ...], scores: Scores, top: int
) -> Iterator[AnomalyState]:
    anomalies = zip(scores.contributions, scores.attention_changes, strict=True)
    for timestamp, is_anomaly, score in zip(
        times, scores.is_anomaly.tolist(), scores.score.tolist(), strict=True
    ):
        if is_anomaly:
            contributors = _contributors(variables, *next(anomalies), top)
            yield AnomalyState(timestamp, True, score / (math.e - 1), score, contributors)
        else:
            yield AnomalyState(timestamp, False, 0.0, score)


def _contributors(
    variables: tuple[str, ...], parts: Floats, changes: Singles, top: int
) -> tuple[Contributor, ...]:
    # All variables heed the others alike but for a shift: what changed for one changed for all.
    # So the service named the same variables for each; those in the mean over all are taken.
    change = np.abs(changes.mean(axis=0))
    least = min(0.001, 1 / (1.25 * len(variables)))
    ranked = np.argsort(-change, kind="stable")[:_MOST_CHANGED].tolist()
    changed = [i for i in ranked if change[i] > least]
    names = tuple(variables[i] for i in changed)
    return tuple(
        Contributor(variables[i], float(parts[i]), names, tuple(changes[i, changed].tolist()))
        for i in np.argsort(-parts, kind="stable")[:top].tolist()
    )


def _check_device(device: str) -> None:
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise DetectionError(
                "BadArgument",
                "The 'device' field is 'cuda', and this machine has no GPU that torch can use: "
                "say 'cpu'.",
            )
