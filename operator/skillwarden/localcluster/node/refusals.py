"""What a Pod may not ask of this node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]


class Refused(Exception):  # noqa: N818 (a decision, not an error)
    """A Pod that this node does not run."""

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        container: str | None = None,
        event: str = "FailedCreatePodSandBox",
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.container = container
        self.event = event


_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace")
_NOT_DONE = {
    "envFrom": "envFrom is not read by this node: give env",
    "lifecycle": "lifecycle hooks are not run by this node",
    "volumeDevices": "this node has no block devices",
}


def check_pod(spec: Object) -> None:
    """Refuse what a Pod as a whole must not ask.

    Raises
    ------
    Refused
        Names the field and why.
    """
    for field in _HOST_NAMESPACES:
        if spec.get(field):
            raise Refused(
                "SandboxOnly", f"spec.{field}: this node runs sandboxes only, each in its own namespaces"
            )
    if spec.get("runtimeClassName"):
        raise Refused(
            "SandboxOnly", f"runtimeClassName {spec['runtimeClassName']!r}: this node has no runtime classes"
        )
    security = spec.get("securityContext") or {}
    if security.get("sysctls"):
        raise Refused("SandboxOnly", "securityContext.sysctls: this node sets no kernel parameters")


def check_container(container: Object, pod_security: Object, *, as_root: bool) -> None:
    """Refuse what a container must not ask.

    Raises
    ------
    Refused
        Names the container, the field and why.
    """
    name = container["name"]
    for field, why in _NOT_DONE.items():
        if container.get(field):
            raise Refused("CreateContainerConfigError", f"container {name}: {why}", container=name)
    if container.get("restartPolicy"):
        raise Refused(
            "CreateContainerConfigError",
            f"init container {name} with a restartPolicy (a sidecar) is not run by this node",
            container=name,
        )
    security = {**pod_security, **(container.get("securityContext") or {})}
    _check_privilege(name, security)
    for port in container.get("ports") or []:
        if port.get("hostPort"):
            raise Refused(
                "SandboxOnly", f"container {name}: hostPort reaches the host's network", container=name
            )
    _check_user(name, security, as_root=as_root)


def _check_privilege(name: str, security: Object) -> None:
    wanted = None
    if security.get("privileged"):
        wanted = "privileged"
    elif (security.get("capabilities") or {}).get("add"):
        wanted = "capabilities.add"
    elif security.get("procMount", "Default") != "Default":
        wanted = "procMount"
    elif (security.get("seccompProfile") or {}).get("type") == "Localhost":
        wanted = "seccompProfile.type Localhost"
    if wanted is not None:
        raise Refused(
            "SandboxOnly",
            f"container {name}: {wanted} is refused, this node runs sandboxes only",
            container=name,
        )


def _check_user(name: str, security: Object, *, as_root: bool) -> None:
    uid = security.get("runAsUser")
    if security.get("runAsNonRoot") and not uid:
        raise Refused(
            "CreateContainerConfigError",
            f"container {name} has runAsNonRoot and would run as root (uid 0): set runAsUser",
            container=name,
        )
    if as_root and (not uid or security.get("runAsGroup") == 0):
        # Without a user namespace uid 0 is the host's root, which owns /proc/sys and the files of /dev.
        raise Refused(
            "CreateContainerConfigError",
            f"container {name} would run as root (uid or gid 0), which is this machine's root as the node "
            "is run by root: set runAsUser and runAsGroup",
            container=name,
        )
