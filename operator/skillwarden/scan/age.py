"""Scanner ``age``: when each artefact of a lock was uploaded, for policies that let releases ripen first.

It reports a date, not an age: whether that is too young is a matter of the policy and the moment of the
verdict, and a scan result is kept for longer than a moment.
"""

from __future__ import annotations

from skillwarden.domain.finding import Finding, FindingKind, ScannerName, ScannerReport
from skillwarden.domain.lock import Lock, LockedPackage

from .protocol import answered, packages_of

FINDING_ID = "released"


class AgeScanner:
    """Reports the upload time of every artefact, or that nobody knows it."""

    name = ScannerName.AGE

    async def scan(self, lock: Lock) -> ScannerReport:
        """Report one finding a package."""
        findings = [_finding(package) for package in lock.packages]
        return answered(self.name, audited=packages_of(lock, self.name), findings=findings)


def _finding(package: LockedPackage) -> Finding:
    uploaded = package.artefact.uploaded_at
    when = (
        f"uploaded at {uploaded.isoformat()}" if uploaded else "the index does not say when it was uploaded"
    )
    return Finding(
        kind=FindingKind.RELEASE_AGE,
        package=package.id,
        id=FINDING_ID,
        summary=f"{package.artefact.filename}: {when}",
        scanners=(ScannerName.AGE,),
        published_at=uploaded,
    )
