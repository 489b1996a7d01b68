"""Running a tool that is not trusted to end, to be small, or to be brief."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..bounded import under_limits
from ..limited import CANNOT_START

#: More output than this is read and dropped, so that the tool neither blocks on us nor fills our memory.
MAX_OUTPUT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a tool ended.

    Attributes
    ----------
    code
        Exit code, or minus the number of the signal that ended it.
    stdout, stderr
        What it wrote, each cut at ``MAX_OUTPUT_BYTES``.
    """

    code: int
    stdout: str
    stderr: str


async def run_limited(
    command: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    deadline_seconds: float,
    memory_limit_bytes: int,
) -> Outcome:
    """Run a command in a process group of its own and kill the group whatever happens.

    Parameters
    ----------
    command
        Absolute path of the tool, then its arguments.
    cwd
        Working directory.
    environment
        The whole environment; nothing is inherited.
    deadline_seconds
        After this long the group is killed.
    memory_limit_bytes
        What the tool may have for itself.

    Raises
    ------
    TimeoutError
        At the deadline.
    OSError
        Where the tool cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *under_limits(command, memory_limit_bytes),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        cwd=cwd,
        env=dict(environment),
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(deadline_seconds):
            stdout, stderr, code = await asyncio.gather(
                _read(process.stdout), _read(process.stderr), process.wait()
            )
    finally:
        # Also on success: a grandchild that outlives the tool has no business left.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())
    if code == CANNOT_START:
        raise OSError(
            errno.ENOEXEC, stderr.strip().removeprefix("error: ") or "cannot be started", command[0]
        )
    return Outcome(code, stdout, stderr)


async def _read(stream: asyncio.StreamReader | None) -> str:
    kept = bytearray()
    while stream is not None and (chunk := await stream.read(65536)):
        kept += chunk[: MAX_OUTPUT_BYTES - len(kept)]
    return kept.decode("utf-8", "replace")
