"""What single kinds need beyond their schema: derived fields, and rules on values and on changes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from skillwarden.localcluster.apiserver import crds, pods
from skillwarden.localcluster.apiserver.errors import Cause, Obj
from skillwarden.localcluster.apiserver.formats import (
    label_1035_error,
    label_error,
    label_value_error,
    path_segment_error,
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
        spec["policyTypes"] = ["Ingress", *(["Egress"] if "egress" in spec else [])]


def _network_policy_rules(new: Obj, old: Obj | None) -> list[Cause]:
    causes = []
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(new["spec"].get(direction) or ()):
            for place, peer in enumerate(rule.get(side) or ()):
                path = f"spec.{direction}[{index}].{side}[{place}]"
                if not any(
                    peer.get(name) is not None for name in ("podSelector", "namespaceSelector", "ipBlock")
                ):
                    text = "Required value: must specify a peer"
                    causes.append(Cause("FieldValueRequired", text, path))
                elif peer.get("ipBlock") is not None and len(peer) > 1:
                    text = "Forbidden: may not specify both ipBlock and another peer"
                    causes.append(Cause("FieldValueForbidden", text, path))
    return causes


def _immutable_data(new: Obj, old: Obj | None) -> list[Cause]:
    if not (old or {}).get("immutable"):
        return []
    return [
        Cause("FieldValueForbidden", "Forbidden: field is immutable when `immutable` is set", name)
        for name in ("data", "binaryData", "immutable")
        if new.get(name) != (old or {}).get(name)
    ]


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
    if involved == here or (not involved and here == "default"):
        return []
    text = f'Invalid value: "{involved}": does not match event.namespace'
    return [Cause("FieldValueInvalid", text, "involvedObject.namespace")]


_RULES: Mapping[Collection, Rules] = {
    NAMESPACES: Rules(prepare=_namespace, name_error=label_error),
    PODS: Rules(prepare=_pod, check=pods.validate),
    Collection("", "secrets"): Rules(prepare=_secret, check=_immutable_data),
    Collection("", "configmaps"): Rules(check=_immutable_data),
    Collection("", "services"): Rules(prepare=_service, name_error=label_1035_error),
    Collection("networking.k8s.io", "networkpolicies"): Rules(
        prepare=_network_policy, check=_network_policy_rules
    ),
    QUOTAS: Rules(prepare=_quota),
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


def check_metadata(meta: Obj, name_error: Callable[[str], str | None]) -> list[Cause]:
    """Check names, labels, annotations, finalizers and owners."""
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
    for finalizer in meta.get("finalizers") or ():
        if wrong := qualified_name_error(finalizer):
            bad("finalizers", finalizer, wrong)
    if sum(bool(owner.get("controller")) for owner in meta.get("ownerReferences") or ()) > 1:
        bad("ownerReferences", "", "only one reference can have Controller set to true")
    return causes
