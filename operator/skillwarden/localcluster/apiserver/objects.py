"""Creating, changing and deleting objects of any kind: the semantics that all of them share."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from skillwarden.localcluster.apiserver import admission, crds, errors, pods, schema
from skillwarden.localcluster.apiserver.apply import Writer, apply_manifest, record_update
from skillwarden.localcluster.apiserver.errors import ApiError, Cause, Obj
from skillwarden.localcluster.apiserver.formats import now_text
from skillwarden.localcluster.apiserver.resources import (
    CRDS,
    LEASES,
    NAMESPACES,
    PODS,
    RUNTIME_CLASSES,
    Registry,
    Resource,
)
from skillwarden.localcluster.apiserver.rules import check_metadata, rules_of
from skillwarden.localcluster.apiserver.store import Store, clone

FOREGROUND = "foregroundDeletion"
_SET_BY_SERVER = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
_NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_GENERATED_BASE = 58
# Whole updates of these, and of custom resources, must say which version they are based on.
_VERSIONED = frozenset({CRDS, LEASES, RUNTIME_CLASSES})


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a write is to be done, beside what is written."""

    manager: str
    dry_run: bool = False
    validation: str = "Warn"
    force: bool = False
    duplicates: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """``metav1.DeleteOptions``, as far as it is understood."""

    propagation: str = "Background"
    grace_seconds: int | None = None
    uid: str | None = None
    version: str | None = None
    dry_run: bool = False


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


