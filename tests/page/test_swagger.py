"""The description of the API, which tries requests out in the browser."""

from __future__ import annotations

from chromium import Page
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from services import KEYS

SUMMARY, EXECUTE = ".opblock-summary-control", "button.execute"
STATUS = ".live-responses-table tbody .response-col_status"


def tried(page: Page, operation: WebElement) -> str:
    """Open an operation, send its example, and return the status of the answer."""

    def inside(selector: str) -> WebElement:
        return operation.find_element(By.CSS_SELECTOR, selector)

    # It opens slowly: a click at a place would miss what moves, and one before the example is there
    # would send nothing.
    page.js("arguments[0].click()", inside(SUMMARY))
    page.until(lambda: inside("textarea").get_property("value"), "the example is shown")
    page.js("arguments[0].click()", inside(EXECUTE))
    status: str = page.until(lambda: inside(STATUS).text.strip(), "an answer is shown")
    page.js("arguments[0].click()", inside(SUMMARY))
    return status.split()[0]


def authorize(page: Page, key: str) -> None:
    page.click(".btn.authorize")
    page.type(".auth-container input", key)
    page.click(".auth-btn-wrapper [type=submit]")
    page.click(".btn-done")


def operations(page: Page, tag: str) -> list[WebElement]:
    """Return the operations that have a tag, once they are shown."""
    found: list[WebElement] = page.until(
        lambda: page.all(f".opblock[id^=operations-{tag}]"), "the operations are shown"
    )
    return found


def test_the_examples_of_one_series_are_answered_with_a_key(guarded_page: Page) -> None:
    page = guarded_page
    page.refusals.add(401)
    page.open("swagger")
    of_series = operations(page, "timeseries")
    assert page.driver.current_url.endswith("/docs")
    described = page.service.call("/openapi.json").json["paths"].values()
    count = sum(len(methods) for methods in described)
    page.until(lambda: len(page.all(".opblock")) == count, f"{count} operations are shown")
    assert tried(page, of_series[0]) == "401"
    authorize(page, KEYS[0])
    assert len(of_series) >= 4
    assert {tried(page, each) for each in of_series[1:]} == {"200"}
    # The key is nowhere that outlives the tab.
    kept = "return JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie"
    assert page.js(kept) == "{}{}"


def test_an_upload_is_tried_without_typing_where_there_are_no_keys(page: Page) -> None:
    page.open("docs")
    upload = page.find(".opblock-put[id^=operations-datasets]")
    assert tried(page, upload) == "201"
    assert "pump" in page.service.call("/datasets").content.decode()
