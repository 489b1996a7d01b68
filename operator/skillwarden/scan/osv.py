"""Scanner ``osv``: our own evaluation of the advisories over the index."""

from __future__ import annotations

import asyncio

from skillwarden.advisories.index import AdvisoryIndex, IndexSource
from skillwarden.domain.finding import ScannerName, ScannerReport
from skillwarden.domain.lock import Lock

from .grouping import findings_of
from .protocol import NO_ADVISORIES, answered, failed, packages_of


class OsvScanner:
    """Looks every package of a lock up in the advisory index.

    Parameters
    ----------
    index
        Gives the index of the moment.
    """

    name = ScannerName.OSV

    def __init__(self, index: IndexSource) -> None:
        self._index = index

    async def scan(self, lock: Lock) -> ScannerReport:
        """Look every package up; an index that cannot be read raises."""
        return await asyncio.to_thread(self._scan, lock)

    def _scan(self, lock: Lock) -> ScannerReport:
        index: AdvisoryIndex | None = self._index()
        if index is None:
            return failed(self.name, NO_ADVISORIES, retryable=True)
        counts = index.counts()
        for ecosystem in sorted(lock.ecosystems):
            # Nothing found among no records is not a pass.
            if ecosystem not in counts or not counts[ecosystem].records:
                return failed(
                    self.name, f"the advisories hold no record about {ecosystem.value}", retryable=True
                )
        affecting = index.affecting_many(packages_of(lock, self.name))
        findings = [
            finding
            for package, advisories in affecting.items()
            for finding in findings_of(package, advisories, scanner=self.name)
        ]
        return answered(self.name, audited=affecting, findings=findings)
