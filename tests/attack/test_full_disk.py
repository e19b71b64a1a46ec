"""A full disk, and many or large uploads, are refused; the service lives and leaves nothing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import services
from services import Answer, Service, until

from detector.api import metrics_folder
from detector.datasource import Access
from detector.datasource.uploads import sweep

BASE = "/anomalydetector"
MODELS = f"{BASE}/v1.1/multivariate/models"
MIB = 1024 * 1024
SERIES = {"series": [{"value": 1.0 + place % 5} for place in range(30)]}
MEMORY = Path("/dev/shm")  # noqa: S108


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str, int], Path]]:
    """Return what makes a folder that is a disk of so many MiB."""
    made: list[Path] = []

    def mount(name: str, size: int) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"A small disk cannot be mounted: {done.stderr.strip()}; run as root")
        made.append(folder)
        return folder

    yield mount
    for each in made:
        subprocess.run(["umount", "--lazy", str(each)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room of a disk, by a file to be deleted."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert shutil.disk_usage(folder).free == 0
    return filler


def table(size: int) -> bytes:
    row = b"2021-01-01T00:00:00Z,1,10\n"
    return b"timestamp,speed,load\n" + row * (size // len(row))


def put(service: Service, name: str, body: bytes) -> Answer:
    return service.call(f"/datasets/{name}", body, method="PUT")


def put_unannounced(service: Service, name: str, body: bytes) -> bytes:
    """Upload in chunks, without saying how many bytes there are; return the answer."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
        head = f"PUT /datasets/{name} HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\n"
        head += f"{services.HEADER}: any\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode())
        with contextlib.suppress(OSError):
            for start in range(0, len(body), MIB):
                block = body[start : start + MIB]
                connection.sendall(b"%x\r\n%s\r\n" % (len(block), block))
            connection.sendall(b"0\r\n\r\n")
        return connection.recv(4096)


def begin_upload(service: Service, size: int) -> socket.socket:
    """Announce an upload and send its beginning."""
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=30)
    head = f"PUT /datasets/slow HTTP/1.1\r\nHost: 127.0.0.1:{service.port}\r\n"
    head += f"{services.HEADER}: any\r\nContent-Length: {size}\r\n\r\ntimestamp,a\n"
    connection.sendall(head.encode())
    return connection


def assert_alive(service: Service) -> None:
    """See that all else answers."""
    for operation in ("entire", "last"):
        path = f"{BASE}/v1.1/timeseries/{operation}/detect"
        assert service.call(path, SERIES).status == 200
        # A code that was not counted yet takes room where metrics are files.
        assert service.call(path, {**SERIES, "period": -1}).json["code"] == "InvalidPeriod"
    assert b"InvalidPeriod" in service.call("/metrics").content
    assert service.call("/health/live").status == 200


def assert_no_room(answer: Answer) -> None:
    assert answer.status in (503, 507), answer.content
    message = answer.json.get("error", answer.json)["message"]
    assert "room" in message or "No space left" in message


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_uploads_are_counted_and_full_disks_refuse_them(
    begin: Callable[..., Service], disk: Callable[[str, int], Path], tmp_path: Path
) -> None:
    temporary, kept = disk("temporary", 24), disk("kept", 12)
    service = begin(
        TMPDIR=str(temporary),
        DETECTOR_DATA_FOLDERS=str(kept),
        DETECTOR_CONCURRENT_UPLOADS="2",
        DETECTOR_MIN_FREE_BYTES=str(4 * MIB),
    ).wait()
    # One worker counts in its own memory.
    for place in (MEMORY, temporary, Path(tempfile.gettempdir())):
        assert not [path for path in place.glob("detector-metrics-*") if _is_of(path, service)]
    assert put(service, "first", table(3 * MIB)).status == 201

    # What is announced counts as long as it arrives.
    slow = begin_upload(service, 4 * MIB)
    refused = until(lambda: _refused(put(service, "second", table(3 * MIB))), "a refusal")
    assert refused.status == 507
    assert "DETECTOR_MIN_FREE_BYTES" in refused.json["error"]["message"]
    assert put(service, "small", table(1000)).status == 201
    other = begin_upload(service, 1000)
    crowded = until(lambda: _refused(put(service, "third", table(1000))), "a refusal")
    assert crowded.status == 429
    assert "DETECTOR_CONCURRENT_UPLOADS" in crowded.json["error"]["message"]
    assert int(crowded.headers["Retry-After"]) > 0
    for each in (slow, other):
        each.close()
    until(lambda: put(service, "third", table(1000)).status == 201, "room again")

    assert_no_room(put(service, "large", table(6 * MIB)))
    assert b" 507 " in put_unannounced(service, "large", table(6 * MIB)).splitlines()[0]
    assert names(kept) == ["first.csv", "small.csv", "third.csv"]

    filler = fill(temporary)
    assert_no_room(put(service, "fourth", table(1000)))
    assert_alive(service)
    filler.unlink()
    assert put(service, "fourth", table(1000)).status == 201

    fill(kept)
    assert_no_room(put(service, "fifth", table(1000)))
    assert "fifth.csv" not in names(kept)
    assert not [name for name in names(kept) if name.endswith(".part")]
    assert_alive(service)
    assert "Traceback" not in service.output


