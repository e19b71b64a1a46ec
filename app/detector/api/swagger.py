"""The description of the API for people: Swagger UI, from an installed package."""

import base64
import hashlib
import re

from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import Response

from detector.api.assets import Assets, html, installed
from detector.api.errors import GatewayError

__all__ = ["Swagger"]

_FILES = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")
_MISSING = (
    "The description for people cannot be shown: the package fastapi-offline is not installed. "
    "Install what requirements.txt names, and start the service again; /openapi.json is the same "
    "for programs."
)
_PARAMETERS = {
    # A key stays in the tab, and only until it is loaded again.
    "persistAuthorization": False,
    "tryItOutEnabled": True,
    "displayRequestDuration": True,
    "defaultModelsExpandDepth": 0,
    # It would send the description elsewhere.
    "validatorUrl": None,
}
# Once the description is read; `key` is what it calls the header. No parameter can be a function.
_ANY_KEY = 'onComplete: () => ui.preauthorizeApiKey("key", "any"),'
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


class Swagger:
    """Swagger UI and its files, as they were when the service started.

    Parameters
    ----------
    title : str
        Of the page.
    asks_for_key : bool
        Whether the service has keys. Without, any word is one, and is given beforehand.
    """

    def __init__(self, title: str, *, asks_for_key: bool) -> None:
        found = {name: installed("fastapi_offline", f"static/{name}") for name in _FILES}
        missing = {name: _MISSING for name, path in found.items() if path is None}
        self._assets = Assets({name: path for name, path in found.items() if path}, missing)
        self._is_missing = bool(missing)
        # Relative, so that it also works behind a proxy that puts a path before it.
        base = f"docs/{self._assets.digest}"
        page = get_swagger_ui_html(
            openapi_url="openapi.json",
            title=title,
            swagger_js_url=f"{base}/{_FILES[0]}",
            swagger_css_url=f"{base}/{_FILES[1]}",
            swagger_favicon_url=f"{base}/{_FILES[2]}",
            swagger_ui_parameters=_PARAMETERS,
        )
        self._html = bytes(page.body).decode().strip().replace("<html>", '<html lang="en">', 1)
        if not asks_for_key:
            self._html = self._html.replace("presets:", f"{_ANY_KEY}\n    presets:", 1)
        scripts = " ".join(_hash(each) for each in _INLINE.findall(self._html))
        self._policy = (
            f"default-src 'none'; script-src 'self' {scripts}; style-src 'self'; "
            "img-src 'self' data:; connect-src 'self'; font-src 'none'; frame-ancestors 'none'; "
            "base-uri 'none'; form-action 'none'"
        )

    def answer(self, request: Request) -> Response:
        """Return the page itself; 503 where its package is not installed."""
        if self._is_missing:
            raise GatewayError(503, _MISSING)
        return html(request, self._html, self._policy)

    async def file(self, request: Request, digest: str, name: str) -> Response:
        """Return a file of the page."""
        return await self._assets.answer(request, digest, name)


def _hash(script: str) -> str:
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
