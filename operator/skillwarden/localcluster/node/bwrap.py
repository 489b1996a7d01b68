"""A container plan as a bwrap command line: pure, so that a test can read every option.

Two ways to lose privilege, by who runs the node:

- root: no user namespace (with one, uid 0 of the sandbox would be the host's root, and the prototype's
  sandbox wrote the host's core_pattern). bwrap keeps only the capabilities with which ``setpriv`` can change
  the user; setpriv then empties the bounding set and, by the change from uid 0, every other set.
- a user: a user namespace, in which no further one can be made.
"""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from skillwarden.localcluster.node.config import LINK_DIR
from skillwarden.localcluster.node.plan import ContainerPlan

RELAY_SCRIPT = "/run/skillwarden/relay.py"
RELAY_SOCKET = "/run/skillwarden/depot.sock"

_SHM_BYTES = 64 * 1024 * 1024
_OPEN_FILES = 4096
# Address space that is reserved but never touched (thread stacks, allocator arenas), over the memory limit.
# What is touched is held to the limit itself by the node's watch.
_ADDRESS_HEADROOM = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTools:
    """The programs and the shape of this machine.

    Parameters
    ----------
    root_entries
        ``/bin``, ``/lib`` and their like: the target of the link that the host has there, or None for a
        folder.
    cgroups
        Memory and pids are limited by cgroups; False: by rlimits and a watch.
    """

    bwrap: str
    setpriv: str | None
    as_root: bool
    root_entries: Mapping[str, str | None]
    cgroups: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where on the host the sandbox's files are, and the descriptors that bwrap inherits.

    Parameters
    ----------
    etc
        Path in the sandbox to file of the host.
    volumes
        For each of the plan's mounts, in order, an open descriptor of what it shows.
    """

    etc: Mapping[str, str]
    volumes: Sequence[int]
    termination_file: str
    relay_script: str
    seccomp_fd: int
    status_fd: int
    block_fd: int


def render_options(plan: ContainerPlan, tools: HostTools, sources: Sources) -> list[str]:
    """The options of bwrap, for ``--args``: the host's users must not read the environment in them."""
    options = [*_namespaces(plan, tools), *_file_system(plan, tools, sources)]
    for name, value in plan.env.items():
        options += ["--setenv", name, value]
    options += ["--chdir", plan.working_dir, "--seccomp", str(sources.seccomp_fd)]
    options += ["--json-status-fd", str(sources.status_fd), "--block-fd", str(sources.block_fd)]
    return options


def render_command(plan: ContainerPlan, tools: HostTools) -> list[str]:
    """What bwrap starts: the loss of root, the relay, the container's command."""
    command: list[str] = []
    if tools.as_root:
        if tools.setpriv is None:
            raise ValueError("a node run by root needs setpriv (util-linux) to leave root in a sandbox")
        groups = (
            ["--groups", ",".join(str(group) for group in plan.groups)] if plan.groups else ["--clear-groups"]
        )
        command += [tools.setpriv, "--reuid", str(plan.uid), "--regid", str(plan.gid), *groups]
        command += ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"]
    if plan.relay is not None:
        command += [plan.relay.python, "-I", "-S", RELAY_SCRIPT, str(plan.relay.port), RELAY_SOCKET, "--"]
    return [*command, *plan.command]


def cgroup_memory(plan: ContainerPlan) -> int | None:
    """The memory limit of the container's cgroup: see `Limits`."""
    limits = plan.limits
    return None if limits.memory_bytes is None else limits.memory_bytes + limits.volume_bytes


def resource_limits(plan: ContainerPlan, tools: HostTools, *, tasks: int = 0) -> dict[int, int]:
    """Limits by ``resource.RLIMIT_*``; the node sets them on process 1 before that starts anything.

    Not by a program inside of the sandbox: run by a user, process 1 has the workload's own user, and one that
    is without limits could be made to work for it (through ``/proc/1/mem``). Nor on bwrap as a whole:
    processes count by user and namespace, and a desktop's user may have hundreds already.

    Parameters
    ----------
    tasks
        What the container's user has on this host already, for a container without a user namespace: the
        kernel counts them to it, and would not start it beside a sandbox that is full.
    """
    limits = {resource.RLIMIT_NOFILE: _OPEN_FILES, resource.RLIMIT_CORE: 0}
    if not tools.as_root:
        # Volumes are plain folders then: the watch evicts, this bounds what one file can grow to in between.
        limits[resource.RLIMIT_FSIZE] = plan.limits.file_bytes
    if not tools.cgroups:
        limits[resource.RLIMIT_NPROC] = plan.limits.pids + tasks
        if plan.limits.memory_bytes is not None:
            bound = resource.RLIMIT_DATA if plan.image.reserves_addresses else resource.RLIMIT_AS
            limits[bound] = plan.limits.memory_bytes + _ADDRESS_HEADROOM
    return limits


def _namespaces(plan: ContainerPlan, tools: HostTools) -> list[str]:
    options = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--unshare-cgroup"]
    options += [
        "--die-with-parent",
        "--new-session",
        "--clearenv",
        "--hostname",
        plan.hostname,
        "--cap-drop",
        "ALL",
    ]
    if tools.as_root:
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            options += ["--cap-add", capability]
        return options
    return [*options, "--unshare-user", "--disable-userns", "--uid", str(plan.uid), "--gid", str(plan.gid)]


def _file_system(plan: ContainerPlan, tools: HostTools, sources: Sources) -> list[str]:
    options = ["--size", str(plan.root_bytes), "--tmpfs", "/", "--ro-bind", "/usr", "/usr"]
    for path, target in tools.root_entries.items():
        options += ["--ro-bind", path, path] if target is None else ["--symlink", target, path]
    options += ["--proc", "/proc"]
    if tools.as_root:
        options += ["--ro-bind", "/proc/sys", "/proc/sys"]
    options += ["--dev", "/dev", "--perms", "1777", "--size", str(_SHM_BYTES), "--tmpfs", "/dev/shm"]  # noqa: S108
    options += ["--perms", "1777", "--dir", "/tmp"]  # noqa: S108
    for path, source in sources.etc.items():
        options += [*_parents(path), "--ro-bind", source, path]
    for folder in plan.image.binds:
        options += [*_parents(str(folder)), "--ro-bind", str(folder), str(folder)]
    for name, target in plan.image.links.items():
        options += [*_parents(f"{LINK_DIR}/{name}"), "--symlink", target, f"{LINK_DIR}/{name}"]
    if not any(_within(plan.working_dir, mount.path) for mount in plan.mounts):
        options += _parents(f"{plan.working_dir}/any")
    for mount, descriptor in zip(plan.mounts, sources.volumes, strict=True):
        options += [
            *_parents(mount.path),
            "--ro-bind-fd" if mount.read_only else "--bind-fd",
            str(descriptor),
            mount.path,
        ]
    options += [*_parents(plan.termination_path), "--bind", sources.termination_file, plan.termination_path]
    if plan.relay is not None:
        options += [*_parents(RELAY_SCRIPT), "--ro-bind", sources.relay_script, RELAY_SCRIPT]
        options += ["--bind", plan.relay.socket_path, RELAY_SOCKET]
    options += ["--remount-ro", "/dev"]
    return [*options, "--remount-ro", "/"] if plan.read_only_root else options


def _parents(path: str) -> list[str]:
    """Make the folders above a path: those that bwrap makes by itself only their owner can enter."""
    folders = [str(each) for each in reversed(PurePosixPath(path).parents) if str(each) != "/"]
    return [option for folder in folders for option in ("--dir", folder)]


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")
