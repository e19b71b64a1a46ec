"""How long whoever sent a wrong key waits for its answer."""

import asyncio
from collections.abc import MutableMapping

from cachetools import TTLCache

from detector.api.errors import GatewayError

__all__ = ["WrongKeys"]

_FIRST_SECONDS, _LONGEST_SECONDS = 0.1, 5.0
_REMEMBERED_SECONDS = 60.0
_MOST_ADDRESSES = 4096
# Each keeps a connection open.
_MOST_WAITING = 256


class WrongKeys:
    """The wrong keys of one worker, by the address that sent them.

    Only the answer to a wrong key waits. Behind a proxy all clients may have one address, and one
    with the right key must not wait for what another has sent.
    """

    def __init__(self) -> None:
        self._counts: MutableMapping[str, int] = TTLCache(_MOST_ADDRESSES, _REMEMBERED_SECONDS)
        self._waiting = 0

    async def delay(self, address: str) -> None:
        """Wait, twice as long as after the wrong key before, up to 5 seconds.

        Raises
        ------
        GatewayError
            429 where too many wait already.
        """
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
