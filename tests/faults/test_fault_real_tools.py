"""The real tools of a real operator process, killed or stopped while they work: it goes on without them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults_support import OperatorProcess, make_service
from operator_world import Client, World, condition


def descendants(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                yield child
                yield from descendants(child)


async def until_found(process: OperatorProcess, words: str) -> int:
    """Wait for a tool of the operator's to run; return its pid."""
    async with asyncio.timeout(60):
        while True:
            for pid in descendants(process.pid):
                with contextlib.suppress(OSError):
                    line = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
                    if words in line and "limited.py" not in line:
                        return pid
            await asyncio.sleep(0.01)


async def strike(process: OperatorProcess, words: str, sent: signal.Signals) -> None:
    """Send a signal to each run of a tool, until cancelled."""
    while True:
        with contextlib.suppress(ProcessLookupError):
            os.kill(await until_found(process, words), sent)
        await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def process(bare_world: World) -> Iterator[OperatorProcess]:
    """The operator as its image runs it, with deadlines that a test can wait for."""
    process = OperatorProcess(bare_world, SCAN_DEADLINE="8", RESOLVE_DEADLINE="8")
    process.start()
    yield process
    process.kill()


REAL = {
    "uv": ("pip\0compile", ("Resolved", "ResolverUnavailable")),
    "pip-audit": ("pip_audit", ("Scanned", "ScannerError")),
}


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
@pytest.mark.parametrize("name", REAL)
async def test_the_operator_outlives_its_real(
    name: str, sent: signal.Signals, bare_world: World, process: OperatorProcess, user: Client
) -> None:
    words, (kind, reason) = REAL[name]
    package = f"real-{name}-{sent.name.lower()}"
    bare_world.index.wheel(package)
    await user.apply(make_service(package))
    # Each that comes: one that was started ahead of its work, and died, is replaced.
    striking = asyncio.create_task(strike(process, words, sent))
    status = await user.until_skill("demo", **{kind: reason})
    striking.cancel()
    assert name in condition(status, kind)["message"]
    await user.until_skill("demo", Ready="Ready")
    await user.until_pods(1, ready=True)
    assert process.alive
