"""One started container: from its plan to a process in its own namespaces, and to its end.

The order matters. bwrap makes the namespaces and waits (``--block-fd``); the node puts it into its cgroup
and sets its limits; then it goes on and starts the workload, which is so born inside of its limits. The end
is the end of the process namespace: its process 1 is gone, and the kernel has ended everything that was in
it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import resource
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from skillwarden.localcluster.node import procs, seccomp
from skillwarden.localcluster.node.bwrap import (
    HostTools,
    Sources,
    cgroup_memory,
    render_command,
    render_options,
    resource_limits,
)
from skillwarden.localcluster.node.cgroups import ContainerCgroup, PodCgroup
from skillwarden.localcluster.node.logs import ContainerLog
from skillwarden.localcluster.node.plan import ContainerPlan
from skillwarden.localcluster.node.volumes import PodFiles

_KILLED = 128 + signal.SIGKILL
_START_FAILED = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a container ended; `started` False: its sandbox could not be made."""

    code: int
    out_of_memory: bool = False
    started: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a start needs beside its plan."""

    tools: HostTools
    files: PodFiles
    cgroup: PodCgroup | None
    relay_script: Path
    log: ContainerLog
    attempt: int
    termination_file: Path


class Sandbox:
    """A running container. Make one with `start`."""

    def __init__(self, plan: ContainerPlan, around: Surroundings) -> None:
        self.plan = plan
        self._around = around
        self._group: ContainerCgroup | None = None
        self._init_pid: int | None = None
        self._init_fd: int | None = None
        self._over_memory = False
        self._exit_code: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._pumps: list[asyncio.Task[None]] = []
        self._status: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, plan: ContainerPlan, around: Surroundings) -> Sandbox:
        """Start a container.

        Raises
        ------
        VolumeUnusable
            A mount leads through a symbolic link.
        OSError
            The host refuses a process, a descriptor or a cgroup.
        """
        sandbox = cls(plan, around)
        try:
            await sandbox._launch()
        except BaseException:
            await sandbox._abandon()
            raise
        return sandbox

    async def _launch(self) -> None:
        around = self._around
        if around.cgroup is not None:
            limits = self.plan.limits
            self._group = await asyncio.to_thread(
                around.cgroup.container,
                f"{self.plan.name}-{around.attempt}",
                memory=cgroup_memory(self.plan),
                cpu_millis=limits.cpu_millis,
            )
        with _descriptors() as held:
            status_read, status_write = os.pipe2(os.O_CLOEXEC)
            block_read, block_write = os.pipe2(os.O_CLOEXEC)
            held.extend([status_write, block_read, block_write])
            reader = await _reader(status_read)
            volumes = await asyncio.to_thread(around.files.open_mounts, self.plan)
            held.extend(volumes)
            seccomp_fd = _memory_file("seccomp", seccomp.compile_filter(platform.machine()))
            held.append(seccomp_fd)
            sources = Sources(
                etc=around.files.etc(),
                volumes=volumes,
                termination_file=str(around.termination_file),
                relay_script=str(around.relay_script),
                seccomp_fd=seccomp_fd,
                status_fd=status_write,
                block_fd=block_read,
            )
            options = "\0".join(render_options(self.plan, around.tools, sources)) + "\0"
            args_fd = _memory_file("options", options.encode())
            held.append(args_fd)
            self._process = await asyncio.create_subprocess_exec(
                around.tools.bwrap,
                "--args",
                str(args_fd),
                "--",
                *render_command(self.plan, around.tools),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={},
                cwd="/",
                pass_fds=(status_write, block_read, seccomp_fd, args_fd, *volumes),
            )
            self._start_pumps()
            os.close(status_write)
            held.remove(status_write)
            first = await reader.readline()
            if first:
                await self._confine(json.loads(first)["child-pid"])
            with contextlib.suppress(BrokenPipeError):
                os.write(block_write, b"1")
        self._status = asyncio.create_task(self._read_status(reader))

    async def _confine(self, pid: int) -> None:
        self._init_pid = pid
        with contextlib.suppress(ProcessLookupError):
            self._init_fd = os.pidfd_open(pid)
            tools = self._around.tools
            # In a user namespace of its own, and in a cgroup, they are counted from nothing.
            shared = tools.as_root and not tools.cgroups
            tasks = await asyncio.to_thread(procs.tasks_of, self.plan.uid) if shared else 0
            for limit, value in resource_limits(self.plan, tools, tasks=tasks).items():
                _, hardest = resource.prlimit(pid, limit)
                lowest = value if hardest == resource.RLIM_INFINITY else min(value, hardest)
                resource.prlimit(pid, limit, (lowest, lowest))
            if self._group is not None:
                await asyncio.to_thread(self._group.add, pid)

    def _start_pumps(self) -> None:
        process = self._process
        if process is None or process.stdout is None or process.stderr is None:
            raise RuntimeError("bwrap was started without pipes")
        log = self._around.log
        self._pumps = [
            asyncio.create_task(log.pump(process.stdout, name="stdout")),
            asyncio.create_task(log.pump(process.stderr, name="stderr")),
        ]

    async def _read_status(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            code = json.loads(line).get("exit-code")
            if code is not None:
                self._exit_code = code

    async def wait(self) -> Exit:
        """Wait for the end of every process of the container."""
        process = self._running()
        await process.wait()
        if self._status is not None:
            await self._status
        await self._namespace_gone()
        await asyncio.gather(*self._pumps)
        await self._around.log.close()
        killed = self._over_memory
        if self._group is not None:
            killed = await asyncio.to_thread(self._group.out_of_memory)
            await asyncio.to_thread(self._group.remove)
        if self._init_fd is not None:
            os.close(self._init_fd)
            self._init_fd = None
        code = self._exit_code
        if killed and code != 0:
            return Exit(code=_KILLED, out_of_memory=True)
        if code is None:
            # bwrap itself ended by a signal: ours. Otherwise it failed before it could start the command.
            by_signal = (process.returncode or 0) < 0
            return Exit(code=_KILLED) if by_signal else Exit(code=_START_FAILED, started=False)
        return Exit(code=code)

    async def stop(self, grace_seconds: float) -> None:
        """SIGTERM to the container's own command, then after the grace period the end of its namespace."""
        process = self._running()
        if grace_seconds > 0 and self._init_pid is not None and process.returncode is None:
            main = await asyncio.to_thread(procs.first_child, self._init_pid)
            with contextlib.suppress(ProcessLookupError):
                if main is not None:
                    os.kill(main, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_seconds):
                    await process.wait()
        self.kill()

    def kill(self, *, over_memory: bool = False) -> None:
        """End the namespace now: process 1 of it goes, and the kernel ends the rest."""
        self._over_memory = self._over_memory or over_memory
        with contextlib.suppress(ProcessLookupError):
            if self._init_fd is not None:
                signal.pidfd_send_signal(self._init_fd, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            if self._process is not None and self._process.returncode is None:
                self._process.kill()

    async def memory_bytes(self) -> int:
        """What the container holds in RAM; for a node without cgroups."""
        return 0 if self._init_pid is None else await asyncio.to_thread(procs.memory_bytes, self._init_pid)

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("the sandbox was not started")
        return self._process

    async def _namespace_gone(self) -> None:
        if self._init_fd is None:
            return
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        descriptor = self._init_fd
        loop.add_reader(descriptor, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(descriptor)

    async def _abandon(self) -> None:
        self.kill()
        if self._process is not None:
            await self._process.wait()
        await self._namespace_gone()
        for pump in self._pumps:
            pump.cancel()
        await self._around.log.close()
        if self._init_fd is not None:
            os.close(self._init_fd)
            self._init_fd = None
        if self._group is not None:
            await asyncio.to_thread(self._group.remove)


@contextlib.contextmanager
def _descriptors() -> Iterator[list[int]]:
    held: list[int] = []
    try:
        yield held
    finally:
        for descriptor in held:
            os.close(descriptor)


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    return reader


def _memory_file(name: str, content: bytes) -> int:
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