def _refused(answer: Answer) -> Answer | None:
    return answer if answer.status in (429, 507) else None


def test_a_full_working_folder_refuses_and_begins_nothing(
    begin: Callable[..., Service], disk: Callable[[str, int], Path], tmp_path: Path
) -> None:
    folder = disk("0", 48)
    services.keep_data(folder)
    service = begin(DETECTOR_EMBEDDED_WORKER="true", DETECTOR_TRAINING_EPOCHS="1").wait()
    # The queue is there, and MLflow's tables.
    assert service.call(MODELS).json["currentCount"] == 0
    until(lambda: (folder / "jobs.db").exists(), "the queue")
    output = tmp_path / "elsewhere"
    shutil.copy(folder / "output", output)
    filler = fill(folder)
    for _ in range(3):
        assert_no_room(service.call(MODELS, services.training()))
        assert_no_room(put(service, "more", table(1000)))
    assert service.call(MODELS).json["currentCount"] == 0
    assert_alive(service)
    assert names(folder / "datasets") == ["machine.csv"]
    filler.unlink()
    begun = until(lambda: _begun(service.call(MODELS, services.training())), "it goes on")
    path = f"{MODELS}/{begun['modelId']}"
    until(lambda: service.call(path).json["modelInfo"]["status"] == "READY", "READY", pause=0.5)
    assert service.call(MODELS).json["currentCount"] == 1


def _begun(answer: Answer) -> Any:
    return answer.json if answer.status == 201 else None


def test_a_full_temporary_folder_ends_none_of_several_workers_and_leftovers_go(
    begin: Callable[..., Service],
    disk: Callable[[str, int], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    temporary = disk("temporary", 16)
    datasets = tmp_path / "kept"
    datasets.mkdir()
    settings = {
        "TMPDIR": str(temporary),
        "DETECTOR_DATA_FOLDERS": str(datasets),
        "DETECTOR_WORKERS": "2",
    }
    first = begin(**settings).wait()
    # Ready is the one that was asked; a model is loaded through the temporary folder.
    until(lambda: first.output.count('"model loaded"') == 6, "both workers have their models")
    ours = [path for path in MEMORY.glob("detector-metrics-*") if _is_of(path, first)]
    assert len(ours) == 1
    for path in ours[0].glob("*.db"):
        # As much as it may ever take is reserved.
        assert path.stat().st_blocks * 512 >= MIB
    filler = fill(temporary)
    for _ in range(4):
        assert_alive(first)
    assert first.process.poll() is None
    filler.unlink()

    os.killpg(first.process.pid, signal.SIGKILL)
    first.process.wait()
    assert ours[0].exists()
    old, used = temporary / "detector-metrics-old", temporary / "detector-metrics-used"
    for folder, number in ((old, 2**22 + 1), (used, os.getpid())):
        folder.mkdir()
        (folder / f"counter_{number}.db").touch()
    left, writing = datasets / ".left.part", datasets / ".writing.part"
    left.touch()
    # What the next service does first.
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with writing.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with metrics_folder.made(workers=1):
            sweep(Access(folders=(datasets,)))
    assert not ours[0].exists()
    assert not old.exists()
    assert used.exists()
    assert names(datasets) == [".writing.part"]


def _is_of(folder: Path, service: Service) -> bool:
    """Say whether a folder of metrics is that of a service."""
    with contextlib.suppress(OSError):
        environment = Path(f"/proc/{service.process.pid}/fd")
        return any(str(each.readlink()).startswith(str(folder)) for each in environment.iterdir())
    return False
