"""CustomResourceDefinitions: checked for structural schemas, turned into served kinds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from skillwarden.localcluster.apiserver.builtin_schemas import OBJECT_META, TEXT
from skillwarden.localcluster.apiserver.errors import Cause, Obj
from skillwarden.localcluster.apiserver.formats import label_1035_error, now_text, subdomain_error
from skillwarden.localcluster.apiserver.resources import Column, Resource, Scale
from skillwarden.localcluster.apiserver.schema import (
    EMBEDDED,
    INT_OR_STRING,
    LIST_KEYS,
    LIST_TYPE,
    PRESERVE,
    Schema,
    apply_defaults,
    prune,
    validate,
)
from skillwarden.localcluster.apiserver.store import clone

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_ROOT_FIELDS = frozenset({"apiVersion", "kind", "metadata"})
_FORBIDDEN = (
    "$ref",
    "definitions",
    "dependencies",
    "deprecated",
    "discriminator",
    "id",
    "patternProperties",
    "readOnly",
    "writeOnly",
    "xml",
)
_KNOWN = frozenset(
    {
        "additionalItems",
        "additionalProperties",
        "allOf",
        "anyOf",
        "default",
        "description",
        "enum",
        "example",
        "exclusiveMaximum",
        "exclusiveMinimum",
        "externalDocs",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "multipleOf",
        "not",
        "nullable",
        "oneOf",
        "pattern",
        "properties",
        "required",
        "title",
        "type",
        "uniqueItems",
    }
    | {
        "x-kubernetes-embedded-resource",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-map-type",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    }
)


def prepare(crd: Obj) -> None:
    """Fill in the names that may be left out."""
    spec = crd["spec"]
    names = spec["names"]
    names.setdefault("singular", names.get("kind", "").lower())
    names.setdefault("listKind", f"{names.get('kind', '')}List")
    spec.setdefault("conversion", {"strategy": "None"})


def established(crd: Obj) -> Obj:
    """Give the definition with the status of one that is served."""
    now = now_text()
    old = {item["type"]: item for item in (crd.get("status") or {}).get("conditions") or ()}
    texts = {
        "NamesAccepted": ("NoConflicts", "no conflicts found"),
        "Established": ("InitialNamesAccepted", "the initial names have been accepted"),
    }
    conditions = [
        old.get(kind)
        or {"type": kind, "status": "True", "reason": reason, "message": text, "lastTransitionTime": now}
        for kind, (reason, text) in texts.items()
    ]
    storage = next(version["name"] for version in crd["spec"]["versions"] if version["storage"])
    status = {
        "conditions": conditions,
        "acceptedNames": clone(crd["spec"]["names"]),
        "storedVersions": [storage],
    }
    meta = crd["metadata"]
    finalizers = meta.get("finalizers") or []
    if CLEANUP not in finalizers and "deletionTimestamp" not in meta:
        meta = {**meta, "finalizers": [*finalizers, CLEANUP]}
    return {**crd, "metadata": meta, "status": status}


def validate_crd(crd: Obj, old: Obj | None) -> list[Cause]:
    """Check a definition, its schemas above all: only structural ones are served."""
    spec = crd["spec"]
    names, group = spec["names"], spec["group"]
    causes: list[Cause] = []

    def bad(field: str, why: str) -> None:
        causes.append(Cause("FieldValueInvalid", f"Invalid value: {why}", field))

    wanted = f"{names['plural']}.{group}"
    if crd["metadata"]["name"] != wanted:
        bad("metadata.name", f'"{crd["metadata"]["name"]}": must be spec.names.plural+"."+spec.group')
    if subdomain_error(group) or "." not in group:
        bad("spec.group", f'"{group}": should be a domain with at least one dot')
    for field in ("plural", "singular"):
        if wrong := label_1035_error(names.get(field) or ""):
            bad(f"spec.names.{field}", wrong)
    if wrong := label_1035_error((names.get("kind") or "").lower()):
        bad("spec.names.kind", f"may have mixed case, but should otherwise match: {wrong}")
    if sum(bool(version["storage"]) for version in spec["versions"]) != 1:
        bad("spec.versions", "must have exactly one version marked as storage version")
    if spec["conversion"].get("strategy") != "None":
        bad("spec.conversion.strategy", "only None is served by the embedded cluster")
    if old is not None:
        causes += _identity_changes(spec, old["spec"])
    causes += _version_causes(spec["versions"])
    return causes


def _identity_changes(new: Obj, old: Obj) -> Iterator[Cause]:
    for path in (("scope",), ("group",), ("names", "plural"), ("names", "kind")):
        values = [new, old]
        for name in path:
            values = [value[name] for value in values]
        if values[0] != values[1]:
            text = f'Invalid value: "{values[0]}": field is immutable'
            yield Cause("FieldValueInvalid", text, ".".join(("spec", *path)))


def _version_causes(versions: list[Obj]) -> Iterator[Cause]:
    for index, version in enumerate(versions):
        path = f"spec.versions[{index}].schema.openAPIV3Schema"
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if not schema:
            yield Cause("FieldValueRequired", "Required value: schemas are required", path)
            continue
        if schema.get("type") != "object":
            yield Cause("FieldValueInvalid", "Invalid value: must be object at the root", f"{path}.type")
        yield from _structural(schema, path, root=True)


def _structural(schema: Any, path: str, *, root: bool = False) -> Iterator[Cause]:
    if not isinstance(schema, dict):
        yield Cause("FieldValueTypeInvalid", "Invalid value: a schema is an object", path)
        return
    for keyword in schema:
        if keyword in _FORBIDDEN or (keyword == "uniqueItems" and schema[keyword]):
            yield Cause("FieldValueForbidden", f"Forbidden: {keyword} is not supported", f"{path}.{keyword}")
        elif keyword not in _KNOWN:
            yield Cause("FieldValueInvalid", f'Invalid value: unknown field "{keyword}"', path)
    open_ended = schema.get(INT_OR_STRING) or schema.get(PRESERVE)
    if not schema.get("type") and not open_ended:
        text = "Required value: must not be empty for specified fields of a structural schema"
        yield Cause("FieldValueRequired", text, f"{path}.type")
    yield from _keywords(schema, path)
    yield from _lists(schema, path)
    for name, below in (schema.get("properties") or {}).items():
        if not (root and name in _ROOT_FIELDS):
            yield from _structural(below, f"{path}.properties[{name}]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _structural(schema["additionalProperties"], f"{path}.additionalProperties")
    if "items" in schema:
        yield from _structural(schema["items"], f"{path}.items")
    if "default" in schema:
        yield from _default(schema, path)


def _keywords(schema: Schema, path: str) -> Iterator[Cause]:
    if schema.get("properties") and "additionalProperties" in schema:
        text = "Forbidden: additionalProperties and properties are mutual exclusive"
        yield Cause("FieldValueForbidden", text, f"{path}.additionalProperties")
    if schema.get("additionalProperties") is False:
        text = "Forbidden: must not be used: false forbids nothing that pruning does not drop"
        yield Cause("FieldValueForbidden", text, f"{path}.additionalProperties")
    if schema.get(EMBEDDED) and schema.get("type") != "object":
        yield Cause("FieldValueInvalid", "Invalid value: must be object", f"{path}.type")
    for keyword in ("exclusiveMinimum", "exclusiveMaximum"):
        if not isinstance(schema.get(keyword, False), bool):
            yield Cause("FieldValueTypeInvalid", "Invalid value: must be boolean", f"{path}.{keyword}")
    if "pattern" in schema:
        try:
            re.compile(schema["pattern"])
        except re.error as error:
            yield Cause("FieldValueInvalid", f"Invalid value: {error}", f"{path}.pattern")
        if re.search(r"\(\?[=!<]", schema["pattern"]) and "(?P<" not in schema["pattern"]:
            text = "Invalid value: look-around is no part of the server's regular expressions"
            yield Cause("FieldValueInvalid", text, f"{path}.pattern")


def _lists(schema: Schema, path: str) -> Iterator[Cause]:
    if schema.get("type") == "array" and not isinstance(schema.get("items"), dict):
        yield Cause("FieldValueRequired", "Required value: must be specified", f"{path}.items")
        return
    if schema.get(LIST_TYPE) != "map":
        return
    items, keys = schema.get("items", {}), schema.get(LIST_KEYS) or ()
    if not keys:
        text = "Required value: must not be empty if x-kubernetes-list-type is map"
        yield Cause("FieldValueRequired", text, f"{path}.x-kubernetes-list-map-keys")
    if items.get("type") != "object":
        text = "Invalid value: must be object if parent array's x-kubernetes-list-type is map"
        yield Cause("FieldValueInvalid", text, f"{path}.items.type")
    for key in keys:
        field = items.get("properties", {}).get(key)
        if field is None:
            text = "Invalid value: entries must all be names of item properties"
            yield Cause("FieldValueInvalid", text, f"{path}.x-kubernetes-list-map-keys")
        elif key not in items.get("required", ()) and "default" not in field:
            text = (
                "Required value: this property is in x-kubernetes-list-map-keys, "
                "so it must have a default or be a required property"
            )
            yield Cause("FieldValueRequired", text, f"{path}.items.properties[{key}].default")


def _default(schema: Schema, path: str) -> Iterator[Cause]:
    value, unknown = clone(schema["default"]), list[str]()
    prune(value, schema, "", unknown)
    for name in unknown:
        yield Cause("FieldValueInvalid", f'Invalid value: unknown field "{name}"', f"{path}.default")
    apply_defaults(value, schema)
    yield from validate(value, schema, f"{path}.default")


def _plain(path: str) -> str:
    return path.removeprefix(".")


def served(crd: Obj) -> list[Resource]:
    """Give the kinds that a definition asks to be served, one a version."""
    spec = crd["spec"]
    names = spec["names"]
    found = []
    for version in spec["versions"]:
        if not version["served"]:
            continue
        schema = version["schema"]["openAPIV3Schema"]
        properties = {
            **schema.get("properties", {}),
            "apiVersion": {**TEXT, "description": "The version of this object's schema."},
            "kind": {**TEXT, "description": "The kind of this object."},
            "metadata": {**OBJECT_META, "description": "Standard object's metadata."},
        }
        parts = version.get("subresources") or {}
        scale = parts.get("scale")
        columns = version.get("additionalPrinterColumns")
        selectable = {_plain(item["jsonPath"]) for item in version.get("selectableFields") or ()}
        found.append(
            Resource(
                group=spec["group"],
                version=version["name"],
                plural=names["plural"],
                kind=names["kind"],
                schema={**schema, "properties": properties},
                namespaced=spec["scope"] == "Namespaced",
                singular=names.get("singular", ""),
                list_kind=names.get("listKind", ""),
                short_names=tuple(names.get("shortNames") or ()),
                categories=tuple(names.get("categories") or ()),
                status="status" in parts,
                scale=Scale(
                    _plain(scale["specReplicasPath"]),
                    _plain(scale["statusReplicasPath"]),
                    _plain(scale["labelSelectorPath"]) if scale.get("labelSelectorPath") else None,
                )
                if scale
                else None,
                columns=tuple(
                    Column(
                        item["name"],
                        item["type"],
                        item["jsonPath"],
                        item.get("priority", 0),
                        item.get("format", ""),
                        item.get("description", ""),
                    )
                    for item in columns or ()
                ),
                custom=True,
                generation=True,
                field_labels=frozenset({"metadata.name", "metadata.namespace"} | selectable),
            )
        )
    return found
