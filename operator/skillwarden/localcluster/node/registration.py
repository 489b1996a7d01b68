"""The Node object, and which Pods may be bound to it."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any

from skillwarden.localcluster.node.network import selects
from skillwarden.localcluster.node.status import SIMULATED

Object = Mapping[str, Any]

LIMITS_BY = "skillwarden.io/LimitsByCgroup"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_PODS = "110"


def node_labels(name: str) -> dict[str, str]:
    """The well-known labels."""
    machine = platform.machine().lower()
    return {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": platform.system().lower(),
        "kubernetes.io/arch": _ARCHITECTURES.get(machine, machine),
    }


def schedulable(spec: Object, labels: Mapping[str, str]) -> bool:
    """Whether a Pod's nodeSelector and required node affinity let it onto a node with these labels."""
    if not selects({"matchLabels": spec.get("nodeSelector") or {}}, labels):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    try:
        return any(
            not term.get("matchFields")
            and selects({"matchExpressions": term.get("matchExpressions") or []}, labels)
            for term in required["nodeSelectorTerms"]
        )
    except ValueError:
        # Gt and Lt compare labels that this node does not have.
        return False


def node_object(name: str, *, simulated: str, cgroups: bool, pids: int, now: str) -> dict[str, Any]:
    """The Node to register.

    Parameters
    ----------
    simulated
        Why nothing is run here; empty: Pods are run.
    now
        RFC 3339.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    capacity = {"cpu": str(os.cpu_count() or 1), "memory": f"{memory // 1024}Ki", "pods": _PODS}
    how = "memory and pids by cgroups" if cgroups else "by rlimits and a watch: no cgroup can be written"
    limits = f"{how}; {pids} processes a Pod"
    conditions = [
        _condition("Ready", True, "NodeReady", "the node claims Pods", now),
        _condition(
            SIMULATED,
            bool(simulated),
            "SandboxUnavailable" if simulated else "SandboxesRun",
            simulated or "Pods are run in sandboxes",
            now,
        ),
        _condition(LIMITS_BY, cgroups, "CgroupsWritable" if cgroups else "ResourceLimitsOnly", limits, now),
    ]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": node_labels(name)},
        "spec": {},
        "status": {
            "capacity": capacity,
            "allocatable": capacity,
            "conditions": conditions,
            "addresses": [{"type": "Hostname", "address": name}],
            "nodeInfo": {
                "architecture": node_labels(name)["kubernetes.io/arch"],
                "operatingSystem": platform.system().lower(),
                "kernelVersion": platform.release(),
                "osImage": "",
                "containerRuntimeVersion": "bubblewrap://",
                "kubeletVersion": "skillwarden-node",
                "kubeProxyVersion": "",
                "machineID": "",
                "systemUUID": "",
                "bootID": "",
            },
        },
    }


def _condition(kind: str, holds: bool, reason: str, message: str, now: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": "True" if holds else "False",
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
