"""Anomalies of many variables together: align them, train on them, judge them.

>>> table = align(frame, start="2026-01-01", end="2026-01-07", sliding_window=200)
>>> model = train(table, TrainingOptions(sliding_window=200))
>>> model.judge(align(later, start="2026-01-08", end="2026-01-09", sliding_window=200))
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

from detector.errors import DetectionError, Stopped

if TYPE_CHECKING:
    from typing_extensions import Self

    from detector.network.scoring import Network, Scores

__all__ = [
    "ALIGN_MODES",
    "DEFAULT_WINDOW",
    "FILL_METHODS",
    "MAX_WINDOW",
    "MIN_WINDOW",
    "AlignPolicy",
    "Contributor",
    "Epoch",
    "Judgement",
    "MultivariateModel",
    "Stopped",
    "Table",
    "TrainingOptions",
    "VariableState",
    "align",
    "train",
]

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.datetime64]
Moment = pd.Timestamp | str | None

MIN_WINDOW, MAX_WINDOW, DEFAULT_WINDOW = 28, 2880, 300
ALIGN_MODES = ("Inner", "Outer")
FILL_METHODS = ("Previous", "Subsequent", "Linear", "Zero", "Fixed", "NotFill")
MOST_VARIABLES = 301
MOST_ROWS = 1_000_000
LARGEST_VALUE = 1e100


@dataclass(frozen=True)
class AlignPolicy:
    """How variables that were not read at the same times are brought together.

    Attributes
    ----------
    mode : str
        ``Outer`` for every timestamp of any variable, ``Inner`` for those that all share.
    fill : str
        How a gap is filled, with what is then still missing set to 0: ``Previous`` with the value
        before it, at the start the one after; ``Subsequent`` the other way round; ``Linear``
        evenly from the one before to the one after, whatever the time between them; ``Zero``;
        ``Fixed`` with `padding_value`. ``NotFill`` says that there is nothing to fill, which holds
        with ``Inner`` only.
    padding_value : float, optional
        Required with ``Fixed``, not looked at without.

    Raises
    ------
    DetectionError
        ``InvalidAlignMode``, ``InvalidFillNAMethod`` or ``RequiredPaddingValue``.
    """

    mode: str = "Outer"
    fill: str = "Linear"
    padding_value: float | None = None

    def __post_init__(self) -> None:
        if self.mode not in ALIGN_MODES:
            raise DetectionError(
                "InvalidAlignMode",
                "The 'alignMode' field must be one of the following: 'Inner' or 'Outer'; "
                f"{_shown(self.mode)} was given.",
            )
        if self.fill not in FILL_METHODS or (self.fill == "NotFill" and self.mode == "Outer"):
            methods = ", ".join(f"'{method}'" for method in FILL_METHODS)
            raise DetectionError(
                "InvalidFillNAMethod",
                f"The 'fillNAMethod' field must be one of the following: {methods}. It cannot be "
                f"'NotFill' when 'alignMode' is 'Outer'. {_shown(self.fill)} was given.",
            )
        if self.fill == "Fixed" and not _is_finite(self.padding_value):
            raise DetectionError(
                "RequiredPaddingValue",
                "The 'paddingValue' field is required in the request when 'fillNAMethod' is "
                f"'Fixed', and must be a finite number; {_shown(self.padding_value)} was given.",
            )


@dataclass(frozen=True)
class TrainingOptions:
    """How a model is trained.

    Attributes
    ----------
    sliding_window : int
        28 to 2880: on how many rows, itself among them, the judgement of a row rests.
    align : AlignPolicy
        Kept with the model, as what it judges must be aligned alike.
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
                f"{MAX_WINDOW}; {_shown(self.sliding_window)} was given.",
            )
        for name, lowest, highest in (("epochs", 1, 10_000), ("seed", 0, 2**32 - 1)):
            if not _is_integer(getattr(self, name), lowest, highest):
                raise DetectionError(
                    "BadArgument",
                    f"The '{name}' field must be an integer between {lowest} and {highest}; "
                    f"{_shown(getattr(self, name))} was given.",
                )
        if self.device not in ("cpu", "cuda"):
            raise DetectionError(
                "BadArgument",
                f"The 'device' field must be 'cpu' or 'cuda'; {_shown(self.device)} was given.",
            )


