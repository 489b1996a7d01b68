"""What single kinds need beyond their schema: derived fields, and rules on values and on changes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from skillwarden.localcluster.apiserver import crds, network_rules, pod_rules, pods
from skillwarden.localcluster.apiserver.errors import Cause, Obj
from skillwarden.localcluster.apiserver.formats import (
    config_key_error,
    label_1035_error,
    label_error,
    label_value_error,
    parse_quantity,
    path_segment_error,
    prefix_error,
    qualified_name_error,
    subdomain_error,
)
from skillwarden.localcluster.apiserver.resources import (
    CRDS,
    EVENTS,
    NAMESPACES,
    PODS,
    QUOTAS,
    RUNTIME_CLASSES,
    Resource,
)
from skillwarden.localcluster.apiserver.store import Collection

_LARGEST_DATA = 1024 * 1024
_SECRET_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
}
_COUNTED = frozenset(
    {"pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps"}
    | {"persistentvolumeclaims", "services.nodeports", "services.loadbalancers"}
)
_QUOTA_NAMES = _COUNTED | {"cpu", "memory", "ephemeral-storage", "storage"}
_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})


def _nothing(new: Obj, old: Obj | None) -> None:
    return


def _no_causes(new: Obj, old: Obj | None) -> list[Cause]:
    return []


@dataclass(frozen=True, slots=True)
class Rules:
    """The particulars of one kind; ``old`` is ``None`` on creation."""

    prepare: Callable[[Obj, Obj | None], None] = _nothing
    check: Callable[[Obj, Obj | None], list[Cause]] = _no_causes
    name_error: Callable[[str], str | None] = subdomain_error


def _namespace(new: Obj, old: Obj | None) -> None:
    new.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    labels = new["metadata"].setdefault("labels", {})
    labels.setdefault("kubernetes.io/metadata.name", new["metadata"]["name"])
    if old is None:
        new["status"] = {"phase": "Active"}


def _pod(new: Obj, old: Obj | None) -> None:
    if old is None:
        pods.prepare_create(new)
    else:
        pods.prepare_update(new, old)


def _secret(new: Obj, old: Obj | None) -> None:
    plain = new.pop("stringData", None) or {}
    if plain:
        coded = {name: base64.b64encode(text.encode()).decode() for name, text in plain.items()}
        new["data"] = {**(new.get("data") or {}), **coded}
    if old is not None and new.get("type") == "Opaque":
        new["type"] = old.get("type", "Opaque")


def _service(new: Obj, old: Obj | None) -> None:
    spec = new.setdefault("spec", {})
    for port in spec.get("ports") or ():
        port.setdefault("targetPort", port.get("port"))
    if spec.get("type") != "ExternalName":
        # There is no service network here, so every Service is headless and says so.
        spec["clusterIP"] = "None"
        spec["clusterIPs"] = ["None"]
    new.setdefault("status", {"loadBalancer": {}})


def _network_policy(new: Obj, old: Obj | None) -> None:
    spec = new.setdefault("spec", {"podSelector": {}})
    if not spec.get("policyTypes"):
        # An empty list of egress rules does not count as one: whoever means to close egress must say so.
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]


def _keyed_data(new: Obj, old: Obj | None) -> list[Cause]:
    """Check what a ConfigMap or a Secret holds."""
    causes: list[Cause] = []
    size = 0
    both = (new.get("data") or {}).keys() & (new.get("binaryData") or {}).keys()
    for field in ("data", "binaryData"):
        for key, value in (new.get(field) or {}).items():
            size += len(value.encode()) if field == "data" else len(value) * 3 // 4
            wrong = config_key_error(key) or (f"duplicate of key present in {field}" if key in both else None)
            if wrong:
                causes.append(pod_rules.invalid(f"{field}[{key}]", wrong, key))
    if size > _LARGEST_DATA:
        text = f"Too long: may not be more than {_LARGEST_DATA} bytes"
        causes.append(Cause("FieldValueTooLong", text, "data"))
    if (old or {}).get("immutable"):
        causes += [
            Cause("FieldValueForbidden", "Forbidden: field is immutable when `immutable` is set", name)
            for name in ("data", "binaryData", "immutable")
            if new.get(name) != (old or {}).get(name)
        ]
    return causes


def _secret_rules(new: Obj, old: Obj | None) -> list[Cause]:
    causes = _keyed_data(new, old)
    kind = new.get("type", "Opaque")
    if old is not None and kind != old.get("type", "Opaque"):
        causes.append(pod_rules.invalid("type", "field is immutable", kind))
    missing = [key for key in _SECRET_KEYS.get(kind, ()) if key not in (new.get("data") or {})]
    return causes + [pod_rules.required(f"data[{key}]") for key in missing]


def _quota_rules(new: Obj, old: Obj | None) -> list[Cause]:
    causes = []
    for name, text in (new["spec"].get("hard") or {}).items():
        path, amount = f"spec.hard[{name}]", parse_quantity(text)
        bare = name.removeprefix("requests.").removeprefix("limits.")
        if "/" not in name and bare not in _QUOTA_NAMES and not bare.startswith("hugepages-"):
            causes.append(pod_rules.invalid(path, "must be a standard resource for quota", name))
        if amount < 0:
            causes.append(pod_rules.invalid(path, "must be greater than or equal to 0", text))
        elif name in _COUNTED and amount % 1:
            causes.append(pod_rules.invalid(path, "must be an integer", text))
    return causes


def _quota(new: Obj, old: Obj | None) -> None:
    spec = new.setdefault("spec", {})
    if spec.get("hard"):
        spec["hard"] = pods.canonical_quantities(spec["hard"])


def _runtime_class(new: Obj, old: Obj | None) -> list[Cause]:
    causes = []
    if wrong := label_error(new["handler"]):
        causes.append(Cause("FieldValueInvalid", f"Invalid value: {wrong}", "handler"))
    if old is not None and new["handler"] != old["handler"]:
        causes.append(Cause("FieldValueInvalid", "Invalid value: field is immutable", "handler"))
    return causes


def _crd(new: Obj, old: Obj | None) -> None:
    crds.prepare(new)


def _event_rules(new: Obj, old: Obj | None) -> list[Cause]:
    involved = (new.get("involvedObject") or {}).get("namespace", "")
    here = new["metadata"]["namespace"]
    causes = _new_event_rules(new) if new.get("eventTime") and old is None else []
    if involved == here or (not involved and here == "default"):
        return causes
    text = f'Invalid value: "{involved}": does not match event.namespace'
    return [*causes, Cause("FieldValueInvalid", text, "involvedObject.namespace")]


def _new_event_rules(new: Obj) -> list[Cause]:
    """Check an Event of the newer kind, which is one by its ``eventTime``."""
    causes = [
        pod_rules.required(name)
        for name in ("reportingComponent", "reportingInstance", "action", "reason")
        if not new.get(name)
    ]
    if wrong := qualified_name_error(new.get("reportingComponent") or ""):
        causes.append(pod_rules.invalid("reportingComponent", wrong, new.get("reportingComponent")))
    if new.get("type") not in {"Normal", "Warning"}:
        causes.append(pod_rules.invalid("type", f"has invalid value: {new.get('type', '')}"))
    causes += [
        pod_rules.invalid(name, f"can have at most {most} characters")
        for name, most in (("reason", 128), ("action", 128), ("reportingInstance", 128), ("message", 1024))
        if len(new.get(name) or "") > most
    ]
    return causes


_RULES: Mapping[Collection, Rules] = {
    NAMESPACES: Rules(prepare=_namespace, name_error=label_error),
    PODS: Rules(prepare=_pod, check=pods.validate),
    Collection("", "secrets"): Rules(prepare=_secret, check=_secret_rules),
    Collection("", "configmaps"): Rules(check=_keyed_data),
    Collection("", "services"): Rules(prepare=_service, name_error=label_1035_error),
    Collection("networking.k8s.io", "networkpolicies"): Rules(
        prepare=_network_policy, check=network_rules.check
    ),
    QUOTAS: Rules(prepare=_quota, check=_quota_rules),
    RUNTIME_CLASSES: Rules(check=_runtime_class),
    CRDS: Rules(prepare=_crd, check=crds.validate_crd),
    EVENTS: Rules(check=_event_rules, name_error=path_segment_error),
    # system:… is a good name of a role.
    **{
        Collection("rbac.authorization.k8s.io", plural): Rules(name_error=path_segment_error)
        for plural in ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
    },
}
_PLAIN = Rules()


def rules_of(resource: Resource) -> Rules:
    """Give the particulars of a kind."""
    return _RULES.get(resource.storage, _PLAIN)


def check_metadata(meta: Obj, name_error: Callable[[str], str | None], *, qualified: bool) -> list[Cause]:
    """Check names, labels, annotations, finalizers and owners; ``qualified``: names of finalizers must be."""
    causes: list[Cause] = []

    def bad(field: str, value: Any, why: str) -> None:
        causes.append(Cause("FieldValueInvalid", f'Invalid value: "{value}": {why}', f"metadata.{field}"))

    if wrong := name_error(meta["name"]):
        bad("name", meta["name"], wrong)
    for key, value in (meta.get("labels") or {}).items():
        if wrong := qualified_name_error(key):
            bad("labels", key, wrong)
        if wrong := label_value_error(value):
            bad("labels", value, wrong)
    size = 0
    for key, value in (meta.get("annotations") or {}).items():
        size += len(key) + len(value)
        if wrong := qualified_name_error(key.lower()):
            bad("annotations", key, wrong)
    if size > 256 * 1024:
        text = "Too long: may not be more than 262144 bytes"
        causes.append(Cause("FieldValueTooLong", text, "metadata.annotations"))
    causes += _finalizers(meta.get("finalizers") or [], qualified=qualified)
    causes += _owners(meta.get("ownerReferences") or [])
    if wrong := prefix_error(meta.get("generateName") or "a", name_error):
        bad("generateName", meta["generateName"], wrong)
    return causes


def _finalizers(names: list[str], *, qualified: bool) -> Iterator[Cause]:
    for index, name in enumerate(names):
        if wrong := qualified_name_error(name):
            yield pod_rules.invalid("metadata.finalizers", wrong, name)
        elif qualified and "/" not in name and name not in _STANDARD_FINALIZERS:
            why = "name is neither a standard finalizer name nor is it fully qualified"
            yield pod_rules.invalid(f"metadata.finalizers[{index}]", why, name)
    if {"orphan", "foregroundDeletion"} <= set(names):
        why = "finalizer orphan and foregroundDeletion cannot be both set"
        yield pod_rules.invalid("metadata.finalizers", why)


def _owners(owners: list[Obj]) -> Iterator[Cause]:
    for owner in owners:
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                yield pod_rules.invalid(f"metadata.ownerReferences.{field}", "must not be empty")
        if str(owner.get("apiVersion")).count("/") > 1:
            where = "metadata.ownerReferences.apiVersion"
            yield pod_rules.invalid(where, "must be a version, or a group and a version", owner["apiVersion"])
        if (owner.get("apiVersion"), owner.get("kind")) in {("v1", "Event"), ("events.k8s.io/v1", "Event")}:
            yield pod_rules.invalid("metadata.ownerReferences", "is disallowed from being an owner", "Event")
    if sum(bool(owner.get("controller")) for owner in owners) > 1:
        why = "only one reference can have Controller set to true"
        yield pod_rules.invalid("metadata.ownerReferences", why)
