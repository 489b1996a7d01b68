"""What services ask of a depot, whether it is a process of its own or a folder on this machine."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from ..domain.artefact_facts import LockFacts, MissingArtefact
from ..domain.errors import UnavailableError
from ..domain.finding import ScanResult
from ..domain.lock import Lock
from ..domain.malware import LockDetections


class DepotFullError(UnavailableError):
    """There is no room for what was to be kept."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How full a depot is.

    Attributes
    ----------
    used, limit
        Bytes; ``None``: there is no bound.
    deleted, refused
        Files deleted to make room, and writes refused for want of it, since its process began.
    """

    used: int
    limit: int | None
    deleted: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class InUse:
    """What an operator still needs, by digest.

    Attributes
    ----------
    locks, contents, inputs
        With a lock go its artefacts, and all that is known of them.
    """

    locks: frozenset[str] = frozenset()
    contents: frozenset[str] = frozenset()
    inputs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What is missing of a lock after a fetch; the depot holds, verified, everything else.

    Attributes
    ----------
    missing
        Sorted by package; empty when the lock is complete.
    """

    missing: tuple[MissingArtefact, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every artefact of the lock is in the depot."""
        return not self.missing

    @property
    def retryable(self) -> bool:
        """Whether another try may complete the lock: nothing is missing for good."""
        return bool(self.missing) and all(item.retryable for item in self.missing)


class Depot(Protocol):
    """The operator's side of the depot.

    Every method raises ``UnavailableError`` where the depot does not answer or cannot read or write its
    store, ``IntegrityError`` where it answers with other bytes than were asked for, and
    ``InvalidInputError`` where it refuses what it was given.
    """

    async def put_content(self, data: bytes) -> str:
        """Keep a packed source (``content.pack``); return its digest."""
        ...

    async def get_content(self, digest: str) -> bytes | None:
        """Return a packed source, or ``None``."""
        ...

    async def put_input(self, data: bytes) -> str:
        """Keep a run's input; return its digest."""
        ...

    async def get_input(self, digest: str) -> bytes | None:
        """Return a run's input, or ``None``."""
        ...

    async def put_lock(self, lock: Lock, key: str | None = None) -> None:
        """Keep a lock, and what a resolution key leads to."""
        ...

    async def get_lock(self, digest: str) -> Lock | None:
        """Return a lock by digest, or ``None``."""
        ...

    async def lock_for_key(self, key: str) -> Lock | None:
        """Return the lock that a resolution key leads to, or ``None``."""
        ...

    async def fetch(self, lock: Lock, allowed_hosts: Collection[str] = ()) -> FetchReport:
        """Get every artefact of a lock that is not there yet.

        Parameters
        ----------
        lock
            Its artefacts' URLs say where from.
        allowed_hosts
            Hosts (``host`` or ``host:port``) that this lock's index itself declares, besides the settings'.
        """
        ...

    async def inspect(self, lock: Lock, allowed_hosts: Collection[str] = ()) -> LockFacts:
        """Return what a lock's artefacts say of themselves, fetching what is not there yet.

        Parameters as ``fetch``; what cannot be had or read is among ``unread``.
        """
        ...

    async def detect_malware(self, lock: Lock, allowed_hosts: Collection[str] = ()) -> LockDetections:
        """Return what heuristics detect in a lock's artefacts, fetching what is not there yet.

        Parameters as ``fetch``; what cannot be had or looked at is among ``unread``.
        """
        ...

    async def mark(self, holder: str, in_use: InUse, *, seconds: float) -> Usage:
        """Say what is in use for some time, in place of what this holder said before."""
        ...

    async def put_scan(self, result: ScanResult) -> None:
        """Keep a scan result by lock digest and advisory revision."""
        ...

    async def get_scan(self, lock_digest: str, revision: str) -> ScanResult | None:
        """Return the result of a lock at a revision, or ``None``."""
        ...

    async def latest_scan(self, lock_digest: str) -> ScanResult | None:
        """Return the last result of a lock, or ``None``."""
        ...
