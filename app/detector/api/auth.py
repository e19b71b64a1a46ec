"""``Ocp-Apim-Subscription-Key``: what guards a route."""

from typing import Annotated

from fastapi import Request, Security
from fastapi.security import APIKeyHeader

from detector.api.dependencies import ServiceKeys
from detector.api.keys import HEADER

__all__ = ["require_key"]

# The refusals are those of Azure's gateway, and not FastAPI's.
_SCHEME = APIKeyHeader(name=HEADER, scheme_name="key", auto_error=False)


async def require_key(
    request: Request, keys: ServiceKeys, given: Annotated[str | None, Security(_SCHEME)]
) -> None:
    """Refuse, with 401, a request without one of the configured keys.

    Where none is configured there must be one nevertheless: a page of another site cannot send
    this header unless the service says that it may. Where the header is optional, what browsers say
    of themselves keeps such pages out.
    """
    address = request.client.host if request.client else ""
    await keys.check(given, address, request.headers.get("sec-fetch-site"))
