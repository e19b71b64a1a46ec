"""How a model of many variables is trained: names, defaults and bounds."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field

from detector.errors import DetectionError, shown
from detector.multivariate.alignment import AlignPolicy

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
    names : mapping, optional
        What a caller calls a field where that is not its name here, for messages; not kept.

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
    names: InitVar[Mapping[str, str] | None] = None

    def __post_init__(self, names: Mapping[str, str] | None) -> None:
        if not _is_integer(self.sliding_window, MIN_WINDOW, MAX_WINDOW):
            name = (names or {}).get("sliding_window", "sliding_window")
            raise DetectionError(
                "InvalidSlidingWindow",
                f"The '{name}' field must be an integer between {MIN_WINDOW} and "
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


def _is_integer(value: object, lowest: int, highest: int) -> bool:
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return is_integer and lowest <= int(value) <= highest  # type: ignore[call-overload]
