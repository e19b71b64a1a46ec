"""The page and Swagger UI behind a proxy that puts a path before them."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from chromium import Page
from services import Service

PREFIX = "/tools/anomalies"
ENTIRE = (
    "operations-timeseries-detect_entire_anomalydetector__version__timeseries_entire_detect_post"
)


@pytest.fixture
def proxy(service: Service) -> Iterator[str]:
    """Return the address of a proxy that knows the service below a path, and nothing else."""

    class Proxy(BaseHTTPRequestHandler):
        def forward(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            path = self.path.removeprefix(PREFIX)
            request = urllib.request.Request(
                service.url + path if path != self.path else f"{service.url}/not-below",
                data=self.rfile.read(length) if length else None,
                method=self.command,
                headers=dict(self.headers),
            )
            try:
                answer = urllib.request.urlopen(request, timeout=30)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                content = answer.read()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    if name not in ("Connection", "date"):
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = forward  # noqa: N815

        def log_message(self, *given: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}{PREFIX}/"
        server.shutdown()
        thread.join()


def test_swagger_calls_the_service_below_the_path(proxy: str, page: Page) -> None:
    page.own[0] = proxy
    page.open(f"{proxy}docs")
    page.click(".opblock[id*=entire_detect] .opblock-summary-control")
    page.until(lambda: page.find("textarea").get_attribute("value"), "its example is filled in")
    page.click(".opblock[id*=entire_detect] .execute")
    status = ".live-responses-table tbody .response-col_status"
    assert page.text(status).startswith("200")


def test_the_page_loads_and_detects_below_the_path(proxy: str, page: Page) -> None:
    page.own[0] = proxy
    page.open(proxy)
    page.find("body *")
    page.until(
        lambda: page.js("return document.querySelector('.js-plotly-plot') !== null"), "a chart"
    )