@dataclass(frozen=True)
class VariableState:
    """What one variable had to offer before its gaps were filled.

    Attributes
    ----------
    variable : str
    filled_na_ratio : float
        The part of the rows, look-back included, in which it had no value.
    effective_count : int
        In how many rows it had one.
    first_timestamp, last_timestamp : Timestamp
        UTC: of its first and last value; of the first and last row where it has no value at all.
    """

    variable: str
    filled_na_ratio: float
    effective_count: int
    first_timestamp: pd.Timestamp
    last_timestamp: pd.Timestamp


@dataclass(frozen=True)
class Table:
    """Variables side by side, with a value in every row.

    Attributes
    ----------
    timestamps : ndarray of datetime64[ns], shape (n,)
        UTC, ascending, none twice.
    variables : tuple of str
        Sorted.
    values : ndarray of float64, shape (n, d)
    states : tuple of VariableState
        The one with the most gaps first; by name where these are equal.
    lead : int
        How many rows lie before the time asked for: they are looked back on, and not judged.
    """

    timestamps: Times
    variables: tuple[str, ...]
    values: Floats
    states: tuple[VariableState, ...]
    lead: int


def align(
    frame: pd.DataFrame,
    *,
    start: Moment = None,
    end: Moment = None,
    sliding_window: int,
    policy: AlignPolicy | None = None,
) -> Table:
    """Bring the variables of a frame into one table without gaps.

    Parameters
    ----------
    frame : DataFrame
        One column for each variable, NaN where it has no value; its index the timestamps, in any
        order, UTC where they name no zone. It is not changed.
    start, end : Timestamp or str, optional
        The first and the last moment that matter, UTC where they name no zone. What lies outside
        the frame is cut to it; by default all of it.
    sliding_window : int
        One less than this many rows are kept before `start`, as far as the frame has them.
    policy : AlignPolicy, optional
        By default every timestamp, with gaps filled evenly.

    Raises
    ------
    DetectionError
        ``InvalidTimestampFormat``, ``MergeDataFailed`` (a timestamp twice), ``NoVariablesFound``,
        ``DuplicatedVariables``, ``DataExceedsLimit`` (more than 301 variables),
        ``VariableParseError`` (no number, or an infinite one), ``NoData``, ``TooManyData`` (more
        than 1,000,000 rows) or ``NotEnoughInput`` (fewer rows than the sliding window).
    """
    policy = policy or AlignPolicy()
    places = _places(frame)
    times = _times(frame)
    rows = np.argsort(times, kind="stable")
    if policy.mode == "Inner":
        rows = rows[frame.notna().all(axis=1).to_numpy()[rows]]
    rows, lead = _between(times, rows, start, end, sliding_window - 1)
    times = times[rows]
    if len(rows) > MOST_ROWS:
        raise DetectionError(
            "TooManyData",
            f"There are {len(rows)} timestamps between startTime and endTime, with the look-back "
            f"of one sliding window; at most {MOST_ROWS} are allowed. Shorten the time.",
        )
    if len(rows) < sliding_window:
        raise DetectionError(
            "NotEnoughInput",
            f"Not enough data. The length of data is {len(rows)}, but the minimum length should "
            f"be the sliding window, which is {sliding_window}.",
        )
    # Column by column, so that what is done to one never needs room for all.
    values = np.empty((len(rows), len(places)))
    states = []
    for column, (name, place) in enumerate(places.items()):
        read = _as_numbers(name, frame.iloc[:, place].iloc[rows], times)
        states.append(_state(name, read, times))
        values[:, column] = _filled(read, policy)
    return Table(
        timestamps=times,
        variables=tuple(places),
        values=values,
        states=tuple(sorted(states, key=lambda state: (-state.filled_na_ratio, state.variable))),
        lead=lead,
    )


