"""What a scanner is, and the three ways to make its report."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from skillwarden.domain.finding import Finding, ScannerName, ScannerReport, ScanState, looks_at
from skillwarden.domain.lock import Lock
from skillwarden.domain.package import PackageId

NO_ADVISORIES = "no advisories have been synced; run skillwarden advisories sync --from URL|DIR"


class Scanner(Protocol):
    """Looks at every package of a lock. It reads the lock, and downloads nothing."""

    @property
    def name(self) -> ScannerName:
        """Who it is, in reports."""
        ...

    async def scan(self, lock: Lock) -> ScannerReport:
        """Return how it ended; what it raises, the runner reports as an error."""
        ...


@runtime_checkable
class Preparable(Protocol):
    """A scanner that can begin before there is a lock."""

    @property
    def name(self) -> ScannerName:
        """Who it is, in reports."""
        ...

    async def prepare(self) -> None:
        """Begin: a lock is being made."""
        ...

    def look_ahead(self, packages: frozenset[PackageId]) -> None:
        """Begin to look at the versions that a lock under way will hold; its scan takes the answer."""
        ...

    async def close(self) -> None:
        """End what was begun and never asked for."""
        ...


def packages_of(lock: Lock, scanner: ScannerName) -> frozenset[PackageId]:
    """Return the packages of a lock that a scanner owes an answer for: of the ecosystems it looks at."""
    return frozenset(package.id for package in lock.packages if looks_at(scanner, package.id.ecosystem))


def answered(
    scanner: ScannerName, *, audited: Iterable[PackageId], findings: Iterable[Finding]
) -> ScannerReport:
    """Return the report of a scanner that came to its end: findings where there are some, else a pass."""
    ordered = tuple(sorted(findings))
    state = ScanState.FINDINGS if ordered else ScanState.PASS
    return ScannerReport(scanner=scanner, state=state, audited=frozenset(audited), findings=ordered)


def failed(
    scanner: ScannerName, error: str, *, audited: Iterable[PackageId] = (), retryable: bool
) -> ScannerReport:
    """Return the report of a scanner that cannot answer."""
    return ScannerReport(
        scanner=scanner,
        state=ScanState.ERROR,
        audited=frozenset(audited),
        error=" ".join(error.split()),
        retryable=retryable,
    )
