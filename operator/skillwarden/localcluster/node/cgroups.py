"""Limits on a sandbox as a whole: memory, processes and CPU time through cgroups, version 1 and 2.

Under each controller's root: ``<parent>/<node>/<pod>/<container>``. pids are limited at the Pod (the
kubelet's ``podPidsLimit``), memory and CPU at the container. Everything here touches only kernel files,
synchronously: callers on the event loop use a thread, since a write can wait for a grace period of the
kernel.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path

_CPU_PERIOD_US = 100_000
_NEEDED = ("memory", "pids")
_CONTROLLERS = ("memory", "pids", "cpu")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """The mounted controllers; version 2 has the same root for all."""

    version: int
    roots: dict[str, Path]


@dataclass(frozen=True, slots=True)
class CgroupTree:
    """A node's part of the hierarchy."""

    hierarchy: Hierarchy
    base: str

    def pod(self, uid: str, *, pids: int) -> PodCgroup:
        """Make a Pod's group."""
        group = PodCgroup(self.hierarchy, f"{self.base}/{uid}")
        group.create(pids=pids)
        return group

    def clear(self) -> None:
        """End what a killed predecessor left, and remove the node's groups."""
        for root in dict.fromkeys(self.hierarchy.roots.values()):
            _remove_tree(root / self.base)
        for root in dict.fromkeys(self.hierarchy.roots.values()):
            # Only goes away when no other node uses it.
            with contextlib.suppress(OSError):
                (root / self.base).parent.rmdir()


@dataclass(frozen=True, slots=True)
class PodCgroup:
    """One Pod's group."""

    hierarchy: Hierarchy
    path: str

    def create(self, *, pids: int) -> None:
        for controller, root in self.hierarchy.roots.items():
            folder = root / self.path
            if self.hierarchy.version == 2:
                _make_delegating(root, self.path)
            else:
                folder.mkdir(parents=True, exist_ok=True)
            if controller == "pids":
                (folder / "pids.max").write_text(str(pids))

    def container(self, name: str, *, memory: int | None, cpu_millis: int | None) -> ContainerCgroup:
        """Make the group of one start of a container."""
        group = ContainerCgroup(self.hierarchy, f"{self.path}/{name}")
        group.create(memory=memory, cpu_millis=cpu_millis)
        return group

    def remove(self) -> None:
        for root in dict.fromkeys(self.hierarchy.roots.values()):
            _remove_tree(root / self.path)


@dataclass(frozen=True, slots=True)
class ContainerCgroup:
    """The group of one start of a container."""

    hierarchy: Hierarchy
    path: str

    def create(self, *, memory: int | None, cpu_millis: int | None) -> None:
        for root in dict.fromkeys(self.hierarchy.roots.values()):
            (root / self.path).mkdir(parents=True, exist_ok=True)
        if memory is not None:
            self._limit_memory(memory)
        if cpu_millis is not None and "cpu" in self.hierarchy.roots:
            folder = self.hierarchy.roots["cpu"] / self.path
            quota = max(1000, cpu_millis * _CPU_PERIOD_US // 1000)
            if self.hierarchy.version == 2:
                (folder / "cpu.max").write_text(f"{quota} {_CPU_PERIOD_US}")
            else:
                (folder / "cpu.cfs_period_us").write_text(str(_CPU_PERIOD_US))
                (folder / "cpu.cfs_quota_us").write_text(str(quota))

    def _limit_memory(self, limit: int) -> None:
        folder = self.hierarchy.roots["memory"] / self.path
        if self.hierarchy.version == 2:
            (folder / "memory.max").write_text(str(limit))
            _write_if_there(folder / "memory.swap.max", "0")
            _write_if_there(folder / "memory.oom.group", "1")
        else:
            (folder / "memory.limit_in_bytes").write_text(str(limit))
            # The limit of memory and swap together: the same number means no swap. Absent without swap
            # accounting.
            _write_if_there(folder / "memory.memsw.limit_in_bytes", str(limit))

    def add(self, pid: int) -> None:
        """Move a process here; what it starts afterwards is born here."""
        for root in dict.fromkeys(self.hierarchy.roots.values()):
            (root / self.path / "cgroup.procs").write_text(str(pid))

    def out_of_memory(self) -> bool:
        """Whether the kernel ended a process here for memory."""
        name = "memory.events" if self.hierarchy.version == 2 else "memory.oom_control"
        try:
            text = (self.hierarchy.roots["memory"] / self.path / name).read_text()
        except OSError:
            return False
        return any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in text.splitlines())

    def remove(self) -> None:
        for root in dict.fromkeys(self.hierarchy.roots.values()):
            _remove_tree(root / self.path)


