"""Scanner ``first-seen``: since when the index has a package's project, whatever the version.

A language model that makes a name up makes the same one up again, and somebody may register it
(slopsquatting): such a project is young, and so is one that took a name over. Like an upload time it is a
date, no age: what is too young is a matter of the policy and of the moment of the verdict.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime

from skillwarden.domain.finding import Finding, FindingKind, ScannerName, ScannerReport
from skillwarden.domain.first_seen import FirstSeen
from skillwarden.domain.lock import Lock
from skillwarden.domain.package import PackageId

from .protocol import answered, failed

FINDING_ID = "firstSeen"
#: Asks the index about the projects of a lock.
AskFirstSeen = Callable[[Lock], Awaitable[FirstSeen]]
_SHOWN = 3


class FirstSeenScanner:
    """Reports since when each package's project is there; an index that does not answer is an error.

    Parameters
    ----------
    ask
        Who asks the index.
    """

    name = ScannerName.FIRST_SEEN

    def __init__(self, ask: AskFirstSeen) -> None:
        self._ask = ask

    async def scan(self, lock: Lock) -> ScannerReport:
        """Report one finding a package."""
        found = await self._ask(lock)
        if found.unanswered:
            reasons = [f"{package}: {reason}" for package, reason in sorted(found.unanswered.items())]
            more = f" and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
            return failed(
                self.name,
                f"the index does not say how old {len(reasons)} project(s) are:"
                f" {'; '.join(reasons[:_SHOWN])}{more}",
                audited=found.known,
                retryable=True,
            )
        findings = [_finding(package, began) for package, began in found.known.items()]
        return answered(self.name, audited=found.known, findings=findings)


def _finding(package: PackageId, began: datetime | None) -> Finding:
    when = (
        f"the index received the project's first file at {began.isoformat()}"
        if began
        else "the index does not say when it received the project's first file"
    )
    return Finding(
        kind=FindingKind.PACKAGE_AGE,
        package=package,
        id=FINDING_ID,
        summary=when,
        scanners=(ScannerName.FIRST_SEEN,),
        published_at=began,
    )
