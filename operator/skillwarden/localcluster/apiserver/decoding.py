"""From the body of a write to an object of the right kind, in the right place, with known fields only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from skillwarden.localcluster.apiserver import errors, schema
from skillwarden.localcluster.apiserver.builtin_schemas import OBJECT_META
from skillwarden.localcluster.apiserver.errors import ApiError, Cause, Obj
from skillwarden.localcluster.apiserver.resources import Resource
from skillwarden.localcluster.apiserver.schema import Schema

_DROPPED = ("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How a write is to be done, beside what is written."""

    manager: str
    dry_run: bool = False
    validation: str = "Warn"
    force: bool = False
    duplicates: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        # Go reads a null in a list of structs as an empty one.
        return [{} if item is None else _without_nulls(item) for item in value]
    return value


def _strict(wrong: list[str] | tuple[str, ...]) -> str:
    return "strict decoding error: " + ", ".join(wrong)


def typed(resource: Resource, body: Any) -> Obj:
    """Check that a body is an object of the kind that its path names."""
    if not isinstance(body, dict):
        raise errors.bad_request(
            f"the object provided is unrecognized (must be of type {resource.kind}): it is no JSON object"
        )
    if not resource.custom:
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **_without_nulls(body)}
    for name, wanted in (("kind", resource.kind), ("apiVersion", resource.api_version)):
        given = body.get(name)
        if not given:
            raise errors.bad_request(f"Object '{name[0].upper()}{name[1:]}' is missing in the request")
        if given != wanted and name == "kind":
            raise _other_kind(resource, body)
        if given != wanted:
            raise errors.bad_request(
                f"the {name} in the data ({given}) does not match the expected {name} ({wanted})"
            )
    meta = body.get("metadata")
    if meta is not None and not isinstance(meta, dict):
        raise errors.bad_request("metadata is no object")
    return {**body, "metadata": meta or {}}


def _other_kind(resource: Resource, body: Obj) -> ApiError:
    if resource.custom:
        text = f'Invalid value: "{body["kind"]}": must be {resource.kind}'
        name = str((body.get("metadata") or {}).get("name", ""))
        return errors.invalid(body["kind"], resource.group, name, [Cause("FieldValueInvalid", text, "kind")])
    return errors.bad_request(
        f'{body["kind"]} in version "{resource.version}" cannot be handled as a {resource.kind}'
    )


def decode(resource: Resource, body: Any, options: WriteOptions, *, patched: bool = False) -> Obj:
    """Read a body: right kind, no unknown field (as far as the client asks), everything else copied."""
    whole = typed(resource, body)
    unknown: list[str] = []
    obj: Obj = schema.prune(whole, resource.schema, "", unknown)
    meta = obj["metadata"]
    meta.pop("selfLink", None)
    # The server sets these itself, but has to read what it drops.
    dropped = {name: meta[name] for name in _DROPPED if meta.get(name) is not None}
    if unreadable := schema.validate(dropped, OBJECT_META, "metadata"):
        raise errors.Unreadable(resource.kind, resource.version, unreadable[0].message)
    wrong = [*options.duplicates, *(f'unknown field "{path}"' for path in sorted(unknown))]
    if wrong and options.validation == "Strict":
        text = _strict(wrong)
        if patched:
            causes = [Cause("FieldValueInvalid", f"Invalid value: {text}", "patch")]
            raise errors.invalid(resource.kind, resource.group, obj["metadata"].get("name", ""), causes)
        raise errors.bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {text}'
        )
    if options.validation == "Warn":
        options.warnings.extend(wrong)
    return obj


def declared(resource: Resource, namespace: str, name: str, manifest: Obj, options: WriteOptions) -> Obj:
    """Check that a manifest fits its schema, for fields without one cannot be owned."""
    given = manifest.get("metadata") or {}
    if given.get("managedFields") is not None:
        raise errors.bad_request("metadata.managedFields must be nil")
    if not manifest.get("kind") or not manifest.get("apiVersion"):
        kind = f"{manifest.get('apiVersion', '')}, Kind={manifest.get('kind', '')}"
        raise errors.bad_request(f"invalid object type: {kind}")
    if not given.get("name"):
        raise errors.bad_request(
            f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )
    if options.duplicates and options.validation == "Strict":
        raise errors.bad_request(_strict(options.duplicates))
    unknown: list[str] = []
    wanted: Obj = schema.prune(typed(resource, manifest), resource.schema, "", unknown)
    _drop_defaulted_nulls(wanted, resource.schema)
    # What an apply cannot own it does not take, before any rule on values is asked.
    wrong = [f".{path}: field not declared in schema" for path in unknown] or [
        f".{cause.field}: {cause.message}"
        for cause in schema.validate(wanted, resource.schema)
        if cause.reason in {"FieldValueTypeInvalid", "FieldValueDuplicate"} and '"null"' not in cause.message
    ]
    if wrong:
        where = f"{namespace}/{name}" if namespace else f"/{name}"
        message = (
            f"failed to create typed patch object ({where}; {resource.group}/{resource.version}, "
            f"Kind={resource.kind}): " + "\n".join(wrong)
        )
        raise ApiError(500, "", message)
    # Elsewhere such a null counts as absent; here it would be owned.
    nulls = list(schema.forbidden_nulls(wanted, resource.schema))
    if nulls:
        raise errors.invalid(resource.kind, resource.group, name, nulls)
    meta = wanted["metadata"]
    if meta["name"] != name:
        raise errors.bad_request(
            f"the name of the object ({meta['name']}) does not match the name on the URL ({name})"
        )
    fit_namespace(resource, meta, namespace)
    return wanted


def fit_namespace(resource: Resource, meta: Obj, namespace: str) -> None:
    """Put an object into the namespace of its path; 400 when it names another."""
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


def same_identity(resource: Resource, old: Obj, new: Obj, sub: str) -> None:
    """Refuse a patch meant for another object of the name; on a subresource real servers do not look."""
    if sub:
        return
    before, meta = old["metadata"], new["metadata"]
    causes = [
        Cause("FieldValueInvalid", f'Invalid value: "{meta[field]}": field is immutable', f"metadata.{field}")
        for field in ("uid", "deletionTimestamp")
        if meta.get(field) and meta[field] != before.get(field)
    ]
    if causes:
        raise errors.invalid(resource.kind, resource.group, before["name"], causes)


def _drop_defaulted_nulls(value: Any, below: Schema) -> None:
    """Take out the nulls whose fields have a default, which they get instead."""
    if isinstance(value, dict):
        for name in list(value):
            field = schema.child_schema(below, name) or {}
            if value[name] is None and "default" in field and not field.get("nullable"):
                del value[name]
            else:
                _drop_defaulted_nulls(value[name], field)
    elif isinstance(value, list):
        for item in value:
            _drop_defaulted_nulls(item, below.get("items") or {})
