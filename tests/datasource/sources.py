"""What tests of data sources share: data, a server, and how a refusal is expected."""

from __future__ import annotations

import contextlib
import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, settings

from detector.datasource import Access, read
from detector.errors import DetectionError

ROOT = Path(__file__).parents[2]
SEED = 20261122
EVER = {"start": pd.Timestamp("1900-01-01"), "end": pd.Timestamp("2200-01-01"), "look_back": 0}
TABLE = b"timestamp,b,a\n2021-01-01T00:00:00Z,1,10\n2021-01-01T00:01:00Z,2,20\n"
SERIES = b"timestamp,value\n2021-01-01T00:00:00Z,1\n2021-01-01T00:01:00Z,2\n"
FEW = settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    print_blob=True,
)


@contextlib.contextmanager
def refused(code: str, *words: str) -> Iterator[None]:
    """Expect a refusal, whose message says these words."""
    with pytest.raises(DetectionError) as caught:
        yield
    assert caught.value.code == code, caught.value.message
    assert not [word for word in words if word not in caught.value.message], caught.value.message


def packed(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, file in files.items():
            archive.writestr(name, file)
    return content.getvalue()


def read_bytes(content: bytes, access: Access, name: str = "file.csv", **options: Any) -> Any:
    (access.folders[0] / name).write_bytes(content)
    return read(name, access, **{**EVER, **options})


def parts_of(table: pd.DataFrame, count: int = 3) -> dict[str, bytes]:
    """Return a table as Spark writes it: every so many rows in a part, with a header each."""
    written = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
    return {"_SUCCESS": b""} | {
        f"part-{part:05}-{written}-c000.csv": table.iloc[part::count].to_csv().encode()
        for part in range(count)
    }


class Web:
    """A server on this machine; each path does what a test says."""

    def __init__(self) -> None:
        self.pages: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[str] = []
        self.server_name = "Web"
        pages, asked, web = self.pages, self.asked, self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                with contextlib.suppress(OSError):
                    pages[self.path.split("?")[0]](self)

            def version_string(self) -> str:
                return web.server_name

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.host}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def serve(self, path: str, content: bytes = b"", status: int = 200, **headers: str) -> str:
        def page(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in ({"Content_Length": str(len(content))} | headers).items():
                handler.send_header(name.replace("_", "-"), value)
            handler.end_headers()
            handler.wfile.write(content)

        self.pages[path] = page
        return self.url + path
