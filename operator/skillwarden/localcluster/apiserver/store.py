"""Objects, their versions, a bounded history and the watchers of it.

One counter gives every write of every kind its ``resourceVersion``. Stored objects are never changed in
place: a write brings a new object, so lists, snapshots and watch events may share them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from skillwarden.localcluster.apiserver.errors import Obj, expired
from skillwarden.localcluster.apiserver.selectors import Selection


class Collection(NamedTuple):
    """Where a kind's objects are kept, whatever the version they are asked for in."""

    group: str
    plural: str


class Key(NamedTuple):
    """One object's place; the namespace of a cluster-scoped object is empty."""

    collection: Collection
    namespace: str
    name: str


class ChangeType(StrEnum):
    """What happened to an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Change:
    """One write: the object after it (before it, for a deletion) and what it replaced."""

    version: int
    type: ChangeType
    obj: Obj
    old: Obj | None = None


class Watcher:
    """One reader of a collection's changes; lagging too far behind closes it, as a real server does."""

    def __init__(self, limit: int) -> None:
        self._queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._limit = limit
        self.closed = False

    def put(self, change: Change) -> None:
        """Hand over one change, or close the watcher when it lags."""
        if self._queue.qsize() >= self._limit:
            self.close()
        if not self.closed:
            self._queue.put_nowait(change)

    def close(self) -> None:
        """End the stream after what was already handed over."""
        if not self.closed:
            self.closed = True
            self._queue.put_nowait(None)

    def empty(self) -> bool:
        """Tell whether a read would wait."""
        return self._queue.empty()

    async def get(self) -> Change | None:
        """Wait for the next change; ``None`` ends the stream."""
        return await self._queue.get()


@dataclass(slots=True)
class _Shelf:
    """A collection's objects by namespace and name, its changes, and who listens."""

    objects: dict[str, dict[str, Obj]] = field(default_factory=dict)
    history: deque[Change] = field(default_factory=deque)
    floor: int = 0  # the newest version that the history has lost
    watchers: set[Watcher] = field(default_factory=set)


Listener = Callable[[Collection, Change], None]


def clone(value: Any) -> Any:
    """Copy a JSON value; several times faster than ``copy.deepcopy``."""
    if isinstance(value, dict):
        return {name: clone(item) for name, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value


def owner_uids(obj: Obj | None) -> set[str]:
    """Give the UIDs of an object's owners."""
    references = ((obj or {}).get("metadata") or {}).get("ownerReferences") or ()
    return {reference["uid"] for reference in references}


class Store:
    """The state of the cluster.

    Parameters
    ----------
    history : int
        Changes kept a collection; a watch from before them is answered 410.
    """

    def __init__(self, *, history: int = 10_000) -> None:
        self.version = 1
        self._history = history
        self._shelves: dict[Collection, _Shelf] = {}
        self._uids: dict[str, Key] = {}
        self._owned: dict[str, set[Key]] = {}
        self.listeners: list[Listener] = []

    def _shelf(self, collection: Collection) -> _Shelf:
        return self._shelves.setdefault(collection, _Shelf())

    def get(self, collection: Collection, namespace: str, name: str) -> Obj | None:
        """Give an object, or ``None``."""
        return self._shelf(collection).objects.get(namespace, {}).get(name)

    def select(self, collection: Collection, selection: Selection) -> list[Obj]:
        """List the selected objects in the order of namespace and name."""
        objects = self._shelf(collection).objects
        spaces = sorted(objects) if selection.namespace is None else [selection.namespace]
        found: list[Obj] = []
        for space in spaces:
            by_name = objects.get(space, {})
            found += [by_name[name] for name in sorted(by_name)]
        if selection.labels or selection.fields:
            found = [obj for obj in found if selection.matches(obj)]
        return found

    def everything(self, namespace: str) -> Iterator[tuple[Key, Obj]]:
        """Go through all objects of a namespace, of any kind."""
        for collection, shelf in list(self._shelves.items()):
            for name, obj in list(shelf.objects.get(namespace, {}).items()):
                yield Key(collection, namespace, name), obj

    def key_of_uid(self, uid: str) -> Key | None:
        """Say where the object of a UID stands."""
        return self._uids.get(uid)

    def dependents(self, uid: str) -> list[Key]:
        """List the objects that name this UID as an owner."""
        return sorted(self._owned.get(uid, ()))

    def insert(self, collection: Collection, obj: Obj) -> Obj:
        """Keep a new object; the caller has checked that its name is free."""
        return self._write(collection, ChangeType.ADDED, obj, None)

    def replace(self, collection: Collection, obj: Obj, old: Obj) -> Obj:
        """Keep a new state of a stored object."""
        return self._write(collection, ChangeType.MODIFIED, obj, old)

    def remove(self, collection: Collection, old: Obj) -> Obj:
        """Take an object out; its last state carries the version of the removal."""
        last = {**old, "metadata": dict(old["metadata"])}
        return self._write(collection, ChangeType.DELETED, last, old)

    def _write(self, collection: Collection, kind: ChangeType, obj: Obj, old: Obj | None) -> Obj:
        self.version += 1
        meta = obj["metadata"]
        meta["resourceVersion"] = str(self.version)
        key = Key(collection, meta.get("namespace", ""), meta["name"])
        shelf = self._shelf(collection)
        if kind is ChangeType.DELETED:
            del shelf.objects[key.namespace][key.name]
            self._uids.pop(meta["uid"], None)
            self._link(key, obj, None)
        else:
            shelf.objects.setdefault(key.namespace, {})[key.name] = obj
            self._uids[meta["uid"]] = key
            self._link(key, old, obj)
        self._publish(collection, shelf, Change(self.version, kind, obj, old))
        return obj

    def _link(self, key: Key, old: Obj | None, new: Obj | None) -> None:
        before, after = owner_uids(old), owner_uids(new)
        for uid in before - after:
            self._owned.get(uid, set()).discard(key)
            if not self._owned.get(uid):
                self._owned.pop(uid, None)
        for uid in after - before:
            self._owned.setdefault(uid, set()).add(key)

    def _publish(self, collection: Collection, shelf: _Shelf, change: Change) -> None:
        shelf.history.append(change)
        if len(shelf.history) > self._history:
            shelf.floor = shelf.history.popleft().version
        for watcher in list(shelf.watchers):
            watcher.put(change)
        for listener in self.listeners:
            listener(collection, change)

    def compact(self) -> None:
        """Forget the history of all collections: older watches are answered 410 from now on."""
        for shelf in self._shelves.values():
            shelf.history.clear()
            shelf.floor = self.version

    def subscribe(self, collection: Collection, since: int) -> Watcher:
        """Follow a collection's changes after a version.

        Raises
        ------
        ApiError
            410 when the history no longer reaches back to it.
        """
        shelf = self._shelf(collection)
        if since < shelf.floor:
            raise expired(f"too old resource version: {since} ({shelf.floor})")
        watcher = Watcher(self._history)
        for change in shelf.history:
            if change.version > since:
                watcher.put(change)
        shelf.watchers.add(watcher)
        return watcher

    def unsubscribe(self, collection: Collection, watcher: Watcher) -> None:
        """Stop following."""
        self._shelf(collection).watchers.discard(watcher)

    def close_watchers(self, collection: Collection | None = None) -> None:
        """End the watches of one collection, or all of them."""
        for found, shelf in self._shelves.items():
            if collection in {None, found}:
                for watcher in list(shelf.watchers):
                    watcher.close()
