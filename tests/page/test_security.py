"""What the page keeps from others: text stays text, its policy holds, and nothing frames it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
from chromium import Page
from page.files import daily, german
from page.seen import done, drawn, give
from selenium.webdriver.common.keys import Keys
from services import Service


@pytest.fixture
def framing(service: Service) -> Iterator[str]:
    """Return the address of a page of others that frames the service's, for the test."""
    content = f'<link rel="icon" href="data:,"><iframe src="{service.url}/"></iframe>'.encode()

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_no_other_page_frames_it(page: Page, framing: str) -> None:
    page.own.append(framing)
    page.open(framing)
    frame = page.find("iframe")
    log: list[str] = []

    def refused() -> bool:
        log.extend(entry["message"] for entry in page.driver.get_log("browser"))
        return any("frame-ancestors" in message for message in log)

    page.until(refused, "the frame is refused")
    page.driver.switch_to.frame(frame)
    assert page.driver.current_url == framing
    assert page.js("return location.href") == "chrome-error://chromewebdata/"
    page.driver.switch_to.default_content()


# Each would show itself, were it read as HTML: by an element, or by what it runs.
EVIL = (
    "<img src=x onerror=window.stolen=1><b id=planted>bold</b>"
    '<a href="javascript:window.stolen=1">x</a><script>window.stolen=1</script>'
)


def is_text(page: Page) -> None:
    """Fail where a text has become an element, in the page or in the chart."""
    found = page.js(
        "return [window.stolen ?? null, document.querySelectorAll("
        "'#planted, img[src=x], [onerror], main script, a[href^=javascript]').length,"
        "Array.from(document.querySelectorAll('a, image, img')).filter((each) => "
        "/javascript:/.test(each.getAttribute('href') ?? each.getAttribute('xlink:href') ?? '')"
        ").length]"
    )
    assert found == [None, 0, 0]


def test_the_name_of_a_column_stays_text(page: Page, tmp_path: Path) -> None:
    (tmp_path / "evil.csv").write_text(german(daily(name=EVIL)))
    give(page, tmp_path / "evil.csv")
    page.says("#description", "<b id=planted>")
    drawn(page, 60)
    # The title of the axis and what hovers.
    title = page.until(
        lambda: page.js("return document.querySelector('#chart .ytitle')?.textContent"),
        "the axis has a title",
    )
    assert "<b id=planted>bold</b>" in title
    for mode in ("latest", "changepoint", "entire"):
        page.click(f"#tab-{mode}")
        done(page)
        page.find("#chart").send_keys(Keys.HOME)
        is_text(page)
    for tab in page.all("#code-tabs [role=tab]"):
        tab.click()
        is_text(page)


def test_a_name_of_a_file_stays_text(page: Page, tmp_path: Path) -> None:
    page.refusals.add(400)
    path = tmp_path / "<b id=planted>bold<img src=x onerror=window.stolen=1>.csv"
    path.write_text("no table\n")
    give(page, path)
    page.text("#input-error")
    is_text(page)
    path.write_text(german(daily()))
    page.file("#file", path)
    drawn(page, 60)
    is_text(page)


def test_a_value_and_the_names_to_choose_from_stay_text(page: Page, tmp_path: Path) -> None:
    page.refusals.add(400)
    rows = [[*row, "Cost" + EVIL if place == 0 else place] for place, row in enumerate(daily())]
    rows[5][1] = EVIL
    (tmp_path / "evil.csv").write_text(german(rows))
    give(page, tmp_path / "evil.csv")
    page.until(
        lambda: page.js(
            "return ['description', 'input-error', 'input-choices'].some((id) =>"
            " document.getElementById(id).textContent.includes('planted'))"
        ),
        "the text is shown",
    )
    is_text(page)


def test_a_link_of_a_stranger_stays_text(page: Page, tmp_path: Path) -> None:
    (tmp_path / "evil.csv").write_text(german(daily(name=EVIL)))
    give(page, tmp_path / "evil.csv")
    drawn(page, 60)
    link = page.until(
        lambda: page.driver.current_url if len(page.driver.current_url) > 200 else "", "a link"
    )
    page.driver.switch_to.new_window("tab")
    page.open(link)
    drawn(page, 60)
    is_text(page)
    for fragment in (f"#{EVIL}", f"#series?sample={EVIL}", f"#series?sample=fault&tab={EVIL}"):
        page.open(quote(fragment, safe="#?=&"))
        page.text("h1")
        is_text(page)


def test_the_policy_allows_no_inline_script_or_style(page: Page) -> None:
    # The picture that is planted is not there.
    page.refusals.add(404)
    page.open()
    policy = page.service.call("/", headers={"Accept": "text/html"}).headers
    assert "unsafe" not in policy["Content-Security-Policy"]
    # An element that a script plants runs nothing.
    page.js(
        "const planted = document.createElement('div');"
        "planted.innerHTML = '<img src=x onerror=window.stolen=1>';"
        "const script = document.createElement('script');"
        "script.textContent = 'window.stolen = 2';"
        "document.body.append(planted, script);"
    )
    log: list[str] = []

    def refused() -> bool:
        log.extend(entry["message"] for entry in page.driver.get_log("browser"))
        return sum("Content Security Policy" in message for message in log) >= 2

    page.until(refused, "both are refused")
    assert page.js("return window.stolen ?? null") is None
    page.driver.get_log("browser")
