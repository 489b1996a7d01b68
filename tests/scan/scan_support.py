"""What several tests of scanners use."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from skillwarden.domain.artefact_facts import ArtefactFacts, LockFacts
from skillwarden.domain.first_seen import FirstSeen
from skillwarden.domain.lock import Lock
from skillwarden.domain.malware import LockDetections

LONG_AGO = datetime(2015, 3, 4, tzinfo=UTC)


def is_running(pid: int) -> bool:
    """Say whether a process is there and has not ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def until_ended(pids: Iterable[int]) -> None:
    """Wait until none of these processes runs: one that was killed closes its pipes before it is gone."""
    async with asyncio.timeout(10):
        while any(is_running(pid) for pid in pids):
            await asyncio.sleep(0.02)


async def plain_facts(lock: Lock) -> LockFacts:
    """What artefacts say that run nothing and are under the MIT licence."""
    return LockFacts({package.id: ArtefactFacts(licence="MIT") for package in lock.packages})


async def nothing_detected(lock: Lock) -> LockDetections:
    """What heuristics say of artefacts in which there is nothing to see."""
    return LockDetections({package.id: () for package in lock.packages})


async def plain_first_seen(lock: Lock) -> FirstSeen:
    """An index whose projects are all old."""
    return FirstSeen({package.id: LONG_AGO for package in lock.packages}, {})
