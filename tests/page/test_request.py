"""What the chart and the CSV make of an answer, number by number."""

from __future__ import annotations

from typing import Any

import pytest
from chromium import Page

IMPORT = (
    "const [script] = document.querySelectorAll('script[type=module]');"
    "return import(new URL('request.js', script.src).href)"
    ".then((module) => { globalThis.module = module; });"
)
SERIES = (
    "const series = {timestamps: ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z',"
    " '2026-01-05T00:00:00Z'], values: [1, 2, 8], granularity: 'daily', interval: 1};"
    "const answer = {expectedValues: [1, 2, 8], upperMargins: [3, 3, 3], lowerMargins: [5, 5, 5],"
    " isAnomaly: [false, true, false], isNegativeAnomaly: [false, true, false],"
    " severity: [0, 0.5, 0], period: 0};"
    "const drawn = (imputeMode) => module.chartData('entire', series, module.grid(series),"
    " {...module.DEFAULTS, imputeMode, imputeFixedValue: 7}, answer);"
)


def test_bounds_and_gaps_and_cells_are_what_they_are_called(page: Page) -> None:
    page.open()
    page.js(IMPORT)

    def told(script: str) -> Any:
        return page.js(SERIES + script)

    data = told("return drawn('auto');")
    assert data["values"] == [1, 2, None, None, 8]
    assert data["upper"] == [4, 5, None, None, 11]
    assert data["lower"] == [-4, -3, None, None, 3]
    assert data["isAnomaly"] == [False, True, False, False, False]
    fillings = {
        "auto": [4, 6],
        "linear": [4, 6],
        "previous": [2, 2],
        "zero": [0, 0],
        "fixed": [7, 7],
    }
    for mode, filled in fillings.items():
        found = told(f"return drawn('{mode}').filled;")
        assert found == [None, None, *map(pytest.approx, filled), None], mode
    assert told("return drawn('notFill').filled;") == [None] * 5
    # What a spreadsheet would run is a text, and no cell ends before its end.
    head = told("return module.csv(drawn('auto'), '=1+1,\"x\"').split('\\r\\n')[0];")
    assert head.startswith('timestamp,"\'=1+1,""x""",expectedValue,')
