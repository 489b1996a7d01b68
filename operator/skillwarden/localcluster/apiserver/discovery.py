"""What a client may ask for: groups, versions and resources, in the old form and in the aggregated one."""

from __future__ import annotations

from skillwarden.localcluster.apiserver.errors import Obj
from skillwarden.localcluster.apiserver.resources import Registry, Resource, SubResource

VERSION: Obj = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+skillwarden-local",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
#: A virtual kind: it can be asked, never stored.
ACCESS_REVIEWS = ("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview")


def subresources(resource: Resource) -> list[SubResource]:
    """List what is served below an object of a kind."""
    found = list(resource.subresources)
    if resource.status:
        found.append(SubResource("status", resource.kind))
    if resource.scale:
        found.append(SubResource("scale", "Scale", group="autoscaling", version="v1"))
    return found


def groups(registry: Registry) -> dict[str, list[str]]:
    """Give all groups with their versions, the virtual kinds' included."""
    return {**registry.groups(), ACCESS_REVIEWS[0]: [ACCESS_REVIEWS[1]]}


def group(name: str, versions: list[str]) -> Obj:
    """Give an ``APIGroup``."""
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": listed,
        "preferredVersion": listed[0],
    }


def group_list(registry: Registry) -> Obj:
    """Give the ``APIGroupList`` of ``/apis``."""
    named = {name: versions for name, versions in groups(registry).items() if name}
    bodies = [
        {key: value for key, value in group(name, versions).items() if key not in {"kind", "apiVersion"}}
        for name, versions in named.items()
    ]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": bodies}


def resource_list(registry: Registry, name: str, version: str) -> Obj | None:
    """Give the ``APIResourceList`` of one group and version; ``None`` when it is not served."""
    if version not in groups(registry).get(name, ()):
        return None
    listed: list[Obj] = []
    for resource in registry:
        if (resource.group, resource.version) != (name, version):
            continue
        body: Obj = {
            "name": resource.plural,
            "singularName": resource.singular_name,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": list(resource.verbs),
        }
        if resource.short_names:
            body["shortNames"] = list(resource.short_names)
        if resource.categories:
            body["categories"] = list(resource.categories)
        listed.append(body)
        for sub in subresources(resource):
            below: Obj = {
                "name": f"{resource.plural}/{sub.name}",
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": sub.kind,
                "verbs": list(sub.verbs),
            }
            if sub.version:
                below |= {"group": sub.group, "version": sub.version}
            listed.append(below)
    if (name, version) == ACCESS_REVIEWS[:2]:
        listed.append(
            {
                "name": ACCESS_REVIEWS[2],
                "singularName": "selfsubjectaccessreview",
                "namespaced": False,
                "kind": ACCESS_REVIEWS[3],
                "verbs": ["create"],
            }
        )
    text = f"{name}/{version}" if name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": text, "resources": listed}


def aggregated(registry: Registry, *, core: bool) -> Obj:
    """Give everything in one answer: ``/api`` for the core group, ``/apis`` for the others."""
    items = []
    for name, versions in groups(registry).items():
        if bool(name) is core:
            continue
        meta = {"name": name} if name else {}
        listed = [_aggregated_version(registry, name, version) for version in versions]
        items.append({"metadata": meta, "versions": listed})
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    }


def _aggregated_version(registry: Registry, name: str, version: str) -> Obj:
    listed = (resource_list(registry, name, version) or {"resources": []})["resources"]
    found: dict[str, Obj] = {}
    for item in listed:
        plural, _, sub = item["name"].partition("/")
        kind = {
            "group": item.get("group", name),
            "version": item.get("version", version),
            "kind": item["kind"],
        }
        if sub:
            body = {"subresource": sub, "responseKind": kind, "verbs": item["verbs"]}
            found[plural].setdefault("subresources", []).append(body)
            continue
        found[plural] = {
            "resource": plural,
            "responseKind": kind,
            "scope": "Namespaced" if item["namespaced"] else "Cluster",
            "singularResource": item["singularName"],
            "verbs": item["verbs"],
        }
        for field in ("shortNames", "categories"):
            if field in item:
                found[plural][field] = item[field]
    return {"version": version, "resources": list(found.values()), "freshness": "Current"}
