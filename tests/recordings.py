"""Reads ``tests/recorded``: what the retired service answered, and data that came with it."""

from __future__ import annotations

import functools
import json
import lzma
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

FOLDER = Path(__file__).parent / "recorded"
# 47 days of request counts, the series of the quick starts, without a header.
DAILY = FOLDER / "univariate" / "request-data.csv"
# 5 variables over 3000 minutes: in one table, and in a zip of one file per variable.
SAMPLE = FOLDER / "multivariate" / "sample_data_5_3000.csv"
SAMPLE_ZIP = FOLDER / "multivariate" / "multivariate_sample_data_5_3000.zip"


def read(name: str) -> Any:
    """Return the content of a JSON file, such as ``azure/entire_daily47_live.json``."""
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class KernelCase:
    """A request of the upstream package's own test suite, with the answer it expects."""

    name: str
    mode: str
    points: list[dict[str, Any]]
    params: dict[str, Any]
    response: dict[str, Any]

    @property
    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self.points)


@functools.cache
def kernel_cases() -> tuple[KernelCase, ...]:
    """Return the 65 cases, ordered by name."""
    cases = json.loads(lzma.decompress((FOLDER / "kernel-cases.json.xz").read_bytes()))
    return tuple(
        KernelCase(
            name,
            "latest" if case["type"] == "last" else case["type"],
            case["request"]["series"],
            {field: value for field, value in case["request"].items() if field != "series"},
            case["response"],
        )
        for name, case in sorted(cases.items())
    )
