"""How the page looks and is used: dark, narrow, in Japanese, by keyboard, and with axe-core."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from chromium import Page
from page.seen import colours, darkness, take, traces
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

VIEWS = ("series", "variables", "models")
KANA = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")


def view(page: Page, name: str) -> None:
    """Open a view, with a series where there can be one."""
    if name == "series":
        take(page, "elnino")
        # What is shown after the chart.
        page.find("#tune-curve svg")
        page.find("#code-text")
    else:
        page.open(f"#{name}")
        page.find(f"#view-{name}")


@pytest.mark.parametrize("name", VIEWS)
def test_nothing_is_a_barrier(page: Page, axe: Callable[[Page], list[str]], name: str) -> None:
    view(page, name)
    for change in (lambda: None, page.dark, page.narrow, page.light):
        change()
        found = axe(page)
        assert not found, "\n".join(found)
    assert width(page) == [390, 390, 390]


def width(page: Page) -> list[int]:
    """Return how wide the page is, and how wide the screen."""
    widths: list[int] = page.js(
        "return [document.documentElement.scrollWidth, innerWidth, visualViewport.width]"
    )
    return widths


def test_dark_colours_are_taken_where_the_system_has_them(page: Page) -> None:
    take(page, "elnino")
    light = page.picture()
    page.dark()
    page.until(lambda: darkness(page.picture()) > 0.6, "the page is dark")
    assert darkness(light) < 0.3
    page.until(lambda: darkness(page.picture("#chart")) > 0.6, "the chart is dark")
    assert colours(page.picture("#chart")) > 100


def test_a_narrow_screen_needs_no_scrolling_sideways(page: Page) -> None:
    page.narrow()
    view(page, "series")
    assert width(page) == [390, 390, 390]
    assert 250 < page.find("#chart").size["width"] <= 390
    assert colours(page.picture("#chart")) > 100


def test_the_language_follows_the_browser(page: Page) -> None:
    page.language("ja-JP", "ja")
    take(page, "fault")
    assert page.js("return document.documentElement.lang") == "ja"
    for selector in ("h1", "nav", "#samples", "#summary", "#options", "#found", "footer"):
        assert KANA.search(page.text(selector)), selector
    assert all(KANA.search(trace["name"]) for trace in traces(page) if trace["name"])


def test_another_language_is_chosen_on_the_page(page: Page) -> None:
    page.open()
    page.click("#language")
    page.until(lambda: KANA.search(page.text("h1")), "the page is in Japanese")
    page.click("#language")
    page.says("h1", "See what does not fit")


def test_everything_is_reached_by_keyboard(page: Page) -> None:
    take(page, "elnino")
    wanted = page.js(
        "const each = ':is(a[href], button, input, select, textarea, [tabindex=\"0\"])';"
        "return Array.from(document.querySelectorAll(`#view-series ${each}, footer ${each}`))"
        ".filter((each) => each.checkVisibility({visibilityProperty: true}) && !each.disabled"
        " && each.tabIndex >= 0).map((each, place) => each.dataset.place = String(place)).length"
    )
    assert wanted > 20
    page.js("document.activeElement.blur(); scrollTo(0, 0);")
    reached: set[str] = set()
    invisible: list[str] = []
    for _ in range(wanted + 40):
        ActionChains(page.driver, duration=0).send_keys(Keys.TAB).perform()
        place, name, visible = page.js(
            "const each = document.activeElement, style = getComputedStyle(each);"
            "return [each.dataset.place ?? '', each.outerHTML.slice(0, 100),"
            "style.outlineStyle !== 'none' || style.boxShadow !== 'none']"
        )
        reached.add(place)
        if place and not visible:
            invisible.append(name)
    missing = [str(place) for place in range(wanted) if str(place) not in reached]
    assert not [page.find(f"[data-place='{each}']").get_attribute("outerHTML") for each in missing]
    assert not invisible


def test_a_sample_is_taken_by_keyboard(page: Page) -> None:
    page.open()
    page.find("[data-sample=fault]").send_keys(Keys.ENTER)
    page.says("#summary", "20 points")


def test_the_chart_fills_its_place_when_the_window_becomes_higher(page: Page) -> None:
    take(page, "fault")
    size = {"width": 1200, "deviceScaleFactor": 1, "mobile": False}
    for height in (600, 1400):
        page.cdp("Emulation.setDeviceMetricsOverride", height=height, **size)
        page.until(
            lambda: page.js(
                "const chart = document.getElementById('chart');"
                "return Math.abs(chart.querySelector('.main-svg').clientHeight"
                " - chart.clientHeight) < 3"
            ),
            f"the chart fills its place at {height}",
            5,
        )
