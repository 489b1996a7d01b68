"""What a node is told: where its API server is, what it may run, and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
LINK_DIR = "/runtime/bin"

_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiConnection:
    """A Kubernetes API server: its base URL, a bearer token, and the CA that signed its certificate."""

    url: str
    token: str | None = None
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalImage:
    """What stands for a container image here: folders of this machine, shown read-only at their own paths.

    Parameters
    ----------
    binds
        Folders beside ``/usr`` that the programs need.
    links
        Command name to absolute path: symbolic links in a read-only folder that comes first on ``PATH``.
    command
        What runs when a container names no command.
    python
        The interpreter that the depot's relay runs on; None: the image has no Python.
    reserves_addresses
        Its interpreter reserves far more addresses than it uses, as V8 does: without cgroups its memory is
        bounded by what it may write, not by its address space.
    """

    name: str
    binds: tuple[Path, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    path: tuple[str, ...] = DEFAULT_PATH
    env: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    python: str | None = None
    reserves_addresses: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DepotEndpoint:
    """The one destination that a sandbox can reach: a port that stands for a unix socket of this machine.

    A NetworkPolicy opens it by selecting ``labels`` in ``namespace``, as it would the depot's Pods in a
    cluster. The socket must be writable for every user (mode 0666), since a sandbox connects as its own user;
    ``socket_path`` in a folder that only the depot's user can enter keeps the machine's other users out.
    """

    labels: Mapping[str, str]
    port: int
    socket_path: Path
    namespace: str
    namespace_labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Delays in seconds; a kubelet's, except where a local user would wait for them."""

    backoff_initial: float = 10.0
    backoff_max: float = 300.0
    backoff_reset: float = 600.0
    usage_interval: float = 0.5
    reconnect_initial: float = 0.2
    reconnect_max: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """One node.

    Parameters
    ----------
    work_dir
        The node's own folder (mode 0700 is set): volumes, logs. One running node each; emptied at start.
    pod_pids_limit
        Processes and threads of one Pod, the kubelet's ``podPidsLimit``.
    cgroup_parent
        Folder under each controller's root; None: no cgroups, rlimits and a watch instead.
    default_volume_bytes
        Size of an emptyDir that names none, in a Pod without an ephemeral-storage limit.
    log_bytes
        A container's log file is rotated at this size; one rotated file is kept.
    force_simulated
        Walk the phases without running anything, as where bwrap cannot run.
    """

    name: str
    work_dir: Path
    images: Mapping[str, LocalImage]
    depot: DepotEndpoint | None = None
    pod_pids_limit: int = 256
    cgroup_parent: str | None = "skillwarden"
    default_volume_bytes: int = 512 * _MEBIBYTE
    log_bytes: int = 10 * _MEBIBYTE
    timings: Timings = field(default_factory=Timings)
    force_simulated: bool = False
