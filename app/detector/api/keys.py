"""The keys that clients may send, and how long whoever sent a wrong one waits for its answer."""

import asyncio
import hmac
from collections.abc import MutableMapping, Sequence

from cachetools import TTLCache
from pydantic import SecretStr

from detector.api.errors import GatewayError

__all__ = ["HEADER", "Keys"]

HEADER = "Ocp-Apim-Subscription-Key"
_FIRST_SECONDS, _LONGEST_SECONDS = 0.1, 5.0
_REMEMBERED_SECONDS = 60.0
_MOST_ADDRESSES = 4096
# Each keeps a connection open.
_MOST_WAITING = 256
# What browsers say of a request that no page of another site made; other clients say nothing.
_OWN_SITE = (None, "same-origin", "none")


class Keys:
    """The keys of one worker, and the wrong ones by the address that sent them.

    Only the answer to a wrong key waits. Behind a proxy all clients may have one address, and one
    with the right key must not wait for what another has sent.

    Parameters
    ----------
    keys : sequence of SecretStr
        With none, which is possible on loopback only, every key is right.
    header_optional : bool
        Whether, with no keys, a request may be without the header.
    """

    def __init__(self, keys: Sequence[SecretStr], *, header_optional: bool = False) -> None:
        self._header_optional = header_optional and not keys
        self._keys = [key.get_secret_value().encode() for key in keys]
        self._hint = "" if keys else "; this service takes any key"
        if self._header_optional:
            self._hint += ", and needs it from web pages only"
        self._counts: MutableMapping[str, int] = TTLCache(_MOST_ADDRESSES, _REMEMBERED_SECONDS)
        self._waiting = 0

    async def check(self, given: str | None, address: str, site: str | None = None) -> None:
        """Refuse a request without a right key; a wrong one after a while.

        Parameters
        ----------
        given : str or None
            The key.
        address : str
            Of the client.
        site : str or None
            The header ``Sec-Fetch-Site``, by which a browser says whose page asks.

        Raises
        ------
        GatewayError
            401, or 429 where too many answers to wrong keys wait already.
        """
        if not given and self._header_optional and site in _OWN_SITE:
            return
        if not given:
            raise GatewayError(
                401,
                "Access denied due to missing subscription key. Make sure to include subscription "
                f"key when making requests to an API: the header {HEADER} is missing"
                f"{self._hint}.",
            )
        if not self._keys:
            return
        # Every key is compared, in a time that does not depend on what was given.
        matches = [hmac.compare_digest(given.encode(), key) for key in self._keys]
        if any(matches):
            return
        await self._delay(address)
        raise GatewayError(
            401,
            "Access denied due to invalid subscription key or wrong API endpoint. Make sure to "
            "provide a valid key for an active subscription and use a correct regional API "
            f"endpoint for your resource: the header {HEADER} holds none of the keys of this "
            "service (API_KEYS).",
        )

    async def _delay(self, address: str) -> None:
        """Wait, twice as long as after the wrong key before, up to 5 seconds."""
        count = self._counts.get(address, 0)
        self._counts[address] = count + 1
        if self._waiting >= _MOST_WAITING:
            raise GatewayError(
                429, "Too many requests with wrong keys wait already.", {"Retry-After": "5"}
            )
        self._waiting += 1
        try:
            await asyncio.sleep(min(_FIRST_SECONDS * 2.0 ** min(count, 10), _LONGEST_SECONDS))
        finally:
            self._waiting -= 1
