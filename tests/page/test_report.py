"""The page that `detect --html` writes, in a browser that has no network."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import chromium
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from services import until

import detector
from detector import report

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script><b>bold</b>"


def hourly() -> pd.DataFrame:
    """Return ten days with a daily season, one fault and a gap of three hours."""
    noise = np.random.default_rng(7)
    values = 100 + 10 * np.sin(np.arange(240) * 2 * np.pi / 24) + noise.normal(0, 0.3, 240)
    values[100] = 160
    times = pd.date_range("2024-01-01", periods=240, freq="h")
    return pd.DataFrame({"timestamp": times, "value": values}).drop(index=[50, 51, 52])


def entire(name: str = "Power") -> str:
    found = detector.detect_entire(hourly(), granularity="hourly", sensitivity=80)
    return report.page(found, name=name, understood=f"237 hourly points from '{name}', 3 gaps")


class Tab:
    """A tab without a network, and files to open in it."""

    def __init__(self, driver: webdriver.Chrome, folder: Path) -> None:
        self.driver, self.folder = driver, folder

    barriers = chromium.Page.barriers

    def open(self, page: str) -> None:
        path = self.folder / "page.html"
        path.write_bytes(page.encode())
        self.driver.get(path.as_uri())
        until(lambda: self.js("return document.getElementById('chart').dataset.state"), "a chart")

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str) -> str:
        return str(self.driver.find_element(By.CSS_SELECTOR, selector).text)

    def colours(self) -> list[tuple[int, tuple[int, ...]]]:
        shot = self.driver.find_element(By.ID, "chart").screenshot_as_png
        return Image.open(io.BytesIO(shot)).convert("RGB").getcolors(2**24) or []


@pytest.fixture
def tab(driver: webdriver.Chrome, tmp_path: Path) -> Iterator[Tab]:
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    driver.execute_cdp_cmd("Network.enable", {})
    none = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", none)
    behaviour = {"behavior": "allow", "downloadPath": str(tmp_path)}
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    for kind in ("browser", "performance"):
        driver.get_log(kind)
    yield Tab(driver, tmp_path)
    said = [each["message"] for each in driver.get_log("browser")]
    asked = [
        message["params"]["request"]["url"]
        for message in (json.loads(e["message"])["message"] for e in driver.get_log("performance"))
        if message["method"] == "Network.requestWillBeSent"
    ]
    driver.close()
    driver.switch_to.window(first)
    assert said == []
    assert [each for each in asked if not each.startswith(("file:", "data:", "blob:"))] == []


def test_chart_table_and_options_are_there_without_a_network(tab: Tab) -> None:
    tab.open(entire())
    assert tab.text("h1") == "Anomalies in Power"
    assert tab.text("#understood") == "237 hourly points from 'Power', 3 gaps"
    assert tab.text("#summary") == "1 of 237 points is an anomaly: 2024-01-05 04:00."
    assert tab.text("#found-rows").startswith("2024-01-05 04:00")
    options = tab.text("#settings").split("\n")
    assert options[options.index("Sensitivity") + 1] == "80"
    assert options[options.index("Points in a season") + 1] == "24"
    assert "time-series-anomaly-detector" in tab.text("#made")
    names = tab.js(
        "return document.querySelector('#chart .js-plotly-plot').data.map((t) => t.name)"
    )
    assert "anomaly (1)" in names
    assert "gap, filled (3)" in names
    assert len(tab.colours()) > 20


def test_text_with_html_in_it_stays_text(tab: Tab) -> None:
    tab.open(entire(HOSTILE))
    assert tab.text("h1") == f"Anomalies in {HOSTILE}"
    assert HOSTILE in tab.text("#understood")
    assert tab.driver.title == f"Anomalies in {HOSTILE}"
    # Plotly's own texts take some HTML.
    assert tab.js("return document.querySelector('#chart .ytitle').textContent") == HOSTILE
    assert not tab.driver.find_elements(By.CSS_SELECTOR, "main img, main b, main script")


def test_latest_and_change_points_are_drawn(tab: Tab) -> None:
    frame = hourly()
    frame.loc[frame.index[-1], "value"] = 170
    last = detector.detect_latest(frame, granularity="hourly", sensitivity=80)
    tab.open(report.page(last, name="Power"))
    assert tab.text("#summary").startswith("The last point, 2024-01-10 23:00, is an anomaly")
    tab.open(report.page(detector.detect_latest(hourly(), granularity="hourly"), name="Power"))
    assert "is normal" in tab.text("#summary")
    days = pd.date_range("2024-01-01", periods=60, freq="D")
    step = pd.DataFrame({"timestamp": days, "value": [0.0] * 30 + [9.0] * 30})
    found = detector.detect_change_points(step, granularity="daily")
    tab.open(report.page(found, name="Level"))
    assert tab.text("h1") == "Change points of Level"
    assert tab.text("#summary") == "The trend changes once, at 2024-01-31."


def test_page_is_dark_and_narrow_and_japanese_where_its_reader_is(tab: Tab) -> None:
    driver = tab.driver
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    agent = {"userAgent": "test", "acceptLanguage": "ja-JP,ja"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.execute_cdp_cmd("Emulation.setUserAgentOverride", agent)
    tab.open(entire())
    assert tab.text("h1") == "Power の異常"
    assert tab.js("return document.documentElement.lang") == "ja"
    assert tab.js("return document.documentElement.scrollWidth") == 390
    _, most = max(tab.colours())
    assert max(most) < 64


def test_table_and_picture_can_be_saved(tab: Tab) -> None:
    tab.open(entire())
    for selector, pattern in (("#save-csv", "*.csv"), ("#save-png", "*.png")):
        tab.driver.find_element(By.CSS_SELECTOR, selector).click()
        until(lambda pattern=pattern: list(tab.folder.glob(pattern)), f"{pattern} is saved")
    table = pd.read_csv(next(tab.folder.glob("*.csv")))
    assert len(table) == 237
    assert table["isAnomaly"].sum() == 1
    assert next(tab.folder.glob("*.png")).read_bytes().startswith(b"\x89PNG")


def test_row_of_the_table_shows_its_point_in_the_chart(tab: Tab) -> None:
    tab.open(entire())
    tab.driver.find_element(By.CSS_SELECTOR, "#found-rows button").click()
    plot = "document.querySelector('#chart .js-plotly-plot')"
    until(lambda: tab.js(f"return {plot}.layout.xaxis.range[0] > '2024-01-02'"), "the chart moves")
    tab.driver.find_element(By.ID, "zoom-reset").click()
    until(lambda: tab.js(f"return {plot}.layout.xaxis.range[0] < '2024-01-02'"), "all is shown")


def test_axe_finds_nothing_serious(tab: Tab, axe: Callable[[Any], list[str]]) -> None:
    tab.open(entire())
    assert axe(tab) == []
