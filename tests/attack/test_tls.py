"""TLS: thousands of handshakes that do not end keep nobody waiting, and take no files away."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from crowd import Crowd
from services import Service

ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"
USUAL = {"series": [{"value": place % 7} for place in range(47)]}
# As many files as many a system allows, and more connections than that.
FEW_FILES, SILENT, HALF, SLOW = 1024, 2000, 100, 20
# The first bytes of a client's greeting, and what speaks no TLS at all.
GREETING, PLAIN = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\n\r\n"


def test_handshakes_that_do_not_end_keep_nobody_waiting(begin: Callable[..., Service]) -> None:
    service = begin(DETECTOR_TLS="self", files=FEW_FILES).wait()
    worst = 0.0

    def ask() -> None:
        nonlocal worst
        started = time.monotonic()
        assert service.call("/health/live").status == 200
        worst = max(worst, time.monotonic() - started)
        assert service.call(ENTIRE, USUAL).status == 200

    with contextlib.closing(Crowd(service)) as crowd:
        for _ in range(10):
            ask()
        # On a machine that does other things as well, each of these is slow too.
        most, worst = 1.0 + 10 * worst, 0.0
        for place in range(SILENT):
            crowd.open()
            if place % 250 == 0:
                ask()
        for _ in range(HALF):
            crowd.open(GREETING)
            # It may have been closed before it has been sent.
            with contextlib.suppress(ConnectionError):
                crowd.open(PLAIN)
        crowd.slow = [crowd.open(GREETING) for _ in range(SLOW)]
        deadline = time.monotonic() + 20
        while left := crowd.left:
            assert time.monotonic() < deadline, f"{left} are still open"
            crowd.trickle()
            ask()
    assert worst < most
    # But for the lines of requests, one for each.
    said = [line for line in service.output.splitlines() if '"detector.requests"' not in line]
    assert sum(map(len, said)) < 10_000
    assert service.process.poll() is None
