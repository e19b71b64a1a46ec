"""How many uploads arrive at once, and what room they may take on the disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from detector.api.errors import GatewayError
from detector.api.executor import BoundedExecutor
from detector.datasource import Access
from detector.datasource.uploads import sweep
from detector.settings import Settings

__all__ = ["LAST_ANSWER", "Upload", "UploadRoom", "no_room"]

_Result = TypeVar("_Result")
# A client of the store takes 11 MB while it is asked.
_LOOKING, _WAITING = 4, 32
# The rest of a refused body must not be taken for a request.
LAST_ANSWER = {"Connection": "close"}


@dataclass
class Upload:
    """An upload that arrives.

    Attributes
    ----------
    announced, written : int
        How many bytes it said it has, 0 where it did not, and how many have arrived.
    """

    announced: int
    written: int = 0

    @property
    def size(self) -> int:
        return max(self.announced, self.written)


class UploadRoom:
    """The uploads of one worker."""

    def __init__(self, settings: Settings, access: Access) -> None:
        self._most = settings.concurrent_uploads
        self._left_free = settings.min_free_bytes
        # Where there is no store, they are kept in the first folder.
        self._folder = access.folders[0] if access.store_url is None else None
        self._uploads: list[Upload] = []
        self._looking = BoundedExecutor(
            _LOOKING, _WAITING, name="datasets", what="requests to list or delete data sets"
        )
        sweep(access)

    async def look(self, work: Callable[[], _Result]) -> _Result:
        """List or delete what is kept, in a thread; the store may be slow.

        Raises
        ------
        GatewayError
            429, when too many wait already.
        """
        return await self._looking.run(work)

    def close(self) -> None:
        """Wait for what is running."""
        self._looking.close()

    def crowded(self) -> GatewayError | None:
        """Return the refusal of another upload where as many as may are arriving."""
        if len(self._uploads) < self._most:
            return None
        return GatewayError(
            429,
            f"{self._most} uploads arrive already, the most that this worker takes "
            "(DETECTOR_CONCURRENT_UPLOADS). Try again when one of them is kept.",
            {"Retry-After": "5", **LAST_ANSWER},
        )

    @contextmanager
    def taken(self, announced: int) -> Iterator[Upload]:
        """Count an upload while it arrives and is kept."""
        upload = Upload(announced)
        self._uploads.append(upload)
        try:
            yield upload
        finally:
            self._uploads.remove(upload)

    def lacking(self) -> GatewayError | None:
        """Return the refusal of an upload where there is no room for all that arrive."""
        needed: Counter[int] = Counter()
        places: dict[int, Path] = {}
        arriving = sum(upload.size - upload.written for upload in self._uploads)
        kept = sum(upload.size for upload in self._uploads)
        for folder, size in ((Path(tempfile.gettempdir()), arriving), (self._folder, kept)):
            if folder is not None:
                there = next(each for each in (folder, *folder.parents) if each.exists())
                device = os.stat(there).st_dev  # noqa: PTH116
                needed[device] += size
                places[device] = there
        for device, size in needed.items():
            free = shutil.disk_usage(places[device]).free
            if free - size < self._left_free:
                return no_room(
                    f"the disk of {places[device].name or '/'} has {free} bytes free, and the "
                    f"uploads that arrive must leave {self._left_free} of them "
                    "(DETECTOR_MIN_FREE_BYTES)"
                )
        return None


def no_room(why: str) -> GatewayError:
    """Return the refusal of an upload that does not fit."""
    return GatewayError(
        507,
        f"There is no room for the upload: {why}. Delete data sets that are not needed any more, "
        "or ask the operator for room.",
        LAST_ANSWER,
    )
