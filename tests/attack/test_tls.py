"""TLS: thousands of handshakes that do not end keep nobody waiting, and take no files away."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from attack.crowd import Crowd
from services import Service

ENTIRE = "/anomalydetector/v1.1/timeseries/entire/detect"
USUAL = {"series": [{"value": place % 7} for place in range(47)]}
# As many files as many a system allows, and more connections than that.
FEW_FILES, SILENT, HALF, SLOW = 1024, 2000, 100, 20
# The first bytes of a client's greeting, and what speaks no TLS at all.
GREETING, PLAIN = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\n\r\n"


def test_handshakes_that_do_not_end_keep_nobody_waiting(begin: Callable[..., Service]) -> None:
    service = begin(DETECTOR_TLS="self", files=FEW_FILES).wait()

    def ask() -> None:
        assert service.call(ENTIRE, USUAL).status == 200

    with contextlib.closing(Crowd(service)) as crowd:
        crowd.keeps_nobody_waiting(
            ask,
            silent=SILENT,
            begun=[GREETING] * HALF,
            slow=[GREETING] * SLOW,
            nonsense=[PLAIN] * HALF,
        )
