"""Canary Pods: one that nothing isolates and one that a NetworkPolicy should, both of our own image.

They are made as sandboxes are, but with no skill, no token and nothing to keep: what the one can reach and
the other cannot is what the cluster's network plugin enforces.
"""

from __future__ import annotations

from typing import Any

from ..domain import naming
from .network_policy import DepotEndpoint
from .pod import GRACE_SECONDS, USER_ID, Images, container_security

LABEL_CANARY = naming.PREFIX + "canary"
COMPONENT_CANARY = "canary"
OPEN, CLOSED = "open", "closed"
POLICY_NAME = "skillwarden-canary"
CONTAINER = "canary"
SELECTOR = f"{naming.LABEL_COMPONENT}={COMPONENT_CANARY}"
_COMMAND = ("python", "-I", "-m", "skillwarden.sandbox.canary")
_DEADLINE_SECONDS = 120
#: Thousands of threads of 64 KiB at most take a few of them each.
_LIMITS = {"cpu": "200m", "memory": "256Mi", "ephemeral-storage": "16Mi"}


def canary_policy(namespace: str, *, owner: str = "") -> dict[str, Any]:
    """Return the NetworkPolicy that denies the closed canary everything; ``owner`` as for ``canary_pod``."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": POLICY_NAME,
            "namespace": namespace,
            "labels": {naming.LABEL_MANAGED_BY: naming.MANAGER},
            **_owned_by(owner),
        },
        "spec": {
            "podSelector": {"matchLabels": {LABEL_CANARY: CLOSED}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [],
            "egress": [],
        },
    }


def canary_pod(
    namespace: str, which: str, *, images: Images, target: DepotEndpoint, owner: str = ""
) -> dict[str, Any]:
    """Return a canary Pod.

    Parameters
    ----------
    namespace
        The operator's own.
    which
        ``OPEN`` or ``CLOSED``.
    images
        Ours is what it runs.
    target
        What it tries to reach: the depot, which sandboxes reach, too.
    owner
        ``NAME/UID`` of a Pod of this namespace with which it goes; empty: nobody's.
    """
    expected = "reach" if which == OPEN else "blocked"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"skillwarden-canary-{which}-",
            "namespace": namespace,
            "labels": {
                naming.LABEL_MANAGED_BY: naming.MANAGER,
                naming.LABEL_COMPONENT: COMPONENT_CANARY,
                LABEL_CANARY: which,
            },
            **_owned_by(owner),
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": _DEADLINE_SECONDS,
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER_ID,
                "runAsGroup": USER_ID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "imagePullSecrets": [{"name": name} for name in images.pull_secrets],
            "containers": [
                {
                    "name": CONTAINER,
                    "image": images.operator,
                    "imagePullPolicy": images.pull_policy,
                    "command": [*_COMMAND, expected, target.host, str(target.port)],
                    "resources": {"requests": dict(_LIMITS), "limits": dict(_LIMITS)},
                    "securityContext": container_security(),
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                }
            ],
        },
    }


def _owned_by(owner: str) -> dict[str, Any]:
    name, _, uid = owner.partition("/")
    if not uid:
        return {}
    return {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}]}
