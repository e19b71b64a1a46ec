"""A model of many variables together: how it is trained, and how it detects.

>>> table = align(frame, start="2026-01-01", end="2026-01-07", sliding_window=200)
>>> model = train(table, TrainingOptions(sliding_window=200))
>>> model.detect(align(later, start="2026-01-08", end="2026-01-09", sliding_window=200))
"""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from detector.arrays import Floats
from detector.errors import DetectionError, listed, shown
from detector.multivariate.alignment import AlignPolicy, Table

if TYPE_CHECKING:
    from typing_extensions import Self

    from detector.multivariate.network.graph_attention import Network, Scores


MIN_WINDOW, MAX_WINDOW, DEFAULT_WINDOW = 28, 2880, 300


@dataclass(frozen=True)
class TrainingOptions:
    """How a model is trained.

    Attributes
    ----------
    sliding_window : int
        28 to 2880: on how many rows, itself among them, the score of a row rests.
    align : AlignPolicy
        Kept with the model, as later data must be aligned alike.
    epochs : int
        How often the training goes through its rows, at least 1.
    seed : int
        0 or more. The same rows, options and machine give the same model.
    device : str
        ``cpu`` or ``cuda``.

    Raises
    ------
    DetectionError
        ``InvalidSlidingWindow``, and ``BadArgument`` for the others.
    """

    sliding_window: int = DEFAULT_WINDOW
    align: AlignPolicy = field(default_factory=AlignPolicy)
    epochs: int = 100
    seed: int = 42
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not _is_integer(self.sliding_window, MIN_WINDOW, MAX_WINDOW):
            raise DetectionError(
                "InvalidSlidingWindow",
                f"The 'slidingWindow' field must be an integer between {MIN_WINDOW} and "
                f"{MAX_WINDOW}; {shown(self.sliding_window)} was given.",
            )
        for name, lowest, highest in (("epochs", 1, 10_000), ("seed", 0, 2**32 - 1)):
            if not _is_integer(getattr(self, name), lowest, highest):
                raise DetectionError(
                    "BadArgument",
                    f"The '{name}' field must be an integer between {lowest} and {highest}; "
                    f"{shown(getattr(self, name))} was given.",
                )
        if self.device not in ("cpu", "cuda"):
            raise DetectionError(
                "BadArgument",
                f"The 'device' field must be 'cpu' or 'cuda'; {shown(self.device)} was given.",
            )


@dataclass(frozen=True)
class Epoch:
    """One pass of a training through its rows.

    Attributes
    ----------
    number : int
        From 1.
    train_loss, validation_loss : float
        A row's squared error of forecast and reconstruction, and the divergence of the latter's
        distribution, summed over the variables; 0.0 where the rows are too few for any validation.
    seconds : float
    """

    number: int
    train_loss: float
    validation_loss: float
    seconds: float


@dataclass(frozen=True)
class Contributor:
    """What one variable has to do with an anomaly.

    Attributes
    ----------
    variable : str
    score : float
        Its part in the score of the row; those of all variables sum to 1.
    changed_variables : tuple of str
        At most 5 variables whose weight for the others is not what it was in the rows before, the
        most changed first; the same for every contributor of one anomaly.
    changed_values : tuple of float
        By how much the weight of each of them for this variable has changed.
    """

    variable: str
    score: float
    changed_variables: tuple[str, ...]
    changed_values: tuple[float, ...]


@dataclass(frozen=True)
class AnomalyState:
    """What was found at one timestamp.

    Attributes
    ----------
    timestamp : Timestamp
        UTC.
    is_anomaly : bool
    severity : float
        0 to 1: `score` / (e - 1) of an anomaly, else 0.
    score : float
        How far the variables are from what the rows before let expect, 0 to e - 1.
    contributors : tuple of Contributor
        Of an anomaly: the variables by their part in it, the largest first.
    error : tuple of two str, optional
        Code and message, where the row could not be scored.
    """

    timestamp: pd.Timestamp
    is_anomaly: bool
    severity: float
    score: float
    contributors: tuple[Contributor, ...] = ()
    error: tuple[str, str] | None = None


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
    from detector.multivariate.network import graph_attention

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

    trained = graph_attention.fit(
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
    """

    def __init__(
        self, variables: tuple[str, ...], options: TrainingOptions, network: Network
    ) -> None:
        self.variables = variables
        self.options = options
        self._network = network

    def detect(self, table: Table, *, top_contributors: int = 10) -> list[AnomalyState]:
        """Detect the anomalies among the rows of a table.

        Parameters
        ----------
        table : Table
            Of the variables the model was trained on.
        top_contributors : int
            At most this many contributors are named for an anomaly.

        Returns
        -------
        list of AnomalyState
            One for each row but those that are only looked back on.

        Raises
        ------
        DetectionError
            ``ColumnNotFound`` or ``NumColumnsMismatch``, for other variables.
        """
        from detector.multivariate.network import graph_attention

        self._check_variables(table.variables)
        # The first row with all the history that its score rests on.
        first = self._network.input_size + self._network.threshold_window - 1
        early = range(table.lead, min(first, len(table.values)))
        anomaly_states = [self._too_early(table, row, first) for row in early]
        begin = max(first, table.lead)
        if begin < len(table.values):
            scores = graph_attention.judge(
                self._network, table.values[begin - first :], device=self.options.device
            )
            times = pd.DatetimeIndex(table.timestamps[begin:])
            anomaly_states.extend(_anomaly_states(times, self.variables, scores, top_contributors))
        return anomaly_states

    def _check_variables(self, given: tuple[str, ...]) -> None:
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

        from detector.multivariate.network.graph_attention import Network

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
    variables: tuple[str, ...], parts: Floats, changes: npt.NDArray[np.float32], top: int
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


def _is_integer(value: object, lowest: int, highest: int) -> bool:
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return is_integer and lowest <= int(value) <= highest  # type: ignore[call-overload]