class Objects:
    """The write path (and single reads) of the API, synchronous: one write is one step."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

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
        obj = self._decode(resource, body, options)
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
        new = self._decode(resource, body, options)
        given = new["metadata"].get("name", name)
        if given != name:
            raise errors.bad_request(
                f"the name of the object ({given}) does not match the name on the URL ({name})"
            )
        self._fit_namespace(resource, new["metadata"], namespace)
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
        new = self._decode(resource, changed, options, patched=True)
        given = new["metadata"].get("name")
        if given != name:
            raise errors.bad_request(
                f"the name of the object ({given}) does not match the name on the URL ({name})"
            )
        self._same_uid(resource, old, new, sub)
        return self._update(resource, old, new, options=options, sub=sub)

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
        wanted = self._declared(resource, namespace, name, manifest, options)
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
        self._same_uid(resource, old, new, sub)
        return self._update(resource, old, new, options=options, sub=sub, recorded=True), False

    def _same_uid(self, resource: Resource, old: Obj, new: Obj, sub: str) -> None:
        """Refuse a patch meant for another object of the name; on a subresource real servers do not look."""
        uid = new["metadata"].get("uid")
        if uid and uid != old["metadata"]["uid"] and not sub:
            causes = [
                Cause("FieldValueInvalid", f'Invalid value: "{uid}": field is immutable', "metadata.uid")
            ]
            raise errors.invalid(resource.kind, resource.group, old["metadata"]["name"], causes)

    def _merged(
        self, resource: Resource, live: Obj, wanted: Obj, writer: Writer, options: WriteOptions
    ) -> Obj:
        return apply_manifest(
            live, wanted, resource.schema, writer, force=options.force, status_apart=resource.status
        )

    def _declared(
        self, resource: Resource, namespace: str, name: str, manifest: Obj, options: WriteOptions
    ) -> Obj:
        """Check that a manifest fits its schema, for fields without one cannot be owned."""
        if (manifest.get("metadata") or {}).get("managedFields"):
            raise errors.bad_request("metadata.managedFields must be nil")
        if options.duplicates and options.validation == "Strict":
            raise errors.bad_request(_strict(options.duplicates))
        unknown: list[str] = []
        wanted: Obj = schema.prune(self._typed(resource, manifest), resource.schema, "", unknown)
        if unknown:
            where = f"{namespace}/{name}" if namespace else f"/{name}"
            text = "\n".join(f".{path}: field not declared in schema" for path in unknown)
            message = (
                f"failed to create typed patch object ({where}; {resource.group}/{resource.version}, "
                f"Kind={resource.kind}): {text}"
            )
            raise ApiError(500, "", message)
        # Elsewhere such a null counts as absent; here it would be owned.
        nulls = list(schema.forbidden_nulls(wanted, resource.schema))
        if nulls:
            raise errors.invalid(resource.kind, resource.group, name, nulls)
        meta = wanted["metadata"]
        if meta.setdefault("name", name) != name:
            raise errors.bad_request(
                f"the name of the object ({meta['name']}) does not match the name on the URL ({name})"
            )
        self._fit_namespace(resource, meta, namespace)
        return wanted

    def _typed(self, resource: Resource, body: Any) -> Obj:
        """Check that a body is an object of the kind that its path names."""
        if not isinstance(body, dict):
            raise errors.bad_request("the body of the request is no object")
        if not resource.custom:
            body = {"apiVersion": resource.api_version, "kind": resource.kind, **_without_nulls(body)}
        for name, wanted in (("kind", resource.kind), ("apiVersion", resource.api_version)):
            given = body.get(name)
            if not given:
                raise errors.bad_request(f"Object '{name[0].upper()}{name[1:]}' is missing in the request")
            if given != wanted:
                raise errors.bad_request(
                    f"the {name} in the data ({given}) does not match the expected {name} ({wanted})"
                )
        meta = body.get("metadata")
        if meta is not None and not isinstance(meta, dict):
            raise errors.bad_request("metadata is no object")
        return {**body, "metadata": meta or {}}

    def _decode(self, resource: Resource, body: Any, options: WriteOptions, *, patched: bool = False) -> Obj:
        """Read a body: right kind, no unknown field (as far as the client asks), everything else copied."""
        typed = self._typed(resource, body)
        unknown: list[str] = []
        obj: Obj = schema.prune(typed, resource.schema, "", unknown)
        wrong = [*options.duplicates, *(f'unknown field "{path}"' for path in sorted(unknown))]
        if wrong and options.validation == "Strict":
            text = _strict(wrong)
            if patched:
                causes = [Cause("FieldValueInvalid", f"Invalid value: {text}", "patch")]
                raise errors.invalid(resource.kind, resource.group, obj["metadata"].get("name", ""), causes)
            raise errors.bad_request(
                f'{resource.kind} in version "{resource.version}" cannot be handled as a '
                f"{resource.kind}: {text}"
            )
        if options.validation == "Warn":
            options.warnings.extend(wrong)
        return obj

    def _fit_namespace(self, resource: Resource, meta: Obj, namespace: str) -> None:
        if not resource.namespaced:
            meta.pop("namespace", None)
            return
        given = meta.get("namespace") or namespace
        if given != namespace:
            raise errors.bad_request(
                f"the namespace of the provided object ({given}) does not match the namespace sent on the "
                f"request ({namespace})"
            )
        meta["namespace"] = namespace

    def _insert(
        self, resource: Resource, namespace: str, obj: Obj, options: WriteOptions, *, recorded: bool
    ) -> Obj:
        meta = obj["metadata"]
        self._fit_namespace(resource, meta, namespace)
        if resource.namespaced:
            self._require_namespace(resource, meta, namespace)
        if meta.pop("resourceVersion", ""):
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
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
            raise errors.bad_request(
                f'{resource.kind} in version "{resource.version}" cannot be handled as a '
                f"{resource.kind}: {unreadable[0].message}"
            )
        if not causes:
            rules.prepare(obj, old)
            causes = check_metadata(meta, rules.name_error) + rules.check(obj, old)
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
        if resource.generation and _wanted(new, resource) != _wanted(old, resource):
            new["metadata"]["generation"] = before.get("generation", 0) + 1
        if options.dry_run:
            return new
        if self._released(resource, new):
            return self._store.remove(resource.storage, new)
        return self._store.replace(resource.storage, new, old)

    def _released(self, resource: Resource, obj: Obj) -> bool:
        """Tell whether nothing holds an object any more whose deletion was asked for."""
        meta = obj["metadata"]
        if "deletionTimestamp" not in meta or meta.get("finalizers"):
            return False
        if resource.storage == NAMESPACES and (obj.get("spec") or {}).get("finalizers"):
            return False
        return not meta.get("deletionGracePeriodSeconds")

    # Deleting

    def delete(
        self, resource: Resource, namespace: str, name: str, options: DeleteOptions
    ) -> tuple[Obj, bool]:
        """Delete an object, or mark it; the flag tells whether it is gone."""
        old = self.get(resource, namespace, name)
        meta = old["metadata"]
        for label, asked, found in (
            ("UID", options.uid, meta["uid"]),
            ("ResourceVersion", options.version, meta["resourceVersion"]),
        ):
            if asked and asked != found:
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
        if self._released(resource, new):
            return self._store.remove(resource.storage, new)
        return self._store.replace(resource.storage, new, old)


def _strict(wrong: list[str] | tuple[str, ...]) -> str:
    return "strict decoding error: " + ", ".join(wrong)


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
