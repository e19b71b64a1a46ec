"""What long work prints while it goes on."""

from __future__ import annotations

import time

SECONDS = 5


def size(count: float) -> str:
    """Return a count of bytes as one reads it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"


def say(line: str) -> None:
    print(line, flush=True)


class Progress:
    """Says every few seconds how far something is."""

    def __init__(self, what: str) -> None:
        self.what, self.count, self.bytes = what, 0, 0
        self._said = time.monotonic()

    def add(self, count: int, size_in_bytes: int) -> None:
        self.count += count
        self.bytes += size_in_bytes
        if time.monotonic() - self._said > SECONDS:
            self._said = time.monotonic()
            say(f"{self}, and going on")

    def __str__(self) -> str:
        return f"{self.what}: {self.count:,} ({size(self.bytes)})"
