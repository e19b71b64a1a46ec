"""What comes of a training, and of a detection: of one pass, at one timestamp, and at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from detector import plot
from detector.arrays import Flags, Floats
from detector.multivariate.alignment import Table, Times

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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

    Examples
    --------
    >>> from detector import Epoch
    >>> Epoch(number=1, train_loss=2.5, validation_loss=2.75, seconds=0.1).validation_loss
    2.75
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

    Examples
    --------
    >>> from detector import Contributor
    >>> Contributor("flow", 0.75, ("pressure",), (0.1,)).variable
    'flow'
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

    Examples
    --------
    >>> import pandas as pd
    >>> from detector import AnomalyState
    >>> state = AnomalyState(pd.Timestamp("2026-01-01"), False, 0.0, 0.2)
    >>> state.is_anomaly, state.contributors, state.error
    (False, (), None)
    """

    timestamp: pd.Timestamp
    is_anomaly: bool
    severity: float
    score: float
    contributors: tuple[Contributor, ...] = ()
    error: tuple[str, str] | None = None


@dataclass(frozen=True)
class MultivariateDetection:
    """What was found at each timestamp that was scored; arrays have the shape ``(n,)``.

    Attributes
    ----------
    states : tuple of AnomalyState
        In order of time; iterating over the detection gives them too.
    table : Table
        The aligned variables it was found in, look-back included.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from detector import MultivariateModel
    >>> minutes = pd.date_range("2026-01-01", periods=100, freq="min")
    >>> frame = pd.DataFrame({"a": np.sin(np.arange(100) / 5), "b": 1.0}, index=minutes)
    >>> found = MultivariateModel.fit(frame, sliding_window=28, epochs=1).detect(frame)
    >>> len(found), found.score.shape, found.is_anomaly.dtype
    (100, (100,), dtype('bool'))
    >>> found.states[0].error[0]
    'InsufficientHistoricalData'
    """

    states: tuple[AnomalyState, ...]
    table: Table = field(repr=False, compare=False)

    def __iter__(self) -> Iterator[AnomalyState]:
        return iter(self.states)

    def __len__(self) -> int:
        return len(self.states)

    @property
    def timestamps(self) -> Times:
        """When, in UTC, as datetime64[ns]."""
        return self.table.timestamps[self.table.lead :]

    @property
    def is_anomaly(self) -> Flags:
        """Which timestamps are anomalies."""
        return np.array([state.is_anomaly for state in self.states])

    @property
    def severity(self) -> Floats:
        """How severe each anomaly is, 0 to 1; 0 for what is none."""
        return np.array([state.severity for state in self.states])

    @property
    def score(self) -> Floats:
        """How far the variables are from what was expected, 0 to e - 1."""
        return np.array([state.score for state in self.states])

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each timestamp.

        Returns
        -------
        DataFrame
            ``timestamp``, ``is_anomaly``, ``severity``, ``score``; ``top``, of an anomaly the
            variable that contributes most; ``contributors``, their parts by their names; and
            ``error``, the code where a row could not be scored.
        """
        contributors = [
            {contributor.variable: contributor.score for contributor in state.contributors}
            for state in self.states
        ]
        return pd.DataFrame(
            {
                "timestamp": self.timestamps,
                "is_anomaly": self.is_anomaly,
                "severity": self.severity,
                "score": self.score,
                "top": [next(iter(names), None) for names in contributors],
                "contributors": contributors,
                "error": [state.error[0] if state.error else None for state in self.states],
            }
        )

    def plot(self, *, title: str = "") -> Figure:
        """Draw the variables one above the other, their anomalies, and how severe these are."""
        table = self.table
        frame = pd.DataFrame(table.values, table.timestamps, list(table.variables))
        return plot.multivariate(frame, self.to_frame(), title=title)
