"""Names of fields as they are written: the service read them in any case."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["Names"]


class Names:
    """The names that fields may have, each in its usual spelling.

    Of fields that differ in case alone the usual spelling counts, whatever its value; without it
    the last one that was written does.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._usual = {name.lower(): name for name in names}

    def usual(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return fields by their usual names; those that are none stay as they are."""
        return self.all_usual([fields])[0]

    def all_usual(self, records: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """Return many records of fields by their usual names.

        Each spelling is looked at once, however many records have it.
        """
        found: set[Any] = set().union(*records)
        others = {each: self._usual.get(each.lower()) for each in found if isinstance(each, str)}
        renamed = {each: name for each, name in others.items() if name and name != each}
        if not renamed:
            return records
        usual = [
            {renamed.get(each, each): value for each, value in record.items()} for record in records
        ]
        if found.isdisjoint(renamed.values()):
            return usual
        return [
            fields | {each: value for each, value in record.items() if each not in renamed}
            for fields, record in zip(usual, records, strict=True)
        ]
