"""Running a tool that may hang, flood its output or fork: bounded, and killed as a group."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .limited import CANNOT_START

_CHUNK = 64 * 1024
_KEPT_STDERR = 8 * 1024
_SETTLE_SECONDS = 2.0
_LIMITED = str(Path(__file__).with_name("limited.py"))
#: Bytes that a tool may have for itself: two of them fit beside the operator in 2 GiB, one in 1 GiB.
TOOL_MEMORY = 768 * 1024**2
#: What raises it, for error messages.
MORE_MEMORY = "raise SKILLWARDEN_TOOL_MEMORY, and the memory limit of the operator's container with it"
_OUT_OF_MEMORY = re.compile(
    r"memory allocation of \d+ bytes failed|out of memory|Cannot allocate memory|spawn worker thread"
    r"|\bMemoryError\b",
    re.IGNORECASE,
)


class OutputTooLargeError(RuntimeError):
    """The tool wrote more than it may."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a tool ended.

    Attributes
    ----------
    status
        Exit code; negative for a signal.
    stdout
        All of it.
    stderr
        The end of it, decoded.
    """

    status: int
    stdout: bytes
    stderr: str


def under_limits(command: Sequence[str], memory_limit_bytes: int) -> tuple[str, ...]:
    """Return the command line that starts a command (by its absolute path) with so much memory at most."""
    return (sys.executable, "-I", "-S", _LIMITED, str(memory_limit_bytes), "--", *command)


def speaks_of_memory(stderr: str) -> bool:
    """Say whether an allocation failed."""
    return _OUT_OF_MEMORY.search(stderr) is not None


async def run_bounded(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    max_output: int,
    memory_limit_bytes: int | None = None,
    stdin: int = asyncio.subprocess.DEVNULL,
) -> Finished:
    """Run a command to its end.

    Whatever ends this call (also a cancellation, which is how a deadline arrives) leaves no process of the
    command's group behind.

    Parameters
    ----------
    command
        Program and arguments.
    cwd, env
        Working folder, and the whole environment.
    max_output
        Bytes of standard output that it may write.
    memory_limit_bytes
        What it may have for itself; ``None`` for a program of ours that sets its own limits.
    stdin
        A descriptor that it reads from; the caller's to close. Nothing by default.

    Raises
    ------
    OutputTooLargeError
        Where it writes more.
    OSError
        Where it cannot be started.
    """
    if memory_limit_bytes is not None:
        command = under_limits(command, memory_limit_bytes)
    # Standard error is a pipe of our own: asyncio counts a process as ended only when its own pipes are
    # closed, and what the tool left behind may hold this one open.
    reading, writing = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env=dict(env),
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=writing,
            start_new_session=True,
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    errors = asyncio.create_task(_last(reading))
    assert process.stdout is not None  # noqa: S101 - asked for above
    try:
        stdout = await _all(process.stdout, max_output=max_output)
        status = await process.wait()
    finally:
        _kill_group(process.pid)
        stderr = await asyncio.shield(_settle(process, errors))
    said = stderr.decode(errors="replace")
    if memory_limit_bytes is not None and status == CANNOT_START:
        raise OSError(errno.ENOEXEC, said.strip().removeprefix("error: ") or "cannot be started")
    return Finished(status=status, stdout=stdout, stderr=said)


async def _settle(process: asyncio.subprocess.Process, errors: asyncio.Task[bytes]) -> bytes:
    """Wait for a killed group to be gone; a descendant that left the group is not waited for."""
    ended = asyncio.ensure_future(process.wait())
    _, left = await asyncio.wait({ended, errors}, timeout=_SETTLE_SECONDS)
    for task in left:
        task.cancel()
    if ended in left:
        # asyncio counts it as ended once its output is closed, which who left the group holds open, and has
        # no public way to let go of our end: left to the garbage collector, that speaks up much later.
        process._transport.close()  # type: ignore[attr-defined]
    return errors.result() if errors not in left else b""


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


async def _all(stream: asyncio.StreamReader, *, max_output: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while chunk := await stream.read(_CHUNK):
        size += len(chunk)
        if size > max_output:
            raise OutputTooLargeError(f"it wrote more than {max_output} bytes")
        parts.append(chunk)
    return b"".join(parts)


async def _last(descriptor: int) -> bytes:
    """Read a pipe to its end, and keep the last of it."""
    stream = asyncio.StreamReader()
    file = os.fdopen(descriptor, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), file
    )
    kept = b""
    try:
        while chunk := await stream.read(_CHUNK):
            kept = (kept + chunk)[-_KEPT_STDERR:]
    finally:
        transport.close()
    return kept