def find_hierarchy(mountinfo: Path = Path("/proc/self/mountinfo")) -> Hierarchy | None:
    """The mounted cgroup controllers, or None where memory and pids are not both there."""
    version1: dict[str, Path] = {}
    version2: Path | None = None
    for line in mountinfo.read_text().splitlines():
        left, _, right = line.partition(" - ")
        mount_point, (kind, _, options) = Path(left.split()[4]), right.split()[:3]
        if kind == "cgroup":
            version1.update({name: mount_point for name in options.split(",") if name in _CONTROLLERS})
        elif kind == "cgroup2":
            version2 = mount_point
    if all(name in version1 for name in _NEEDED):
        return Hierarchy(1, version1)
    if version2 is None:
        return None
    available = (version2 / "cgroup.controllers").read_text().split()
    if not all(name in available for name in _NEEDED):
        return None
    return Hierarchy(2, {name: version2 for name in _CONTROLLERS if name in available})


def open_tree(parent: str, *, work_dir: Path) -> CgroupTree | str:
    """The node's tree, cleared and proven writable, or the reason why there is none.

    Parameters
    ----------
    work_dir
        Names the node's part: two nodes of one machine never share a work folder.
    """
    hierarchy = find_hierarchy()
    if hierarchy is None:
        return "the controllers memory and pids are not mounted"
    digest = hashlib.sha256(str(work_dir).encode()).hexdigest()[:12]
    tree = CgroupTree(hierarchy, f"{parent}/{digest}")
    try:
        tree.clear()
        tree.pod("probe", pids=16).container("probe", memory=1 << 24, cpu_millis=100)
        tree.clear()
    except OSError as error:
        return f"cgroups cannot be written: {error}"
    return tree


def _make_delegating(root: Path, path: str) -> None:
    """Version 2: make each folder of the path and hand its parent's controllers down to it."""
    folder = root
    for part in Path(path).parts:
        _delegate(folder)
        folder = folder / part
        folder.mkdir(exist_ok=True)
    _delegate(folder)


def _delegate(folder: Path) -> None:
    available = (folder / "cgroup.controllers").read_text().split()
    wanted = " ".join(f"+{name}" for name in _CONTROLLERS if name in available)
    (folder / "cgroup.subtree_control").write_text(wanted)


def _remove_tree(folder: Path) -> None:
    if not folder.is_dir():
        return
    for path, _, _ in os.walk(folder, topdown=False):
        group = Path(path)
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        with contextlib.suppress(FileNotFoundError):
            _remove_group(group)


def _remove_group(group: Path) -> None:
    """Remove one group; the kernel holds it for a moment after its last process has ended."""
    for _ in range(100):
        try:
            group.rmdir()
        except OSError as error:
            last = error
            _wait_for_exit(group)
        else:
            return
    raise last


def _wait_for_exit(group: Path) -> None:
    for pid in (group / "cgroup.procs").read_text().split():
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(int(pid))
            try:
                _poll(descriptor)
            finally:
                os.close(descriptor)
    os.sched_yield()


def _poll(descriptor: int) -> None:
    select.select([descriptor], [], [], 0.2)


def _write_if_there(path: Path, text: str) -> None:
    with contextlib.suppress(OSError):
        path.write_text(text)
