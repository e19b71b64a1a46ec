"""The page for people: who gets it at ``/``, and the files that belong to it."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from detector.api.assets import Assets, html, installed
from detector.report import PLOTLY_STYLES

__all__ = ["Page", "wants_html"]

_FOLDER = Path(__file__).parents[1] / "page"
_PLOTLY = "plotly.min.js"
_NO_PLOTLY = (
    "The page cannot draw charts: the package plotly is not installed. Install what "
    "requirements.txt names, and start the service again."
)
_POLICY = (
    "default-src 'none'; script-src 'self'; "
    f"style-src 'self' {PLOTLY_STYLES}; "
    "img-src 'self' data: blob:; connect-src 'self'; font-src 'none'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class Page:
    """The page and its files, as they were when the service started.

    Parameters
    ----------
    asks_for_key : bool
        Whether the service has keys. The page then asks for one, and does not try without.
    """

    def __init__(self, *, asks_for_key: bool) -> None:
        files = {
            path.relative_to(_FOLDER).as_posix(): path
            for path in _FOLDER.rglob("*")
            # An editor may keep files of its own beside them.
            if path.suffix in (".css", ".html", ".js", ".svg")
        }
        index = files.pop("index.html")
        plotly = installed("plotly", f"package_data/{_PLOTLY}")
        if plotly:
            files[_PLOTLY] = plotly
        self._assets = Assets(files, {} if plotly else {_PLOTLY: _NO_PLOTLY})
        # Relative, so that the page also works behind a proxy that puts a path before it.
        base, keys = f"page/{self._assets.digest}", "asked" if asks_for_key else "none"
        self._html = index.read_text().replace("{{base}}", base).replace("{{keys}}", keys)

    def answer(self, request: Request) -> Response:
        """Return the page itself."""
        return html(request, self._html, _POLICY)

    async def file(self, request: Request, digest: str, name: str) -> Response:
        """Return a file of the page."""
        return await self._assets.answer(request, digest, name)


def wants_html(accept: str) -> bool:
    """Say whether an Accept header asks for HTML: it names it, and nothing else more eagerly.

    Whoever takes anything, as programs do, gets what it got before there was a page.
    """
    wanted = {"text/html": 0.0, "application/json": 0.0}
    for each in accept.lower().split(","):
        name, *params = (part.strip() for part in each.split(";"))
        if name == "*":
            # No media type: Java's HttpURLConnection writes it, beside text/html, for any program.
            return False
        if name in wanted:
            wanted[name] = _weight(params)
    return wanted["text/html"] > 0 and wanted["text/html"] >= wanted["application/json"]


def _weight(params: list[str]) -> float:
    for each in params:
        name, _, value = each.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
