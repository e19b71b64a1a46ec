"""The chart: what it draws of points that stand alone, and what a keyboard does in it."""

from __future__ import annotations

from datetime import date, timedelta

from chromium import Page
from selenium.webdriver.common.keys import Keys


def test_a_point_between_two_gaps_is_seen(page: Page) -> None:
    days = [date(2021, 1, 1) + timedelta(days=place) for place in range(160)]
    table = "\n".join(["Date,Value", *(f"{day},{place % 4}" for place, day in enumerate(days))])
    page.open()
    page.click("#paste-open")
    page.type("#paste-text", table)
    page.click("#paste-read")
    page.says("#description", "160 daily points")
    # Every second step is missing then: no point has a neighbour.
    page.choose("#granularity", "hourly")
    page.js(
        "const field = document.querySelector('#interval'); field.value = 12;"
        "field.dispatchEvent(new Event('change'));"
    )
    mode = (
        "return document.querySelector('#chart > div')?.data"
        "?.find(({meta, y}) => meta === 'values' && y.length === 319)?.mode"
    )
    assert page.until(lambda: page.js(mode), "the grid is drawn") == "lines+markers"


def test_a_series_that_is_refused_is_shown_and_nothing_of_the_one_before(page: Page) -> None:
    page.refusals.add(400)
    page.open("#series?sample=fault")
    page.says("#summary", "of 20 points")
    page.find("#found")
    page.click("#paste-open")
    page.type("#paste-text", "Date,Value\n" + "\n".join(f"2021-01-0{day},5" for day in range(1, 7)))
    page.click("#paste-read")
    page.says("#result-error", "at least 12 points")
    values = "return document.querySelector('#chart > div').data.map(({y}) => [...y])"
    page.until(lambda: page.js(values) == [[5] * 6], "the values are drawn")
    assert not any(part.is_displayed() for part in page.all("#found, #tune"))
    assert "2021-01-06" in page.text("#code-text")


def test_the_chart_is_read_by_keyboard(page: Page) -> None:
    page.open("#series?sample=fault")
    page.says("#summary", "of 20 points")
    page.until(
        lambda: page.js("return document.querySelector('#panel').dataset.state") == "done", "done"
    )
    spoken = "return document.querySelector('#chart [aria-live]').textContent"
    for key, said in (
        (Keys.HOME, "1962-01-31: 1;"),
        (Keys.ARROW_RIGHT, "1962-02-28: 1;"),
        (Keys.ARROW_DOWN, "1963-08-31: 0; expected 1; between 0.992 and 1.008; anomaly, too low"),
    ):
        page.find("#chart").send_keys(key)
        assert said in page.js(spoken)
    assert page.js("return document.activeElement.id") == "chart"


def test_what_the_last_point_rests_on_is_named_within_the_chart(page: Page) -> None:
    page.open("#series?sample=elnino&tab=latest")
    label = page.find("#chart .shape-label text")
    chart = page.find("#chart .main-svg")
    assert label.text == "what the answer rests on"
    plot = page.find("#chart .nsewdrag")
    for box in (chart, plot):
        assert box.rect["x"] <= label.rect["x"]
        assert label.rect["x"] + label.rect["width"] <= box.rect["x"] + box.rect["width"]
