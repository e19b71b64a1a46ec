"""The options of a reader or writer: those that it does not have are refused by name."""

from __future__ import annotations

from collections.abc import Mapping

from detector.errors import DetectionError, listed

__all__ = ["refuse_unknown"]


def refuse_unknown(options: Mapping[str, str], known: tuple[str, ...], format_name: str) -> None:
    """Refuse what is no option of the format.

    The message does not quote the value, which may be a password.

    Raises
    ------
    DetectionError
        ``BadArgument``.
    """
    # Spark tells options apart without regard to case.
    names = {name.lower() for name in known}
    unknown = sorted(name for name in options if name.lower() not in names)
    if unknown:
        raise DetectionError(
            "BadArgument",
            f"The format '{format_name}' has no option {listed(unknown)}. It has "
            f"{', '.join(known)}; secrets are read from the environment and are no options.",
        )