def _places(frame: pd.DataFrame) -> dict[str, int]:
    """Return in which column each variable is, sorted by name."""
    names = [str(name) for name in frame.columns]
    if not names:
        raise DetectionError(
            "NoVariablesFound", "The data has no variables: it needs a column for each."
        )
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DetectionError(
            "DuplicatedVariables",
            f"Each variable may be there once only; {_listed(twice)} is there more often.",
        )
    if len(names) > MOST_VARIABLES:
        raise DetectionError(
            "DataExceedsLimit",
            f"The data has {len(names)} variables; at most {MOST_VARIABLES} are allowed.",
        )
    return {name: names.index(name) for name in sorted(names)}


def _times(frame: pd.DataFrame) -> Times:
    """Return the timestamps of the rows as UTC without a zone, none of them twice."""
    index = frame.index
    if not isinstance(index, pd.DatetimeIndex) or index.hasnans:
        kind = "one that is missing" if isinstance(index, pd.DatetimeIndex) else str(index.dtype)
        raise DetectionError(
            "InvalidTimestampFormat",
            f"Every row must have a date as its timestamp: the index of the data holds {kind}.",
        )
    if index.tz is not None:
        index = index.tz_convert("UTC").tz_localize(None)
    if index.has_duplicates:
        twice = index[int(index.duplicated().argmax())]
        raise DetectionError(
            "MergeDataFailed",
            f"The timestamp {twice.isoformat()} is there more than once; each may be there once.",
        )
    return index.to_numpy(dtype="datetime64[ns]")


def _between(
    times: Times, rows: npt.NDArray[np.intp], start: Moment, end: Moment, look_back: int
) -> tuple[npt.NDArray[np.intp], int]:
    """Return the rows from `start` to `end` with those looked back on, and how many these are.

    `rows` are where the times to choose from are, in order.
    """
    ordered = times[rows]
    first, stop = 0, len(rows)
    if start is not None:
        first = int(ordered.searchsorted(_utc("startTime", start)))
    if end is not None:
        stop = int(ordered.searchsorted(_utc("endTime", end), side="right"))
    if first >= stop:
        asked = " and ".join(
            f"{name} {_shown(moment)}"
            for name, moment in (("startTime", start), ("endTime", end))
            if moment is not None
        )
        there = "after alignment no row is left"
        if len(ordered):
            there = f"it goes from {_read(ordered[0])} to {_read(ordered[-1])}"
        raise DetectionError(
            "NoData", f"There is no data{' between ' + asked if asked else ''}: {there}."
        )
    lead = min(first, look_back)
    return rows[first - lead : stop], lead


def _utc(name: str, moment: pd.Timestamp | str) -> np.datetime64:
    try:
        read = pd.Timestamp(moment)
    except (ValueError, TypeError) as error:
        raise DetectionError(
            "InvalidTimestampFormat",
            f"Invalid timestamp format. The '{name}' field is {_shown(moment)}, and no date.",
        ) from error
    if read.tz is not None:
        read = read.tz_convert("UTC").tz_localize(None)
    return read.to_datetime64()


def _as_numbers(name: str, column: pd.Series[Any], times: Times) -> Floats:
    """Return the values, NaN where there is none, refusing what cannot be computed with."""
    read = pd.to_numeric(column, errors="coerce")
    if np.iscomplexobj(read):
        read = read.where(read.to_numpy().imag == 0).map(np.real)
    numbers_read = read.to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = (np.isnan(numbers_read) & column.notna().to_numpy()) | (
        np.abs(numbers_read) > LARGEST_VALUE
    )
    if column.dtype.kind in "mM":
        wrong = column.notna().to_numpy()
    if wrong.any():
        at = int(wrong.argmax())
        raise DetectionError(
            "VariableParseError",
            f"The variable '{name}' is {_shown(column.iloc[at])} at {_read(times[at])}; a value "
            f"must be a number within {LARGEST_VALUE:g} of zero, or missing.",
        )
    return numbers_read


def _filled(values: Floats, policy: AlignPolicy) -> Floats:
    series = pd.Series(values)
    if policy.fill == "Previous":
        series = series.ffill().bfill()
    elif policy.fill == "Subsequent":
        series = series.bfill().ffill()
    elif policy.fill == "Linear":
        series = series.interpolate(method="linear", limit_direction="both")
    elif policy.fill == "Fixed":
        series = series.fillna(policy.padding_value)
    return series.fillna(0.0).to_numpy()


