"""What an auditor said of packages at one revision of the advisories, so that it is asked of each once.

An auditor looks at every package by itself: what it says of one depends on that package and the advisories,
and on nothing else of the lock. Packages that many skills have need not be asked about for each of them.
Errors are never kept, and nothing is kept beyond this process or the revision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from skillwarden.domain.finding import Finding
from skillwarden.domain.package import PackageId

#: Some hundred bytes each.
MAX_PACKAGES = 20_000


class Remembered:
    """The findings in packages, at the newest revision that was asked about.

    Parameters
    ----------
    limit
        Packages that are kept; of more, those that came first are forgotten.
    """

    def __init__(self, limit: int = MAX_PACKAGES) -> None:
        self._limit = limit
        self._revision = ""
        self._findings: dict[PackageId, tuple[Finding, ...]] = {}

    def recall(self, revision: str, packages: Iterable[PackageId]) -> Mapping[PackageId, tuple[Finding, ...]]:
        """Return what is known of these packages at a revision; of those that are not there, nothing is."""
        if revision != self._revision:
            return {}
        return {package: self._findings[package] for package in packages if package in self._findings}

    def keep(self, revision: str, packages: Iterable[PackageId], findings: Iterable[Finding]) -> None:
        """Keep a whole answer about some packages: every finding in each of them."""
        if revision != self._revision:
            self._revision, self._findings = revision, {}
        found: dict[PackageId, list[Finding]] = {package: [] for package in packages}
        for finding in findings:
            found[finding.package].append(finding)
        self._findings |= {package: tuple(rows) for package, rows in found.items()}
        for package in list(islice(self._findings, max(0, len(self._findings) - self._limit))):
            del self._findings[package]
