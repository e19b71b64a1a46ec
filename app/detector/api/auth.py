"""Keys: ``Ocp-Apim-Subscription-Key`` against those of the settings."""

import hmac
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import APIKeyHeader

from detector.api.dependencies import ServiceSettings, ServiceWrongKeys
from detector.api.errors import GatewayError

__all__ = ["HEADER", "require_key"]

HEADER = "Ocp-Apim-Subscription-Key"
# The refusals are those of Azure's gateway, and not FastAPI's.
_SCHEME = APIKeyHeader(name=HEADER, scheme_name="key", auto_error=False)


async def require_key(
    request: Request,
    settings: ServiceSettings,
    wrong_keys: ServiceWrongKeys,
    given: Annotated[str | None, Security(_SCHEME)],
) -> None:
    """Refuse, with 401, a request without one of the configured keys.

    With no key configured, which is possible on loopback only, any key may pass. A page of another
    site cannot send this header without asking first, which is answered for `cors_origins` only.
    """
    if not given:
        raise GatewayError(
            401,
            "Access denied due to missing subscription key. Make sure to include subscription key "
            f"when making requests to an API: the header {HEADER} is missing"
            f"{'' if settings.api_keys else '; this service takes any key'}.",
        )
    if not settings.api_keys:
        return
    # Every key is compared, in a time that does not depend on what was given.
    matches = [
        hmac.compare_digest(given.encode(), key.get_secret_value().encode())
        for key in settings.api_keys
    ]
    if any(matches):
        return
    await wrong_keys.delay(request.client.host if request.client else "")
    raise GatewayError(
        401,
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to "
        "provide a valid key for an active subscription and use a correct regional API "
        f"endpoint for your resource: the header {HEADER} holds none of the keys of this "
        "service (API_KEYS).",
    )
