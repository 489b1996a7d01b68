"""A Pod's files on the host: its volumes, its ``/etc``, its termination messages; made, measured, removed.

Run by root an emptyDir is a file system of its own with a size, so that a write over it fails at once. Run by
a user it is a folder that the Pod's worker measures, and the Pod is evicted, as a kubelet does.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
import stat
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from skillwarden.localcluster.node.plan import ContainerPlan, Mount, PodPlan
from skillwarden.localcluster.node.volumeplan import VolumeItem, VolumeKind, VolumePlan

TERMINATION_BYTES = 4096

Fetch = Callable[[VolumeKind, str], Awaitable[Mapping[str, Any] | None]]

_TERMINATION_FS_BYTES = 256 * 1024
_INODE_PER_BYTES = 4096
_SPARE_INODES = 1024
_NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\n"


class VolumeUnusable(Exception):  # noqa: N818 (it says what is the case)
    """A volume that cannot be made or mounted as asked; the text says which and why."""


class PodFiles:
    """One Pod's folder of the node's work folder."""

    def __init__(self, folder: Path, *, as_root: bool) -> None:
        self.folder = folder
        self._as_root = as_root
        self._plans: tuple[VolumePlan, ...] = ()

    async def prepare(self, plan: PodPlan, *, hostname: str, fetch: Fetch) -> None:
        """Make everything that the containers share.

        Raises
        ------
        VolumeUnusable
            A ConfigMap or Secret, or a key of one, is missing.
        """
        self._plans = plan.volumes
        await asyncio.to_thread(self._make_folders, plan, hostname)
        if self._as_root:
            await self._mount(self.folder / "termination", size=_TERMINATION_FS_BYTES, mode="0755")
        for volume in plan.volumes:
            root = self.volume_root(volume.name)
            if volume.kind is VolumeKind.EMPTY_DIR:
                if self._as_root and not await asyncio.to_thread(root.is_mount):
                    await self._mount(root, size=volume.size_bytes, mode="0777")
                await asyncio.to_thread(_open_to_group, root, plan.fs_group if self._as_root else None)
            else:
                await self._fill(volume, root, fetch)

    def _make_folders(self, plan: PodPlan, hostname: str) -> None:
        for name in ("volumes", "logs", "termination", "etc"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for volume in plan.volumes:
            self.volume_root(volume.name).mkdir(exist_ok=True)
        for name, text in _etc(plan, hostname).items():
            (self.folder / "etc" / name).write_text(text)
            (self.folder / "etc" / name).chmod(0o644)

    def etc(self) -> dict[str, str]:
        """Path in the sandbox to file of the host."""
        names = ("passwd", "group", "hosts", "hostname", "resolv.conf", "nsswitch.conf")
        files = {f"/etc/{name}": str(self.folder / "etc" / name) for name in names}
        if Path("/etc/ld.so.cache").exists():
            files["/etc/ld.so.cache"] = "/etc/ld.so.cache"
        return files

    def volume_root(self, name: str) -> Path:
        return self.folder / "volumes" / name

    def log_path(self, container: str, attempt: int) -> Path:
        folder = self.folder / "logs" / container
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{attempt}.log"

    def new_termination_file(self, container: str, attempt: int) -> Path:
        path = self.folder / "termination" / f"{container}-{attempt}"
        path.touch()
        path.chmod(0o666)
        return path

    def open_mounts(self, plan: ContainerPlan) -> list[int]:
        """A descriptor for what each mount shows; the caller closes them.

        The content of a volume is the workload's own: no component of a subPath, nor of a path that another
        mount goes to inside of a volume, may be a symbolic link, or the sandbox could be handed a folder of
        the host.

        Raises
        ------
        VolumeUnusable
            A component is a link, or is no folder.
        """
        targets = [mount.path for mount in plan.mounts] + [plan.termination_path]
        if plan.relay is not None:
            targets.append("/run/skillwarden")
        descriptors: list[int] = []
        try:
            for mount in plan.mounts:
                descriptors.append(open_beneath(self.volume_root(mount.volume), mount.sub_path))
                _refuse_links(mount, descriptors[-1], targets)
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        return descriptors

    def usage(self) -> dict[str, int]:
        """Bytes in use, by volume of kind emptyDir; and under "" those of the logs."""
        used = {
            each.name: self._used(self.volume_root(each.name))
            for each in self._plans
            if each.kind is VolumeKind.EMPTY_DIR
        }
        return {**used, "": _folder_bytes(self.folder / "logs")}

    def _used(self, root: Path) -> int:
        if self._as_root:
            state = os.statvfs(root)
            return (state.f_blocks - state.f_bfree) * state.f_frsize
        return _folder_bytes(root)

    async def remove_volumes(self) -> None:
        """Unmount and delete what only running containers need; the logs stay."""
        for name in ("volumes", "termination", "etc"):
            await remove_folder(self.folder / name)

    async def remove(self) -> None:
        """Unmount and delete everything."""
        await remove_folder(self.folder)

    async def _mount(self, path: Path, *, size: int, mode: str) -> None:
        inodes = size // _INODE_PER_BYTES + _SPARE_INODES
        options = f"size={size},nr_inodes={inodes},mode={mode},nosuid,nodev"
        code, output = await _run("mount", "-t", "tmpfs", "-o", options, "skillwarden", str(path))
        if code != 0:
            raise VolumeUnusable(f"no file system of {size} bytes could be mounted at {path}: {output}")

    async def _fill(self, volume: VolumePlan, root: Path, fetch: Fetch) -> None:
        found = await fetch(volume.kind, volume.source)
        if found is None:
            if volume.optional:
                return
            raise VolumeUnusable(f'volume {volume.name}: {volume.kind} "{volume.source}" not found')
        data = _content(found)
        items = volume.items or tuple(VolumeItem(key=key, path=key) for key in data)
        for item in items:
            if item.key not in data:
                if volume.optional:
                    continue
                raise VolumeUnusable(
                    f"volume {volume.name}: {volume.kind} {volume.source} has no key {item.key!r}"
                )
        await asyncio.to_thread(_write_files, root, items, data, volume.mode)


def open_beneath(root: Path, sub_path: str) -> int:
    """Open a path of a volume without following a link, making folders that are missing.

    Returns
    -------
    int
        A descriptor of kind O_PATH.
    """
    parts = [part for part in sub_path.split("/") if part not in {"", "."}]
    current = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    mode = stat.S_IMODE(os.fstat(current).st_mode)
    for index, part in enumerate(parts):
        try:
            following = _step(current, part, mode=mode)
        except OSError as error:
            raise VolumeUnusable(f"subPath {sub_path!r}: {part}: {error.strerror}") from error
        finally:
            os.close(current)
        current = following
        kind = os.fstat(current).st_mode
        if stat.S_ISLNK(kind) or (index < len(parts) - 1 and not stat.S_ISDIR(kind)):
            os.close(current)
            what = "a symbolic link" if stat.S_ISLNK(kind) else "not a folder"
            raise VolumeUnusable(f"subPath {sub_path!r}: {part} is {what}")
        if not (stat.S_ISDIR(kind) or stat.S_ISREG(kind)):
            os.close(current)
            raise VolumeUnusable(f"subPath {sub_path!r}: {part} is neither a folder nor a file")
    return current


def _step(folder: int, part: str, *, mode: int) -> int:
    flags = os.O_PATH | os.O_NOFOLLOW
    try:
        return os.open(part, flags, dir_fd=folder)
    except FileNotFoundError:
        os.mkdir(part, dir_fd=folder)
        made = os.open(part, flags | os.O_DIRECTORY, dir_fd=folder)
        # By descriptor: the workload may have put something else in its place.
        Path(f"/proc/self/fd/{made}").chmod(mode)
        return made


def _refuse_links(mount: Mount, descriptor: int, targets: Sequence[str]) -> None:
    for target in targets:
        if target == mount.path or not target.startswith(mount.path + "/"):
            continue
        current = os.dup(descriptor)
        for part in target[len(mount.path) + 1 :].split("/"):
            try:
                following = os.open(part, os.O_PATH | os.O_NOFOLLOW, dir_fd=current)
            except OSError:
                break
            finally:
                os.close(current)
            current = following
            if stat.S_ISLNK(os.fstat(current).st_mode):
                os.close(current)
                raise VolumeUnusable(f"{target}: {part} in volume {mount.volume} is a symbolic link")
        else:
            os.close(current)


def read_termination(path: Path) -> str:
    """What a container left as its termination message, at most 4,096 bytes (a kubelet's bound)."""
    try:
        with path.open("rb") as file:
            return file.read(TERMINATION_BYTES).decode(errors="replace")
    except OSError:
        return ""


async def remove_folder(folder: Path) -> None:
    """Unmount what is mounted below a folder, then delete it; one that is not there is no error."""
    if not await asyncio.to_thread(folder.is_dir):
        return
    for point in await asyncio.to_thread(_mounts_below, folder):
        code, output = await _run("umount", str(point))
        if code != 0:
            # Somebody looks into it: detach it, so that at least the folder can go.
            code, output = await _run("umount", "--lazy", str(point))
        if code != 0:
            raise VolumeUnusable(f"{point} could not be unmounted: {output}")
    await asyncio.to_thread(shutil.rmtree, folder, onerror=_make_writable)


def _make_writable(_: Callable[..., object], failed: str, __: object) -> None:
    """A workload run as our own user may have taken its folders' permissions away."""
    path = Path(failed)
    if path.is_symlink() or not path.exists():
        with contextlib.suppress(OSError):
            path.parent.chmod(0o700)
            path.unlink(missing_ok=True)
        return
    path.parent.chmod(0o700)
    if path.is_dir():
        path.chmod(0o700)
        shutil.rmtree(path)
    else:
        path.unlink()


def _mounts_below(folder: Path) -> list[Path]:
    points = [Path(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted((point for point in points if point.is_relative_to(folder)), reverse=True)


def _open_to_group(root: Path, group: int | None) -> None:
    if group is not None:
        os.chown(root, -1, group)
    root.chmod(0o2777 if group is not None else 0o777)


def _folder_bytes(folder: Path) -> int:
    total = 0
    for path, folders, files in os.walk(folder):
        for name in (*folders, *files):
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_blocks * 512  # noqa: PTH118
    return total


def _content(found: Mapping[str, Any]) -> dict[str, bytes]:
    if "kind" in found and found["kind"] == "Secret":
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
    text = {key: value.encode() for key, value in (found.get("data") or {}).items()}
    binary = {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
    return {**text, **binary}


def _write_files(root: Path, items: Sequence[VolumeItem], data: Mapping[str, bytes], mode: int) -> None:
    root.chmod(0o755)
    for item in items:
        if item.key in data:
            path = root / item.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_bytes(data[item.key])
            path.chmod(item.mode if item.mode is not None else mode)


def _etc(plan: PodPlan, hostname: str) -> dict[str, str]:
    users = {0: "root", 65534: "nobody"}
    groups = {0: "root", 65534: "nogroup"}
    for container in (*plan.init, *plan.main):
        users.setdefault(container.uid, "sandbox")
        groups.setdefault(container.gid, "sandbox")
    passwd = [f"{name}:x:{uid}:{uid}::/:/usr/sbin/nologin" for uid, name in users.items()]
    resolver = [f"nameserver {each}" for each in plan.nameservers]
    if plan.searches:
        resolver.append("search " + " ".join(plan.searches))
    return {
        "passwd": "\n".join(passwd) + "\n",
        "group": "\n".join(f"{name}:x:{gid}:" for gid, name in groups.items()) + "\n",
        "hosts": f"127.0.0.1 localhost\n::1 localhost\n127.0.0.1 {hostname}\n",
        "hostname": hostname + "\n",
        "resolv.conf": "".join(line + "\n" for line in resolver),
        "nsswitch.conf": _NSSWITCH,
    }


async def _run(*command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace").strip()
