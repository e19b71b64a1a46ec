"""The page of a service with keys: it asks once, and keeps the key in its tab."""

from __future__ import annotations

from chromium import Page
from page.seen import done
from services import KEYS


def ask(page: Page) -> None:
    """Open the page, which asks for a key to detect in its first sample."""
    page.open()
    page.find("#key-dialog[open]")


def give(page: Page, key: str) -> None:
    page.type("#key-input", key)
    page.click("#key-send")


def test_the_right_key_is_asked_for_once_and_kept_in_the_tab(guarded_page: Page) -> None:
    page = guarded_page
    page.refusals.add(401)
    ask(page)
    give(page, "not-the-key")
    page.says("#key-message", "does not know this key")
    give(page, KEYS[1])
    done(page)
    page.says("#summary", "20 points")
    # The program to call the service with has none.
    page.text("#code-text")
    kept = page.js(
        "return [Object.values(sessionStorage), Object.values(localStorage), document.cookie]"
    )
    assert KEYS[1] in kept[0]
    assert kept[1:] == [[], ""]
    assert not page.js("return indexedDB.databases().then((all) => all.length)")
    assert KEYS[1] not in page.driver.current_url
    assert KEYS[1] not in page.driver.page_source
    # The tab goes on with it; another one asks again.
    page.driver.refresh()
    done(page)
    page.driver.switch_to.new_window("tab")
    ask(page)


def test_no_request_is_sent_before_there_is_a_key(guarded_page: Page) -> None:
    for _ in range(2):
        ask(guarded_page)
    asked = [path for path, _ in guarded_page.answers()]
    assert asked
    assert all(path == "/" or path.startswith("/page/") for path in asked), asked
    # Not even one that is refused: each would make the next wrong key wait longer.
    guarded_page.click("#key-cancel")
    guarded_page.says("#result-error", "Without a key")


def test_a_key_can_be_forgotten(guarded_page: Page) -> None:
    page = guarded_page
    page.refusals.add(401)
    ask(page)
    give(page, KEYS[0])
    done(page)
    page.click("#forget-key")
    assert page.js("return JSON.stringify(sessionStorage)").count(KEYS[0]) == 0
    page.click("[data-sample=shift]")
    page.find("#key-dialog[open]")


def test_without_a_key_nothing_is_answered(guarded_page: Page) -> None:
    page = guarded_page
    page.refusals.add(401)
    ask(page)
    page.click("#key-cancel")
    page.says("#result-error", "key")
    assert page.find("#panel").get_attribute("data-state") == "failed"
    for name in ("variables", "models"):
        page.open(f"#{name}")
        page.find(f"#view-{name}")
        page.until(
            lambda: page.all("#key-dialog[open]") or page.all(f"#view-{name} [role=alert]"),  # noqa: B023
            "a key is asked for",
        )
    # All that was answered are the page's own files.
    answered = [path for path, status in page.answers() if status < 400]
    assert answered
    assert all(path == "/" or path.startswith("/page/") for path in answered), answered
