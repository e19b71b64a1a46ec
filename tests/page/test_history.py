"""The address, back and forward: each step has the series and the options that it was left with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from chromium import Page


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    """Return a file that is a request to the service, with options."""
    path = tmp_path / "request.json"
    points = [
        {"timestamp": f"2021-01-{day:02}T00:00:00Z", "value": day % 7} for day in range(1, 29)
    ]
    path.write_text(
        json.dumps({"series": points, "granularity": "daily", "sensitivity": 77, "period": 7})
    )
    return path


def test_a_series_and_its_options_are_one_step(page: Page, request_file: Path) -> None:
    page.open()
    page.says("#summary", "of 20 points")
    page.file("#file", request_file)
    page.says("#summary", "of 28 points")
    page.until(lambda: "data=" in page.driver.current_url, "the address has the series")
    assert page.text("#sensitivity-shown") == "77"
    page.driver.back()
    page.says("#summary", "of 20 points")
    assert "sensitivity" not in page.driver.current_url
    assert page.text("#sensitivity-shown") == "95"
    page.driver.forward()
    page.says("#summary", "of 28 points")
    assert page.text("#sensitivity-shown") == "77"


def test_another_view_leaves_the_series_and_its_file_as_they_are(
    page: Page, request_file: Path
) -> None:
    page.open()
    page.file("#file", request_file)
    page.says("#summary", "of 28 points")
    page.until(lambda: "data=" in page.driver.current_url, "the address has the series")
    page.click("nav [data-view=models]")
    page.find("#view-models")
    page.click("nav [data-view=series]")
    page.says("#summary", "of 28 points")
    assert "data=" in page.driver.current_url
    # A series that came by a link has no columns to choose from.
    assert page.find("#column-value").is_displayed()


def test_a_link_that_was_cut_is_said_to_be(page: Page, request_file: Path) -> None:
    page.open()
    page.file("#file", request_file)
    page.says("#summary", "of 28 points")
    page.until(lambda: "data=" in page.driver.current_url, "the address has the series")
    page.js("location.hash = location.hash.slice(0, -9)")
    page.says("#input-error", "cannot be read")
