"""What grants access to data stands where the worker reads it, and nowhere else."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
import services
from services import Service, until

BASE = "/anomalydetector"
MODELS = f"{BASE}/v1.1/multivariate/models"
# As it is sent, and as a URL library would write it again.
TOKEN, DECODED = "s3cr3t%2BSignature%3D", "s3cr3t+Signature="


@pytest.fixture
def guarded_host() -> Iterator[str]:
    """Return a host that gives the data to whoever has the token."""

    class Guarded(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = f"sig={TOKEN}" in self.path
            body = services.table().encode() if allowed else b""
            self.send_response(200 if allowed else 403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_token_is_read_by_the_worker_and_stands_nowhere(
    begin: Callable[..., Service], guarded_host: str, tmp_path: Path
) -> None:
    service = begin(
        DETECTOR_EMBEDDED_WORKER="true",
        DETECTOR_PRIVATE_DATA_HOSTS=guarded_host,
        DETECTOR_TRAINING_EPOCHS="1",
    ).wait()
    source = f"http://{guarded_host}/machine.csv?sv=2022&sig={TOKEN}"
    shown = f"http://{guarded_host}/machine.csv?..."
    answers: list[bytes] = []
    seen: set[str] = set()

    def call(path: str, body: Any = None) -> Any:
        answer = service.call(path, body)
        answers.extend((answer.content, str(answer.headers).encode()))
        return answer

    def ended(path: str, part: str) -> Any:
        def look() -> Any:
            for process in psutil.Process(service.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    seen.update([*process.cmdline(), *process.environ().values()])
            found = call(path).json[part]
            return found if found["status"] in ("READY", "FAILED") else None

        return until(look, path, pause=1)

    begun = call(MODELS, services.training(dataSource=source)).json
    assert begun["modelInfo"]["dataSource"] == shown
    model = f"{MODELS}/{begun['modelId']}"
    info = ended(model, "modelInfo")
    assert (info["status"], info["dataSource"]) == ("READY", shown), info["errors"]
    # The process that trained was looked at.
    assert begun["modelId"] in seen

    wanted = services.training(dataSource=source)
    result = call(f"{model}:detect-batch", wanted).headers["operation-id"]
    found = ended(f"{BASE}/v1.1/multivariate/detect-batch/{result}", "summary")
    assert (found["status"], found["setupInfo"]["dataSource"]) == ("READY", shown)

    # One that is refused, when it is asked for and when it is read.
    call(MODELS, services.training(dataSource=source.replace("127.0.0.1", "127.0.0.2")))
    call(MODELS, services.training(dataSource=f" {source}"))
    call(MODELS, services.training(dataSource=source.replace("//", f"//user:{TOKEN}@")))
    wrong = call(MODELS, services.training(dataSource=source.replace("sig=", "gone="))).json
    failed = ended(f"{MODELS}/{wrong['modelId']}", "modelInfo")
    assert failed["errors"][0]["code"] == "GetDataError"
    call(MODELS)
    call(f"{BASE}/v1.1-preview.1/multivariate/models")

    def is_forgotten() -> bool:
        with sqlite3.connect(tmp_path / "0" / "jobs.db") as rows:
            return rows.execute("SELECT COUNT(*) FROM kv").fetchone() == (0,)

    until(is_forgotten, "the queue keeps no address")
    service.stop()
    kept = [path for path in (tmp_path / "0").rglob("*") if path.is_file()]
    assert {"mlflow.db", "output"} <= {path.name for path in kept}
    places = {path.name: path.read_bytes() for path in kept if not path.name.startswith("jobs.db")}
    places |= {"answers": b"\n".join(answers), "processes": "\n".join(seen).encode()}
    for name, content in places.items():
        for secret in (TOKEN, DECODED, "s3cr3t"):
            assert secret.encode() not in content, name
    # What was asked for can still be seen.
    assert shown.encode() in places["mlflow.db"]
