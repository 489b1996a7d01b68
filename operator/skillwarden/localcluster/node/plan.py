"""From a Pod to what this node would run, or to the reason why it will not: no I/O, no clock.

The node runs sandboxes only. What would weaken one (privilege, host namespaces, host folders, added
capabilities) is refused rather than ignored, and so is what it cannot do (sidecars, hooks, envFrom): a double
that silently drops a field would pass tests that a cluster fails.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from skillwarden.localcluster.node.config import DepotEndpoint, LocalImage
from skillwarden.localcluster.node.environment import expand, pod_environment
from skillwarden.localcluster.node.network import Egress, egress_of
from skillwarden.localcluster.node.quantities import parse_bytes, parse_quantity
from skillwarden.localcluster.node.refusals import Refused, check_container, check_pod
from skillwarden.localcluster.node.volumeplan import VolumePlan, plan_volume

Object = Mapping[str, Any]

_RESERVED_MOUNTS = ("/proc", "/sys", "/usr", "/etc", "/run/skillwarden", "/runtime")
_ANONYMOUS_HEADROOM = 64 * 1024 * 1024


class Restart(StrEnum):
    """A Pod's restart policy."""

    ALWAYS = "Always"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A volume, or one path in it, at a path of the sandbox."""

    volume: str
    path: str
    sub_path: str = ""
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a container may use; None is no limit.

    ``memory_bytes`` holds the declared limit; ``volume_bytes`` the sizes of the disk-medium volumes that it
    may write. Run by root these are memory file systems charged to the container's cgroup: the cgroup's limit
    is the sum, so that a file on a disk volume does not count as memory.
    """

    memory_bytes: int | None
    volume_bytes: int
    cpu_millis: int | None
    pids: int
    file_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """The port of the sandbox's loopback that stands for the depot, and the interpreter that relays it."""

    port: int
    socket_path: str
    python: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPlan:
    """One container, ready to be rendered as a bwrap command line."""

    name: str
    image: LocalImage
    command: tuple[str, ...]
    env: Mapping[str, str]
    working_dir: str
    mounts: tuple[Mount, ...]
    uid: int
    gid: int
    groups: tuple[int, ...]
    limits: Limits
    read_only_root: bool
    root_bytes: int
    termination_path: str
    logs_on_error: bool
    hostname: str
    relay: Relay | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodPlan:
    """One Pod, ready to run.

    Parameters
    ----------
    storage_bytes
        The sum of the containers' ephemeral-storage limits: over it the Pod is evicted. None: no limit.
    notes
        Events that say what this node does otherwise than a cluster: (reason, message).
    """

    init: tuple[ContainerPlan, ...]
    main: tuple[ContainerPlan, ...]
    volumes: tuple[VolumePlan, ...]
    restart: Restart
    deadline_seconds: int | None
    storage_bytes: int | None
    fs_group: int | None
    nameservers: tuple[str, ...]
    searches: tuple[str, ...]
    notes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why nothing of a Pod is started: a container's waiting reason (None: of all) and an Event."""

    reason: str
    message: str
    container: str | None = None
    event: str = "FailedCreatePodSandBox"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What planning knows of the node.

    Parameters
    ----------
    as_root
        The node is root: sandboxes have no user namespace, so their uid must be an unprivileged one of the
        host.
    """

    name: str
    as_root: bool
    images: Mapping[str, LocalImage]
    depot: DepotEndpoint | None
    pids: int
    default_volume_bytes: int


@dataclass(frozen=True, slots=True)
class _Context:
    pod: Object
    facts: NodeFacts
    volumes: Mapping[str, VolumePlan]
    egress: Egress
    storage_bytes: int | None
    security: Object = field(default_factory=dict)


def plan_pod(pod: Object, policies: Iterable[Object], *, facts: NodeFacts) -> PodPlan | Refusal:
    """Plan a Pod.

    Parameters
    ----------
    pod
        As the API server holds it, defaults filled in.
    policies
        All NetworkPolicies known.

    Returns
    -------
    PodPlan or Refusal
        Equal for equal arguments.
    """
    try:
        return _plan(pod, policies, facts)
    except Refused as refused:
        return Refusal(
            reason=refused.reason, message=str(refused), container=refused.container, event=refused.event
        )


def _plan(pod: Object, policies: Iterable[Object], facts: NodeFacts) -> PodPlan:
    spec = pod["spec"]
    check_pod(spec)
    egress = egress_of(pod, policies, depot=facts.depot)
    if egress.unsupported:
        raise Refused(
            "EgressUnsupported",
            f"this node gives a sandbox no network but the depot: {'; '.join(egress.unsupported)}",
            event="EgressUnsupported",
        )
    containers = spec["containers"]
    storage = _storage_limit(spec)
    volumes = {
        each["name"]: plan_volume(each, default_bytes=storage or facts.default_volume_bytes)
        for each in spec.get("volumes") or []
    }
    context = _Context(pod, facts, volumes, egress, storage, spec.get("securityContext") or {})
    dns = spec.get("dnsConfig") or {}
    return PodPlan(
        init=tuple(_container(each, context, init=True) for each in spec.get("initContainers") or []),
        main=tuple(_container(each, context, init=False) for each in containers),
        volumes=tuple(volumes.values()),
        restart=Restart(spec.get("restartPolicy", "Always")),
        deadline_seconds=spec.get("activeDeadlineSeconds"),
        storage_bytes=storage,
        fs_group=context.security.get("fsGroup"),
        nameservers=tuple(dns.get("nameservers") or []),
        searches=tuple(dns.get("searches") or []),
        notes=tuple(_notes(spec, egress)),
    )


def _notes(spec: Object, egress: Egress) -> Iterable[tuple[str, str]]:
    if not egress.selected:
        yield (
            "NetworkAbsent",
            "no NetworkPolicy isolates this Pod's egress: a cluster gives it the network, this node none",
        )
    every = [*(spec.get("initContainers") or []), *spec["containers"]]
    probed = [
        each["name"]
        for each in every
        if any(probe in each for probe in ("livenessProbe", "readinessProbe", "startupProbe"))
    ]
    if probed:
        yield "ProbesNotRun", f"this node runs no probes: {', '.join(probed)} count as ready once started"
    if spec.get("hostUsers") is False:
        yield "HostUsersIgnored", "this node gives no user namespace of its own for hostUsers: false"


def _storage_limit(spec: Object) -> int | None:
    limits = [
        ((each.get("resources") or {}).get("limits") or {}).get("ephemeral-storage")
        for each in spec["containers"]
    ]
    known = [parse_bytes(each) for each in limits if each is not None]
    return sum(known) if known and len(known) == len(limits) else None


def _container(container: Object, context: _Context, *, init: bool) -> ContainerPlan:
    name = container["name"]
    check_container(container, context.security, as_root=context.facts.as_root)
    image = context.facts.images.get(container["image"])
    if image is None:
        offered = ", ".join(sorted(context.facts.images)) or "none"
        raise Refused(
            "ErrImagePull",
            f"this node pulls no images and has no {container['image']!r}; it offers: {offered}",
            container=name,
            event="Failed",
        )
    security = {**context.security, **(container.get("securityContext") or {})}
    env = {
        "PATH": ":".join(image.path),
        "HOME": "/",
        "HOSTNAME": context.pod["metadata"]["name"],
        **image.env,
    }
    env = pod_environment(container, pod=context.pod, base=env, node=context.facts.name)
    command = container.get("command") or image.command
    if not command:
        raise Refused(
            "CreateContainerConfigError",
            f"container {name} names no command and image {image.name} has none",
            container=name,
        )
    mounts = _mounts(container, context)
    read_only = bool(security.get("readOnlyRootFilesystem", False))
    uid = security.get("runAsUser", 0)
    return ContainerPlan(
        name=name,
        image=image,
        command=tuple(expand(each, env) for each in (*command, *(container.get("args") or []))),
        env=env,
        working_dir=container.get("workingDir") or "/",
        mounts=mounts,
        uid=uid,
        gid=security.get("runAsGroup", 0 if not context.facts.as_root else uid),
        groups=_groups(context.security),
        limits=_limits(container, context, mounts),
        read_only_root=read_only,
        root_bytes=_READ_ONLY_ROOT
        if read_only
        else context.storage_bytes or context.facts.default_volume_bytes,
        termination_path=container.get("terminationMessagePath") or "/dev/termination-log",
        logs_on_error=container.get("terminationMessagePolicy") == "FallbackToLogsOnError",
        hostname=context.pod["metadata"]["name"],
        relay=_relay(image, context, container=name) if init and context.egress.depot else None,
    )


# Room for the folders and links of an empty root, which hold no file.
_READ_ONLY_ROOT = 1024 * 1024


def _groups(security: Object) -> tuple[int, ...]:
    groups = list(security.get("supplementalGroups") or [])
    if security.get("fsGroup") is not None:
        groups.append(security["fsGroup"])
    return tuple(dict.fromkeys(groups))


def _mounts(container: Object, context: _Context) -> tuple[Mount, ...]:
    mounts = []
    for each in container.get("volumeMounts") or []:
        path = posixpath.normpath(each["mountPath"])
        sub_path = each.get("subPath", "")
        problem = _mount_problem(each, path, sub_path, context.volumes)
        if problem is not None:
            raise Refused(
                "CreateContainerConfigError",
                f"container {container['name']} mounts {each['name']} at {each['mountPath']}: {problem}",
                container=container["name"],
            )
        volume = context.volumes[each["name"]]
        mounts.append(
            Mount(
                volume=each["name"],
                path=path,
                sub_path=sub_path,
                read_only=bool(each.get("readOnly", False)) or not volume.writable,
            )
        )
    # A mount inside of another one's path must come after it.
    return tuple(sorted(mounts, key=lambda mount: (mount.path.count("/"), mount.path)))


def _mount_problem(mount: Object, path: str, sub_path: str, volumes: Mapping[str, VolumePlan]) -> str | None:
    if mount["name"] not in volumes:
        return "the Pod has no volume of this name"
    if not path.startswith("/") or path == "/" or path.startswith("//"):
        return "the path must be absolute and not the root"
    if any(path == each or path.startswith(each + "/") for each in _RESERVED_MOUNTS):
        return f"this node keeps {', '.join(_RESERVED_MOUNTS)} to itself"
    if path == "/dev" or (path.startswith("/dev/") and path != "/dev/shm"):  # noqa: S108 (a path to refuse)
        return "of /dev only /dev/shm can be a volume"
    if mount.get("subPathExpr"):
        return "subPathExpr is not supported on this node"
    if sub_path.startswith("/") or ".." in sub_path.split("/"):
        return f"the subPath {sub_path!r} leaves the volume"
    if mount.get("mountPropagation", "None") != "None":
        return "mount propagation would reach the host"
    return None


def _limits(container: Object, context: _Context, mounts: tuple[Mount, ...]) -> Limits:
    limits = (container.get("resources") or {}).get("limits") or {}
    memory, cpu = limits.get("memory"), limits.get("cpu")
    writable = {mount.volume for mount in mounts if not mount.read_only}
    on_disk = [
        volume.size_bytes
        for name, volume in context.volumes.items()
        if name in writable and not volume.in_memory
    ]
    sizes = [context.volumes[name].size_bytes for name in writable]
    return Limits(
        memory_bytes=None if memory is None else parse_bytes(memory),
        volume_bytes=sum(on_disk),
        cpu_millis=None if cpu is None else max(1, int(parse_quantity(cpu) * 1000)),
        pids=context.facts.pids,
        file_bytes=max([*sizes, _ANONYMOUS_HEADROOM]),
    )


def _relay(image: LocalImage, context: _Context, *, container: str) -> Relay:
    depot = context.facts.depot
    if depot is None or image.python is None:
        raise Refused(
            "CreateContainerConfigError",
            f"image {image.name} has no Python to relay the depot with",
            container=container,
        )
    return Relay(port=depot.port, socket_path=str(depot.socket_path), python=image.python)
