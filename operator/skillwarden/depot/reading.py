"""What a depot is asked about a lock's artefacts, for the scanners."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from ..domain.artefact_facts import LockFacts
from ..domain.lock import Lock
from ..domain.malware import LockDetections
from .protocol import Depot


def artefact_hosts(lock: Lock) -> frozenset[str]:
    """Return the hosts that the index itself declared for a lock's artefacts.

    The lock's URLs are the index's own answers to our resolver, never a user's text; a redirect to any other
    host stays refused.
    """
    return frozenset(
        urlsplit(package.artefact.url).netloc.rpartition("@")[2]
        for package in lock.packages
        if package.artefact.url
    )


def reader_of(depot: Depot) -> Callable[[Lock], Awaitable[LockFacts]]:
    """Return what has a lock's artefacts read by a depot, for the scanners."""

    async def read(lock: Lock) -> LockFacts:
        return await depot.inspect(lock, artefact_hosts(lock))

    return read


def malware_detector_of(depot: Depot) -> Callable[[Lock], Awaitable[LockDetections]]:
    """Return what has a lock's artefacts looked at for malware by a depot, for the scanners."""

    async def detect(lock: Lock) -> LockDetections:
        return await depot.detect_malware(lock, artefact_hosts(lock))

    return detect
