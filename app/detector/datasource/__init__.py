"""Reads training data: a path below an allowed folder, the stack's S3 store, or an allowed host.

What may be read is decided by settings, and everything else is refused; so is what would take
more memory, disk or time than they allow. ``docs/data-sources.md`` says it for people.
"""

from detector.datasource.access import Access
from detector.datasource.reading import check, read
from detector.datasource.uploads import Dataset, datasets, remove, store

__all__ = ["Access", "Dataset", "check", "datasets", "read", "remove", "store"]
