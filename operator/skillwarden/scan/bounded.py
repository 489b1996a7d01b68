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
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=dict(env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None and process.stderr is not None  # noqa: S101 - asked for above
    errors = asyncio.create_task(_last(process.stderr))
    try:
        stdout = await _all(process.stdout, max_output=max_output)
        status = await process.wait()
        _kill_group(process.pid)
        return Finished(status=status, stdout=stdout, stderr=(await errors).decode(errors="replace"))
    finally:
        _kill_group(process.pid)
        errors.cancel()
        await asyncio.shield(process.wait())


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


async def _last(stream: asyncio.StreamReader) -> bytes:
    kept = b""
    while chunk := await stream.read(_CHUNK):
        kept = (kept + chunk)[-_KEPT_STDERR:]
    return kept
