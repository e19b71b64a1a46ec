"""Swagger UI in a real browser: it shows every operation, and its examples run with a key."""

from __future__ import annotations

from typing import Any

from chromium import Page

ENTIRE = (
    "operations-timeseries-detect_entire_anomalydetector__version__timeseries_entire_detect_post"
)
PUT = "operations-datasets-put_dataset_datasets__name__put"


def authorize(page: Page, key: str) -> None:
    page.click(".btn.authorize")
    page.type(".auth-container input", key)
    page.click(".auth-container .btn.authorize")
    page.click(".auth-container .btn-done")


def execute(page: Page, operation: str) -> str:
    """Open an operation, run its example as it stands, and return the status of the answer."""
    if not page.all(f"#{operation} .execute"):
        page.click(f"#{operation} .opblock-summary-control")
    page.click(f"#{operation} .execute")
    return page.text(f"#{operation} .live-responses-table tbody .response-col_status")


def test_the_container_s_address_leads_to_every_operation(page: Page) -> None:
    page.open("swagger")
    page.find(f"#{ENTIRE}")
    assert page.driver.current_url == f"{page.service.url}/docs"
    description = page.service.call("/openapi.json").json["paths"]
    count = sum(len(methods) for methods in description.values())
    page.until(lambda: len(page.all(".opblock")) == count, f"{count} operations are shown")


def test_an_example_runs_once_a_key_is_given(guarded_page: Page, kit: Any) -> None:
    page = guarded_page
    page.refusals = {401}
    page.open("docs")
    assert execute(page, ENTIRE).startswith("401")
    authorize(page, kit.KEYS[0])
    page.until(lambda: execute(page, ENTIRE).startswith("200"), "it is answered")
    page.says(f"#{ENTIRE} .live-responses-table", "isAnomaly")
    # The key is nowhere that outlives the tab.
    kept = "return JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie"
    assert page.js(kept) == "{}{}"
    page.open("docs")
    assert execute(page, ENTIRE).startswith("401")


def test_an_upload_is_tried_without_typing(page: Page) -> None:
    page.open("docs")
    authorize(page, "any")
    assert execute(page, PUT).startswith("201")
    page.says(f"#{PUT} .live-responses-table", "pump.csv")
