"""A map of records with one secondary index, so that no look-up walks the whole world."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Generic, TypeVar

V = TypeVar("V")
Name = tuple[str, str]


class Table(Generic[V]):
    """Records by (namespace, name), and by what ``group`` says of them.

    Parameters
    ----------
    group
        The secondary key of a record; its namespace by default.
    """

    def __init__(self, group: Callable[[Name, V], Hashable] = lambda name, _: name[0]) -> None:
        self._items: dict[Name, V] = {}
        self._groups: dict[Hashable, dict[Name, V]] = {}
        self._group = group

    def __len__(self) -> int:
        """Count the records."""
        return len(self._items)

    def __iter__(self) -> Iterator[Name]:
        """Iterate over a copy of the names: the table may change meanwhile."""
        return iter(tuple(self._items))

    def get(self, name: Name) -> V | None:
        """Return a record, or ``None``."""
        return self._items.get(name)

    def values(self) -> tuple[V, ...]:
        """Return all records."""
        return tuple(self._items.values())

    def grouped(self, key: Hashable) -> tuple[V, ...]:
        """Return the records of one group, in order of insertion."""
        return tuple(self._groups.get(key, {}).values())

    def put(self, name: Name, record: V) -> None:
        """Add or replace a record."""
        self.drop(name)
        self._items[name] = record
        self._groups.setdefault(self._group(name, record), {})[name] = record

    def drop(self, name: Name) -> V | None:
        """Remove and return a record, or ``None``."""
        record = self._items.pop(name, None)
        if record is not None:
            key = self._group(name, record)
            group = self._groups[key]
            del group[name]
            if not group:
                del self._groups[key]
        return record

    def replace(self, records: Mapping[Name, V]) -> set[Name]:
        """Take these records for all there are; return the names that were there and are not any more."""
        gone = set(self._items) - set(records)
        for name in gone:
            self.drop(name)
        for name, record in records.items():
            self.put(name, record)
        return gone
