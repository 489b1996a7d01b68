"""What the NetworkPolicies of a namespace let one Pod reach, as far as this node can give it.

NetworkPolicy belongs to a Pod, but this node gives the one destination it knows (the depot) to the Pod's init
containers only: stricter than a cluster, where the skill's container could reach the depot too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skillwarden.localcluster.node.config import DepotEndpoint

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """The outcome for one Pod.

    Parameters
    ----------
    depot
        A policy opens the depot to this Pod.
    selected
        Some policy isolates this Pod's egress; False: a cluster would give it the whole network.
    unsupported
        What the policies open beyond the depot, one phrase each; this node refuses such a Pod.
    """

    depot: bool
    selected: bool
    unsupported: tuple[str, ...] = ()


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches, by the rules of ``metav1.LabelSelector`` (empty matches all)."""
    wanted: Mapping[str, str] = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_expression_holds(each, labels) for each in selector.get("matchExpressions") or [])


def _expression_holds(expression: Object, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case other:
            raise ValueError(
                f"label selector operator {other!r} is not one of In, NotIn, Exists, DoesNotExist"
            )


def egress_of(pod: Object, policies: Iterable[Object], *, depot: DepotEndpoint | None) -> Egress:
    """Judge one Pod's egress.

    Parameters
    ----------
    policies
        NetworkPolicies of any namespace; those of other namespaces are passed over.
    """
    metadata = pod["metadata"]
    labels = metadata.get("labels") or {}
    isolating = [
        policy
        for policy in policies
        if policy["metadata"]["namespace"] == metadata["namespace"]
        and _isolates_egress(policy["spec"])
        and selects(policy["spec"].get("podSelector") or {}, labels)
    ]
    opens_depot = False
    unsupported: list[str] = []
    for policy in isolating:
        name = policy["metadata"]["name"]
        for rule in policy["spec"].get("egress") or []:
            for peer in rule.get("to") or [None]:
                problem = _beyond_depot(peer, namespace=metadata["namespace"], depot=depot)
                if problem is None and depot is not None:
                    opens_depot = opens_depot or _opens_port(rule.get("ports") or [], depot.port)
                elif problem is not None:
                    unsupported.append(f"NetworkPolicy {name} allows egress to {problem}")
    return Egress(depot=opens_depot, selected=bool(isolating), unsupported=tuple(dict.fromkeys(unsupported)))


def _isolates_egress(spec: Object) -> bool:
    types = spec.get("policyTypes")
    return "Egress" in types if types else bool(spec.get("egress"))


def _beyond_depot(peer: Object | None, *, namespace: str, depot: DepotEndpoint | None) -> str | None:
    """What a peer opens that this node does not have, or None where it is the depot."""
    if peer is None:
        return "every destination"
    if "ipBlock" in peer:
        return f"the block {peer['ipBlock'].get('cidr')}"
    pods, namespaces = peer.get("podSelector"), peer.get("namespaceSelector")
    if not pods:
        return "every Pod of a namespace"
    if depot is None or not selects(pods, depot.labels):
        return f"Pods with {_describe(pods)}"
    # Every namespace carries its own name as this label (KEP-2161).
    its_labels = {"kubernetes.io/metadata.name": depot.namespace, **depot.namespace_labels}
    in_namespace = namespace == depot.namespace if namespaces is None else selects(namespaces, its_labels)
    return None if in_namespace else f"Pods with {_describe(pods)} outside of the depot's namespace"


def _describe(selector: Object) -> str:
    labels = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    expressions = [str(each.get("key")) for each in selector.get("matchExpressions") or []]
    return "the labels " + ", ".join(labels + expressions)


def _opens_port(ports: Sequence[Object], port: int) -> bool:
    """Whether a rule's ports hold this TCP port; no ports means all, a named port is unknown here."""
    if not ports:
        return True
    for each in ports:
        first = each.get("port")
        if each.get("protocol", "TCP") != "TCP":
            continue
        if first is None:
            return True
        if isinstance(first, int) and first <= port <= each.get("endPort", first):
            return True
    return False
