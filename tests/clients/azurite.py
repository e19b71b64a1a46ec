"""Azurite, the emulator of Azure's blob storage: started, filled, and asked for tokens."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
import subprocess
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from services import free_port, until

PROGRAM = Path(__file__).parent / "node_modules" / ".bin" / "azurite-blob"
ACCOUNT = "account1"
# The version of a token decides what of it is signed, and in which order.
VERSION = "2020-08-04"


class Azurite:
    """A blob storage with one account, whose key is made up anew each time."""

    def __init__(self, port: int, key: str) -> None:
        self._key = base64.b64decode(key)
        # Of the tokens that were given out; each is a secret.
        self.signatures: list[str] = []
        self.host = f"127.0.0.1:{port}"
        self.url = f"http://{self.host}/{ACCOUNT}"
        end = _after(1)
        signed = [ACCOUNT, "rwlc", "b", "sco", "", end, "", "", VERSION, ""]
        asked = {"sv": VERSION, "ss": "b", "srt": "sco", "sp": "rwlc", "se": end}
        self.token_of_all = urlencode(asked | {"sig": self._sign(signed)})

    def make(self, container: str, *, public: str = "") -> None:
        """Make a container; `public` is ``blob``, ``container`` or nothing."""
        headers = {"x-ms-blob-public-access": public} if public else {}
        self._put(container, "restype=container", b"", headers)

    def put(self, name: str, content: bytes, **metadata: str) -> str:
        """Keep a blob, named with its container; return its address."""
        headers = {f"x-ms-meta-{key}": value for key, value in metadata.items()}
        self._put(name, "", content, headers | {"x-ms-blob-type": "BlockBlob"})
        return f"{self.url}/{quote(name)}"

    def token(
        self, container: str, allows: str = "rl", *, start: float = 0, hours: float = 1
    ) -> str:
        """Return a SAS token of a container, or of a blob, where its name goes on."""
        kind, begin, end = (
            "b" if "/" in container else "c",
            _after(start) if start else "",
            _after(hours),
        )
        place = f"/blob/{ACCOUNT}/{container}"
        signed = [allows, begin, end, place, "", "", "", VERSION, kind, *[""] * 6]
        asked = {"sv": VERSION, "sr": kind, "sp": allows, "se": end} | (
            {"st": begin} if begin else {}
        )
        self.signatures.append(self._sign(signed))
        return urlencode(asked | {"sig": self.signatures[-1]})

    def _put(self, path: str, asked: str, content: bytes, headers: dict[str, str]) -> None:
        request = urllib.request.Request(
            f"{self.url}/{quote(path)}?{self.token_of_all}&{asked}", content, headers, method="PUT"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 201

    def _sign(self, lines: list[str]) -> str:
        text = "\n".join(lines).encode()
        return base64.b64encode(hmac.digest(self._key, text, hashlib.sha256)).decode()


def _after(hours: float) -> str:
    return f"{datetime.now(UTC) + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"


@contextlib.contextmanager
def running() -> Iterator[Azurite]:
    """Start an Azurite that keeps its blobs in memory, and end it."""
    if not PROGRAM.exists():
        pytest.skip("needs Azurite: make clients")
    port, key = free_port(), base64.b64encode(secrets.token_bytes(32)).decode()
    options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    process = subprocess.Popen(
        [PROGRAM, "--blobHost", "127.0.0.1", "--blobPort", str(port), *options],
        env=os.environ | {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    azurite = Azurite(port, key)

    def answers() -> bool:
        assert process.poll() is None, "Azurite has ended"
        with contextlib.suppress(OSError):
            azurite.make("ready")
            return True
        return False

    try:
        until(answers, "Azurite")
        yield azurite
    finally:
        process.terminate()
        process.wait(20)
