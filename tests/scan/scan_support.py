"""What several tests of scanners use."""

from __future__ import annotations

from skillwarden.domain.artefact_facts import ArtefactFacts, LockFacts
from skillwarden.domain.lock import Lock


async def plain_facts(lock: Lock) -> LockFacts:
    """What artefacts say that run nothing and are under the MIT licence."""
    return LockFacts({package.id: ArtefactFacts(licence="MIT") for package in lock.packages})
