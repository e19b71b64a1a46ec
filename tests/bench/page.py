"""How soon the page is there, what it loads, and how soon it follows a slider, in a real Chromium.

    python tests/bench/page.py
    python tests/bench/page.py --picture docs/page.png

Starts a service without keys and opens its page, cold (an empty cache) and warm, in turn. Then
gives it a series of 2016 points and moves the slider of the sensitivity. Prints a Markdown table,
writes ``build/bench-page.json``, and ends with 1 where a bar is missed. With ``--picture`` it takes
the picture of the README instead.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "app"), str(ROOT / "tests")]

import chromium
import numpy as np
import pandas as pd
import services
from chromium import Page
from selenium import webdriver

BUILD = ROOT / "build"
SEED = 20261127
LOADS = 10
MOVES = 30
POINTS = 2016
FILE, SLIDER, CHART = "input[type=file]", "#sensitivity", ".js-plotly-plot"

# When the page is painted for the first time; null before.
PAINTED = """
const painted = performance.getEntriesByName('first-contentful-paint')[0];
return painted ? painted.startTime : null;
"""
# What crossed the network: a file of the cache has no bytes.
LOADED = """
const all = performance.getEntriesByType('navigation').concat(
    performance.getEntriesByType('resource'));
return all.map((each) => ({name: each.name, bytes: each.transferSize}));
"""
# Moves the slider, and tells the time to the frame that shows the chart of the answer: every
# sensitivity has other bounds, and a chart that is drawn with those of before does not count.
MOVED = """
const [slider, value, chart, done] = arguments;
const drawn = () => JSON.stringify(chart.data.map((trace) => Array.from(trace.y ?? [])));
const before = drawn();
let began;
const seen = () => {
    if (drawn() === before) return;
    chart.removeListener('plotly_afterplot', seen);
    requestAnimationFrame(() => {
        const painted = new MessageChannel();
        painted.port1.onmessage = () => done(performance.now() - began);
        painted.port2.postMessage(null);
    });
};
chart.on('plotly_afterplot', seen);
began = performance.now();
slider.value = value;
slider.dispatchEvent(new Event('input', {bubbles: true}));
"""


def series(path: Path) -> Path:
    """Write 2016 points with a season of a day, noise, and an outlier in a hundred points."""
    noise = np.random.default_rng(SEED)
    values = 100 + 10 * np.sin(2 * np.pi * np.arange(POINTS) / 24) + noise.normal(size=POINTS)
    values[noise.integers(0, POINTS, POINTS // 100)] += 30
    times = pd.date_range("2026-01-01", periods=POINTS, freq="h")
    pd.DataFrame({"timestamp": times, "value": values.round(3)}).to_csv(path, index=False)
    return path


def loads(driver: webdriver.Chrome, service: services.Service, folder: Path) -> dict[str, Any]:
    """Open the page again and again; each load in a tab of its own."""
    painted: dict[str, list[float]] = {"cold": [], "warm": []}
    loaded: dict[str, list[dict[str, Any]]] = {}
    for count in range(-1, LOADS):
        for kind, times in painted.items():
            page = Page(driver, service, folder)
            if kind == "cold":
                page.cdp("Network.clearBrowserCache")
            page.open()
            time = page.until(lambda: page.js(PAINTED), "the page is painted")  # noqa: B023
            page.find(CHART)
            # All that there is: the other views come when they are opened.
            for view in ("variables", "models"):
                page.click(f"nav [data-view={view}]")
                page.find(f"#view-{view} > *")
            loaded[kind] = page.js(LOADED)
            page.close()
            if count >= 0:
                times.append(time)
    return {
        "first paint, cold, ms": statistics.median(painted["cold"]),
        "first paint, warm, ms": statistics.median(painted["warm"]),
        "slowest first paint, ms": max(painted["cold"] + painted["warm"]),
        "loaded, MB": sum(each["bytes"] for each in loaded["cold"]) / 1e6,
        "requests, cold": sum(each["bytes"] > 0 for each in loaded["cold"]),
        "loaded again, MB": sum(each["bytes"] for each in loaded["warm"]) / 1e6,
        "requests, warm": sum(each["bytes"] > 0 for each in loaded["warm"]),
    }


def moves(driver: webdriver.Chrome, service: services.Service, folder: Path) -> list[float]:
    """Move the slider, one step after another is drawn; the first three do not count."""
    page = Page(driver, service, folder)
    page.open()
    page.file(FILE, series(folder / "hourly.csv"))
    chart = page.find(CHART)
    page.until(
        lambda: page.js(
            "return arguments[0].data.some((trace) => trace.y?.length >= arguments[1])",
            chart,
            POINTS,
        ),
        f"the chart has {POINTS} points",
    )
    slider = page.find(SLIDER)
    driver.set_script_timeout(20)
    taken = []
    for count in range(MOVES + 3):
        value = 60 + count
        taken.append(driver.execute_async_script(MOVED, slider, value, chart))
    page.check()
    page.close()
    return taken[3:]


def take_picture(
    driver: webdriver.Chrome, service: services.Service, folder: Path, path: Path
) -> None:
    """Take the picture of the README: a sample with its anomalies, 1200 pixels wide."""
    page = Page(driver, service, folder)
    size = {"width": 1200, "height": 1400, "deviceScaleFactor": 1}
    page.cdp("Emulation.setDeviceMetricsOverride", mobile=False, **size)
    page.open("#series?sample=daily&sensitivity=80")
    page.find(CHART)
    page.until(lambda: page.js("return document.getAnimations().length === 0"), "all is still")
    bottom = page.js("return document.querySelector('.result').getBoundingClientRect().bottom")
    # A palette is enough for lines, and a third of the bytes. By clusters it has the dots too.
    shown = page.picture().crop((0, 0, size["width"], int(bottom) + 24)).quantize(128, kmeans=1)
    shown.save(path, optimize=True)
    page.close()
    print(f"{path}: {path.stat().st_size / 1000:.0f} KB")


def main() -> int:
    parser = argparse.ArgumentParser(description="How soon the page is there.")
    parser.add_argument("--picture", type=Path, help="take the picture of the README instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with (
            services.running(folder / "service") as service,
            chromium.browser() as driver,
        ):
            if options.picture:
                take_picture(driver, service, folder, options.picture)
                return 0
            found = loads(driver, service, folder)
            taken = moves(driver, service, folder)
    found["slider to redraw, ms"] = statistics.median(taken)
    found["slowest redraw, ms"] = max(taken)
    bars = {
        "first paint, cold, ms": 300.0,
        "first paint, warm, ms": 300.0,
        "loaded, MB": 1.6,
        "slider to redraw, ms": 100.0,
    }
    print("| what | figure | bar | |\n|---|---:|---:|---|")
    missed = 0
    for name, figure in found.items():
        bar = bars.get(name)
        missed += bar is not None and figure >= bar
        held = "" if bar is None else "MISSED" if figure >= bar else "holds"
        shown = f"{figure}" if isinstance(figure, int) else f"{figure:.2f}"
        print(f"| {name} | {shown} | {'' if bar is None else f'< {bar:g}'} | {held} |")
    BUILD.mkdir(exist_ok=True)
    (BUILD / "bench-page.json").write_text(json.dumps(found, indent=1) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
