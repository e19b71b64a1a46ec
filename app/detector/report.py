"""One page of HTML that shows what was found in a series, and needs nothing but a browser.

The chart, the table, the style and the words are those of the page that the service has. All is in
the file, no request leaves it, and its policy allows no script but those that it was written with.
"""

import base64
import hashlib
import html
import importlib.metadata
import importlib.resources
import json
import platform
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from detector.arrays import Floats
from detector.errors import DetectionError
from detector.series.series import Series
from detector.series.timestamps import read_timestamps
from detector.univariate.changepoint import ChangePoints
from detector.univariate.detection import Detection, LatestDetection
from detector.univariate.kernel import native, upstream

__all__ = ["PLOTLY_STYLES", "page"]

_FOLDER = Path(__file__).parent / "page"
# Plotly adds two style elements: an empty one, and that of its maps.
PLOTLY_STYLES = (
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' "
    "'sha256-ji27qzEtxXZW+7dun6UwjHXJ18e6WAin1VvNtkzIE/o='"
)
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w/]+\.js)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?function|const|class) (\w+)", re.MULTILINE)
_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<link rel="icon" href="{icon}">
<style>{style}</style>
</head>
<body>
<main class="view report">
<div class="intro"><h1 id="title">{title}</h1><p id="understood" hidden></p></div>
<section class="card result" aria-label="Result" data-word-label="result">
<div class="bar"><p id="summary"></p><div class="tools">
<button type="button" class="icon" id="zoom-in" aria-label="Zoom in" data-word-label="zoomIn"
>+</button>
<button type="button" class="icon" id="zoom-out" aria-label="Zoom out" data-word-label="zoomOut"
>\u2212</button>
<button type="button" id="zoom-reset" data-word="zoomReset">Whole series</button>
<button type="button" id="save-png" data-word="savePng">PNG</button>
</div></div>
<p class="alert" id="failed" role="alert" hidden></p>
<div class="canvas"><div id="chart"></div></div>
</section>
<div class="columns reported">
<section class="card" id="found" aria-labelledby="found-title" hidden>
<div class="bar"><h2 id="found-title" data-word="foundTitle">What was found</h2>
<button type="button" id="save-csv" data-word="saveCsv">CSV</button></div>
<p id="found-none" class="hint" hidden></p>
<div class="scroll" tabindex="0" role="region" aria-labelledby="found-title"><table>
<thead><tr id="found-head"></tr></thead><tbody id="found-rows"></tbody></table></div>
</section>
<section class="card" aria-labelledby="options-title">
<h2 id="options-title" data-word="options">Options</h2><dl id="settings"></dl>
</section>
</div>
<noscript><p class="alert">This page needs JavaScript to draw its chart.</p></noscript>
</main>
<footer class="bottom"><span id="made"></span></footer>
<script type="application/json" id="data">{data}</script>
<script>{plotly}</script>
<script type="module">{code}</script>
</body>
</html>
"""


def page(
    found: Detection | LatestDetection | ChangePoints, *, name: str, understood: str = ""
) -> str:
    """Return the page about what was found in a series.

    Parameters
    ----------
    found : Detection, LatestDetection or ChangePoints
    name : str
        Of the series; any text.
    understood : str
        How the file was read, in a sentence.

    Raises
    ------
    DetectionError
        Where the package that draws the chart is not installed.
    """
    style = (_FOLDER / "style.css").read_text(encoding="utf-8")
    plotly, code = _plotly(), _bundle("report.js")
    policy = (
        f"default-src 'none'; script-src {_hash(plotly)} {_hash(code)}; "
        f"style-src {_hash(style)} {PLOTLY_STYLES}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    icon = base64.b64encode((_FOLDER / "favicon.svg").read_bytes()).decode()
    return _TEMPLATE.format(
        policy=policy,
        title=html.escape(name),
        icon=f"data:image/svg+xml;base64,{icon}",
        style=style,
        data=_json(_content(found, name, understood)),
        plotly=plotly,
        code=code,
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _json(content: Any) -> str:
    """Write JSON in which no text can end the element that it stands in."""
    written = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        written = written.replace(character, f"\\u{ord(character):04x}")
    return written


def _plotly() -> str:
    try:
        file = importlib.resources.files("plotly").joinpath("package_data", "plotly.min.js")
        return file.read_text(encoding="utf-8")
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise DetectionError(
            "BadArgument",
            "The page has no chart, because the package plotly is not installed: install what "
            "requirements.txt names.",
        ) from error


def _bundle(name: str) -> str:
    """Return a module of the page, and all that it imports, as one.

    A module in an element has no address that others could import it from. So each becomes a block
    of its own, after those that it imports, and leaves there what it exports.
    """
    blocks: dict[str, str] = {}

    def add(module: str) -> None:
        text = (_FOLDER / module).read_text(encoding="utf-8")
        for _, other in _IMPORT.findall(text):
            if other not in blocks:
                add(other)
        exported = ", ".join(called for _, called in _EXPORT.findall(text))
        text = _IMPORT.sub(_destructured, text)
        text = _EXPORT.sub(r"\1 \2", text)
        blocks[module] = f'{{\n{text}\nmodules["{module}"] = {{ {exported} }};\n}}\n'

    add(name)
    return "const modules = {};\n" + "".join(blocks.values())


def _destructured(found: re.Match[str]) -> str:
    names = re.sub(r"(\w+) as (\w+)", r"\1: \2", found[1])
    return f'const {{{names}}} = modules["{found[2]}"];'


def _content(
    found: Detection | LatestDetection | ChangePoints, name: str, understood: str
) -> dict[str, Any]:
    """Return what the page shows, as the page has it: a series, and the answer of the service."""
    series = found.series
    options = series.options
    timestamps = _timestamps(series)
    return {
        **_answer(found),
        "series": {
            "name": name,
            "timestamps": timestamps,
            "values": _numbers(series.values),
            "granularity": options.granularity if timestamps else "none",
            "interval": options.interval,
        },
        "understood": understood,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
    }


def _answer(found: Detection | LatestDetection | ChangePoints) -> dict[str, Any]:
    options = found.series.options
    shared = {"granularity": options.granularity, "customInterval": options.interval}
    if isinstance(found, ChangePoints):
        shared["threshold"] = found.series.options.threshold
        shared["stableTrendWindow"] = found.series.stable_trend_window
        return {
            "mode": "changepoint",
            "options": shared,
            "answer": {
                "period": found.period,
                "isChangePoint": found.is_change_point.tolist(),
                "confidenceScores": _numbers(found.confidence),
            },
        }
    shared |= {
        "sensitivity": options.sensitivity,
        "maxAnomalyRatio": options.max_anomaly_ratio,
        "imputeMode": options.impute_mode,
        "imputeFixedValue": options.impute_fixed_value,
        "boundaryVersion": options.boundary_version,
    }
    answer: dict[str, Any]
    if isinstance(found, LatestDetection):
        answer = {
            "suggestedWindow": found.suggested_window,
            "expectedValue": found.expected,
            "upperMargin": found.upper_margin,
            "lowerMargin": found.lower_margin,
            "isAnomaly": found.is_anomaly,
            "isNegativeAnomaly": found.is_negative,
            "severity": found.severity,
        }
        mode = "latest"
    else:
        answer = {
            "expectedValues": _numbers(found.expected),
            "upperMargins": _numbers(found.upper_margin),
            "lowerMargins": _numbers(found.lower_margin),
            "isAnomaly": found.is_anomaly.tolist(),
            "isNegativeAnomaly": found.is_negative.tolist(),
            "severity": _numbers(found.severity),
        }
        mode = "entire"
    return {"mode": mode, "options": shared, "answer": {"period": found.period, **answer}}


def _numbers(values: Floats) -> list[float | None]:
    """Return numbers for JSON, None where there is none."""
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _timestamps(series: Series) -> list[str] | None:
    """Return the timestamps as the page writes them, None where they are no dates.

    The clock's own times where it was never put forward or back; else UTC, as the page knows no
    zones.
    """
    try:
        times = read_timestamps(series.timestamps)
    except DetectionError:
        return None
    moments: npt.NDArray[np.datetime64] = times.elapsed.astype("datetime64[us]")
    clock = times.clock.astype("datetime64[us]")
    if len(np.unique(clock - moments)) == 1:
        moments = clock
    unit: Literal["s", "us"] = "s" if (moments.astype("datetime64[s]") == moments).all() else "us"
    return [f"{moment}Z" for moment in np.datetime_as_string(moments, unit=unit).tolist()]


def _versions() -> str:
    kernel = "numpy" if native.reason else "native"
    plotly = importlib.metadata.version("plotly")
    return (
        f"detector (kernel {kernel}, {upstream.DISTRIBUTION} {upstream.PROVED_FOR}, "
        f"Python {platform.python_version()}, Plotly {plotly})"
    )
