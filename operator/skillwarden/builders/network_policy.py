"""NetworkPolicies: nothing in, and out only to the depot and to what the skill declares.

A NetworkPolicy is a Pod's, not a container's: what the init container can reach, the skill can. The depot
is therefore the one opening, and never a package index.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..domain import naming
from ..domain.skill import EgressPeer, SkillKey
from .metadata import Owner, child_metadata, sandbox_labels

DEFAULT_DENY_NAME = "skillwarden-default-deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class DepotEndpoint:
    """Where sandboxes reach the depot, and what a NetworkPolicy selects it by.

    Attributes
    ----------
    host
        An IP address (a Service's, or an external one): a sandbox has no DNS.
    port
        The port of the URL, such as the Service's.
    target_port
        The port that the depot's Pods listen on, which NetworkPolicy means; ``None``: the same.
    in_cluster
        Whether the depot runs as Pods that the labels select.
    selector, namespace_labels
        Labels of the depot's Pods and of their namespace (``kubernetes.io/metadata.name``).
    cidr
        For a depot outside of the cluster: its address as a block.

    Raises
    ------
    ValueError
        Where the selector would open more than the depot, or the host is not an address.
    """

    host: str
    port: int
    in_cluster: bool = True
    selector: Mapping[str, str] = field(default_factory=dict)
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    cidr: str | None = None
    target_port: int | None = None

    def __post_init__(self) -> None:
        """Refuse what would open too much: an empty selector selects every Pod."""
        ipaddress.ip_address(self.host)
        if self.in_cluster and not (self.selector and self.namespace_labels):
            raise ValueError("a depot in the cluster needs labels of its Pods and of their namespace")
        if not self.in_cluster and self.cidr is None:
            raise ValueError("a depot outside of the cluster needs a CIDR")
        if self.cidr is not None:
            ipaddress.ip_network(self.cidr)

    @property
    def url(self) -> str:
        """The depot's base URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def build_network_policy(
    skill: SkillKey, *, owner: Owner, depot: DepotEndpoint, egress: Iterable[EgressPeer] = ()
) -> dict[str, Any]:
    """Return a skill's NetworkPolicy, which must stand before its first Pod does.

    The opening for the depot selects Pods by label and by the port they listen on: whether an ``ipBlock``
    on a Service's address works depends on the CNI (it sees the address before or after translation).
    ``ipBlock`` is used for a depot outside of the cluster only, where there is no Pod to select.

    Parameters
    ----------
    skill
        Whose Pods are selected, by uid: runs and replicas alike.
    owner
        The Skill.
    depot
        The one opening that every sandbox has.
    egress
        What the skill declares and policy allows.
    """
    labels = sandbox_labels(skill)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": child_metadata(naming.child_name(skill.name, skill.uid), owner=owner, labels=labels),
        "spec": {
            "podSelector": {
                "matchLabels": {
                    naming.LABEL_COMPONENT: naming.COMPONENT_SANDBOX,
                    naming.LABEL_SKILL_UID: skill.uid,
                }
            },
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [],
            "egress": [_to_depot(depot), *(_to_peer(peer) for peer in egress)],
        },
    }


def build_default_deny(namespace: str) -> dict[str, Any]:
    """Return the namespace's deny-all for every sandbox: it holds also where a skill's own policy is gone.

    It has no owner: skills come and go, and it opens nothing.
    """
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": DEFAULT_DENY_NAME,
            "namespace": namespace,
            "labels": {naming.LABEL_MANAGED_BY: naming.MANAGER},
        },
        "spec": {
            "podSelector": {"matchLabels": {naming.LABEL_COMPONENT: naming.COMPONENT_SANDBOX}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [],
            "egress": [],
        },
    }


def _to_depot(depot: DepotEndpoint) -> dict[str, Any]:
    if depot.in_cluster:
        peer: dict[str, Any] = {
            "podSelector": {"matchLabels": dict(depot.selector)},
            "namespaceSelector": {"matchLabels": dict(depot.namespace_labels)},
        }
    else:
        peer = {"ipBlock": {"cidr": depot.cidr}}
    return {"to": [peer], "ports": [{"protocol": "TCP", "port": depot.target_port or depot.port}]}


def _to_peer(peer: EgressPeer) -> dict[str, Any]:
    return {
        "to": [{"ipBlock": {"cidr": peer.cidr}}],
        "ports": [{"protocol": peer.protocol, "port": peer.port}],
    }
