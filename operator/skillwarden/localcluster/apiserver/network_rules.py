"""The rules on a NetworkPolicy that its schema does not state: peers, address blocks, ports, selectors."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from skillwarden.localcluster.apiserver.errors import Cause, Obj
from skillwarden.localcluster.apiserver.formats import (
    label_value_error,
    port_name_error,
    qualified_name_error,
)
from skillwarden.localcluster.apiserver.pod_rules import forbidden, invalid, required

_PEERS = ("podSelector", "namespaceSelector", "ipBlock")


def check(new: Obj, old: Obj | None) -> list[Cause]:
    """Check a NetworkPolicy."""
    return list(_causes(new["spec"]))


def _causes(spec: Obj) -> Iterator[Cause]:
    yield from _selector("spec.podSelector", spec.get("podSelector"))
    if len(spec.get("policyTypes") or ()) > 2:
        yield invalid("spec.policyTypes", "may not specify more than two policyTypes")
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{index}]"
            for place, peer in enumerate(rule.get(side) or ()):
                yield from _peer(f"{path}.{side}[{place}]", peer)
            for place, port in enumerate(rule.get("ports") or ()):
                yield from _port(f"{path}.ports[{place}]", port)


def _peer(path: str, peer: Obj) -> Iterator[Cause]:
    if not any(peer.get(name) is not None for name in _PEERS):
        yield required(path, "must specify a peer")
    elif peer.get("ipBlock") is not None and len(peer) > 1:
        yield forbidden(path, "may not specify both ipBlock and another peer")
    for name in ("podSelector", "namespaceSelector"):
        yield from _selector(f"{path}.{name}", peer.get(name))
    if peer.get("ipBlock") is not None:
        yield from _block(f"{path}.ipBlock", peer["ipBlock"])


def _block(path: str, block: Obj) -> Iterator[Cause]:
    try:
        whole = ipaddress.ip_network(block["cidr"])
    except ValueError:
        # The schema lets an address with a prefix length pass.
        yield invalid(f"{path}.cidr", "must not have bits set beyond the prefix length", block["cidr"])
        return
    for index, text in enumerate(block.get("except") or ()):
        where = f"{path}.except[{index}]"
        try:
            part = ipaddress.ip_network(text)
        except ValueError:
            yield invalid(where, "must be a valid CIDR value", text)
            continue
        inside = part.version == whole.version and part != whole and part.subnet_of(whole)  # type: ignore[arg-type]
        if not inside:
            yield invalid(where, "must be a strict subset of `cidr`", text)


def _port(path: str, given: Obj) -> Iterator[Cause]:
    port, end = given.get("port"), given.get("endPort")
    if isinstance(port, str) and (wrong := port_name_error(port)):
        yield invalid(f"{path}.port", wrong, port)
    elif isinstance(port, int) and not 0 < port < 65536:
        yield invalid(f"{path}.port", "must be between 1 and 65535, inclusive", port)
    if end is None:
        return
    if not isinstance(port, int):
        kind = "specified" if port is None else "numeric"
        yield invalid(f"{path}.endPort", f"may not be specified when `port` is not {kind}", end)
    elif not port <= end < 65536:
        yield invalid(f"{path}.endPort", "must be greater than or equal to `port`, and at most 65535", end)


def _selector(path: str, selector: Obj | None) -> Iterator[Cause]:
    for key, value in ((selector or {}).get("matchLabels") or {}).items():
        if wrong := qualified_name_error(key) or label_value_error(value):
            yield invalid(f"{path}.matchLabels", wrong, key)
    for index, term in enumerate((selector or {}).get("matchExpressions") or ()):
        where, some = f"{path}.matchExpressions[{index}]", bool(term.get("values"))
        if wrong := qualified_name_error(term["key"]):
            yield invalid(f"{where}.key", wrong, term["key"])
        listed = term["operator"] in {"In", "NotIn"}
        if listed and not some:
            yield required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif some and not listed:
            why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield forbidden(f"{where}.values", why)
