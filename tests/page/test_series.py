"""One series: what comes in, its chart, the options, and what was found, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from chromium import Page
from page.files import daily, german, workbook
from page.seen import POINTS, colours, done, drawn, give, take, traces, values
from PIL import Image
from selenium.webdriver.common.keys import Keys
from services import Service


@pytest.fixture
def sales(tmp_path: Path) -> Path:
    """Return a file as a German spreadsheet writes it."""
    path = tmp_path / "sales.csv"
    path.write_text(german(daily()))
    return path


def test_it_opens_in_english_and_shows_what_it_is_for(page: Page) -> None:
    page.open()
    assert page.text("h1") == "See what does not fit"
    assert page.driver.title == "Anomaly Detector"
    assert page.js("return document.documentElement.lang") == "en"
    assert [link.text for link in page.all("nav a")] == [
        "One series",
        "Many variables",
        "Models",
        "API",
    ]


# The first two have the answers of the walk-throughs.
@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ("fault", "1 of 20 points is an anomaly: 1963-08-31."),
        ("elnino", "of 732 points are anomalies"),
        ("daily", " points"),
        ("shift", "of 120 points"),
    ],
)
def test_a_sample_is_drawn_and_summed_up(page: Page, sample: str, said: str) -> None:
    page.open()
    page.click(f"[data-sample={sample}]")
    drawn(page, POINTS[sample])
    held = sum(value is not None for value in values(page))
    assert said in page.says("#summary", f"{held:,} points")
    assert colours(page.picture("#chart")) > 100


def test_a_file_is_read_as_it_is(page: Page, sales: Path) -> None:
    give(page, sales)
    page.says("#description", "60 daily points from 'Date' and 'Sales', day first")
    drawn(page, 60)
    assert values(page)[:2] == [100.0, 108.2]
    page.says("#summary", "2022-01-25")


def test_an_excel_file_is_read(page: Page, tmp_path: Path) -> None:
    give(page, workbook(tmp_path / "sales.xlsx", daily()))
    page.says("#description", "60 daily points from 'Date' and 'Sales'")
    drawn(page, 60)
    assert values(page)[:2] == [100.0, 108.2]


def test_a_table_is_pasted(page: Page) -> None:
    page.open()
    page.click("#paste-open")
    page.type("#paste-text", german(daily()))
    page.click("#paste-read")
    page.says("#description", "60 daily points")
    drawn(page, 60)
    page.says("#summary", "1 of 60 points is an anomaly: 2022-01-25.")


def test_of_several_columns_one_is_chosen(page: Page, tmp_path: Path) -> None:
    page.refusals.add(400)
    rows = daily()
    table = [[*row, *("Cost" if place == 0 else place,)] for place, row in enumerate(rows)]
    (tmp_path / "two.csv").write_text(german(table))
    give(page, tmp_path / "two.csv")
    choices = page.until(lambda: page.all("#input-choices button"), "the columns are shown")
    assert [choice.text for choice in choices] == ["Sales", "Cost"]
    page.says("#input-error", "Which column holds the values?")
    choices[1].click()
    page.says("#description", "'Cost'")
    drawn(page, 60)
    assert values(page)[:3] == [1, 2, 3]


def test_of_several_columns_of_dates_one_is_chosen(page: Page, tmp_path: Path) -> None:
    page.refusals.add(400)
    lines = [f"2021-02-{day:02},2021-03-{day:02},{day}" for day in range(1, 13)]
    (tmp_path / "two.csv").write_text("\n".join(["begin,end,count", *lines]))
    give(page, tmp_path / "two.csv")
    choices = page.until(lambda: page.all("#input-choices button"), "the columns are shown")
    assert [choice.text for choice in choices] == ["begin", "end"]
    choices[1].click()
    page.says("#description", "12 daily points from 'end'")


def test_dates_that_can_be_read_two_ways_are_asked_about(page: Page, tmp_path: Path) -> None:
    page.refusals.add(400)
    lines = [f"{place:02}/02/2021,{place}" for place in range(1, 13)]
    (tmp_path / "two.csv").write_text("\n".join(["when,count", *lines]))
    give(page, tmp_path / "two.csv")
    choices = page.until(lambda: page.all("#input-choices button"), "both readings are shown")
    assert ["2 January 2021" in choices[0].text, "1 February 2021" in choices[1].text] == [True] * 2
    choices[1].click()
    page.says("#description", "12 daily points")


def test_a_file_that_cannot_be_read_gets_a_sentence(page: Page, tmp_path: Path) -> None:
    page.refusals.add(400)
    (tmp_path / "README.md").write_text("# A title\n\nSome words, and no table.\n")
    give(page, tmp_path / "README.md")
    text = page.text("#input-error")
    assert "README.md" in text
    assert "Traceback" not in text
    assert "tokeniz" not in text


def test_what_the_service_refuses_is_told_in_its_words(page: Page) -> None:
    page.refusals.add(400)
    page.open()
    page.click("#paste-open")
    page.type("#paste-text", german(daily(5)))
    page.click("#paste-read")
    page.says("#result-error", "12 points")
    assert page.find("#panel").get_attribute("data-state") == "failed"


def test_the_slider_of_the_sensitivity_draws_other_bounds(page: Page) -> None:
    take(page, "elnino")
    before, found = traces(page), page.text("#summary")
    page.slide("#sensitivity", 60)
    page.until(lambda: traces(page) != before, "the chart is drawn anew")
    page.until(lambda: page.text("#summary") != found, "the summary follows")
    assert page.text("#sensitivity-shown") == "60"
    done(page)


@pytest.mark.parametrize(
    ("sample", "changes"),
    [
        (
            "elnino",
            [
                lambda page: page.slide("#max-anomaly-ratio", 0.01),
                lambda page: (page.click("#period-auto"), page.type("#period", "24")),
            ],
        ),
        ("daily", [lambda page: page.choose("#impute-mode", "zero")]),
    ],
    ids=["max-anomaly-ratio and period", "impute-mode"],
)
def test_each_option_draws_the_chart_anew(
    page: Page, sample: str, changes: list[Callable[[Page], object]]
) -> None:
    take(page, sample)
    for change in changes:
        before = traces(page)
        change(page)
        page.until(lambda before=before: traces(page) != before, "the chart is drawn anew")
        done(page)


def test_the_tabs_show_the_last_point_and_change_points(page: Page) -> None:
    take(page, "shift")
    page.click("#tab-latest")
    page.says("#summary", "The last point")
    page.click("#tab-changepoint")
    page.says("#summary", "trend changes")
    done(page)
    assert page.find("#tab-changepoint").get_attribute("aria-selected") == "true"
    assert not any(option.is_displayed() for option in page.all("#sensitivity"))
    # By keyboard: one stop for all tabs, and arrows between them.
    page.find("#tab-changepoint").send_keys(Keys.ARROW_LEFT)
    page.says("#summary", "The last point")
    page.find("#tab-latest").send_keys(Keys.HOME)
    page.says("#summary", "of 120 points")


def test_what_was_found_stands_in_a_table_and_leads_to_its_point(page: Page) -> None:
    take(page, "fault")
    rows = page.until(lambda: page.all("#found-rows tr"), "the table has rows")
    assert len(rows) == 1
    assert "1963-08-31" in rows[0].text


def test_the_csv_has_every_point_and_the_png_is_the_chart(page: Page) -> None:
    take(page, "elnino")
    page.click("#save-csv")
    table = pd.read_csv(page.downloaded("*.csv"))
    assert len(table) == 732
    flags = [column for column in table.columns if "nomaly" in column]
    assert flags, table.columns
    page.click("#save-png")
    picture = Image.open(page.downloaded("*.png")).convert("RGB")
    assert picture.width >= 1200
    assert colours(picture) > 100


def test_a_link_shows_a_sample_with_its_options_to_others(page: Page) -> None:
    take(page, "elnino")
    page.slide("#sensitivity", 60)
    page.click("#tab-latest")
    page.says("#summary", "The last point")
    page.until(lambda: "60" in page.driver.current_url, "the address has the options")
    link, found = page.driver.current_url, page.text("#summary")
    page.driver.switch_to.new_window("tab")
    page.open(link)
    page.says("#summary", found)
    assert page.find("#sensitivity").get_property("value") == "60"
    assert page.find("#tab-latest").get_attribute("aria-selected") == "true"


def test_a_link_has_the_series_of_an_own_file(page: Page, sales: Path) -> None:
    give(page, sales)
    drawn(page, 60)
    before = values(page)
    page.until(lambda: "#" in page.driver.current_url, "the address has the series")
    link, found = page.driver.current_url, page.text("#summary")
    page.driver.switch_to.new_window("tab")
    page.open(link)
    page.says("#summary", found)
    assert values(page) == before
    # The series is in the fragment, which no request has.
    assert not [each["url"] for each in page.requests() if len(each["url"]) > 300]


def test_a_broken_link_gets_a_sentence(page: Page, sales: Path) -> None:
    give(page, sales)
    drawn(page, 60)
    link = page.until(
        lambda: page.driver.current_url if len(page.driver.current_url) > 200 else "", "a link"
    )
    page.open(link[:150])
    page.says("#input-error", "link")


def test_the_code_calls_this_service_with_this_series(page: Page, service: Service) -> None:
    take(page, "fault")
    page.find("#code-tabs [role=tab]")
    tabs = page.all("#code-tabs [role=tab]")
    texts = []
    for tab in tabs:
        tab.click()
        texts.append(page.text("#code-text"))
    assert len(set(texts)) == len(tabs) >= 5
    assert sum(service.url in text for text in texts) >= len(tabs) - 1
    assert all("1962-01-31" in text or "series.json" in text for text in texts)


def test_the_curve_shows_what_each_sensitivity_flags(page: Page) -> None:
    take(page, "elnino")
    page.until(lambda: page.all("#tune-curve svg, #tune-curve canvas"), "the curve is drawn")
    page.type("#tune-share", "95")
    page.find("#tune-share").send_keys(Keys.ENTER)
    page.click("#tune-take")
    done(page)
    assert page.find("#sensitivity").get_property("value") != "95"
