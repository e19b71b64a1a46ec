"""What the tests read off the view of one series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chromium import Page
from PIL import Image

PLOT = "#chart .js-plotly-plot"


# How many points of time each sample has; one of them has a gap of an hour.
POINTS = {"fault": 20, "elnino": 732, "daily": 2016, "shift": 120}


def give(page: Page, path: Path) -> None:
    """Open the page, wait until it listens, and give it a file."""
    page.open()
    page.find("#panel:not([data-state=empty])")
    page.file("#file", path)


def take(page: Page, sample: str) -> None:
    """Open the page with a sample."""
    page.open(f"#series?sample={sample}")
    drawn(page, POINTS[sample])


def drawn(page: Page, points: int) -> None:
    """Wait until a series of this many points is answered and drawn."""
    done(page)
    page.until(lambda: len(values(page)) == points, f"{points} points are drawn")


def done(page: Page) -> None:
    """Wait until what was asked first is answered and drawn."""
    page.find("#panel[data-state=done]")


def traces(page: Page) -> list[dict[str, Any]]:
    """Return what the chart has: for each trace its name, what it means, and its values."""
    page.find(PLOT)
    found: list[dict[str, Any]] = page.js(
        "return Array.from(document.querySelector(arguments[0]).data, (trace) => ({"
        "name: trace.name, meta: trace.meta, text: trace.hovertemplate,"
        "x: Array.from(trace.x ?? []), y: Array.from(trace.y ?? [])}))",
        PLOT,
    )
    return found


def values(page: Page) -> list[float | None]:
    """Return the values of the series in the chart."""
    found: list[float | None] = next(
        trace["y"] for trace in traces(page) if trace["meta"] == "values"
    )
    return found


def colours(picture: Image.Image) -> int:
    """Return how many colours a picture has; one of a single colour is empty."""
    return len(picture.getcolors(picture.width * picture.height))


def darkness(picture: Image.Image) -> float:
    """Return how dark a picture is: 0 is white, 1 is black."""
    grey = picture.convert("L").resize((1, 1))
    return 1 - float(grey.getpixel((0, 0))) / 255
