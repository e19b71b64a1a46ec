"""What may be read, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from detector.settings import DataSettings

__all__ = ["Access"]


@dataclass(frozen=True)
class Access:
    """What may be read, and how much of it; nothing else can be.

    Attributes
    ----------
    folders : tuple of Path
        Absolute, without symbolic links. Relative paths start at the first, and it keeps uploads
        where there is no store.
    buckets : tuple of str
        Of the store; the first keeps uploads.
    store_url : str or None
        The S3 endpoint; None where there is no store.
    hosts, private_hosts : frozenset of str
        In lower case, with a port where it is not the usual one. Only the latter may have an
        address of a private network.
    max_bytes : int
        Of one upload or data source, as it lies there and unpacked.
    max_cells : int
        Rows times variables of one data source.
    seconds : float
        In which a file must arrive.
    """

    folders: tuple[Path, ...]
    buckets: tuple[str, ...] = ("datasets",)
    store_url: str | None = None
    hosts: frozenset[str] = frozenset()
    private_hosts: frozenset[str] = frozenset()
    max_bytes: int = 2 * 1024**3
    max_cells: int = 50_000_000
    seconds: float = 600

    @classmethod
    def from_settings(cls, settings: DataSettings) -> Access:
        """Return what the settings allow; relative folders start at the current one."""
        return cls(
            folders=tuple(folder.expanduser().resolve() for folder in settings.data_folders),
            buckets=settings.data_buckets,
            store_url=settings.store_url,
            hosts=frozenset(settings.data_hosts),
            private_hosts=frozenset(settings.private_data_hosts),
            max_bytes=settings.max_data_bytes,
            max_cells=settings.max_data_cells,
            seconds=settings.data_seconds,
        )
