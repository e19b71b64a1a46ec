"""Who may call: by the name that a client calls the service, and by the page that sent it."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from detector.addresses import is_loopback, without_port
from detector.api.errors import GatewayError, refusal
from detector.settings import Settings

__all__ = ["Callers"]

# Whoever looks whether the service is well calls it by its address.
_OPEN_TO_ALL = frozenset({"/health/live", "/health/ready", "/ready", "/status"})
_MOST_REMEMBERED = 1024


class Callers:
    """ASGI middleware: refuses, with 403, hosts and origins that the settings do not allow.

    A page of another site can have a browser send requests to a service on loopback, and, by a name
    that it makes lead there, read the answers. Where there are no keys nothing else keeps it out.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._needs_key = bool(settings.api_keys)
        self._any_host = self._needs_key and (
            not settings.allowed_hosts or "*" in settings.allowed_hosts
        )
        self._hosts = frozenset(settings.allowed_hosts)
        self._origins = frozenset(settings.cors_origins)
        # Clients send the same few names again and again.
        self._known: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = None
        if scope["type"] == "http" and scope["path"] not in _OPEN_TO_ALL:
            problem = self._problem(Headers(scope=scope))
        if problem:
            scope["state"]["code"] = str(problem.status)
            await refusal(problem)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _problem(self, headers: Headers) -> GatewayError | None:
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        if not (self._any_host or host in self._known):
            if not self._is_allowed(host):
                return GatewayError(
                    403,
                    f"This service is not called by the name '{host[:100]}': call it as localhost, "
                    "or name the host in DETECTOR_ALLOWED_HOSTS.",
                )
            if len(self._known) < _MOST_REMEMBERED:
                self._known.add(host)
        if origin is None or self._needs_key or self._is_known(origin.lower(), host):
            return None
        return GatewayError(
            403,
            f"Pages of the origin '{origin[:100]}' may not call this service: name the origin in "
            "DETECTOR_CORS_ORIGINS.",
        )

    def _is_allowed(self, host: str) -> bool:
        name = without_port(host)
        if host in self._hosts or name in self._hosts:
            return True
        return not self._needs_key and is_loopback(name)

    def _is_known(self, origin: str, host: str) -> bool:
        return origin in self._origins or origin in (f"http://{host}", f"https://{host}")
