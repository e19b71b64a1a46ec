"""Keys: ``Ocp-Apim-Subscription-Key`` against those of the settings."""

import hmac

from fastapi import Request

from detector.api.errors import GatewayError
from detector.settings import Settings

__all__ = ["HEADER", "require_key"]

HEADER = "Ocp-Apim-Subscription-Key"


async def require_key(request: Request) -> None:
    """Refuse, with 401, a request without one of the configured keys.

    With no key configured, which is possible on loopback only, any request may pass.
    """
    settings: Settings = request.app.state.settings
    if not settings.api_keys:
        return
    given = request.headers.get(HEADER)
    if not given:
        raise GatewayError(
            401,
            "Access denied due to missing subscription key. Make sure to include subscription key "
            f"when making requests to an API: the header {HEADER} is missing.",
        )
    # Every key is compared, in a time that does not depend on what was given.
    matches = [
        hmac.compare_digest(given.encode(), key.get_secret_value().encode())
        for key in settings.api_keys
    ]
    if not any(matches):
        raise GatewayError(
            401,
            "Access denied due to invalid subscription key or wrong API endpoint. Make sure to "
            "provide a valid key for an active subscription and use a correct regional API "
            f"endpoint for your resource: the header {HEADER} holds none of the keys of this "
            "service (API_KEYS).",
        )
