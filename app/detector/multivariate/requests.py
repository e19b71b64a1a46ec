"""What a training and a batch detection are asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pandas as pd

from detector.multivariate.alignment import AlignPolicy
from detector.multivariate.model import DEFAULT_WINDOW, TrainingOptions

ONE_TABLE, MULTI_TABLE = "OneTable", "MultiTable"
DATA_SCHEMAS = (ONE_TABLE, MULTI_TABLE)
DEFAULT_CONTRIBUTORS, MOST_CONTRIBUTORS = 10, 30
_ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*:")


def redacted(address: str) -> str:
    """Return an address without what may grant access: its user, its password and its query.

    A path stays as it is.

    Examples
    --------
    >>> redacted("https://account.example/data.csv?sv=2022&sig=secret")
    'https://account.example/data.csv?...'
    >>> redacted("rediss://user:password@host:6379/0")
    'rediss://host:6379/0'
    """
    if not _ADDRESS.match(address):
        return address
    shown, *hidden = re.split(r"[?#]", address, maxsplit=1)
    shown = re.sub(r"//[^/]*@", "//", shown, count=1)
    return f"{shown}?..." if hidden else shown


@dataclass(frozen=True)
class TrainingRequest:
    """What a training is asked for.

    Attributes
    ----------
    source : str
        The address of the data.
    start, end : Timestamp
        The first and the last moment of the rows to train on, in UTC without a zone.
    schema : str
        ``OneTable`` or ``MultiTable``.
    display_name : str
    sliding_window : int
    align : AlignPolicy
    """

    source: str
    start: pd.Timestamp
    end: pd.Timestamp
    schema: str = ONE_TABLE
    display_name: str = ""
    sliding_window: int = DEFAULT_WINDOW
    align: AlignPolicy = field(default_factory=AlignPolicy)

    @property
    def public_source(self) -> str:
        """The address without what grants access to it."""
        return redacted(self.source)

    def options(self, *, epochs: int, device: str) -> TrainingOptions:
        """Return the options to train with; a request does not say how long, or on what.

        Raises
        ------
        DetectionError
            As `TrainingOptions`.
        """
        return TrainingOptions(
            sliding_window=self.sliding_window, align=self.align, epochs=epochs, device=device
        )


@dataclass(frozen=True)
class DetectionRequest:
    """What a batch detection is asked for.

    Attributes
    ----------
    source : str
        The address of the data, of the schema that the model was trained on.
    start, end : Timestamp
        The first and the last moment to score, in UTC without a zone.
    top_contributors : int
        At most this many contributors are named for an anomaly.
    """

    source: str
    start: pd.Timestamp
    end: pd.Timestamp
    top_contributors: int = DEFAULT_CONTRIBUTORS

    @property
    def public_source(self) -> str:
        """The address without what grants access to it."""
        return redacted(self.source)
