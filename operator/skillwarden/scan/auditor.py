"""A pip-audit that is started before its pins are known.

Most of its time is the start of its interpreter, which can pass while the resolver still works. It reads
its requirements from a pipe, which pip-audit supports for process substitution, and waits there for them.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from skillwarden.advisories.endpoint import serve
from skillwarden.advisories.index import AdvisoryIndex

from ..bounded import Finished, run_bounded

_SOCKET_TIMEOUT_SECONDS = 15
#: How long one that nobody took is kept; the next lock is likely to come soon after the last, or not soon.
_SPARE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Tool:
    """How pip-audit is run.

    Attributes
    ----------
    command
        How it is started, without its arguments.
    max_output
        Bytes that it may write.
    memory_limit_bytes
        What it may have for itself.
    """

    command: tuple[str, ...]
    max_output: int
    memory_limit_bytes: int


class Auditor:
    """One run of pip-audit, from its start; it ends with the answer, or with ``close``.

    Parameters
    ----------
    index
        What it is served.
    tool
        How it is run.
    """

    def __init__(self, index: AdvisoryIndex, tool: Tool) -> None:
        self.index = index
        self._tool = tool
        self._pins: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._live(), name="pip-audit")

    @property
    def waits(self) -> bool:
        """Whether it is there to be asked."""
        return not self._task.done()

    async def audit(self, pins: Sequence[str]) -> Finished:
        """Give it its pins (``name==version``) and wait for its end.

        Raises
        ------
        OutputTooLargeError
            Where it writes too much.
        OSError
            Where it could not be started.
        """
        self._pins.set_result("".join(f"{pin}\n" for pin in pins).encode("ascii"))
        return await self._task

    async def close(self) -> None:
        """End it, where it has not ended."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _live(self) -> Finished:
        with tempfile.TemporaryDirectory(prefix="skillwarden-pip-audit-") as folder:
            async with serve(self.index) as endpoint:
                reading, writing = os.pipe()
                feeding = asyncio.create_task(self._feed(writing))
                try:
                    return await run_bounded(
                        [*self._tool.command, *_arguments(endpoint.query_url, Path(folder))],
                        cwd=Path(folder),
                        env=_environment(Path(folder)),
                        max_output=self._tool.max_output,
                        memory_limit_bytes=self._tool.memory_limit_bytes,
                        stdin=reading,
                    )
                finally:
                    os.close(reading)
                    feeding.cancel()
                    await asyncio.gather(feeding, return_exceptions=True)

    async def _feed(self, descriptor: int) -> None:
        """Write the pins when they are known, then the end of the file, to whoever still reads."""
        transport, _ = await asyncio.get_running_loop().connect_write_pipe(
            asyncio.BaseProtocol, os.fdopen(descriptor, "wb", buffering=0)
        )
        try:
            transport.write(await self._pins)
            transport.close()
            # More than a pipe holds is written as it is read: until the end of the run.
            await asyncio.Event().wait()
        finally:
            transport.abort()


class Spare:
    """At most one auditor that waits for the lock that is being made.

    Parameters
    ----------
    tool
        How it is run.
    """

    def __init__(self, tool: Tool) -> None:
        self._tool = tool
        self._auditor: Auditor | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def prepare(self, index: AdvisoryIndex) -> None:
        """Have one that waits; one over other advisories is of no use."""
        if self._auditor is not None and self._auditor.waits and _same(self._auditor.index, index):
            return
        self._discard()
        self._auditor = Auditor(index, self._tool)
        self._expiry = asyncio.get_running_loop().call_later(_SPARE_SECONDS, self._discard)

    def take(self, index: AdvisoryIndex) -> Auditor:
        """Return the one that waits, or a new one; the caller closes it."""
        found, self._auditor = self._auditor, None
        if found is not None and found.waits and _same(found.index, index):
            return found
        self._end(found)
        return Auditor(index, self._tool)

    async def close(self) -> None:
        """End the one that waits."""
        self._discard()
        await asyncio.gather(*self._ending)

    def _discard(self) -> None:
        found, self._auditor = self._auditor, None
        self._end(found)

    def _end(self, auditor: Auditor | None) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        if auditor is not None:
            task = asyncio.create_task(auditor.close())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


def _same(held: AdvisoryIndex, wanted: AdvisoryIndex) -> bool:
    return held.revision == wanted.revision


def _arguments(url: str, home: Path) -> list[str]:
    return [
        *("-r", "/dev/stdin", "--no-deps", "--disable-pip"),
        *("-s", "osv", "--osv-url", url, "--timeout", str(_SOCKET_TIMEOUT_SECONDS)),
        *("-f", "json", "--aliases", "on", "--desc", "off", "--progress-spinner", "off"),
        *("--cache-dir", str(home / "cache")),
    ]


def _environment(home: Path) -> dict[str, str]:
    """Return an environment in which nothing of the operator's leaks in, and no proxy is asked."""
    return {
        "HOME": str(home),
        "TMPDIR": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "NO_PROXY": "*",
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
    }
