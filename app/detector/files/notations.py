"""In which notations a date may be, as of `strptime`."""

import re

from detector.files.stamps import parsed
from detector.series.dates import notations

__all__ = ["COARSE", "SHORT", "formats_of", "is_day_first", "is_zoned"]

SHORT = re.compile(
    r"(?P<first>\d{1,2})(?P<mark>[./-])(?P<second>\d{1,2}|[a-z]{3})(?P=mark)\d{1,2}(?P<time> .*)?",
    re.IGNORECASE,
)
COARSE = (
    (re.compile(r"\d{1,2}([./-])\d{4}"), "%m{}%Y"),
    (re.compile(r"\d{4}([./])\d{1,2}"), "%Y{}%m"),
    (re.compile(r"[a-z]{3}([ -])\d{4}", re.IGNORECASE), "%b{}%Y"),
    (re.compile(r"[a-z]{4,9}([ -])\d{4}", re.IGNORECASE), "%B{}%Y"),
    (re.compile(r"[a-z]{3}([ -])\d{2}", re.IGNORECASE), "%b{}%y"),
    (re.compile(r"\d{4}-W\d{1,2}(-)1", re.IGNORECASE), "%G-W%V{}%u"),
)


def formats_of(text: str) -> list[str]:
    """Return the notations that a text may be in beside ISO 8601, as of ``strptime``."""
    found = notations(text)
    if found:
        return found
    for pattern, notation in COARSE:
        matched = pattern.fullmatch(text)
        if matched:
            return _that_read(text, [notation.format(matched[1])])
    short = SHORT.fullmatch(text)
    if not short:
        return []
    mark = short["mark"]
    orders = ["%m{0}%d{0}%y", "%d{0}%m{0}%y", "%y{0}%m{0}%d"]
    if short["second"].isalpha():
        orders = ["%d{0}%b{0}%y", "%y{0}%b{0}%d"]
    times = [""]
    if short["time"]:
        # As of a date with a long year.
        times = [each.removeprefix("%Y-%m-%d") for each in notations(f"2021-12-31{short['time']}")]
    return _that_read(text, [order.format(mark) + time for order in orders for time in times])


def _that_read(text: str, formats: list[str]) -> list[str]:
    return [each for each in formats if not parsed([text], each).hasnans]


def is_day_first(notation: str) -> bool | None:
    """Say whether the day stands before the month; None where there is nothing to decide."""
    places = [notation.find(part) for part in ("%d", "%m")]
    if min(places) < 0 or "%Y" in notation[:2]:
        return None
    return places[0] < places[1] if notation[:2] != "%y" else None


def is_zoned(notation: str) -> bool:
    """Say whether a notation has a time zone."""
    return notation.endswith(("%z", "Z", "UTC", "GMT", "z"))
