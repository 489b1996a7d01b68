"""A depot without a server, for ``skillwarden check``: the same store and fetcher, in this process."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Collection
from pathlib import Path
from typing import ParamSpec, TypeVar

from ..artefact.malware import GuardDog
from ..domain.artefact_facts import LockFacts
from ..domain.errors import UnavailableError
from ..domain.finding import ScanResult
from ..domain.lock import Lock
from ..domain.malware import LockDetections
from .fetch import Fetcher
from .inspect import Inspector
from .malware import MalwareDetector
from .protocol import DepotFullError, FetchReport, InUse, Usage
from .store import DepotStore

P = ParamSpec("P")
T = TypeVar("T")


class LocalDepot:
    """The ``Depot`` protocol over a store and a fetcher.

    Parameters
    ----------
    store
        A folder of this machine.
    fetcher
        Entered by the caller.
    guarddog
        Interpreter of GuardDog's environment; ``None``: the one that is looked for by itself.
    """

    def __init__(self, store: DepotStore, fetcher: Fetcher, *, guarddog: Path | None = None) -> None:
        self._store = store
        self._fetcher = fetcher
        self._inspector = Inspector(store, fetcher)
        self._detector = MalwareDetector(store, fetcher, GuardDog(guarddog))

    async def put_content(self, data: bytes) -> str:
        """Keep a packed source."""
        return await in_thread(self._store.put_content, data)

    async def get_content(self, digest: str) -> bytes | None:
        """Return a packed source, or ``None``."""
        return await in_thread(self._store.get_content, digest)

    async def put_input(self, data: bytes) -> str:
        """Keep a run's input."""
        return await in_thread(self._store.put_input, data)

    async def get_input(self, digest: str) -> bytes | None:
        """Return a run's input, or ``None``."""
        return await in_thread(self._store.get_input, digest)

    async def put_lock(self, lock: Lock, key: str | None = None) -> None:
        """Keep a lock, and what a resolution key leads to."""
        await in_thread(self._store.put_lock, lock, key=key)

    async def get_lock(self, digest: str) -> Lock | None:
        """Return a lock by digest, or ``None``."""
        return await in_thread(self._store.get_lock, digest)

    async def lock_for_key(self, key: str) -> Lock | None:
        """Return the lock that a resolution key leads to, or ``None``."""
        return await in_thread(self._store.lock_for_key, key)

    async def fetch(self, lock: Lock, allowed_hosts: Collection[str] = ()) -> FetchReport:
        """Get every artefact of a lock that is not there yet."""
        return await self._fetcher.fetch(lock, allowed_hosts)

    async def inspect(self, lock: Lock, allowed_hosts: Collection[str] = ()) -> LockFacts:
        """Return what a lock's artefacts say of themselves."""
        try:
            return await self._inspector.inspect(lock, allowed_hosts)
        except OSError as error:
            raise store_failed(error) from error

    async def detect_malware(self, lock: Lock, allowed_hosts: Collection[str] = ()) -> LockDetections:
        """Return what heuristics detect in a lock's artefacts."""
        try:
            return await self._detector.detect(lock, allowed_hosts)
        except OSError as error:
            raise store_failed(error) from error

    async def mark(self, holder: str, in_use: InUse, *, seconds: float) -> Usage:
        """Say what is in use for some time."""
        return await in_thread(self._store.mark, holder, in_use, seconds=seconds)

    async def put_scan(self, result: ScanResult) -> None:
        """Keep a scan result."""
        await in_thread(self._store.put_scan, result)

    async def get_scan(self, lock_digest: str, revision: str) -> ScanResult | None:
        """Return the result of a lock at a revision, or ``None``."""
        return await in_thread(self._store.get_scan, lock_digest, revision)

    async def latest_scan(self, lock_digest: str) -> ScanResult | None:
        """Return the last result of a lock, or ``None``."""
        return await in_thread(self._store.latest_scan, lock_digest)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a method of the store off the event loop.

    Raises
    ------
    UnavailableError
        Where the disk fails.
    """
    try:
        return await asyncio.to_thread(function, *args, **kwargs)
    except OSError as error:
        raise store_failed(error) from error


def store_failed(error: OSError) -> UnavailableError:
    """Return what to say where the disk fails, or has no room left."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DepotFullError(
            f"the depot's disk is full: {error.strerror}.", fix="Give the depot a larger volume."
        )
    return UnavailableError(
        f"the depot's store cannot be used: {error.strerror or error}.",
        fix="Check the folder given as the depot's state: its disk, and who may write it.",
    )
