"""Creating and changing objects of any kind: the semantics that all of them share."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from typing import Any

from skillwarden.localcluster.apiserver import admission, crds, decoding, errors, schema
from skillwarden.localcluster.apiserver.apply import Writer, apply_manifest, record_update
from skillwarden.localcluster.apiserver.decoding import WriteOptions
from skillwarden.localcluster.apiserver.errors import ApiError, Cause, Obj
from skillwarden.localcluster.apiserver.formats import now_text
from skillwarden.localcluster.apiserver.removal import Removal, released
from skillwarden.localcluster.apiserver.resources import (
    CRDS,
    LEASES,
    NAMESPACES,
    RUNTIME_CLASSES,
    Registry,
    Resource,
)
from skillwarden.localcluster.apiserver.rules import check_metadata, rules_of
from skillwarden.localcluster.apiserver.store import Store, clone

_SET_BY_SERVER = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
_NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_GENERATED_BASE = 58
# Whole updates of these, and of custom resources, must say which version they are based on.
_VERSIONED = frozenset({CRDS, LEASES, RUNTIME_CLASSES})


class Objects:
    """The write path (and single reads) of the API, synchronous: one write is one step."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self.removal = Removal(store, registry)

    # Reading

    def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        """Give an object; 404 when there is none."""
        found = self._store.get(resource.storage, namespace, name)
        if found is None:
            raise errors.not_found(resource.plural, resource.group, name)
        return found

    # Writing

    def create(self, resource: Resource, namespace: str, body: Any, options: WriteOptions) -> Obj:
        """Make an object from a manifest."""
        obj = decoding.decode(resource, body, options)
        return self._insert(resource, namespace, obj, options, recorded=False)

    def replace(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        body: Any,
        *,
        options: WriteOptions,
        sub: str = "",
    ) -> Obj:
        """Put a whole object in place of the stored one (or of its status)."""
        new = decoding.decode(resource, body, options)
        given = new["metadata"].get("name")
        if not given:
            raise errors.bad_request(
                f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
            )
        if given != name:
            raise errors.bad_request(
                f"the name of the object ({given}) does not match the name on the URL ({name})"
            )
        decoding.fit_namespace(resource, new["metadata"], namespace)
        old = self.get(resource, namespace, name)
        meta, before = new["metadata"], old["metadata"]
        if meta.get("uid") and meta["uid"] != before["uid"]:
            why = (
                f"Precondition failed: UID in precondition: {meta['uid']}, "
                f"UID in object meta: {before['uid']}"
            )
            raise errors.conflict(resource.plural, resource.group, name, why)
        if not meta.get("resourceVersion") and (resource.custom or resource.storage in _VERSIONED):
            causes = [
                Cause(
                    "FieldValueInvalid",
                    "Invalid value: 0: must be specified for an update",
                    "metadata.resourceVersion",
                )
            ]
            raise errors.invalid(resource.plural, resource.group, name, causes)
        return self._update(resource, old, new, options=options, sub=sub)

    def patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Callable[[Obj], Any],
        *,
        options: WriteOptions,
        sub: str = "",
    ) -> Obj:
        """Change an object by a function from its stored state to the wanted one."""
        old = self.get(resource, namespace, name)
        changed = change(old)
        if not isinstance(changed, dict) or not isinstance(changed.get("metadata"), dict):
            raise errors.bad_request("the patch leaves no object")
        new = decoding.decode(resource, changed, options, patched=True)
        given = new["metadata"].get("name")
        if given != name:
            raise errors.bad_request(
                f"the name of the object ({given}) does not match the name on the URL ({name})"
            )
        decoding.fit_namespace(resource, new["metadata"], namespace)
        decoding.same_identity(resource, old, new, sub)
        try:
            return self._update(resource, old, new, options=options, sub=sub)
        except errors.Unreadable as error:
            causes = [Cause("FieldValueInvalid", f"Invalid value: {error.why}", "patch")]
            raise errors.invalid("", "", "", causes) from error

    def apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        manifest: Any,
        *,
        options: WriteOptions,
        sub: str = "",
    ) -> tuple[Obj, bool]:
        """Server-side apply; the flag tells whether the object was made by it."""
        if not isinstance(manifest, dict):
            raise errors.bad_request("an apply patch is one object")
        wanted = decoding.declared(resource, namespace, name, manifest, options)
        old = self._store.get(resource.storage, namespace, name)
        writer = Writer(options.manager, resource.api_version, sub)
        if old is None:
            if sub:
                raise errors.not_found(resource.plural, resource.group, name)
            if wanted["metadata"].get("uid"):
                uid = wanted["metadata"]["uid"]
                why = (
                    f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                )
                raise errors.conflict(resource.plural, resource.group, name, why)
            shell = {name: wanted[name] for name in ("apiVersion", "kind")}
            meta = wanted["metadata"]
            shell["metadata"] = {key: meta[key] for key in ("name", "namespace") if key in meta}
            new = self._merged(resource, shell, wanted, writer, options)
            return self._insert(resource, namespace, new, options, recorded=True), True
        new = self._merged(resource, old, wanted, writer, options)
        meta = {
            key: wanted["metadata"][key] for key in ("uid", "resourceVersion") if key in wanted["metadata"]
        }
        new = {**new, "metadata": {**new["metadata"], **meta}}
        decoding.same_identity(resource, old, new, sub)
        return self._update(resource, old, new, options=options, sub=sub, recorded=True), False

    def _merged(
        self, resource: Resource, live: Obj, wanted: Obj, writer: Writer, options: WriteOptions
    ) -> Obj:
        return apply_manifest(
            live, wanted, resource.schema, writer, force=options.force, status_apart=resource.status
        )

    def _insert(
        self, resource: Resource, namespace: str, obj: Obj, options: WriteOptions, *, recorded: bool
    ) -> Obj:
        meta = obj["metadata"]
        decoding.fit_namespace(resource, meta, namespace)
        if resource.namespaced:
            self._require_namespace(resource, meta, namespace)
        version = meta.pop("resourceVersion", "")
        if version.isdecimal() and int(version):
            # An error of the storage, which is why it is no 400.
            raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
        for name in _SET_BY_SERVER:
            meta.pop(name, None)
        if resource.status:
            obj.pop("status", None)
        if not meta.get("name") and meta.get("generateName"):
            tail = "".join(secrets.choice(_NAME_LETTERS) for _ in range(5))
            meta["name"] = meta["generateName"][:_GENERATED_BASE] + tail
        if not meta.get("name"):
            text = "Required value: name or generateName is required"
            causes = [Cause("FieldValueRequired", text, "metadata.name")]
            raise errors.invalid(resource.kind, resource.group, "", causes)
        meta["uid"] = str(uuid.uuid4())
        meta["creationTimestamp"] = now_text()
        if resource.generation:
            meta["generation"] = 1
        obj = self._complete(resource, obj, None)
        admission.admit(self._store, resource, obj)
        if self._store.get(resource.storage, namespace, meta["name"]) is not None:
            raise errors.already_exists(resource.plural, resource.group, meta["name"])
        if not recorded:
            writer = Writer(options.manager, resource.api_version)
            obj = record_update(None, obj, resource.schema, writer, status_apart=False)
        return obj if options.dry_run else self._store.insert(resource.storage, obj)

    def _require_namespace(self, resource: Resource, meta: Obj, namespace: str) -> None:
        found = self._store.get(NAMESPACES, "", namespace)
        if found is None:
            raise errors.not_found("namespaces", "", namespace)
        if "deletionTimestamp" in found["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            refusal = errors.forbidden(resource.plural, resource.group, meta.get("name", ""), why)
            cause = Cause(
                "NamespaceTerminating", f"namespace {namespace} is being terminated", "metadata.namespace"
            )
            refusal.details["causes"] = [cause.as_dict()]
            raise refusal

    def _complete(self, resource: Resource, obj: Obj, old: Obj | None) -> Obj:
        """Fill in defaults and derived fields, and check the whole."""
        rules = rules_of(resource)
        meta = obj["metadata"]
        schema.apply_defaults(obj, resource.schema)
        causes = schema.validate(obj, resource.schema)
        unreadable = [
            cause
            for cause in causes
            if cause.reason == "FieldValueTypeInvalid"
            and not (resource.custom and not cause.field.startswith("metadata."))
        ]
        if unreadable:
            raise errors.Unreadable(resource.kind, resource.version, unreadable[0].message)
        if not causes:
            rules.prepare(obj, old)
            # Definitions and what they define may have finalizers of one word.
            qualified = not resource.custom and resource.storage != CRDS
            causes = check_metadata(meta, rules.name_error, qualified=qualified) + rules.check(obj, old)
            if old is not None:
                causes += schema.validate_change(obj, old, resource.schema)
                causes += _metadata_changes(meta, old["metadata"])
        if causes:
            raise errors.invalid(resource.kind, resource.group, meta["name"], causes)
        return crds.established(obj) if resource.storage == CRDS else obj

    def _update(
        self,
        resource: Resource,
        old: Obj,
        new: Obj,
        *,
        options: WriteOptions,
        sub: str,
        recorded: bool = False,
    ) -> Obj:
        before, meta = old["metadata"], new["metadata"]
        version = meta.get("resourceVersion")
        if version and version != before["resourceVersion"]:
            raise errors.conflict(resource.plural, resource.group, before["name"], errors.STALE)
        new = clone(_isolated(resource, old, new, sub))
        meta = new["metadata"]
        for name in (*_SET_BY_SERVER, "name", "namespace", "resourceVersion"):
            meta.pop(name, None)
            if name in before:
                meta[name] = before[name]
        new = self._complete(resource, new, old)
        if not recorded:
            writer = Writer(options.manager, resource.api_version, sub)
            new = record_update(old, new, resource.schema, writer, status_apart=resource.status)
        if new == old:
            return old
        if resource.generation and _wanted(new, resource) != _wanted(_as_read(old, resource), resource):
            new["metadata"]["generation"] = before.get("generation", 0) + 1
        if options.dry_run:
            return new
        if released(resource, new):
            return self._store.remove(resource.storage, new)
        return self._store.replace(resource.storage, new, old)


def _isolated(resource: Resource, old: Obj, new: Obj, sub: str) -> Obj:
    """Keep the half of the object that this path does not write."""
    if sub == "status":
        meta = dict(old["metadata"])
        # Of built-in kinds, the status path writes labels and annotations too.
        for name in ("managedFields",) if resource.custom else ("managedFields", "labels", "annotations"):
            if name in new["metadata"]:
                meta[name] = new["metadata"][name]
        kept = {**old, "metadata": meta}
        kept.pop("status", None)
        return {**kept, "status": new["status"]} if "status" in new else kept
    if not resource.status:
        return new
    kept = {name: item for name, item in new.items() if name != "status"}
    return {**kept, "status": old["status"]} if "status" in old else kept


def _as_read(obj: Obj, resource: Resource) -> Obj:
    """Give a stored object with the defaults that its definition has got since."""
    if not resource.custom:
        return obj
    read: Obj = clone(obj)
    schema.apply_defaults(read, resource.schema)
    return read


def _wanted(obj: Obj, resource: Resource) -> Obj:
    """Give the part of an object whose change makes a new generation."""
    left_out = {"metadata", "apiVersion", "kind", "status"} if resource.status else {"metadata", "apiVersion"}
    return {name: item for name, item in obj.items() if name not in left_out}


def _metadata_changes(new: Obj, old: Obj) -> list[Cause]:
    if "deletionTimestamp" not in old:
        return []
    added = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
    if not added:
        return []
    text = (
        "Forbidden: no new finalizers can be added if the object is being deleted, "
        f"found new finalizers {added}"
    )
    return [Cause("FieldValueForbidden", text, "metadata.finalizers")]
