"""The sandbox Pod (DESIGN 5): one place decides what a skill's process can be, see and reach.

Nothing here can be configured away. What varies is named in ``PodRequest``; the rest is the same for every
skill. Pids are not bounded by a Pod's spec: the kubelet's ``podPidsLimit`` does that.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..domain import naming
from ..domain.content import invocation_digest
from ..domain.errors import InvalidInputError
from ..domain.lock import Platform
from ..domain.policy import Resources
from ..domain.skill import EgressPeer, SkillKey, SkillSpec
from ..sandbox import settings as sandbox
from .env import SANDBOX_ENV, reserved_names
from .metadata import (
    ANNOTATION_INPUT,
    ANNOTATION_SPEC,
    Owner,
    child_metadata,
    digest_label,
    sandbox_labels,
    spec_hash,
)
from .network_policy import DepotEndpoint
from .service_account import service_account_name

#: High, in no image's passwd, and the same everywhere: files of the volume belong to it.
USER_ID = 65532
GRACE_SECONDS = 5
SKILL_CONTAINER = "skill"
PREPARE_CONTAINER = "prepare"
#: Past the CLI, which imports all of the operator: 0.1 s instead of a second in half a CPU. ``-I`` keeps the
#: working directory and PYTHON* variables out.
PREPARE_COMMAND = ("python", "-I", "-m", "skillwarden.sandbox")
_VOLUME = "skill"
_SCRATCH = "tmp"
_MAX_NAMESERVERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """Images from the operator's settings; a Skill cannot name one.

    Attributes
    ----------
    runtime
        For the skill's language and version.
    operator
        Our own, for the init container.
    pull_policy
        ``IfNotPresent`` or ``Always``.
    pull_secrets
        Names of Secrets in the skill's namespace.
    """

    runtime: str
    operator: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRequest:
    """All that a sandbox Pod depends on.

    Attributes
    ----------
    owner
        The Skill of a replica, or the SkillRun of a run.
    skill
        Whose labels, ServiceAccount and NetworkPolicy it has.
    run
        Name of the SkillRun, or ``None`` for a replica.
    spec
        Command, environment, resources, egress.
    lock_digest, content_digest, input_digest
        What the init container verifies every byte against.
    platform
        What the lock was made for: the Pod is pinned to its architecture.
    ordinal
        Of a replica.
    images, depot, token
        From settings; the token opens the digests above and nothing else.
    runtime_class
        The one that skill and policy ask for, or ``None``.
    isolated
        Whether NetworkPolicies are known to be enforced: the skill then waits until its own is seen to apply.
    host_users
        ``False`` where the cluster can give the Pod a user namespace of its own.
    timeout_seconds
        Of a run, from the Pod's start, its preparation included.
    """

    owner: Owner
    skill: SkillKey
    run: str | None
    spec: SkillSpec
    lock_digest: str
    platform: Platform
    content_digest: str
    input_digest: str | None
    ordinal: int | None
    images: Images
    depot: DepotEndpoint
    token: str = field(repr=False)
    runtime_class: str | None = None
    isolated: bool = False
    host_users: bool | None = None
    timeout_seconds: int | None = None


def pod_name(request: PodRequest) -> str:
    """Return the Pod's name: of owner, lock, content, input and ordinal, so that a successor's differs."""
    identity = (request.owner.uid, request.lock_digest, request.content_digest, request.input_digest or "")
    suffix = "" if request.ordinal is None else str(request.ordinal)
    return naming.child_name(request.owner.name, *identity, suffix=suffix)


def build_pod(request: PodRequest) -> dict[str, Any]:
    """Return the whole Pod.

    Raises
    ------
    InvalidInputError
        Where the skill's environment sets a reserved name; conditions refuse it long before.
    ValueError
        Where a resource is not set: a sandbox without limits is never built.
    """
    names = reserved_names(request.spec.sandbox.env)
    if names:
        raise InvalidInputError(f"the skill sets {', '.join(names)}, which the sandbox keeps to itself.")
    spec = _pod_spec(request)
    labels = {
        **sandbox_labels(request.skill),
        **({} if request.run is None else {naming.LABEL_RUN: naming.label_value(request.run)}),
        naming.LABEL_LOCK: digest_label(request.lock_digest),
        naming.LABEL_CONTENT: digest_label(request.content_digest),
    }
    annotations = {
        naming.ANNOTATION_LOCK: request.lock_digest,
        naming.ANNOTATION_CONTENT: request.content_digest,
        naming.ANNOTATION_INVOCATION: invocation_digest(request.spec.invocation),
        **({} if request.input_digest is None else {ANNOTATION_INPUT: request.input_digest}),
        ANNOTATION_SPEC: spec_hash(_skills_own(spec)),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": child_metadata(
            pod_name(request), owner=request.owner, labels=labels, annotations=annotations
        ),
        "spec": spec,
    }


def _skills_own(spec: dict[str, Any]) -> dict[str, Any]:
    """Return what of a Pod's spec, were it another, makes a running Pod one that is not wanted any more.

    The operator's image, by which it was prepared, how images are pulled and whether isolation was waited for
    is over once it runs: a new release of the operator, or what a canary saw, must not end every Service of
    the cluster.
    """

    def kept(container: dict[str, Any], *over: str) -> dict[str, Any]:
        return {name: value for name, value in container.items() if name not in over}

    own = kept(spec, "imagePullSecrets")
    own["initContainers"] = [kept(item, "image", "imagePullPolicy") for item in spec["initContainers"]]
    for item in own["initContainers"]:
        item["env"] = [entry for entry in item["env"] if entry["name"] != sandbox.ENV_ISOLATED]
    own["containers"] = [kept(item, "imagePullPolicy") for item in spec["containers"]]
    return own


def _pod_spec(request: PodRequest) -> dict[str, Any]:
    size = str(_resources(request.spec.sandbox.resources)["limits"]["ephemeral-storage"])
    spec: dict[str, Any] = {
        "restartPolicy": "Always" if request.run is None else "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "serviceAccountName": service_account_name(request.skill),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": nameservers(request.spec.sandbox.egress)},
        "nodeSelector": {"kubernetes.io/os": "linux", "kubernetes.io/arch": request.platform.arch},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [_prepare_container(request)],
        "containers": [_skill_container(request)],
        # The Pod's ephemeral-storage limit bounds both together; each may take what the other leaves.
        "volumes": [
            {"name": _VOLUME, "emptyDir": {"sizeLimit": size}},
            {"name": _SCRATCH, "emptyDir": {"sizeLimit": size}},
        ],
    }
    if request.images.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in request.images.pull_secrets]
    if request.runtime_class is not None:
        spec["runtimeClassName"] = request.runtime_class
    if request.host_users is False:
        spec["hostUsers"] = False
    if request.timeout_seconds is not None:
        spec["activeDeadlineSeconds"] = request.timeout_seconds
    return spec


def _prepare_container(request: PodRequest) -> dict[str, Any]:
    env = {
        sandbox.ENV_DEPOT_URL: request.depot.url,
        sandbox.ENV_TOKEN: request.token,
        sandbox.ENV_LOCK: request.lock_digest,
        sandbox.ENV_CONTENT: request.content_digest,
        **({} if request.input_digest is None else {sandbox.ENV_INPUT: request.input_digest}),
        # Of what a skill may reach by its own leave, the API server may be a part.
        **({sandbox.ENV_ISOLATED: "true"} if request.isolated and not request.spec.sandbox.egress else {}),
    }
    return {
        "name": PREPARE_CONTAINER,
        "image": request.images.operator,
        "imagePullPolicy": request.images.pull_policy,
        "command": list(PREPARE_COMMAND),
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "resources": _resources(request.spec.sandbox.resources),
        "securityContext": container_security(),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [{"name": _VOLUME, "mountPath": sandbox.VOLUME}],
    }


def _skill_container(request: PodRequest) -> dict[str, Any]:
    env = [*SANDBOX_ENV.items(), *request.spec.sandbox.env]
    source = f"{sandbox.VOLUME}/{sandbox.SOURCE}"
    shown = [
        sandbox.SOURCE,
        sandbox.ENVIRONMENT,
        # Beside the source and above it: where require() and import look, which ignore NODE_PATH alike.
        *([sandbox.MODULES] if request.platform.node else []),
        *([] if request.input_digest is None else [sandbox.INPUT]),
    ]
    return {
        "name": SKILL_CONTAINER,
        "image": request.images.runtime,
        "imagePullPolicy": request.images.pull_policy,
        "command": [_literal(word) for word in request.spec.command],
        "workingDir": source,
        "env": [{"name": name, "value": _literal(value)} for name, value in env],
        "resources": _resources(request.spec.sandbox.resources),
        "securityContext": container_security(),
        # A file of its own beside the read-only mounts: the kubelet binds it there under a read-only root.
        "terminationMessagePath": f"{sandbox.VOLUME}/{sandbox.OUTPUT}",
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            *(
                {
                    "name": _VOLUME,
                    "mountPath": f"{sandbox.VOLUME}/{name}",
                    "subPath": name,
                    "readOnly": True,
                }
                for name in shown
            ),
            {"name": _SCRATCH, "mountPath": "/tmp"},  # noqa: S108 - an emptyDir, not the node's
        ],
    }


def _literal(text: str) -> str:
    """Return what a kubelet makes the text of: it would replace ``$(NAME)``, which nobody looked into."""
    return text.replace("$", "$$")


def container_security() -> dict[str, Any]:
    """What Pod Security ``restricted`` asks of each container, and a read-only root besides."""
    return {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
        "runAsGroup": USER_ID,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _resources(resources: Resources) -> dict[str, Any]:
    """Return requests that equal limits, so that the Pod is of class Guaranteed."""
    if resources.cpu is None or resources.memory is None or resources.ephemeral_storage is None:
        raise ValueError("a sandbox needs limits for cpu, memory and ephemeral storage")
    amounts = {
        "cpu": f"{resources.cpu}m",
        "memory": str(resources.memory),
        "ephemeral-storage": str(resources.ephemeral_storage),
    }
    return {"requests": dict(amounts), "limits": dict(amounts)}


def nameservers(egress: Iterable[EgressPeer]) -> list[str]:
    """Return the resolvers of a sandbox: the single addresses it declares on port 53, else none that answers.

    The node's or the cluster's DNS is never given: names are a way out, too. An empty list is refused by
    the API, so loopback, where nothing listens, stands for none.
    """
    found = []
    for peer in egress:
        network = ipaddress.ip_network(peer.cidr, strict=False)
        if peer.port == 53 and network.num_addresses == 1:
            found.append(str(network.network_address))
    return list(dict.fromkeys(found))[:_MAX_NAMESERVERS] or ["127.0.0.1"]
