"""What the page keeps from others: text stays text, its policy holds, and nothing frames it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from chromium import Page
from services import Service


@pytest.fixture
def framing(service: Service) -> Iterator[str]:
    """Return the address of a page of others that frames the service's, for the test."""
    content = f'<link rel="icon" href="data:,"><iframe src="{service.url}/"></iframe>'.encode()

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
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
