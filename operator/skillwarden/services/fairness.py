"""Fair shares: what waits is taken from one namespace after the other, so that none slows another down."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

T = TypeVar("T")
#: Whose turn it is: a namespace.
Lane = Hashable


class Lanes(Generic[T]):
    """Queues by lane, taken from in turn: between two items of one lane there is at most one of each other.

    Memory is bounded by the items: a lane without any is forgotten.
    """

    def __init__(self) -> None:
        self._lanes: OrderedDict[Lane, deque[T]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        """Count the items of all lanes."""
        return self._length

    def put(self, lane: Lane, item: T) -> None:
        """Add an item at its lane's end; a new lane is the last to have its turn."""
        self._lanes.setdefault(lane, deque()).append(item)
        self._length += 1

    def take(self, wanted: Callable[[T], bool] = lambda _: True) -> T:
        """Remove and return the first wanted item of the lane whose turn it is; others before it go, too.

        Raises
        ------
        IndexError
            Where nothing waits.
        """
        while self._lanes:
            lane, items = self._lanes.popitem(last=False)
            while items:
                item = items.popleft()
                self._length -= 1
                if wanted(item):
                    if items:
                        self._lanes[lane] = items
                    return item
        raise IndexError("nothing waits")


class Slots:
    """A bounded number of places, given to waiting keys lane by lane.

    Parameters
    ----------
    number
        How many there are.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._lanes: Lanes[asyncio.Future[None]] = Lanes()
        self._waiting: dict[Hashable, tuple[asyncio.Future[None], set[Lane]]] = {}

    @asynccontextmanager
    async def slot(self, key: Hashable, lane: Lane) -> AsyncIterator[None]:
        """Hold a place; no two may ask for one key at a time."""
        await self._acquire(key, lane)
        try:
            yield
        finally:
            self._release()

    def join(self, key: Hashable, lane: Lane) -> None:
        """Have a key that may be waiting wait in another lane, too: its turn is the earlier of the two."""
        waiting, lanes = self._waiting.get(key, (None, set()))
        if waiting is not None and lane not in lanes:
            lanes.add(lane)
            self._lanes.put(lane, waiting)

    async def _acquire(self, key: Hashable, lane: Lane) -> None:
        if self._free:
            self._free -= 1
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[key] = (waiting, {lane})
        self._lanes.put(lane, waiting)
        try:
            await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                self._release()  # it was given a place at the very moment
            raise
        finally:
            del self._waiting[key]

    def _release(self) -> None:
        try:
            self._lanes.take(lambda waiting: not waiting.done()).set_result(None)
        except IndexError:
            self._free += 1
