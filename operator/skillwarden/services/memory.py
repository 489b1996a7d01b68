"""What the operator remembers between reconciles, up to a limit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class Memory(Generic[V]):
    """A bounded map; the least recently used goes first. What it forgets, the depot still knows."""

    def __init__(self, *, limit: int) -> None:
        self._items: OrderedDict[Hashable, V] = OrderedDict()
        self._limit = limit

    def get(self, key: Hashable) -> V | None:
        """Return and refresh an item."""
        if key in self._items:
            self._items.move_to_end(key)
            return self._items[key]
        return None

    def put(self, key: Hashable, value: V) -> None:
        """Keep an item."""
        self._items[key] = value
        self._items.move_to_end(key)
        while len(self._items) > self._limit:
            self._items.popitem(last=False)

    def drop(self, key: Hashable) -> None:
        """Forget an item."""
        self._items.pop(key, None)
