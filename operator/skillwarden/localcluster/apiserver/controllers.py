"""The server's own controllers: garbage collection, namespaces, definitions, quotas, service accounts.

Each write is looked at once; what follows from it is done a moment later by one worker, in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from skillwarden.localcluster.apiserver import admission, crds
from skillwarden.localcluster.apiserver.decoding import WriteOptions
from skillwarden.localcluster.apiserver.errors import ApiError, Obj
from skillwarden.localcluster.apiserver.objects import Objects
from skillwarden.localcluster.apiserver.removal import FOREGROUND, DeleteOptions
from skillwarden.localcluster.apiserver.resources import (
    CRDS,
    EVENTS,
    NAMESPACES,
    QUOTAS,
    SERVICE_ACCOUNTS,
    Registry,
)
from skillwarden.localcluster.apiserver.selectors import Selection
from skillwarden.localcluster.apiserver.store import Change, ChangeType, Collection, Key, Store

log = logging.getLogger(__name__)

Task = tuple[str, Key | str]
_ITSELF = WriteOptions(manager="skillwarden-local")
_EVENTS_KEPT = 2_000


class Controllers:
    """The worker and what it knows to do."""

    def __init__(self, store: Store, registry: Registry, objects: Objects) -> None:
        self._store = store
        self._registry = registry
        self._objects = objects
        self._pending: dict[Task, None] = {}
        self._wake = asyncio.Event()
        self._actions: dict[str, Callable[..., None]] = {
            "owners": self._check_owners,
            "orphans": self._collect,
            "foreground": self._finish_foreground,
            "namespace": self._finish_namespace,
            "definition": self._finish_definition,
            "quota": self._recount,
            "account": self._default_account,
            "events": self._trim_events,
        }
        store.listeners.append(self._notice)

    def _ask(self, action: str, subject: Key | str) -> None:
        self._pending[action, subject] = None
        self._wake.set()

    def _notice(self, collection: Collection, change: Change) -> None:
        meta = change.obj["metadata"]
        namespace, name = meta.get("namespace", ""), meta["name"]
        gone = change.type is ChangeType.DELETED
        if collection == CRDS:
            self._serve(change)
        if gone:
            self._ask("orphans", meta["uid"])
            for owner in meta.get("ownerReferences") or ():
                if key := self._store.key_of_uid(owner["uid"]):
                    self._ask("foreground", key)
        elif meta.get("ownerReferences"):
            self._ask("owners", Key(collection, namespace, name))
        if not gone and FOREGROUND in (meta.get("finalizers") or ()):
            self._ask("foreground", Key(collection, namespace, name))
        self._notice_scope(collection, namespace, name, gone=gone)

    def _notice_scope(self, collection: Collection, namespace: str, name: str, *, gone: bool) -> None:
        if collection == NAMESPACES and not gone:
            self._ask("namespace", name)
            self._ask("account", name)
        elif namespace:
            if gone:
                self._ask("namespace", namespace)
            if collection == SERVICE_ACCOUNTS and gone:
                self._ask("account", namespace)
            if self._store.select(QUOTAS, Selection(namespace)):
                self._ask("quota", namespace)
        if collection == CRDS and not gone:
            self._ask("definition", name)
        elif gone and collection.group:
            self._ask("definition", f"{collection.plural}.{collection.group}")
        if collection == EVENTS and not gone and self._store.version % 64 == 0:
            self._ask("events", namespace)

    def _serve(self, change: Change) -> None:
        spec = change.obj["spec"]
        collection = Collection(spec["group"], spec["names"]["plural"])
        if change.type is ChangeType.DELETED:
            self._registry.withdraw(collection)
            self._store.close_watchers(collection)
        elif change.old is None or change.old["spec"] != spec:
            self._registry.withdraw(collection)
            for resource in crds.served(change.obj):
                self._registry.add(resource)

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._step():  # noqa: ASYNC110 - lets requests in between two actions
                await asyncio.sleep(0)

    def work(self) -> None:
        """Do at once whatever is due."""
        while self._step():
            pass

    def _step(self) -> bool:
        if not self._pending:
            return False
        action, subject = next(iter(self._pending))
        del self._pending[action, subject]
        try:
            self._actions[action](subject)
        except Exception:
            # One object that cannot be handled must not stop the work on all others.
            log.exception("the controller's action %s failed for %s", action, subject)
        return True

    def _owner_lives(self, owner: Obj, namespace: str) -> bool | None:
        """Tell whether an owner is there; ``None`` when its kind is not served, so nobody can tell."""
        resource = self._registry.of_kind(owner["apiVersion"], owner["kind"])
        if resource is None:
            return None
        found = self._store.get(resource.storage, namespace if resource.namespaced else "", owner["name"])
        return found is not None and found["metadata"]["uid"] == owner["uid"]

    def _check_owners(self, key: Key) -> None:
        """Delete an object all of whose owners are gone; forget the dead ones of several."""
        obj = self._store.get(*key)
        owners = ((obj or {}).get("metadata") or {}).get("ownerReferences") or ()
        if obj is None or not owners:
            return
        lives = [self._owner_lives(owner, key.namespace) for owner in owners]
        dead = {owner["uid"] for owner, alive in zip(owners, lives, strict=True) if alive is False}
        if not dead:
            return
        if len(dead) == len(owners):
            if "deletionTimestamp" not in obj["metadata"]:
                self._delete(key, "Background")
        elif True in lives:
            self._objects.removal.disown(self._registry.of_storage(key.collection), obj, dead)

    def _collect(self, uid: str) -> None:
        for key in self._store.dependents(uid):
            self._check_owners(key)

    def _delete(self, key: Key, propagation: str) -> None:
        resource = self._registry.of_storage(key.collection)
        try:
            self._objects.removal.delete(
                resource, key.namespace, key.name, DeleteOptions(propagation=propagation)
            )
        except ApiError:
            return  # gone already

    def _finish_foreground(self, key: Key) -> None:
        """Delete the dependents of an object that waits for them, and let it go after them."""
        obj = self._store.get(*key)
        if obj is None or FOREGROUND not in (obj["metadata"].get("finalizers") or ()):
            return
        uid = obj["metadata"]["uid"]
        for dependent in self._store.dependents(uid):
            found = self._store.get(*dependent)
            if found is not None and "deletionTimestamp" not in found["metadata"]:
                self._delete(dependent, "Foreground")
        if any(self._blocks(dependent, uid) for dependent in self._store.dependents(uid)):
            return
        finalizers = [item for item in obj["metadata"]["finalizers"] if item != FOREGROUND]
        new = {**obj, "metadata": {**obj["metadata"], "finalizers": finalizers}}
        self._objects.removal.rewrite(self._registry.of_storage(key.collection), obj, new)

    def _blocks(self, key: Key, uid: str) -> bool:
        owners = (self._store.get(*key) or {}).get("metadata", {}).get("ownerReferences") or ()
        return any(owner["uid"] == uid and owner.get("blockOwnerDeletion") for owner in owners)

    def _finish_namespace(self, name: str) -> None:
        """Empty a namespace that is being deleted, and remove it once it is empty."""
        found = self._store.get(NAMESPACES, "", name)
        if found is None or "deletionTimestamp" not in found["metadata"]:
            return
        for key, obj in self._store.everything(name):
            if "deletionTimestamp" not in obj["metadata"]:
                self._delete(key, "Background")
        if next(self._store.everything(name), None) is None:
            new = {**found, "spec": {**(found.get("spec") or {}), "finalizers": []}}
            self._objects.removal.rewrite(self._registry.of_storage(NAMESPACES), found, new)

    def _finish_definition(self, name: str) -> None:
        """Delete the objects of a kind that is being withdrawn, and its definition after them."""
        crd = self._store.get(CRDS, "", name)
        if crd is None or "deletionTimestamp" not in crd["metadata"]:
            return
        collection = Collection(crd["spec"]["group"], crd["spec"]["names"]["plural"])
        for obj in self._store.select(collection, Selection()):
            meta = obj["metadata"]
            if "deletionTimestamp" not in meta:
                self._delete(Key(collection, meta.get("namespace", ""), meta["name"]), "Background")
        if not self._store.select(collection, Selection()):
            finalizers = [item for item in crd["metadata"].get("finalizers") or () if item != crds.CLEANUP]
            new = {**crd, "metadata": {**crd["metadata"], "finalizers": finalizers}}
            self._objects.removal.rewrite(self._registry.of_storage(CRDS), crd, new)

    def _recount(self, namespace: str) -> None:
        stored = [resource for resource in self._registry if resource.keep_in is None]
        for quota in self._store.select(QUOTAS, Selection(namespace)):
            new = {**quota, "status": admission.quota_status(self._store, stored, quota)}
            self._objects.removal.rewrite(self._registry.of_storage(QUOTAS), quota, new)

    def _default_account(self, namespace: str) -> None:
        space = self._store.get(NAMESPACES, "", namespace)
        if space is None or "deletionTimestamp" in space["metadata"]:
            return
        if self._store.get(SERVICE_ACCOUNTS, namespace, "default") is None:
            resource = self._registry.of_storage(SERVICE_ACCOUNTS)
            self._objects.create(resource, namespace, {"metadata": {"name": "default"}}, _ITSELF)

    def _trim_events(self, namespace: str) -> None:
        """Bound the Events of a namespace; real servers forget them after an hour."""
        events = self._store.select(EVENTS, Selection(namespace))
        events.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
        for event in events[: max(0, len(events) - _EVENTS_KEPT)]:
            self._delete(Key(EVENTS, namespace, event["metadata"]["name"]), "Background")
