"""Data is uploaded, kept whole or not at all, and can be read at once."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from starlette.requests import Request

from detector.api import datasets
from detector.api.errors import GatewayError
from detector.api.upload_room import UploadRoom
from detector.datasource import Access, read
from detector.settings import Settings

TABLE = b"timestamp,speed,load\n2021-01-01T00:00:00Z,1,10\n2021-01-01T00:01:00Z,2,20\n"
SERIES = b"timestamp,value\n2021-01-01T00:00:00Z,1\n"
EVER = {"start": pd.Timestamp("1900-01-01"), "end": pd.Timestamp("2200-01-01"), "look_back": 0}
MOST = 3_000_000


@pytest.fixture
def call(keyed: Any, kit: Any) -> Iterator[Any]:
    """Return what calls the service with its key; what was kept is gone after the test."""

    def ask(path: str, body: bytes | None = None, *, method: str = "GET", **headers: str) -> Any:
        return keyed.call(path, body, method=method, headers={kit.HEADER: kit.KEYS[0], **headers})

    yield ask
    for dataset in ask("/datasets").json["datasets"]:
        assert ask(f"/datasets/{dataset['name']}", method="DELETE").status == 204
    assert not kept(keyed)


def kept(keyed: Any) -> list[str]:
    """Return the names of all files in the folder, hidden ones too."""
    folder = keyed.folder / "kept"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def packed(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, file in files.items():
            archive.writestr(f"{name}.csv", file)
    return content.getvalue()


def test_an_uploaded_table_can_be_read_at_once(keyed: Any, call: Any) -> None:
    answer = call("/datasets/machine-1", TABLE, method="PUT")
    assert answer.status == 201
    assert list(answer.json) == ["dataSource"]
    access = Access(folders=(keyed.folder / "kept",))
    found = read(answer.json["dataSource"], access, **EVER)
    assert found["load"].tolist() == [10, 20]
    [listed] = call("/datasets").json["datasets"]
    assert (listed["name"], listed["bytes"]) == ("machine-1", len(TABLE))
    assert listed["dataSource"] == answer.json["dataSource"]
    assert pd.Timestamp(listed["lastUpdatedTime"]).tzinfo is not None


@pytest.mark.parametrize("kind", ["application/json", "text/csv; charset=utf-16", "nonsense"])
def test_content_decides_and_not_its_type(keyed: Any, call: Any, kind: str) -> None:
    zipped = packed(a=SERIES, b=SERIES)
    assert call("/datasets/x.csv", zipped, method="PUT", **{"Content-Type": kind}).status == 201
    assert kept(keyed) == ["x.zip"]


def test_an_upload_takes_the_place_of_the_one_before(keyed: Any, call: Any) -> None:
    call("/datasets/x", packed(a=SERIES, b=SERIES), method="PUT")
    assert call("/datasets/x", TABLE, method="PUT").json["dataSource"].endswith("x.csv")
    assert kept(keyed) == ["x.csv"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "FileColumnsNotExist"),
        (b"{}", "FileColumnsNotExist"),
        (bytes(100), "ReadingFileError"),
        (b"timestamp\n", "NoVariablesFound"),
        (TABLE.decode().encode("utf-16"), "ReadingFileError"),
        (packed(a=SERIES)[:50], "ReadingFileError"),
        (packed(), "NoVariablesFound"),
        (b"timestamp" + b",a" * 1_000_000 + b"\n", "DataExceedsLimit"),
    ],
    ids=range(8),
)
def test_what_is_no_data_is_refused(keyed: Any, call: Any, content: bytes, code: str) -> None:
    call("/datasets/x", TABLE, method="PUT")
    answer = call("/datasets/x", content, method="PUT")
    assert (answer.status, answer.json["code"]) == (400, code)
    assert answer.headers["x-ms-error-code"] == code
    # The one before is as it was.
    assert (keyed.folder / "kept" / "x.csv").read_bytes() == TABLE


@pytest.mark.parametrize("name", ["%2e%2e", ".hidden", "a%20b", "%C3%A4", "a%00", "n" * 101])
def test_a_name_is_checked(keyed: Any, call: Any, name: str) -> None:
    answer = call(f"/datasets/{name}", TABLE, method="PUT")
    assert answer.status in (400, 404)
    assert answer.status == 404 or answer.json["code"] == "BadArgument"
    assert not kept(keyed)


def test_a_name_cannot_climb(keyed: Any, call: Any) -> None:
    for name in ("..%2fx", "../x", "a/b", "%2fetc%2fpasswd"):
        assert call(f"/datasets/{name}", TABLE, method="PUT").status in (400, 404, 405)
    assert not kept(keyed)
    assert not (keyed.folder / "x.csv").exists()


def test_what_is_too_large_is_refused(keyed: Any, call: Any) -> None:
    line = b"2021-01-01T00:00:00Z,1,10\n"
    exactly = TABLE + line * ((MOST - len(TABLE)) // len(line))
    answer = call("/datasets/x", exactly + line, method="PUT")
    assert answer.status == 413
    assert answer.json["code"] == "InvalidFileSize"
    assert f"({MOST} bytes" in answer.json["message"]
    assert not kept(keyed)
    assert call("/datasets/x", exactly, method="PUT").status == 201


def test_a_key_is_required(keyed: Any, call: Any) -> None:
    for path, method in (("/x", "PUT"), ("/x", "DELETE"), ("", "GET")):
        answer = keyed.call(f"/datasets{path}", TABLE if method == "PUT" else None, method=method)
        assert answer.status == 401
    assert not kept(keyed)


def test_what_is_not_there_cannot_be_deleted(call: Any) -> None:
    answer = call("/datasets/none", method="DELETE")
    assert (answer.status, answer.json["code"]) == (404, "FileNotExist")


def connect(keyed: Any, kit: Any, *headers: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", keyed.port), timeout=20)
    head = [
        "PUT /datasets/x HTTP/1.1",
        "Host: localhost",
        f"{kit.HEADER}: {kit.KEYS[0]}",
        *headers,
    ]
    connection.sendall("\r\n".join([*head, "", ""]).encode())
    return connection


def status(connection: socket.socket) -> int:
    return int(connection.recv(1000).split()[1])


def test_an_upload_that_breaks_off_leaves_nothing(keyed: Any, call: Any, kit: Any) -> None:
    with connect(keyed, kit, "Content-Length: 2000000") as connection:
        connection.sendall(TABLE * 20_000)

    def noted() -> bool:
        return any(line.get("status") == 499 for line in keyed.log)

    kit.until(noted, "the service noticed")
    assert not kept(keyed)


def test_a_slow_upload_is_given_up(keyed: Any, call: Any, kit: Any) -> None:
    with connect(keyed, kit, "Content-Length: 100") as connection:
        connection.sendall(TABLE[:20])
        assert status(connection) == 408
    assert not kept(keyed)


def test_an_endless_upload_is_cut(keyed: Any, call: Any, kit: Any) -> None:
    with connect(keyed, kit, "Transfer-Encoding: chunked") as connection:
        block = TABLE + b"2021-01-01,1,2\n" * 60_000
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 100 * MOST:
                connection.sendall(b"%x\r\n%s\r\n" % (len(block), block))
                sent += len(block)
    assert sent < 100 * MOST
    assert not kept(keyed)


def test_garbage_is_refused_before_its_end(keyed: Any, call: Any, kit: Any) -> None:
    with connect(keyed, kit, "Content-Length: 2900000") as connection:
        connection.sendall(b"x" * 2_000_000)
        # The rest never comes.
        assert status(connection) == 400
    assert not kept(keyed)


def test_an_announced_size_is_refused_before_a_byte_is_sent(
    keyed: Any, call: Any, kit: Any
) -> None:
    headers = (f"Content-Length: {MOST + 1}", "Expect: 100-continue")
    with connect(keyed, kit, *headers) as connection:
        assert status(connection) == 413


def arriving(
    content: bytes, *, size: int, whole: bool, waiting: asyncio.Event | None = None
) -> Request:
    """Return an upload that announces a size, and after its content is silent or at its end."""
    parts = [{"type": "http.request", "body": content, "more_body": not whole}]

    async def receive() -> Any:
        if parts:
            return parts.pop()
        if waiting:
            waiting.set()
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    headers = [(b"content-length", str(size).encode())]
    return Request({"type": "http", "method": "PUT", "headers": headers}, receive)


def test_an_upload_that_is_too_large_takes_no_room_from_others(tmp_path: Path) -> None:
    access = Access(folders=(tmp_path,))

    async def work() -> None:
        room, waiting = UploadRoom(Settings(), access), asyncio.Event()
        huge = arriving(b"timestamp", size=10**15, whole=False, waiting=waiting)
        task = asyncio.create_task(datasets.put_dataset(huge, "huge", access, room))
        # Until the rest of it is waited for.
        async with asyncio.timeout(10):
            await waiting.wait()
        honest = arriving(TABLE, size=len(TABLE), whole=True)
        answer = await datasets.put_dataset(honest, "honest", access, room)
        assert answer.status_code == 201
        assert not task.done()
        assert (await task).status_code == 413

    asyncio.run(work())


def test_an_upload_that_falls_silent_leaves_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(datasets, "_SILENT_SECONDS", 0.1)
    access = Access(folders=(tmp_path,))

    async def work() -> None:
        room = UploadRoom(Settings(), access)
        silent = [
            datasets.put_dataset(arriving(b"t", size=100, whole=False), "x", access, room)
            for _ in range(Settings().concurrent_uploads)
        ]
        async with asyncio.timeout(10):
            refused = await asyncio.gather(*silent, return_exceptions=True)
        for each in refused:
            assert isinstance(each, GatewayError)
            assert each.status == 408
            assert "Nothing of the body arrived for 0.1 seconds" in each.message
        honest = arriving(TABLE, size=len(TABLE), whole=True)
        assert (await datasets.put_dataset(honest, "x", access, room)).status_code == 201

    asyncio.run(work())


def test_memory_does_not_grow_with_an_upload(service: Any) -> None:
    used = Path(f"/proc/{service.process.pid}/status")
    if not used.exists():
        pytest.skip("reads the memory in /proc: run on Linux")

    def peak() -> int:
        return int(used.read_text().split("VmHWM:")[1].split()[0]) // 1024

    service.call("/datasets/small", TABLE, method="PUT")
    before = peak()
    body = TABLE + b"2021-01-01T00:00:00Z,1,10\n" * 4_000_000
    assert service.call("/datasets/large", body, method="PUT").status == 201
    assert peak() - before < 40
    assert (service.folder / "datasets" / "large.csv").stat().st_size == len(body)
    for name in ("small", "large"):
        service.call(f"/datasets/{name}", method="DELETE")
