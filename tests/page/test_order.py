"""What a person chose last is what the page shows, however long the others take to come."""

from __future__ import annotations

import pytest
from chromium import Page
from page.files import daily, german
from page.seen import done, drawn, take

# Runs what it is given as soon as the page is there, which is before its modules run.
AT_ONCE = (
    "document.addEventListener('readystatechange', () => {{"
    "if (document.readyState === 'interactive') {{ {0} }} }}, {{once: true}});"
)
DROP = (
    "const carried = new DataTransfer();"
    "carried.items.add(new File([{0!r}], 'sales.csv'));"
    "const options = {{dataTransfer: carried, bubbles: true, cancelable: true}};"
    "const drop = new DragEvent('drop', options);"
    "document.body.dispatchEvent(drop);"
    "globalThis.isTaken = drop.defaultPrevented;"
)
# Keeps requests whose address has a part until `let()` is called.
HOLD = (
    "const send = window.fetch; const [part] = arguments;"
    "const held = new Promise((resolve) => { window.let = resolve; });"
    "window.fetch = async (address, options) => {"
    "  if (!String(address).includes(part)) return send(address, options);"
    "  await held; const answer = await send(address, {...options, signal: undefined});"
    "  window.came = true; return answer; };"
)


@pytest.mark.parametrize("fragment", ["", "#series?sample=elnino"])
def test_a_sample_that_is_clicked_before_the_page_is_ready_is_taken(
    page: Page, fragment: str
) -> None:
    script = AT_ONCE.format("document.querySelector('[data-sample=shift]').click();")
    page.cdp("Page.addScriptToEvaluateOnNewDocument", source=script)
    page.open(fragment)
    drawn(page, 120)
    assert "sample=shift" in page.driver.current_url


def test_a_file_that_is_dropped_before_the_page_is_ready_is_read(page: Page) -> None:
    script = AT_ONCE.format(DROP.format(german(daily())))
    page.cdp("Page.addScriptToEvaluateOnNewDocument", source=script)
    page.open()
    drawn(page, 60)
    page.says("#description", "60 daily points")
    assert page.js("return isTaken")


def test_a_file_that_is_dropped_where_none_is_wanted_leaves_the_page_as_it_is(page: Page) -> None:
    page.open("#models")
    page.find("#models-refresh")
    page.js(DROP.format("Date,Sales"))
    assert page.js("return isTaken")


def test_a_file_that_is_read_late_does_not_replace_what_was_chosen_after_it(page: Page) -> None:
    take(page, "fault")
    page.js(HOLD, "files/read")
    page.click("#paste-open")
    page.type("#paste-text", german(daily()))
    page.click("#paste-read")
    page.click("[data-sample=shift]")
    drawn(page, 120)
    page.js("window.let()")
    page.until(lambda: page.js("return window.came"), "the file is answered")
    page.js("return new Promise((resolve) => setTimeout(resolve))")
    done(page)
    page.says("#description", "120 days")
    assert "sample=shift" in page.driver.current_url


def test_a_sample_that_comes_late_does_not_replace_what_was_chosen_after_it(page: Page) -> None:
    take(page, "shift")
    # El Niño is a file of its own, which is loaded when it is wanted.
    page.js(
        "for (const name of arguments[0]) document.querySelector(name).click();",
        ["[data-sample=elnino]", "[data-sample=fault]"],
    )
    drawn(page, 20)
    page.js(
        "return import(new URL('elnino.js', document.querySelector('script[type=module]').src))"
    )
    page.js("return new Promise((resolve) => setTimeout(resolve))")
    page.says("#description", "20 month ends")
    assert "sample=fault" in page.driver.current_url


def test_the_curve_of_another_series_is_not_shown(page: Page) -> None:
    take(page, "daily")
    page.find("#tune-curve:not(.waiting) .tune-line[d]")
    page.js(HOLD, "entire/tune")
    page.click("[data-sample=shift]")
    drawn(page, 120)
    page.until(lambda: not page.find("#tune-take, #tune").text.count("flagged"), "it is gone")
    assert page.all("#tune-curve.waiting")
    page.js("window.let()")
    page.find("#tune-curve:not(.waiting) .tune-line[d]")


def test_a_change_that_is_refused_is_not_asked_again_with_the_next(page: Page) -> None:
    page.refusals.add(400)
    page.open()
    done(page)
    page.click("#paste-open")
    page.type("#paste-text", german(daily()))
    page.click("#paste-read")
    drawn(page, 60)
    # As a column that the file has no more.
    page.js(
        "const column = document.querySelector('#column-value');"
        "column.append(new Option('gone', 'gone')); column.value = 'gone';"
        "column.dispatchEvent(new Event('change'));"
    )
    page.says("#input-error", "gone")
    page.choose("#day-first", "true")
    page.js("document.querySelector('#day-first').dispatchEvent(new Event('change'))")
    page.until(
        lambda: not any(each.is_displayed() for each in page.all("#input-error")), "it is read"
    )


def test_a_link_with_options_that_there_are_not_has_the_usual_ones(page: Page) -> None:
    page.open("#variables?sample=pump&window=1e99&align=%3Cb%3E&fill=Zorro&from=x&to=9999-99-99")
    page.find("#var-train")
    fields = ("#var-window", "#var-align", "#var-fill")
    shown = [page.js("return document.querySelector(arguments[0]).value", each) for each in fields]
    assert shown == ["200", "Outer", "Linear"]
