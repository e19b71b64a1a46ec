"""``Ocp-Apim-Subscription-Key``: what guards a route."""

from fastapi.security import APIKeyHeader
from starlette.requests import HTTPConnection

from detector.api.dependencies import service_of
from detector.api.keys import HEADER

__all__ = ["require_key"]


class _KeyHeader(APIKeyHeader):
    """The header, for the description of the API and for each request in one step."""

    async def __call__(self, request: HTTPConnection) -> str | None:
        """Refuse, with 401, a request without one of the configured keys.

        Where none is configured there must be one nevertheless: a page of another site cannot send
        this header unless the service says that it may. Where the header is optional, what browsers
        say of themselves keeps such pages out.
        """
        given = await super().__call__(request)
        address = request.client.host if request.client else ""
        keys = service_of(request).keys
        await keys.check(given, address, request.headers.get("sec-fetch-site"))
        return given


# The refusals are those of Azure's gateway, and not FastAPI's.
require_key = _KeyHeader(name=HEADER, scheme_name="key", auto_error=False)
