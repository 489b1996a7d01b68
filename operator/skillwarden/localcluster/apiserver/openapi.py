"""OpenAPI v3 documents, one a group and version: what ``kubectl explain`` and ``kubectl apply`` read."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from skillwarden.localcluster.apiserver.discovery import VERSION
from skillwarden.localcluster.apiserver.errors import Obj
from skillwarden.localcluster.apiserver.resources import Registry, Resource
from skillwarden.localcluster.apiserver.schema import INT_OR_STRING, Schema

GVK = "x-kubernetes-group-version-kind"
_NOT_PUBLISHED = frozenset({"x-kubernetes-validations", "nullable"})
_PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": True}}
    for name, kind in (
        ("dryRun", "string"),
        ("fieldManager", "string"),
        ("fieldValidation", "string"),
        ("force", "boolean"),
    )
]


def _path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def index(registry: Registry) -> Obj:
    """Give the list of documents; an address changes with its document, so that clients may cache it."""
    paths = {}
    for group, versions in registry.groups().items():
        for version in versions:
            path = _path(group, version)
            text = json.dumps(document(registry, group, version), sort_keys=True)
            stamp = hashlib.sha256(text.encode()).hexdigest()[:32]
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={stamp}"}
    return {"paths": paths}


def published(schema: Schema) -> Schema:
    """Give a schema as OpenAPI v3 shows it to clients."""
    body: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in _NOT_PUBLISHED:
            continue
        match keyword:
            case "properties":
                body[keyword] = {name: published(below) for name, below in value.items()}
            case "items" | "additionalProperties" if isinstance(value, dict):
                body[keyword] = published(value)
            case _:
                body[keyword] = value
    if body.get(INT_OR_STRING) and "anyOf" not in body:
        body["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return body


def _component(resource: Resource) -> str:
    domain = ".".join(reversed(resource.group.split("."))) if resource.group else "io.k8s.api.core"
    return f"{domain}.{resource.version}.{resource.kind}"


def document(registry: Registry, group: str, version: str) -> Obj | None:
    """Give the document of one group and version; ``None`` when it is not served."""
    found = [item for item in registry if (item.group, item.version) == (group, version)]
    if not found:
        return None
    paths: dict[str, Any] = {}
    components: dict[str, Any] = {}
    for resource in found:
        kind = {"group": group, "version": version, "kind": resource.kind}
        components[_component(resource)] = {**published(resource.schema), GVK: [kind]}
        base = f"/{_path(group, version)}/"
        base += "namespaces/{namespace}/" if resource.namespaced else ""
        base += resource.plural
        paths[base] = _operations(resource, kind, ("get", "post"))
        paths[base + "/{name}"] = _operations(resource, kind, ("get", "put", "patch", "delete"))
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]},
        "paths": paths,
        "components": {"schemas": components},
    }


def _operations(resource: Resource, kind: Obj, methods: tuple[str, ...]) -> Obj:
    reference = {"schema": {"$ref": f"#/components/schemas/{_component(resource)}"}}
    body: Obj = {}
    for method in methods:
        body[method] = {
            "operationId": f"{method}{resource.kind}",
            "x-kubernetes-action": "list" if method == "get" and "post" in methods else method,
            GVK: kind,
            "responses": {"200": {"description": "OK", "content": {"application/json": reference}}},
        }
        if method in {"post", "put", "patch"}:
            body[method]["parameters"] = _PARAMETERS
    return body
