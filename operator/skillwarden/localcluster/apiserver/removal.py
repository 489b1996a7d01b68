"""Deleting objects: at once, gracefully, behind finalizers, with or without their dependents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from skillwarden.localcluster.apiserver import errors, pods
from skillwarden.localcluster.apiserver.errors import Obj
from skillwarden.localcluster.apiserver.resources import NAMESPACES, PODS, Registry, Resource
from skillwarden.localcluster.apiserver.store import Store

FOREGROUND = "foregroundDeletion"


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """``metav1.DeleteOptions``, as far as it is understood."""

    propagation: str = "Background"
    grace_seconds: int | None = None
    uid: str | None = None
    version: str | None = None
    dry_run: bool = False


def released(resource: Resource, obj: Obj) -> bool:
    """Tell whether nothing holds an object any more whose deletion was asked for."""
    meta = obj["metadata"]
    if "deletionTimestamp" not in meta or meta.get("finalizers"):
        return False
    if resource.storage == NAMESPACES and (obj.get("spec") or {}).get("finalizers"):
        return False
    return not meta.get("deletionGracePeriodSeconds")


class Removal:
    """What takes objects out of the store, or marks them for it."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    def delete(
        self, resource: Resource, namespace: str, name: str, options: DeleteOptions
    ) -> tuple[Obj, bool]:
        """Delete an object, or mark it; the flag tells whether it is gone."""
        old = self._store.get(resource.storage, namespace, name)
        if old is None:
            raise errors.not_found(resource.plural, resource.group, name)
        meta = old["metadata"]
        for label, asked, found in (
            ("UID", options.uid, meta["uid"]),
            ("ResourceVersion", options.version, meta["resourceVersion"]),
        ):
            if asked is not None and asked != found:
                why = (
                    f"Precondition failed: {label} in precondition: {asked}, {label} in object meta: {found}"
                )
                raise errors.conflict(resource.plural, resource.group, name, why)
        if options.dry_run:
            return old, True
        finalizers = list(meta.get("finalizers") or ())
        if options.propagation == "Orphan":
            self._orphan_dependents(meta["uid"])
        elif options.propagation == "Foreground" and FOREGROUND not in finalizers:
            finalizers.append(FOREGROUND)
        grace = pods.grace_period(old, options.grace_seconds) if resource.storage == PODS else 0
        held = finalizers or grace or resource.storage == NAMESPACES
        if not held:
            return self._store.remove(resource.storage, old), True
        return self._mark(resource, old, finalizers, grace), False

    def _mark(self, resource: Resource, old: Obj, finalizers: list[str], grace: int) -> Obj:
        new = {**old, "metadata": dict(old["metadata"])}
        meta = new["metadata"]
        if resource.storage != NAMESPACES:
            meta["deletionGracePeriodSeconds"] = grace
        if finalizers:
            meta["finalizers"] = finalizers
        if "deletionTimestamp" not in meta or meta.get("deletionGracePeriodSeconds") != old["metadata"].get(
            "deletionGracePeriodSeconds"
        ):
            end = datetime.now(UTC) + timedelta(seconds=grace)
            meta["deletionTimestamp"] = end.strftime("%Y-%m-%dT%H:%M:%SZ")
            if resource.generation:
                meta["generation"] = meta.get("generation", 0) + 1
        if resource.storage == NAMESPACES:
            new["status"] = {**(old.get("status") or {}), "phase": "Terminating"}
        return old if new == old else self._store.replace(resource.storage, new, old)

    def _orphan_dependents(self, uid: str) -> None:
        for key in self._store.dependents(uid):
            found = self._store.get(*key)
            if found is not None:
                self.disown(self._registry.of_storage(key.collection), found, {uid})

    def disown(self, resource: Resource, obj: Obj, uids: set[str]) -> None:
        """Take owners off an object."""
        meta = dict(obj["metadata"])
        kept = [item for item in meta.pop("ownerReferences", ()) if item["uid"] not in uids]
        if kept:
            meta["ownerReferences"] = kept
        self._store.replace(resource.storage, {**obj, "metadata": meta}, obj)

    def rewrite(self, resource: Resource, old: Obj, new: Obj) -> Obj:
        """Store what a controller of the server's own computed, if it changes anything."""
        if new == old:
            return old
        new = {**new, "metadata": dict(new["metadata"])}
        if released(resource, new):
            return self._store.remove(resource.storage, new)
        return self._store.replace(resource.storage, new, old)
