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


def test_the_examples_of_one_series_are_answered_with_a_key(guarded_page: Page) -> None:
    page = guarded_page
    page.refusals.add(401)
    page.open("swagger")
    operations = page.until(
        lambda: page.all(".opblock[id^=operations-timeseries]"), "the operations are shown"
    )
    assert page.driver.current_url.endswith("/docs")
    assert tried(page, operations[0]) == "401"
    page.click(".btn.authorize")
    page.type(".auth-container input", KEYS[0])
    page.click(".auth-btn-wrapper [type=submit]")
    page.click(".btn-done")
    assert len(operations) >= 4
    assert {tried(page, each) for each in operations[1:]} == {"200"}