def _state(name: str, values: Floats, times: Times) -> VariableState:
    there = ~np.isnan(values)
    count = int(there.sum())
    known = times[there] if count else times
    return VariableState(
        variable=name,
        filled_na_ratio=1 - count / len(values),
        effective_count=count,
        first_timestamp=pd.Timestamp(known[0]),
        last_timestamp=pd.Timestamp(known[-1]),
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
class Judgement:
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
        Code and message, where the row could not be judged.
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
    from detector.network import training

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
    """A trained model. It never changes, and any number of threads may judge by it.

    Attributes
    ----------
    variables : tuple of str
        Those it was trained on, sorted; what it judges must have the same.
    options : TrainingOptions
    """

    def __init__(
        self, variables: tuple[str, ...], options: TrainingOptions, network: Network
    ) -> None:
        self.variables = variables
        self.options = options
        self._network = network

    def judge(self, table: Table, *, top_contributors: int = 10) -> list[Judgement]:
        """Judge the rows of a table.

        Parameters
        ----------
        table : Table
            Of the variables the model was trained on.
        top_contributors : int
            At most this many contributors are named for an anomaly.

        Returns
        -------
        list of Judgement
            One for each row but those that are only looked back on.

        Raises
        ------
        DetectionError
            ``ColumnNotFound`` or ``NumColumnsMismatch``, for other variables.
        """
        from detector.network import scoring

        self._check_variables(table.variables)
        # The first row with all the history that its judgement rests on.
        first = self._network.input_size + self._network.threshold_window - 1
        early = range(table.lead, min(first, len(table.values)))
        judgements = [self._too_early(table, row, first) for row in early]
        begin = max(first, table.lead)
        if begin < len(table.values):
            scores = scoring.score(
                self._network, table.values[begin - first :], device=self.options.device
            )
            times = pd.DatetimeIndex(table.timestamps[begin:])
            judgements.extend(_judgements(times, self.variables, scores, top_contributors))
        return judgements

    def _check_variables(self, given: tuple[str, ...]) -> None:
        missing = sorted(set(self.variables) - set(given))
        if missing:
            raise DetectionError(
                "ColumnNotFound",
                f"The data lacks {_listed(missing)}, on which the model was trained.",
            )
        more = sorted(set(given) - set(self.variables))
        if more:
            raise DetectionError(
                "NumColumnsMismatch",
                f"The model was trained on {len(self.variables)} variables, and the data has "
                f"{len(given)}: the model does not know {_listed(more)}.",
            )

    def _too_early(self, table: Table, row: int, needed: int) -> Judgement:
        message = (
            f"There are {row} rows before this one, and the model needs {needed}: its sliding "
            f"window is {self.options.sliding_window}."
        )
        return Judgement(
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
        """Read a model that `save` wrote, to judge on `device`.

        Raises
        ------
        DetectionError
            ``BadArgument`` for a device that is not there.
        ValueError
            For a folder that a later version wrote.
        """
        import torch

        from detector.network.scoring import Network

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


def _judgements(
    times: pd.DatetimeIndex, variables: tuple[str, ...], scores: Scores, top: int
) -> Iterator[Judgement]:
    anomalies = zip(scores.contributions, scores.attention_changes, strict=True)
    for timestamp, is_anomaly, score in zip(
        times, scores.is_anomaly.tolist(), scores.score.tolist(), strict=True
    ):
        if is_anomaly:
            contributors = _contributors(variables, *next(anomalies), top)
            yield Judgement(timestamp, True, score / (math.e - 1), score, contributors)
        else:
            yield Judgement(timestamp, False, 0.0, score)


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


def _is_finite(value: object) -> bool:
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and math.isfinite(value)  # type: ignore[arg-type]


def _read(time: np.datetime64) -> str:
    return pd.Timestamp(time).isoformat()


def _shown(value: object) -> str:
    text = value.isoformat() if isinstance(value, pd.Timestamp) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _listed(names: list[str]) -> str:
    shown = ", ".join(_shown(name) for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
