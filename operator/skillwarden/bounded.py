"""Running a tool that may hang, flood its output or fork: bounded, and killed as a group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_CHUNK = 64 * 1024
_KEPT_STDERR = 8 * 1024
_SETTLE_SECONDS = 2.0


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


async def run_bounded(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], max_output: int
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

    Raises
    ------
    OutputTooLargeError
        Where it writes more.
    OSError
        Where it cannot be started.
    """
    # Standard error is a pipe of our own: asyncio counts a process as ended only when its own pipes are
    # closed, and what the tool left behind may hold this one open.
    reading, writing = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd,
            env=dict(env),
            stdin=asyncio.subprocess.DEVNULL,
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
    return Finished(status=status, stdout=stdout, stderr=stderr.decode(errors="replace"))


async def _settle(process: asyncio.subprocess.Process, errors: asyncio.Task[bytes]) -> bytes:
    """Wait for a killed group to be gone; a descendant that left the group is not waited for."""
    ended = asyncio.ensure_future(process.wait())
    _, left = await asyncio.wait({ended, errors}, timeout=_SETTLE_SECONDS)
    for task in left:
        task.cancel()
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
